"""The gate: what a candidate must show, question by question, before it may answer anybody.

It reads exam scores and nothing else; what a right answer is, the exam knows. The rule is written into the turn's plan
before anything is trained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from feilun.config import TurnSettings
from feilun.stats import Interval, paired_difference

__all__ = ["MIN_ANSWERS", "Answers", "GateVerdict", "TaskVerdict", "by_task", "decide", "judge", "pairing_trouble", "rule"]

MIN_ANSWERS = 400
Answers = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVerdict:
    """One task: both means, the paired difference (None where nothing could be paired), and why it passes or not."""

    passed: bool
    why: str
    n: int
    champion: float | None = None
    candidate: float | None = None
    difference: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "passed": self.passed, "why": self.why, "n": self.n, "champion": self.champion, "candidate": self.candidate,
            "difference": self.difference.to_json() if self.difference is not None else None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """reasons: what `why` says, as codes with numbers, for a page that says it in its reader's language."""

    verdict: Literal["promoted", "refused"]
    why: tuple[str, ...]
    tasks: Mapping[str, TaskVerdict]
    reasons: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        body = {"verdict": self.verdict, "why": list(self.why), "tasks": {name: task.to_json() for name, task in self.tasks.items()}}
        return body | ({"reasons": [dict(reason) for reason in self.reasons]} if self.reasons else {})


def rule(settings: TurnSettings) -> dict[str, Any]:
    """The pre-registered rule, as it stands in the plan and in the receipt."""
    return {
        "split": "gate", "must_rise": settings.rise_task, "max_fall": settings.max_fall, "max_fall_bound": settings.max_fall_bound,
        "confidence": settings.confidence, "min_answers": MIN_ANSWERS, "statistic": "paired difference, Bonett-Price interval",
    }  # fmt: skip


def decide(champion_answers: Answers, candidate_answers: Answers, settings: TurnSettings) -> GateVerdict:
    """Promote or refuse, with reasons, on rows of two answers.jsonl ({"id", "task", "value", ...}).

    settings.rise_task must rise: the lower bound of its paired difference lies above 0. No other task may fall by more than
    settings.max_fall in the mean, nor its lower bound reach -settings.max_fall_bound. Each task needs MIN_ANSWERS pairs;
    anything missing, doubled or unpaired refuses.
    """
    sides = (by_task(champion_answers), by_task(candidate_answers))
    names = sorted({*sides[0], *sides[1], settings.rise_task}, key=lambda name: (name != settings.rise_task, name))
    tasks = {name: judge(name, sides[0].get(name, []), sides[1].get(name, []), settings) for name in names}
    failed = tuple(task.why for task in tasks.values() if not task.passed)
    if failed:
        return GateVerdict(verdict="refused", why=failed, tasks=tasks)
    return GateVerdict(verdict="promoted", why=tuple(task.why for task in tasks.values()), tasks=tasks)


def by_task(answers: Answers) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for row in answers:
        found.setdefault(str(row["task"]), []).append((str(row["id"]), float(row["value"])))
    return found


def judge(name: str, champion: list[tuple[str, float]], candidate: list[tuple[str, float]], settings: TurnSettings) -> TaskVerdict:
    """One exam task by the rule of `decide`."""
    trouble = pairing_trouble(name, champion, candidate)
    if trouble:
        return TaskVerdict(passed=False, why=trouble, n=min(len(champion), len(candidate)))
    before, after = dict(champion), dict(candidate)
    ids = sorted(before)
    found = paired_difference([before[i] for i in ids], [after[i] for i in ids], confidence=settings.confidence)
    passed, wanted = _meets(name, found, settings)
    shown = f"{name}: {_mean(champion):.3f} -> {_mean(candidate):.3f}, {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}], n={found.n}"
    why = shown if passed else f"{shown}; {wanted}"
    return TaskVerdict(passed=passed, why=why, n=found.n, champion=_mean(champion), candidate=_mean(candidate), difference=found)


def pairing_trouble(name: str, champion: list[tuple[str, float]], candidate: list[tuple[str, float]], least: int = MIN_ANSWERS) -> str:
    """Why the two sides cannot be compared; empty when they can. least: how many pairs there must be."""
    for side, rows in (("champion", champion), ("candidate", candidate)):
        if not rows:
            return f"{name}: no answers of the {side}; examine both on the same questions"
        if len({i for i, _ in rows}) != len(rows):
            return f"{name}: a question stands twice among the {side}'s answers"
    unpaired = {i for i, _ in champion} ^ {i for i, _ in candidate}
    if unpaired:
        return f"{name}: {len(unpaired)} questions were put to only one of the two (such as {min(unpaired)})"
    if len(champion) < least:
        return f"{name}: too few answers: {len(champion)}, at least {least} are needed"
    return ""


def _meets(name: str, found: Interval, settings: TurnSettings) -> tuple[bool, str]:
    if name == settings.rise_task:
        return found.low > 0, "it must rise: the lower bound must lie above 0"
    passed = found.mean >= -settings.max_fall and found.low > -settings.max_fall_bound
    return passed, f"it may not fall by more than {settings.max_fall:g}, the lower bound must lie above -{settings.max_fall_bound:g}"


def _mean(rows: list[tuple[str, float]]) -> float:
    return sum(value for _, value in rows) / len(rows)
