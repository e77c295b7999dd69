"""Tasks: samples of a split, and the score of an answer. Used by exams, and later by rl and selection alike."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol

from feilun.primer import copywriting, facts
from feilun.types import Conversation, Reply, Sample, Score, UserError

__all__ = ["SPLITS", "TASKS", "CopywritingTask", "PrimerTask", "Task", "holds_token", "open_tasks"]

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
        for number, fact in enumerate(facts.facts(self.name, primer_split(split), count)):
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


class CopywritingTask:
    """Briefs: right when every constraint holds, else the reason is the first that does not. Taste is not asked here."""

    name = copywriting.TASK

    def samples(self, split: str, count: int) -> Iterator[Sample]:
        for number, asked in enumerate(copywriting.briefs(primer_split(split), count)):
            brief, rng = asked.brief, random.Random(asked.question)
            yield Sample(
                id=f"{self.name}/{split}/{number}", task=self.name, cell=brief.tone, prompt=Conversation.of(asked.question),
                reference={
                    "brief": brief.to_json(), "answer": copywriting.good_ad(rng, brief, rng.choice(copywriting.STYLES)),
                    "trap": copywriting.broken_ad(brief, asked.subject.product),
                },
            )  # fmt: skip

    def score(self, sample: Sample, reply: Reply) -> Score:
        found = copywriting.check(copywriting.Brief.from_json(sample.reference["brief"]), reply.text)
        outcome = next((constraint.name for constraint in found if not constraint.ok), "right")
        return Score(float(outcome == "right"), outcome)


def primer_split(split: str) -> str:
    if split not in SPLITS:
        raise UserError(f"split {split!r} is unknown; allowed: {', '.join(SPLITS)}")
    return PRIMER_SPLIT[split]


TASKS: Mapping[str, Callable[[], Task]] = {
    **{name: partial(PrimerTask, name) for name in facts.TASKS}, copywriting.TASK: CopywritingTask,
}  # fmt: skip


def open_tasks(names: tuple[str, ...] = ()) -> list[Task]:
    """Tasks by name; all of the primer's when none is named."""
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise UserError(f"task {unknown[0]!r} is unknown; known: {', '.join(TASKS)}")
    return [TASKS[name]() for name in names or TASKS]
