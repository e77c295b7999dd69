"""Examine a model: greedy answers to every sample of a split, scored, with intervals."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from feilun.artifacts import Artifact, draft, find, list_artifacts, read_json, read_rows, write_json, write_rows
from feilun.config import ExamSettings, resolved
from feilun.engine.chat import ChatParams, TextChat
from feilun.exam.tasks import Task, open_tasks
from feilun.primer.probes import PROBES
from feilun.stats import Interval, mean_interval
from feilun.types import Conversation, Reply, Sample

__all__ = ["read_answers", "read_summary", "run_exam", "summarise"]


EXAM_THREADS = 2
SAFE_NAME_CHARS = 48
ANSWERS, PROBE_REPLIES = "answers.jsonl", "probes.jsonl"


class Chat(Protocol):
    """What an exam needs of a chat model; `engine.chat.TextChat` is one."""

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]: ...


class Question(NamedTuple):
    task: Task
    sample: Sample


def run_exam(
    home: Path, model_ref: str, *, split: str, settings: ExamSettings, tasks: Sequence[str] = (), first: int = 0, chat: Chat | None = None
) -> Artifact:
    """The exam artifact of (model, split, settings, questions), found again if it was made before. first: so many are passed over.

    answers.jsonl and summary.json are the exam; probes.jsonl, rows {"prompt", "reply"}, is there to be read and is not scored.
    """
    model = find(home, model_ref, "models")
    drawn = ((task, task.samples(split, settings.num_samples)) for task in open_tasks(tuple(tasks)))
    questions = [Question(task, sample) for task, samples in drawn for sample in islice(samples, first, None)]
    asked = {"questions": fingerprint(questions), "probes": list(PROBES)}
    recipe = {"split": split, "settings": resolved(settings), "tasks": list(tasks), **asked}
    parents = [f"models/{model.ref}"]
    if made := exam_of(home, parents, recipe):
        return made
    with chat_with(model.path, settings) if chat is None else nullcontext(chat) as examined:
        rows = {ANSWERS: answer(examined, questions, settings), PROBE_REPLIES: probe(examined, settings)}
    return publish(home, f"{model.name[:SAFE_NAME_CHARS]}-{split}", parents, recipe, rows)


def exam_of(home: Path, parents: Sequence[str], recipe: Mapping[str, Any]) -> Artifact | None:
    """The exam that was made of these parents by this recipe."""
    whole = (exam for exam in list_artifacts(home, "exams") if not exam.is_tombstone)
    return next((exam for exam in whole if (list(exam.parents), exam.manifest["recipe"]) == (list(parents), recipe)), None)


def publish(
    home: Path, name: str, parents: Sequence[str], recipe: Mapping[str, Any], files: Mapping[str, list[dict[str, Any]]]
) -> Artifact:
    """Files of rows, and a summary of the answers among them."""
    with draft(home, "exams", name, parents=parents, recipe=recipe) as work:
        for file, rows in files.items():
            write_rows(work.path / file, rows)
        write_json(work.path / "summary.json", summarise(files[ANSWERS]))
    assert work.artifact is not None
    return work.artifact


def fingerprint(questions: Iterable[Question]) -> str:
    """Of what is asked and what is right: an exam of other questions is another exam, whatever its split is called."""
    digest = hashlib.sha256()
    for _, sample in questions:
        row = [sample.id, sample.cell, sample.prompt.to_json(), dict(sample.reference)]
        digest.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()[:16]


@contextmanager
def chat_with(path: Path, settings: ExamSettings) -> Iterator[Chat]:
    """The model at `path` on the own engine, closed afterwards."""
    from feilun.chat import ChatFormat
    from feilun.engine.native import NativeEngine

    engine = NativeEngine.load(path, threads=EXAM_THREADS, max_batch=settings.batch)
    try:
        yield TextChat(engine, ChatFormat(engine.tokenizer))
    finally:
        engine.close()


def answer(chat: Chat, questions: Sequence[Question], settings: ExamSettings) -> list[dict[str, Any]]:
    """One row a sample: {"id", "task", "cell", "prompt", "reply", "value", "reason"}; answers are greedy."""
    params = ChatParams(temperature=0.0, max_tokens=settings.max_tokens)
    replies = chat.complete([sample.prompt for _, sample in questions], params)
    rows = []
    for (task, sample), reply in zip(questions, replies, strict=True):
        score = task.score(sample, reply)
        rows.append({
            "id": sample.id, "task": sample.task, "cell": sample.cell, "prompt": sample.prompt.messages[-1].text,
            "reply": reply.text, "value": score.value, "reason": score.reason,
        })  # fmt: skip
    return rows


def probe(chat: Chat, settings: ExamSettings) -> list[dict[str, str]]:
    """The primer's probe questions, answered greedily."""
    params = ChatParams(temperature=0.0, max_tokens=settings.max_tokens)
    replies = chat.complete([Conversation.of(question) for question in PROBES], params)
    return [{"prompt": question, "reply": reply.text} for question, reply in zip(PROBES, replies, strict=True)]


def summarise(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """{task: {"mean", "low", "high", "n", "reasons": {...}, "cells": {cell: {...}}}} with intervals at 95 %."""
    by_task: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in answers:
        by_task[row["task"]].append(row)
    summary = {}
    for task, rows in by_task.items():
        cells: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            if row["cell"]:
                cells[row["cell"]].append(row)
        summary[task] = figure(rows) | {
            "reasons": count_reasons(rows),
            "cells": {cell: figure(part) for cell, part in sorted(cells.items())},
        }
    return summary


def figure(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
    values = [row["value"] for row in rows]
    if len(values) == 1 and 0 < values[0] < 1:
        return Interval(values[0], 0.0, 1.0, 1).to_json()  # one half answer says nothing of the others
    return mean_interval(values).to_json()


def count_reasons(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["reason"]] += 1
    return dict(sorted(counts.items()))


def read_answers(exam: Artifact) -> list[dict[str, Any]]:
    return read_rows(exam.path / ANSWERS)


def read_summary(exam: Artifact) -> dict[str, Any]:
    return dict(read_json(exam.path / "summary.json"))
