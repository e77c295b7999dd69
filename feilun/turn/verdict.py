"""What a gate says: of one task, and of a candidate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from feilun.stats import Interval

__all__ = ["Answers", "GateVerdict", "TaskVerdict", "shown"]

Answers = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVerdict:
    """One task: both means, the paired difference (None where nothing could be paired), and why it passes or not.

    best: the model before the champion that did better, where there is one, and the candidate's difference from it.
    """

    passed: bool
    why: str
    n: int
    champion: float | None = None
    candidate: float | None = None
    difference: Interval | None = None
    best: str = ""
    from_best: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        from_best = {"best": self.best, "from_best": self.from_best.to_json()} if self.from_best is not None else {}
        return {
            "passed": self.passed, "why": self.why, "n": self.n, "champion": self.champion, "candidate": self.candidate,
            "difference": self.difference.to_json() if self.difference is not None else None, **from_best,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """reasons: what `why` says, as codes with numbers, for a page that says it in its reader's language.

    risen: what carries a promotion. flip: how few people would have turned it.
    """

    verdict: Literal["promoted", "refused"]
    why: tuple[str, ...]
    tasks: Mapping[str, TaskVerdict]
    reasons: tuple[Mapping[str, Any], ...] = ()
    risen: tuple[str, ...] = ()
    flip: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        body = {"verdict": self.verdict, "why": list(self.why), "tasks": {name: task.to_json() for name, task in self.tasks.items()}}
        body |= {"risen": list(self.risen), "flip": dict(self.flip)} if self.flip else {}
        return body | ({"reasons": [dict(reason) for reason in self.reasons]} if self.reasons else {})


def shown(before: Sequence[float], after: Sequence[float], difference: Interval) -> str:
    """Both means, their difference and its interval, as a person reads it."""
    means = [sum(side) / len(side) for side in (before, after)]
    return f"{means[0]:.3f} -> {means[1]:.3f}, {difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}], n={difference.n}"
