"""Tasks: samples of a split, and the score of an answer. Used by exams, and later by rl and selection alike."""

import re
from collections.abc import Iterator
from typing import Protocol

from feilun.primer import facts
from feilun.types import Conversation, Reply, Sample, Score, UserError

__all__ = ["SPLITS", "PrimerTask", "Task", "holds_token", "open_tasks"]

SPLITS = ("people", "gate", "final")
# What users may ask is drawn from all that may be shown; the exam splits are disjoint from it by hash.
PRIMER_SPLIT = {"people": "open", "gate": "gate", "final": "final"}
COMPARISONS = ("number_hard", "number_near", "number_far", "version_order", "date_order")


class Task(Protocol):
    """`samples` are fixed by split and count; `score` looks at nothing but the sample and the reply."""

    name: str

    def samples(self, split: str, count: int) -> Iterator[Sample]: ...

    def score(self, sample: Sample, reply: Reply) -> Score: ...


def holds_token(text: str, token: str) -> bool:
    """Whether `token` stands in `text` by itself: not inside a longer number, version or Latin word."""
    if not token:
        return False
    before, after = (r"(?<![A-Za-z0-9.])" if token[0].isascii() else ""), (r"(?![A-Za-z0-9]|\.\d)" if token[-1].isascii() else "")
    return re.search(before + re.escape(token) + after, text) is not None


class PrimerTask:
    """A task over the primer's facts.

    A comparison is right when exactly one of its two members stands in the answer and it is the right one; naming the
    other is "trap", naming both or none is "garbled". Any other question is right when the answer holds the fact.
    """

    def __init__(self, name: str):
        self.name = name

    def samples(self, split: str, count: int) -> Iterator[Sample]:
        if split not in SPLITS:
            raise UserError(f"split {split!r} is unknown; allowed: {', '.join(SPLITS)}")
        for number, fact in enumerate(facts.facts(self.name, PRIMER_SPLIT[split], count)):
            yield Sample(
                id=f"{self.name}/{split}/{number}", task=self.name, cell=fact.cell, prompt=Conversation.of(fact.question),
                reference={"answer": fact.answer, "trap": fact.trap},
            )  # fmt: skip

    def score(self, sample: Sample, reply: Reply) -> Score:
        right, trapped = holds_token(reply.text, sample.reference["answer"]), holds_token(reply.text, sample.reference["trap"])
        if self.name in COMPARISONS:
            outcome = "right" if right and not trapped else "trap" if trapped and not right else "garbled"
        elif self.name == "copying":
            outcome = "right" if reply.text.strip() == sample.reference["answer"] else "wrong"
        else:
            outcome = "right" if right else "wrong"
        return Score(float(outcome == "right"), outcome)


def open_tasks(names: tuple[str, ...] = ()) -> list[Task]:
    """Tasks by name; all of the primer's when none is named."""
    unknown = [name for name in names if name not in facts.TASKS]
    if unknown:
        raise UserError(f"task {unknown[0]!r} is unknown; known: {', '.join(facts.TASKS)}")
    return [PrimerTask(name) for name in names or facts.TASKS]
