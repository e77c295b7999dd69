"""Examine a model on lessons: what somebody taught is asked, and what somebody else said of answers stands for the truth."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, find
from feilun.config import ExamSettings, resolved
from feilun.engine.chat import TextChat
from feilun.exam.run import ANSWERS, SAFE_NAME_CHARS, Chat, Question, answer, chat_with, exam_of, fingerprint, publish
from feilun.types import Conversation, Reply, Sample, Score, UserError

__all__ = ["LessonQuestion", "LessonTask", "run_lesson_exam"]

SPLIT = "gate"
MAX_QUESTIONS = 10_000
TOKENS_PER_CHAR = 3  # bytes of a Chinese character, or of a full-width digit that folding made one byte
SPARE_TOKENS = 8  # an answer that goes on after the right text must be seen to go on


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonQuestion:
    """A conversation, and what a person said of answers to it. Both lists hold texts as a LessonTask folds them."""

    id: str
    prompt: Conversation
    liked: tuple[str, ...] = ()
    disliked: tuple[str, ...] = ()
    cell: str = ""


class LessonTask:
    """Questions that people have asked, right where the answer is one that they like.

    fold: what near-identical texts share. otherwise: the value of an answer that nobody has spoken of.
    """

    def __init__(self, name: str, questions: Sequence[LessonQuestion], *, fold: Callable[[str], str], otherwise: float = 0.0):
        self.name, self._questions, self._fold, self._otherwise = name, tuple(questions), fold, otherwise

    def samples(self, split: str, count: int) -> Iterator[Sample]:
        if split != SPLIT:
            raise UserError(f"split {split!r} is unknown; allowed: {SPLIT} (lessons are asked by the gate alone)")
        for question in self._questions[:count]:
            reference = {"liked": list(question.liked), "disliked": list(question.disliked)}
            yield Sample(id=f"{self.name}/{question.id}", task=self.name, prompt=question.prompt, reference=reference, cell=question.cell)

    def score(self, sample: Sample, reply: Reply) -> Score:
        text = self._fold(reply.text)
        if text in sample.reference["liked"]:
            return Score(1.0, "liked")
        return Score(0.0, "disliked") if text in sample.reference["disliked"] else Score(self._otherwise, "other")


def run_lesson_exam(
    home: Path,
    model_ref: str,
    *,
    tasks: Mapping[str, Sequence[Mapping[str, Any]]],
    fold: Callable[[str], str],
    otherwise: Mapping[str, float],
    lessons: str,
    settings: ExamSettings,
    chat: Chat | None = None,
) -> Artifact:
    """The exam artifact of (model, lessons, questions), found again if it was made before; its rows are those of `run_exam`.

    tasks: name -> questions {"id", "messages", "liked", "disliked"} and perhaps "cell" (whose they are), answers as `fold` leaves
    them. otherwise: task -> value of an answer that is neither. lessons: the artifact that the questions come from, so that
    forgetting a person leads here as well.
    Answers may grow as long as the longest that is liked. A conversation that leaves no room for an answer has no row.
    """
    model, source = find(home, model_ref, "models"), find(home, lessons, "lessons")
    opened = [LessonTask(name, [question_of(row) for row in rows], fold=fold, otherwise=otherwise[name]) for name, rows in tasks.items()]
    questions = [Question(task, sample) for task in opened for sample in task.samples(SPLIT, MAX_QUESTIONS)]
    longest = max((len(text) for q in questions for text in q.sample.reference["liked"]), default=0)
    settings = dataclasses.replace(settings, max_tokens=max(settings.max_tokens, TOKENS_PER_CHAR * longest + SPARE_TOKENS))
    recipe = {"split": SPLIT, "settings": resolved(settings), "tasks": list(tasks), "questions": fingerprint(questions)}
    parents = [f"models/{model.ref}", f"lessons/{source.ref}"]
    if made := exam_of(home, parents, recipe):
        return made
    with chat_with(model.path, settings) if chat is None else nullcontext(chat) as examined:
        asked = [question for question in questions if fits(examined, question.sample.prompt)]
        rows = answer(examined, asked, settings) if asked else []
    return publish(home, f"{model.name[:SAFE_NAME_CHARS]}-lessons", parents, recipe, {ANSWERS: rows})


def question_of(row: Mapping[str, Any]) -> LessonQuestion:
    return LessonQuestion(
        id=row["id"],
        prompt=Conversation.from_json(row["messages"]),
        liked=tuple(row["liked"]),
        disliked=tuple(row["disliked"]),
        cell=row.get("cell", ""),
    )


def fits(chat: Chat, prompt: Conversation) -> bool:
    """Whether the context holds the prompt and one token more."""
    return not isinstance(chat, TextChat) or len(chat.chat_format.prompt(prompt)) < chat.info.context_tokens
