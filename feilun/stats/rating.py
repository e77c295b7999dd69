"""Who people prefer: Bradley-Terry strengths by Newton's method, with what style alone earns taken out.

P(a beats b) = 1 / (1 + exp(-(strength of a - strength of b + style . beta))); a tie is half a win (Bradley and Terry 1952; style as
covariates: Chiang et al., arXiv 2403.04132). Votes of one user lean on each other: intervals are of the sandwich, clustered by user.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from feilun.stats.intervals import Interval
from feilun.stats.values import Floats, check_confidence, codes_of
from feilun.types import UserError

__all__ = ["Duel", "Leaderboard", "Rank", "leaderboard"]

# A whisper of a prior: a model that never lost gets a finite strength, and everything else moves less than a thousandth of its error.
RIDGE = 1e-2
NUM_STEPS = 60
CONVERGED = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """One choice between the answers of two models. style: name -> (amount in a's answer, amount in b's), as length in characters."""

    a: str
    b: str
    outcome: Literal["a", "b", "tie"]
    user: str
    style: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Rank(NamedTuple):
    """rank: 1 + the number of models that are better beyond chance. strength: in natural logits, 0 is the mean model; n: its duels."""

    rank: int
    strength: Interval


class Leaderboard(NamedTuple):
    """models: best first. style: what one standard deviation more of it is worth, in logits."""

    models: dict[str, Rank]
    style: dict[str, Interval]


def leaderboard(duels: Sequence[Duel], confidence: float = 0.95) -> Leaderboard:
    """Strengths with intervals clustered by user; UserError where models were never compared, not even over others."""
    check_confidence(confidence)
    models = sorted({name for duel in duels for name in (duel.a, duel.b)})
    if len(models) < 2 or any(duel.a == duel.b for duel in duels):
        raise UserError(f"a leaderboard needs duels between two models or more, and none with itself; found {len(duels)} of {models}")
    _check_connected(models, duels)
    style = sorted({name for duel in duels for name in duel.style})
    x, y = _design(models, style, duels)
    beta = _fit(x, y, len(models))
    covariance = _sandwich(x, y, beta, len(models), [duel.user for duel in duels])
    quantile = float(special.stdtrit(len({duel.user for duel in duels}) - 1, 0.5 + confidence / 2))
    return _told(models, style, duels, beta, covariance, quantile)


def _check_connected(models: Sequence[str], duels: Sequence[Duel]) -> None:
    group = {name: name for name in models}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    for duel in duels:
        group[root(duel.a)] = root(duel.b)
    apart = sorted({root(name) for name in models})
    if len(apart) > 1:
        raise UserError(f"these models were never compared, not even by way of others: {', '.join(apart)}; rank each part on its own")


def _design(models: Sequence[str], style: Sequence[str], duels: Sequence[Duel]) -> tuple[Floats, Floats]:
    """Rows +1 for a, -1 for b, then style as (a - b) / (a + b), each with standard deviation 1; and the outcomes 1, .5, 0."""
    place = {name: index for index, name in enumerate(models)}
    x = np.zeros((len(duels), len(models) + len(style)))
    for row, duel in enumerate(duels):
        x[row, place[duel.a]], x[row, place[duel.b]] = 1.0, -1.0
        for column, name in enumerate(style, len(models)):
            a, b = duel.style.get(name, (0.0, 0.0))
            x[row, column] = (a - b) / (a + b) if a + b else 0.0
    spread = x[:, len(models) :].std(axis=0)
    x[:, len(models) :] /= np.where(spread > 0, spread, 1.0)
    return x, np.array([{"a": 1.0, "tie": 0.5, "b": 0.0}[duel.outcome] for duel in duels])


def _fit(x: Floats, y: Floats, num_models: int) -> Floats:
    beta = np.zeros(x.shape[1])
    for _ in range(NUM_STEPS):
        gradient = x.T @ (y - special.expit(x @ beta)) - RIDGE * beta
        step = np.linalg.solve(_hessian(x, beta), gradient)
        # A whole Newton step can overshoot where one side always wins; a strength never moves by more than 2 at once.
        beta = beta + step / max(1.0, float(np.abs(step).max()) / 2)
        if float(np.abs(step).max()) < CONVERGED:
            break
    beta[:num_models] -= beta[:num_models].mean()
    return beta


def _hessian(x: Floats, beta: Floats) -> Floats:
    p = special.expit(x @ beta)
    found: Floats = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(x.shape[1])
    return found


def _sandwich(x: Floats, y: Floats, beta: Floats, num_models: int, users: Sequence[str]) -> Floats:
    """Covariance clustered by user, of strengths less their mean."""
    codes = codes_of(users, y.size)
    num = int(codes.max()) + 1
    if num < 2:
        raise UserError("intervals clustered by user need two users or more, found 1")
    scores = np.zeros((num, x.shape[1]))
    np.add.at(scores, codes, x * (y - special.expit(x @ beta))[:, None])
    bread = np.linalg.inv(_hessian(x, beta))
    centre = np.eye(x.shape[1])
    centre[:num_models, :num_models] -= 1 / num_models
    half = centre @ bread
    found: Floats = half @ (scores.T @ scores * (num / (num - 1))) @ half.T
    return found


def _told(
    models: Sequence[str], style: Sequence[str], duels: Sequence[Duel], beta: Floats, covariance: Floats, quantile: float
) -> Leaderboard:
    def interval(index: int, n: int) -> Interval:
        half = quantile * float(np.sqrt(covariance[index, index]))
        return Interval(float(beta[index]), float(beta[index]) - half, float(beta[index]) + half, n)

    def is_better(other: int, one: int) -> bool:
        error = np.sqrt(max(0.0, covariance[other, other] + covariance[one, one] - 2 * covariance[other, one]))
        return bool(beta[other] - beta[one] > quantile * error)

    order = sorted(range(len(models)), key=lambda index: -beta[index])
    played = [sum(name in (duel.a, duel.b) for duel in duels) for name in models]
    ranks = {models[i]: Rank(1 + sum(is_better(j, i) for j in order), interval(i, played[i])) for i in order}
    return Leaderboard(ranks, {name: interval(len(models) + k, len(duels)) for k, name in enumerate(style)})
