"""What the gate's exams ask, as texts, for those who keep lessons and exams apart."""

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

from feilun import primer
from feilun.exam.tasks import open_tasks

__all__ = ["asked_questions", "questions_maker"]


def asked_questions(names: Sequence[str], num_samples: int) -> dict[str, dict[str, str]]:
    """task -> {id: question} of split "gate"; names: exam tasks, or the word "all"."""
    tasks = open_tasks(() if "all" in names else tuple(names)) if names else []
    return {task.name: {sample.id: sample.prompt.messages[-1].text for sample in task.samples("gate", num_samples)} for task in tasks}


def questions_maker() -> str:
    """A hash of all that `asked_questions` depends on beside what it is given: the code that makes the questions, and its language."""
    here = Path(__file__)
    parts = [here, here.with_name("tasks.py"), *sorted(Path(primer.__file__).parent.rglob("*.py"))]
    made_by = hashlib.sha256(platform.python_version().encode())
    for path in parts:
        made_by.update(hashlib.sha256(path.read_bytes()).digest())
    return made_by.hexdigest()
