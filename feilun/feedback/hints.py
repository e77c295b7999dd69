"""Hints: what people do with an answer without judging it. Stored, held against what they say, and worth nothing until that agrees.

A hint earns a weight where, over answers that its giver also judged, the lower bound of its agreement lies above `LEAST_AGREEMENT`
and above the agreement of a constant guess, with at least `LEAST_ANSWERS` answers of `LEAST_RATERS` raters (clustered by rater).
Then it moves the weight of a lesson that an explicit vote made by at most `MOST_MOVED` in all; alone it never teaches.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from feilun.feedback.curation import LESSON_CONSENT, Curated, Lesson
from feilun.feedback.signals import HINTS
from feilun.store import CurrentVote, Reply
from feilun.types import is_held_out

__all__ = ["Hint", "Measured", "hints_of", "hints_report", "measure_hints", "moved_by_hints"]

LEAST_AGREEMENT = 0.7
LEAST_ANSWERS = 100
LEAST_RATERS = 10
MOST_MOVED = 0.2
SIGNS = {"better": 1, "worse": -1}
COMPLAINT = re.compile(
    r"^\W*(不对|不是|錯了|错了|不正确|不正確|答错|答錯|你错|你錯|胡说|胡說|不行|重新回答|再试|再試|還是不對|还是不对|你没听懂|你沒聽懂|"
    r"(no\b|nope|wrong|incorrect|not (right|true|what i)|that'?s (not|wrong|incorrect)|you'?re wrong|try again|are you sure))",
    re.IGNORECASE,
)

Target = tuple[str, int]


class Hint(NamedTuple):
    name: str
    rater: str
    target: Target


class Measured(NamedTuple):
    """agreement: (mean, low, high), None below LEAST_ANSWERS; base: of a constant guess; weight: what the hint has earned."""

    given: int
    judged: int
    agreement: tuple[float, float, float] | None
    base: float
    weight: float


def hints_of(votes: Iterable[CurrentVote], replies: Iterable[Reply]) -> list[Hint]:
    """Named acts, and two that the tree of messages shows: an answer kept of several that were asked for, a complaint after one."""
    acts = (vote for vote in votes if vote.kind == "implicit" and vote.consent in LESSON_CONSENT)
    found = [Hint(vote.value["name"], vote.principal, (vote.target_id, vote.target_index)) for vote in acts]
    for reply in replies:
        if reply.consent not in LESSON_CONSENT:
            continue
        target = (reply.completion_id, reply.choice)
        if COMPLAINT.match(reply.next):
            found.append(Hint("complaint", reply.principal, target))
        elif reply.siblings > 1:
            found.append(Hint("kept", reply.principal, target))
    return sorted({hint for hint in found if not is_held_out(hint.rater)})


def measure_hints(hints: Sequence[Hint], votes: Iterable[CurrentVote]) -> dict[str, Measured]:
    """How far each kind of hint agrees with what the same person says of the same answer."""
    if not hints:
        return {name: Measured(0, 0, None, 0.0, 0.0) for name in HINTS}
    signed = [(vote, sign) for vote in votes if (sign := _sign(vote))]
    said = {(vote.principal, (name, vote.target_index)): sign for vote, sign in signed for name in vote.target_ids}
    praised = sum(sign > 0 for sign in said.values()) / len(said) if said else 0.0
    return {name: _measured([hint for hint in hints if hint.name == name], said, praised) for name in HINTS}


def _sign(vote: CurrentVote) -> int:
    if vote.consent not in LESSON_CONSENT or is_held_out(vote.principal):
        return 0
    return vote.value if vote.kind == "thumb" else -1 if vote.kind in ("edit", "report") else 0


def _measured(hints: Sequence[Hint], said: Mapping[tuple[str, Target], int], praised: float) -> Measured:
    judged = [hint for hint in hints if (hint.rater, hint.target) in said]
    if not judged:
        return Measured(len(hints), 0, None, 0.0, 0.0)
    sign = SIGNS[HINTS[judged[0].name].direction]
    base = praised if sign > 0 else 1 - praised
    raters = [hint.rater for hint in judged]
    if len(judged) < LEAST_ANSWERS or len(set(raters)) < LEAST_RATERS:
        return Measured(len(hints), len(judged), None, base, 0.0)
    from feilun.stats import mean_interval

    found = mean_interval([1.0 if said[hint.rater, hint.target] == sign else 0.0 for hint in judged], raters)
    earned = found.low > LEAST_AGREEMENT and found.low > base
    weight = HINTS[judged[0].name].trust * (2 * found.low - 1) if earned else 0.0
    return Measured(len(hints), len(judged), (found.mean, found.low, found.high), base, weight)


def moved_by_hints(curated: Curated, hints: Iterable[Hint], measured: Mapping[str, Measured], min_trust: float = 0.0) -> Curated:
    """Lessons of the answers that hints are about, heavier or lighter by what the hints of raters believed as far as this have earned."""
    moved: dict[Target, float] = {}
    for hint in hints:
        if hint.rater in curated.raters.trust and curated.raters.weight(hint.rater) >= min_trust:
            moved[hint.target] = moved.get(hint.target, 0.0) + SIGNS[HINTS[hint.name].direction] * measured[hint.name].weight
    return curated._replace(lessons=[_moved(lesson, moved) for lesson in curated.lessons])


def _moved(lesson: Lesson, moved: Mapping[Target, float]) -> Lesson:
    """By hints about the very answers that are taught; an edit teaches another text than the one that was copied."""
    by = sum(moved.get((vote.target_id, vote.target_index), 0.0) for vote in lesson.votes if vote.kind != "edit")
    return replace(lesson, weight=min(1.0, lesson.weight * (1 + max(-MOST_MOVED, min(MOST_MOVED, by))))) if by else lesson


def hints_report(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """Each kind of hint, for report.json."""
    return {
        name: {
            "given": one.given, "judged": one.judged, "agreement": [round(value, 4) for value in one.agreement] if one.agreement else None,
            "constant_guess": round(one.base, 4), "weight": round(one.weight, 4),
        }
        for name, one in measured.items()
    }  # fmt: skip
