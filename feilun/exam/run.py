"""Examine a model: greedy answers to every sample of a split, scored, with intervals."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, draft, find, list_artifacts, write_json
from feilun.config import ExamSettings, resolved
from feilun.engine import ChatParams, TextChat
from feilun.exam.tasks import Task, open_tasks
from feilun.stats import wilson

__all__ = ["read_answers", "read_summary", "run_exam", "summarise"]


def run_exam(
    home: Path, model_ref: str, *, split: str, settings: ExamSettings, tasks: Sequence[str] = (), chat: TextChat | None = None
) -> Artifact:
    """The exam artifact of (model, split, settings, tasks): answers.jsonl and summary.json. Found again if it was made before."""
    model = find(home, model_ref, "models")
    recipe = {"split": split, "settings": resolved(settings), "tasks": list(tasks)}
    parents = [f"models/{model.ref}"]
    for made in list_artifacts(home, "exams"):
        if list(made.parents) == parents and made.manifest["recipe"] == recipe:
            return made
    answers = answer(chat or open_chat(model.path), open_tasks(tuple(tasks)), split, settings)
    with draft(home, "exams", f"{model.name}-{split}", parents=parents, recipe=recipe) as work:
        (work.path / "answers.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in answers), encoding="utf-8")
        write_json(work.path / "summary.json", summarise(answers))
    assert work.artifact is not None
    return work.artifact


def open_chat(path: Path) -> TextChat:
    from feilun.engine.native import NativeEngine

    return TextChat.over(NativeEngine.load(path, threads=2, max_batch=128))


def answer(chat: TextChat, tasks: Sequence[Task], split: str, settings: ExamSettings) -> list[dict[str, Any]]:
    """One row a sample: {"id", "task", "cell", "prompt", "reply", "value", "reason"}."""
    samples = [(task, sample) for task in tasks for sample in task.samples(split, settings.num_samples)]
    params = ChatParams(temperature=0.0, max_tokens=settings.max_tokens)
    replies = chat.complete([sample.prompt for _, sample in samples], params)
    rows = []
    for (task, sample), reply in zip(samples, replies, strict=True):
        score = task.score(sample, reply)
        rows.append({
            "id": sample.id, "task": sample.task, "cell": sample.cell, "prompt": sample.prompt.messages[-1].text,
            "reply": reply.text, "value": score.value, "reason": score.reason,
        })  # fmt: skip
    return rows


def summarise(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """{task: {"mean", "low", "high", "n", "reasons": {...}, "cells": {cell: {...}}}} with Wilson intervals at 95 %."""
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


def figure(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    interval = wilson(sum(row["value"] == 1.0 for row in rows), len(rows), 0.95)
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}


def count_reasons(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row["reason"]] += 1
    return dict(sorted(counts.items()))


def read_answers(exam: Artifact) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (exam.path / "answers.jsonl").read_text(encoding="utf-8").splitlines()]


def read_summary(exam: Artifact) -> dict[str, Any]:
    return dict(json.loads((exam.path / "summary.json").read_text(encoding="utf-8")))
