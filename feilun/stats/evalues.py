"""Evidence against "no better": a p-value for one look, e-values for as many looks as one likes, and several claims at once.

An e-value is what a gambler has made of 1 by betting against a claim; while the claim holds it passes 1 / alpha with
probability at most alpha, however often one looks and whenever one stops (Ville 1939; Ramdas et al., arXiv 2210.01948).
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import special  # type: ignore[import-untyped]  # scipy.stats costs a second at import: every child pays

from feilun.stats.values import Floats, check_counts, cluster_means, codes_of, floats
from feilun.types import UserError

__all__ = ["bonferroni", "e_bh", "e_bonferroni", "log_e_mcnemar", "log_e_paired", "log_e_sample_ratio", "log_e_voters", "mcnemar_exact"]

E_PRIOR = 10.0  # Beta(10, 10) over the share of wins: research/flywheel.md section 6
NUM_BETS = 48
RATIO_MASS = 100.0


def mcnemar_exact(wins: int, losses: int, alternative: Literal["two-sided", "greater"] = "two-sided") -> float:
    """p-value of `wins` against `losses` among discordant pairs under a fair coin; "greater" asks for more wins. For one look."""
    check_counts(wins, losses)
    reached = wins if alternative == "greater" else max(wins, losses)
    tail = 1.0 if reached == 0 else float(special.bdtrc(reached - 1, wins + losses, 0.5))
    return tail if alternative == "greater" else min(1.0, 2 * tail)


def log_e_mcnemar(wins: int, losses: int, prior: float = E_PRIOR) -> float:
    """Natural log of the sequential McNemar e-value of both sides: one may look after every pair and act once it passes log(1 / alpha).

    Mixture of Beta(prior, prior) over the share of wins; the pairs must be independent (else `log_e_paired` with clusters).
    """
    check_counts(wins, losses)
    grown: Any = special.betaln(prior + wins, prior + losses) - special.betaln(prior, prior)
    return float(grown) + (wins + losses) * math.log(2)


def log_e_paired(differences: Sequence[float], clusters: Sequence[Hashable] | None = None, *, at_most: float = 0.0) -> Floats:
    """Natural log of the e-value against "the mean difference is at most `at_most`", after every cluster in order of appearance.

    differences: candidate less champion, each in [-1, 1]. A cluster (a user) is one bet, on the mean of all its pairs: votes
    of one person lean on each other, and would count as so many people otherwise. It may be looked at whenever a cluster is
    complete; what the same cluster says afterwards is not independent of what it said, and must not be added. Assumes that
    clusters come independently, each with the same mean. One pair a cluster and values of -1, 0, 1 make it a one-sided sequential
    McNemar test. Betting: Waudby-Smith and Ramdas 2024.
    """
    if not -1 < at_most < 1:
        raise UserError(f"at_most must lie between -1 and 1, found {at_most:g}")
    means = cluster_means(paired(differences), codes_of(clusters, len(differences)))
    return wealth(means, at_most)


def log_e_voters(means: Floats) -> float:
    """The last value of `log_e_paired` for voters whose mean differences are known; 0 for nobody."""
    values, counts = np.unique(means, return_counts=True)
    return last_wealth(values, counts.astype(np.float64), 0.0) if values.size else 0.0


def paired(differences: Sequence[float]) -> Floats:
    x = floats(differences)
    if np.abs(x).max() > 1:
        raise UserError(f"paired differences must lie in [-1, 1], found {x[np.abs(x).argmax()]:g}")
    return x


def wealth(means: Floats, at_most: float) -> Floats:
    """Log of the mean wealth over bets of every size, after each of `means`; a bet of size 1 would be lost whole at -1."""
    bets = _bets()
    return _mixed(_gains(means, at_most, bets).cumsum(axis=1), bets)


def last_wealth(values: Floats, counts: Floats, at_most: float) -> float:
    """The last of `wealth` for means of which each of `values` comes up `counts` times; their order does not matter to it."""
    bets = _bets()
    return float(_mixed(_gains(values, at_most, bets) @ counts, bets))


def _gains(means: Floats, at_most: float, bets: "_Bets") -> Floats:
    found: Floats = np.log1p(bets.sizes[:, None] * ((means - at_most) / (1 + at_most))[None, :])
    return found


def _mixed(grown: Floats, bets: "_Bets") -> Floats:
    """Log of the weighted mean over bets. scipy's logsumexp says the same, twenty times slower."""
    most = grown.max(axis=0)
    found: Floats = np.log(bets.weights @ np.exp(grown - most)) + most
    return found


class _Bets(NamedTuple):
    sizes: Floats
    weights: Floats


@cache
def _bets() -> _Bets:
    """Shares of the capital in (0, 1): half after the prior for a share of wins of (1 + bet) / 2, half alike, for few who are of one mind.

    Any weights that sum to 1 are valid.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NUM_BETS)
    sizes = (nodes + 1) / 2
    narrow = weights * np.exp((E_PRIOR - 1) * (np.log1p(sizes) + np.log1p(-sizes)))
    return _Bets(sizes, narrow / narrow.sum() / 2 + weights / weights.sum() / 2)


def log_e_sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Natural log of the e-value against "people fell into these parts by these shares"; one may look after every person.

    Dirichlet mixture around the shares (Lindon and Malek, arXiv 2011.03567). A mismatch says that a comparison between the parts
    compares different people.
    """
    n, p = floats(counts), floats(shares)
    if n.size != p.size or n.min() < 0 or p.min() <= 0 or abs(p.sum() - 1) > 1e-9:
        raise UserError(f"each count needs its share above 0, and the shares sum to 1; found {list(counts)} and {list(shares)}")
    prior = RATIO_MASS * p
    mixed: Any = special.gammaln(prior + n).sum() - special.gammaln(prior).sum() - special.gammaln(RATIO_MASS + n.sum())
    return float(mixed + special.gammaln(RATIO_MASS) - (n * np.log(p)).sum())


def bonferroni(p_values: Mapping[str, float], shares: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """Names whose p-value is at most their share of alpha; the chance of any false one is at most alpha. Shares sum to at most 1.

    1 / e is a p-value, so claims tested by e-values may stand among them.
    """
    if sum(shares.values()) > 1 + 1e-9:
        raise UserError(f"shares of alpha must sum to at most 1, found {sum(shares.values()):g}")
    return tuple(name for name, p in p_values.items() if p <= alpha * shares[name])


def e_bonferroni(log_es: Mapping[str, float], alpha: float) -> tuple[str, ...]:
    """Names of the claims refuted at `alpha` for all together: any false one with probability at most alpha, at any time."""
    return tuple(name for name, log_e in log_es.items() if log_e >= math.log(len(log_es) / alpha))


def e_bh(log_es: Mapping[str, float], alpha: float, num_all: float | None = None) -> tuple[str, ...]:
    """Names of the claims refuted with a share of false ones of at most `alpha` in the mean, however they hang together.

    The k largest, for the largest k whose k-th is at least number / (alpha k). Source: Wang and Ramdas 2022.
    num_all: how many claims there are, where those that are not given are too small to stand.
    """
    total = len(log_es) if num_all is None else num_all
    ordered = sorted(log_es, key=lambda name: (-log_es[name], name))
    passed = [k for k, name in enumerate(ordered, 1) if log_es[name] >= math.log(total / (alpha * k))]
    return tuple(ordered[: max(passed, default=0)])
