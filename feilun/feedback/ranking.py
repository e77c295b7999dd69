"""Whom people prefer of all that ever answered, generations and engines elsewhere alike: their choices as duels, ranked by Bradley-Terry.

Only choices between two models count. What style alone earns (length, lists, bold) is taken out. Models that were never compared, not even
by way of others, stand in parts of their own. A tie is half a win for each side, and so is "both bad": it says nothing of which is better.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from feilun.feedback.curation import LESSON_CONSENT
from feilun.feedback.raters import Raters
from feilun.stats import Duel, Leaderboard, RatingRates, leaderboard, rating_rates
from feilun.store import CurrentVote, Store
from feilun.types import is_held_out

__all__ = ["Part", "duels_of", "ranked", "rated_rates"]

LIST_LINE = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s", re.MULTILINE)
BOLD = re.compile(r"\*\*[^*\n]+\*\*")


class Part(NamedTuple):
    """Models that can be compared. board: None where fewer than two people chose, whose agreement nobody can know."""

    models: tuple[str, ...]
    users: int
    duels: int
    board: Leaderboard | None


def duels_of(votes: Iterable[CurrentVote], raters: Raters, *, held_out_only: bool = False) -> tuple[list[Duel], Counter[str]]:
    """Every standing choice between two models, and how many votes were left out, by reason. Who acts as one is one user."""
    duels, left_out = [], Counter[str]()
    for vote in votes:
        if vote.kind != "choice":
            continue
        if reason := _objection(vote, raters, held_out_only):
            left_out[reason] += 1
            continue
        rivals = [sibling for sibling in vote.over if sibling.model != vote.model]
        left_out["same_model"] += not rivals
        outcome: Literal["a", "tie"] = "a" if vote.value["outcome"] == "win" else "tie"
        for rival in rivals:
            style = _paired(vote.answer, rival.text)
            duels.append(Duel(a=vote.model, b=rival.model, outcome=outcome, user=raters.voice(vote.principal), style=style))
    return duels, +left_out


def _objection(vote: CurrentVote, raters: Raters, held_out_only: bool) -> str:
    if vote.consent not in LESSON_CONSENT:
        return "consent"
    if vote.principal in raters.stuffers:
        return "stuffing"
    return "not_held_out" if held_out_only and not is_held_out(vote.principal) else ""


def _paired(a: str, b: str) -> dict[str, tuple[float, float]]:
    one, other = _style(a), _style(b)
    return {name: (one[name], other[name]) for name in one}


def _style(text: str) -> dict[str, float]:
    return {"length": len(text), "lists": len(LIST_LINE.findall(text)), "bold": len(BOLD.findall(text))}


def ranked(duels: Sequence[Duel], confidence: float = 0.95) -> list[Part]:
    """The largest part first. Style that never differs in a part is not in its figures."""
    found = []
    for models in _parts(duels):
        mine = [duel for duel in duels if duel.a in models]
        users = len({duel.user for duel in mine})
        board = leaderboard([_with_style(duel, _differing(mine)) for duel in mine], confidence) if users > 1 else None
        found.append(Part(tuple(sorted(models)), users, len(mine), board))
    return sorted(found, key=lambda part: (-part.duels, part.models))


def _differing(duels: Iterable[Duel]) -> frozenset[str]:
    return frozenset(name for duel in duels for name, (a, b) in duel.style.items() if a != b)


def _with_style(duel: Duel, names: frozenset[str]) -> Duel:
    style: Mapping[str, tuple[float, float]] = {name: pair for name, pair in duel.style.items() if name in names}
    return Duel(a=duel.a, b=duel.b, outcome=duel.outcome, user=duel.user, style=style)


def _parts(duels: Iterable[Duel]) -> list[set[str]]:
    parts: list[set[str]] = []
    for duel in duels:
        joined = {duel.a, duel.b}
        apart = [part for part in parts if part.isdisjoint(joined)]
        for part in parts:
            if not part.isdisjoint(joined):
                joined |= part
        parts = [*apart, joined]
    return parts


def rated_rates(store: Store, votes: Iterable[CurrentVote]) -> RatingRates:
    """Of each model's answers to people, the share that anybody judged: praise from few who rate says little of the many who do not."""
    judged = {target for vote in votes if vote.kind != "implicit" for target in (vote.target_id, *(sibling.id for sibling in vote.over))}
    answers = store.answers()
    return rating_rates(
        [answer.model for answer in answers], [answer.id in judged for answer in answers], [answer.principal for answer in answers]
    )
