"""The step that examines: both models on the same questions, more of them where it is in doubt whether something was lost."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from feilun.artifacts import Artifact, find, list_artifacts, read_json, read_rows
from feilun.feedback.opinions import normalise
from feilun.turn.gate import Best, in_doubt
from feilun.turn.job import Job, ref_of
from feilun.turn.owner import OTHERWISE, owner_tasks
from feilun.turn.vetoes import SYCOPHANCY
from feilun.turn.voters import HELD_OUT, held_out_questions

__all__ = ["answers_of", "best_of", "examine", "exams_of"]

ANSWERS, SUMMARY = "answers.jsonl", "summary.json"
SIDES = ("champion", "candidate")
Rows = list[dict[str, Any]]


def examine(job: Job) -> dict[str, Any]:
    """Both on the same questions; an exam that was taken before with these settings is found, not taken again.

    Returns refs: {"champion": [...], "candidate": [...]}; "more": {model: {task: exam}} of the tasks that were in doubt; of a crowd's
    turn also "best": {task: {"model", "exam"}}, where a model before the champion did better than it.
    """
    refs = {"champion": job.champion, "candidate": str(job.output("train", "candidate"))}
    if job.is_owners:
        exams = {side: list(owner_exams(job, ref)) for side, ref in refs.items()}
        gates = [exams[side][1] for side in SIDES if job.settings.exam_tasks]
        found: dict[str, Any] = {"more": ask_more(job, refs, gates, {}) if gates else {}}
    else:
        asked = held_out_questions(job.store, job.output("collect", "upto_seq"))
        exams = {side: list(all_exams(job, ref, asked.questions)) for side, ref in refs.items()}
        best = best_before(job, exams["champion"][0])
        found = {"best": best, "more": ask_more(job, refs, [exams[side][0] for side in SIDES], best), HELD_OUT: asked.counts()}
    return {side: [ref_of(exam) for exam in made] for side, made in exams.items()} | found


def all_exams(job: Job, model: str, asked: Sequence[Mapping[str, Any]]) -> Iterator[Artifact]:
    """The exam of the gate; how the model bears claims; and what held-out users said of answers (`asked`), where any did."""
    yield job.rooms.run_exam(job.home, model, split="gate", settings=job.settings.exam)
    if SYCOPHANCY in job.settings.vetoes:
        yield job.rooms.run_veto_exam(job.home, model, settings=job.settings.exam)
    if asked:
        lessons = job.output("curate", "lessons")
        yield job.rooms.run_lesson_exam(
            job.home, model, tasks={HELD_OUT: asked}, fold=normalise, otherwise=OTHERWISE, lessons=lessons, settings=job.settings.exam
        )


def owner_exams(job: Job, model: str) -> Iterator[Artifact]:
    """The owner's questions, and the exams that the settings name, if any."""
    lessons, exam = job.output("curate", "lessons"), job.settings.exam
    tasks = owner_tasks(job.store, find(job.home, lessons), job.output("collect", "upto_seq"))
    yield job.rooms.run_lesson_exam(job.home, model, tasks=tasks, fold=normalise, otherwise=OTHERWISE, lessons=lessons, settings=exam)
    if named := job.settings.exam_tasks:
        yield job.rooms.run_exam(job.home, model, split="gate", settings=exam, tasks=() if "all" in named else named)


def best_before(job: Job, champions: Artifact) -> dict[str, dict[str, str]]:
    """Of each task the model of the champion's line that did best in this very exam, where that is not the champion itself.

    A model that is not in the home any more, nor its exam, or whose exam was of other questions, is not compared with: it could
    not be asked more.
    """
    line = [model for model in job.turn.plan.get("line", []) if model != job.champion]
    taken: dict[str, Artifact] = {}
    if line:
        there = {ref_of(model) for model in list_artifacts(job.home, "models") if not model.is_tombstone}
        same = (exam for exam in list_artifacts(job.home, "exams") if exam.manifest.get("recipe") == champions.manifest["recipe"])
        taken = {exam.parents[0]: exam for exam in same if len(exam.parents) == 1 and not exam.is_tombstone and exam.parents[0] in there}
    means = {task: row["mean"] for task, row in read_json(champions.path / SUMMARY).items()}
    found: dict[str, dict[str, str]] = {}
    for model in (model for model in line if model in taken):
        for task, row in read_json(taken[model].path / SUMMARY).items():
            if row["mean"] > means.get(task, row["mean"]):
                means[task] = row["mean"]
                found[task] = {"model": model, "exam": ref_of(taken[model])}
    return found


def best_of(job: Job, output: Mapping[str, Any]) -> dict[str, Best]:
    """What `best_before` found, with the rows, those of more questions among them."""
    found = {}
    for task, best in output.get("best", {}).items():
        refs = [best["exam"], *filter(None, [output.get("more", {}).get(best["model"], {}).get(task)])]
        rows = [row for ref in refs for row in read_rows(find(job.home, ref).path / ANSWERS) if row["task"] == task]
        found[task] = Best(best["model"], rows)
    return found


def ask_more(
    job: Job, refs: Mapping[str, str], exams: Sequence[Artifact], best: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """{model: {task: exam}} of the questions that follow the first ones, for each task of which it is in doubt whether it fell too far.

    exams: those of the gate's first questions, of champion and candidate.
    """
    first, in_all = job.settings.exam.num_samples, job.settings.num_in_doubt
    if in_all <= first:
        return {}
    excluded = frozenset(job.turn.steps["curate"].output.get("shown", ()))
    settings = dataclasses.replace(job.settings.exam, num_samples=in_all)
    found: dict[str, dict[str, str]] = {}
    champion, candidate = (read_rows(exam.path / ANSWERS) for exam in exams)
    for task in in_doubt(champion, candidate, job.settings, excluded, best_of(job, {"best": best})):
        for model in dict.fromkeys((*refs.values(), *filter(None, [best.get(task, {}).get("model")]))):
            exam = job.rooms.run_exam(job.home, model, split="gate", settings=settings, tasks=(task,), first=first)
            found.setdefault(model, {})[task] = ref_of(exam)
    return found


def answers_of(job: Job, side: str, output: Mapping[str, Any]) -> tuple[Rows, Rows]:
    """(rows of the questions that all were asked, rows of more questions) of one side."""
    model = job.champion if side == "champion" else str(job.output("train", "candidate"))
    refs = output[side] if isinstance(output[side], list) else [output[side]]
    more = output.get("more", {}).get(model, {}).values()
    first, rest = ([row for ref in some for row in read_rows(find(job.home, ref).path / ANSWERS)] for some in (refs, more))
    return first, rest


def exams_of(output: Mapping[str, Any]) -> list[str]:
    """Every exam that the step took or found."""
    taken = [ref for side in SIDES for ref in (output[side] if isinstance(output[side], list) else [output[side]])]
    taken += [best["exam"] for best in output.get("best", {}).values()]
    return list(dict.fromkeys([*taken, *(ref for tasks in output.get("more", {}).values() for ref in tasks.values())]))
