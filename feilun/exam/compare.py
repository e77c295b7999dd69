"""Two exams of the same questions, paired by sample."""

from feilun.artifacts import Artifact
from feilun.exam.run import read_answers
from feilun.stats import Interval, paired_difference
from feilun.types import UserError

__all__ = ["compare"]


def compare(first: Artifact, second: Artifact) -> dict[str, Interval]:
    """{task: paired difference second - first, 95 %}; an error when the questions are not the same."""
    before, after = ({row["id"]: row for row in read_answers(exam)} for exam in (first, second))
    apart = before.keys() ^ after.keys() | {i for i in before.keys() & after.keys() if before[i]["prompt"] != after[i]["prompt"]}
    if apart:
        raise UserError(
            f"exams {first.ref} and {second.ref} do not hold the same questions ({len(apart)} differ); "
            "run both on the same split, tasks and number of samples"
        )
    tasks = dict.fromkeys(row["task"] for row in before.values())
    found = {}
    for task in tasks:
        ids = [key for key, row in before.items() if row["task"] == task]
        found[task] = paired_difference([before[i]["value"] for i in ids], [after[i]["value"] for i in ids])
    return found
