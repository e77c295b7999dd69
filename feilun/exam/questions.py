"""What the gate's exams ask, as texts, for those who keep lessons and exams apart."""

from collections.abc import Sequence

from feilun.exam.tasks import open_tasks

__all__ = ["asked_questions"]


def asked_questions(names: Sequence[str], num_samples: int) -> dict[str, dict[str, str]]:
    """task -> {id: question} of split "gate"; names: exam tasks, or the word "all"."""
    tasks = open_tasks(() if "all" in names else tuple(names)) if names else []
    return {task.name: {sample.id: sample.prompt.messages[-1].text for sample in task.samples("gate", num_samples)} for task in tasks}
