"""A step of a turn with all that it may read, and the rooms that do its work."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact
from feilun.config import TurnSettings
from feilun.feedback.owner import TAUGHT
from feilun.store import Store, TurnRow
from feilun.turn.checks import Checked

__all__ = ["Job", "Rooms", "ref_of"]


def _build_lessons(*args: Any, **kwargs: Any) -> Artifact:
    from feilun.feedback import build_lessons

    made: Artifact = build_lessons(*args, **kwargs)
    return made


def _train_prefer(*args: Any, **kwargs: Any) -> Artifact:
    from feilun.train.run import train_prefer

    made: Artifact = train_prefer(*args, **kwargs)
    return made


def _run_exam(*args: Any, **kwargs: Any) -> Artifact:
    from feilun.exam.run import run_exam

    made: Artifact = run_exam(*args, **kwargs)
    return made


def _run_lesson_exam(*args: Any, **kwargs: Any) -> Artifact:
    from feilun.exam.lessons import run_lesson_exam

    made: Artifact = run_lesson_exam(*args, **kwargs)
    return made


def _check_lessons(*args: Any, **kwargs: Any) -> Checked:
    from feilun.turn.checks import check_lessons

    return check_lessons(*args, **kwargs)


def _run_veto_exam(*args: Any, **kwargs: Any) -> Artifact:
    from feilun.exam.vetoes import run_veto_exam

    made: Artifact = run_veto_exam(*args, **kwargs)
    return made


def _spread_lessons(*args: Any, **kwargs: Any) -> Artifact:
    from feilun.turn.spread import spread_lessons

    made: Artifact = spread_lessons(*args, **kwargs)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The rooms below, each imported when it is first asked: most steps need no torch."""

    build_lessons: Callable[..., Artifact] = _build_lessons
    spread_lessons: Callable[..., Artifact] = _spread_lessons
    train_prefer: Callable[..., Artifact] = _train_prefer
    run_exam: Callable[..., Artifact] = _run_exam
    run_lesson_exam: Callable[..., Artifact] = _run_lesson_exam
    run_veto_exam: Callable[..., Artifact] = _run_veto_exam
    check_lessons: Callable[..., Checked] = _check_lessons


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One step with all it may read: the plan and the outputs of the steps before it."""

    home: Path
    store: Store
    turn: TurnRow
    settings: TurnSettings
    rooms: Rooms

    @property
    def name(self) -> str:
        return str(self.turn.plan["name"])

    @property
    def is_owners(self) -> bool:
        return self.settings.rise_task == TAUGHT

    @property
    def champion(self) -> str:
        return str(self.turn.plan["champion"]["model"])

    def output(self, step: str, key: str) -> Any:
        return self.turn.steps[step].output[key]


def ref_of(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.ref}"
