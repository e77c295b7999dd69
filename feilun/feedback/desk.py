"""A labelling desk: its rules, and what has come of it: how far the raters agree, with each other and with gold, and what a label costs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from feilun.config import TurnSettings
from feilun.feedback.curation import LessonRules
from feilun.feedback.gold import gold_of
from feilun.feedback.opinions import hear
from feilun.feedback.raters import Raters, judge_raters
from feilun.stats import alpha, alpha_bounds
from feilun.store import OWNER, DeskRow, Label, Store
from feilun.types import UserError

__all__ = ["DeskReport", "DeskRules", "RaterReport", "desk_report", "raters_now"]

MOST_SECONDS = 300.0  # a page left open is no work
MAX_GUIDELINE_CHARS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRules:
    """overlap: so many raters judge each task. gold_share: of a rater's tasks, as long as there is gold. price: of one label."""

    guidelines: str = ""
    overlap: int = 3
    gold_share: float = 0.1
    price: float = 0.0
    currency: str = ""

    def __post_init__(self) -> None:
        if self.overlap < 1:
            raise UserError(f"overlap={self.overlap}: allowed are whole numbers from 1 on")
        if not 0 <= self.gold_share < 1:
            raise UserError(f"gold_share={self.gold_share:g}: allowed is from 0 to below 1")
        if not 0 <= self.price < math.inf:
            raise UserError(f"price={self.price:g}: allowed is 0 or more")
        if len(self.guidelines) > MAX_GUIDELINE_CHARS:
            raise UserError(f"the guidelines have {len(self.guidelines)} characters; allowed are {MAX_GUIDELINE_CHARS}")

    @classmethod
    def of(cls, desk: DeskRow) -> "DeskRules":
        return cls(**desk.settings)


class RaterReport(NamedTuple):
    """gold_right of gold_asked; agrees: the share of others' labels of the same tasks that say the same, None without any.

    trust: as lessons weigh it, None before anything is known; seconds: the median a label.
    """

    rater: str
    labels: int
    gold_right: int
    gold_asked: int
    agrees: float | None
    trust: float | None
    seconds: float
    cost: float


class DeskReport(NamedTuple):
    """tasks, settled: without gold; settled ones have as many labels as they shall have. agreement: Krippendorff's alpha, with bounds.

    cost: of the labels of all but the owner. cost_a_task: that, gold included, by settled task; None before the first. hours: spent,
    idle pages cut at MOST_SECONDS.
    """

    name: str
    is_open: bool
    tasks: int
    settled: int
    gold: int
    labels: int
    agreement: float | None
    low: float | None
    high: float | None
    shared: int
    cost: float
    cost_a_task: float | None
    currency: str
    hours: float
    raters: list[RaterReport]

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "raters": [rater._asdict() for rater in self.raters]}


def raters_now(home: Path, store: Store) -> Raters:
    """What is known of everybody by all that was ever said, as lessons weigh it. Reads the whole history."""
    heard = hear(store.folded_votes(store.last_seq()))
    return judge_raters(heard, gold_of(home, store), LessonRules(min_trust=TurnSettings().min_trust))


def desk_report(home: Path, store: Store, desk: DeskRow, known: Raters | None = None) -> DeskReport:
    """known: `raters_now` of a moment ago; read here where it is not given."""
    known = known or raters_now(home, store)
    rules, labels = DeskRules.of(desk), store.desks.labels(desk.name)
    num_tasks, num_gold = store.desks.count_tasks(desk.name)
    by_task: dict[str, list[Label]] = {}
    for label in labels:
        by_task.setdefault(label.task, []).append(label)
    settled = sum(len(said) >= rules.overlap for said in by_task.values() if said[0].gold is None)
    shared = {task: [[label.outcome for label in said]] for task, said in sorted(by_task.items()) if len(said) > 1}
    found = alpha(units[0] for units in shared.values())
    low, high = alpha_bounds(shared) if found is not None and len(shared) > 1 else (None, None)
    cost = rules.price * sum(label.principal != OWNER for label in labels)
    return DeskReport(
        name=desk.name, is_open=desk.closed is None, tasks=num_tasks - num_gold, settled=settled, gold=num_gold, labels=len(labels),
        agreement=found, low=low, high=high, shared=len(shared), cost=cost, cost_a_task=cost / settled if settled else None,
        currency=rules.currency, hours=sum(map(_worked, labels)) / 3600, raters=_raters(labels, by_task, rules, known),
    )  # fmt: skip


def _raters(labels: Iterable[Label], by_task: Mapping[str, Sequence[Label]], rules: DeskRules, known: Raters) -> list[RaterReport]:
    by_rater: dict[str, list[Label]] = {}
    for label in labels:
        by_rater.setdefault(label.principal, []).append(label)
    found = []
    for rater, mine in sorted(by_rater.items()):
        gold = [label for label in mine if label.gold is not None]
        trust = known.weight(rater) if rater in known.trust or rater in known.stuffers else None
        found.append(
            RaterReport(
                rater=rater, labels=len(mine), gold_right=sum(label.outcome == label.gold for label in gold), gold_asked=len(gold),
                agrees=_agrees(mine, by_task),
                trust=trust, seconds=median(map(_worked, mine)), cost=0.0 if rater == OWNER else rules.price * len(mine),
            )
        )  # fmt: skip
    return found


def _agrees(mine: Iterable[Label], by_task: Mapping[str, Sequence[Label]]) -> float | None:
    others = [(label.outcome, other.outcome) for label in mine for other in by_task[label.task] if other.principal != label.principal]
    return sum(one == other for one, other in others) / len(others) if others else None


def _worked(label: Label) -> float:
    return min(label.seconds, MOST_SECONDS)
