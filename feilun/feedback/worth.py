"""Whether the next turn is worth its training: how much of what is taught the champion does not say yet, and how much is still missing.

A lesson that only repeats what the champion says changes nothing, however many there are; one that contradicts it changes an answer, by
its weight. Expected change is the weight of what is new and contradicts, as a share of the weight of all lessons: the share of the
taught answers that a turn would turn. It is measured against all that was learnt, because a turn that changes a hundredth of a large
body of lessons costs as much as the first one and cannot be seen by a gate.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from feilun.config import TurnSettings
from feilun.feedback.curation import Lesson, LessonRules, curate
from feilun.feedback.gold import gold_of
from feilun.feedback.opinions import normalise
from feilun.feedback.terms import teaching_engines
from feilun.store import OWNER, CurrentVote, Store, without_ids

__all__ = ["Learnable", "Worth", "WorthRule", "basis", "learnable", "newest_word", "surprise", "worth", "worth_now"]

USUAL_SURPRISE, USUAL_CHOICES = 0.5, 4.0  # before anybody chose: half of all choices go against the champion, held as four choices would be
USUAL_WEIGHT = 0.375  # of a choice of somebody new: trust .75, of which a choice counts half


@dataclass(frozen=True, slots=True, kw_only=True)
class WorthRule:
    """least_change: of the taught answers, the share that must turn. least_weight: and so much weight, or a turn is about a few words."""

    least_change: float = 0.05
    least_weight: float = 8.0


class Learnable(NamedTuple):
    """Weights of lessons: known: those the last turn had; new: those since; surprising: of the new ones, what contradicts the champion.

    choices, choice_weight: how many of the new lessons are choices, and what they weigh; choice_surprise: what of that contradicts.
    """

    known: float
    new: float
    surprising: float
    choices: int = 0
    choice_weight: float = 0.0
    choice_surprise: float = 0.0


class Worth(NamedTuple):
    """change: expected, in [0, 1]. more: further choices until it is worth it, None where no number of them would do; 0 when it is."""

    change: float
    more: int | None

    @property
    def is_worth_it(self) -> bool:
        return self.more == 0

    def to_json(self) -> dict[str, Any]:
        return {"change": round(self.change, 4), "more": self.more}


def worth(found: Learnable, rule: WorthRule) -> Worth:
    """The rule. Further choices are taken to weigh and to contradict as the new ones did."""
    total = found.known + found.new
    change = found.surprising / total if total else 0.0
    each = (USUAL_WEIGHT * USUAL_CHOICES + found.choice_weight) / (USUAL_CHOICES + found.choices)
    share = (USUAL_SURPRISE * USUAL_WEIGHT * USUAL_CHOICES + found.choice_surprise) / (USUAL_WEIGHT * USUAL_CHOICES + found.choice_weight)
    for_weight = max(0.0, (rule.least_weight - found.surprising) / (each * share))
    short = rule.least_change * total - found.surprising
    if short <= 0:
        return Worth(change, math.ceil(for_weight - 1e-9))
    if share <= rule.least_change:
        return Worth(change, None)
    return Worth(change, math.ceil(max(for_weight, short / (each * (share - rule.least_change))) - 1e-9))


def learnable(lessons: Iterable[Lesson], learnt_seq: int, champion: str, released: Collection[str] = ()) -> Learnable:
    """What the lessons weigh. learnt_seq: the newest event that the last turn saw; a lesson with a later one is new.

    released: events that are no later, and were let teach again since.
    """
    known = new = surprising = weight = against = 0.0
    choices = 0
    for lesson in lessons:
        if all(vote.seq <= learnt_seq and vote.id not in released for vote in lesson.votes):
            known += lesson.weight
            continue
        part = surprise(lesson.vote, champion)
        new += lesson.weight
        surprising += lesson.weight * part
        if lesson.vote.kind == "choice":
            choices, weight, against = choices + 1, weight + lesson.weight, against + lesson.weight * part
    return Learnable(known, new, surprising, choices, weight, against)


def surprise(vote: CurrentVote, champion: str) -> float:
    """How far a vote contradicts the model: 1 where it names another answer, 0 where it praises its own, .5 between two of its own."""
    if vote.kind == "edit":
        return 1.0 if normalise(vote.value) != normalise(vote.answer) else 0.0
    if vote.kind != "choice" or vote.value["outcome"] != "win":
        return 0.0
    lost = any(sibling.model == champion for sibling in vote.over)
    if vote.model == champion:
        return 0.5 if lost else 0.0
    return 1.0 if lost else 0.5


def worth_now(home: Path, store: Store, rule: WorthRule | None = None) -> Worth:
    """By all lessons that stand now, and what came since the last turn that ended; no champion is worth nothing."""
    champion = store.champion()
    if champion is None:
        return Worth(0.0, None)
    ended = [turn for turn in store.turns() if turn.state != "running" and "collect" in turn.steps]
    seen = [(turn.steps["collect"].output.get("upto_seq", 0), turn.steps["collect"].heartbeat) for turn in ended]
    learnt, when = max(seen, default=(0, 0.0))
    rules, edited = LessonRules(min_trust=TurnSettings().min_trust), store.edited_threads(OWNER)
    withheld = store.withheld_events()
    votes = without_ids(store.folded_votes(store.last_seq()), withheld.keys())
    lessons = curate(votes, gold_of(home, store), rules, edited, teaching_engines(store)).lessons
    return worth(learnable(lessons, learnt, champion.model, store.released_after(when)), rule or WorthRule())


def basis(store: Store) -> tuple[object, ...]:
    """Where nothing of this has changed, a turn is worth as much as before."""
    ended = sum(turn.state != "running" for turn in store.turns())
    return store.last_seq(), store.last_withheld(), store.erasure_epoch(), store.champion(), ended


def newest_word(store: Store) -> dict[str, float]:
    """The newest event, and when events were let teach again last: what of either is new may teach something new."""
    return {"seq": store.last_seq(), "released": store.last_withheld()[1]}
