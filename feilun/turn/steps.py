"""What each step of a turn does, in the child process. Every step's output is references; the store row holds them."""

import dataclasses
import hashlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, draft, find, read_rows, write_json
from feilun.config import TurnSettings, rebuild
from feilun.feedback.gold import gold_of
from feilun.feedback.opinions import normalise
from feilun.feedback.owner import TAUGHT
from feilun.store import Conflict, Store, StoreError, TurnRow, body_hash
from feilun.turn.checks import Checked
from feilun.turn.gate import decide
from feilun.turn.lease import STALE_SECONDS, Lease, own_name, take
from feilun.turn.owner import OTHERWISE, count_corrections, owner_tasks, taught_rows
from feilun.turn.receipts import leave
from feilun.turn.rolling import begin
from feilun.turn.taught import decide_taught
from feilun.turn.vetoes import SYCOPHANCY
from feilun.turn.voters import HELD_OUT, held_out_questions
from feilun.types import UserError

__all__ = ["BAD_INPUT", "NOTE", "STEPS", "Rooms", "run_step"]

STEPS = ("collect", "curate", "train", "exam", "gate", "promote")
BAD_INPUT = "bad input: "
NOTE = "turn"
NOTE_SECONDS = 0.5
NO_COUNT = {"cpu_seconds"}


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


def run_step(
    home: Path,
    turn_id: str,
    step: str,
    *,
    rooms: Rooms | None = None,
    stale_seconds: float = STALE_SECONDS,
    before_finish: Callable[[str], None] | None = None,
) -> None:
    """Do one step of a turn under its lease and write its output; done already: nothing.

    An error is written into the step's row and raised. before_finish: called between the work and the row (for drills).
    """
    with Store.open(home) as store:
        turn = store.turn(turn_id)
        _check_order(turn, step)
        owner = own_name()
        with Lease(store, turn_id, step, owner) as lease:
            if not take(store, turn_id, step, owner, input_hash(turn, step), stale_seconds):
                return
            lease.keep()
            job = Job(home=home, store=store, turn=turn, settings=rebuild(TurnSettings, turn.plan["settings"]), rooms=rooms or Rooms())
            try:
                output = WORK[step](job)
                if before_finish is not None:
                    before_finish(step)
            except Exception as error:
                _write_failure(store, turn_id, step, owner, error)
                raise
            store.finish_step(turn_id, step, owner, {**output, "cpu_seconds": _cpu_seconds()})


def _check_order(turn: TurnRow, step: str) -> None:
    if step not in STEPS:
        raise UserError(f"step {step!r} is unknown; allowed: {', '.join(STEPS)}")
    for earlier in STEPS[: STEPS.index(step)]:
        if turn.steps.get(earlier) is None or turn.steps[earlier].status != "done":
            raise UserError(f"step {step} of turn {turn.id} needs step {earlier} first; run `feilun turn`")


def _write_failure(store: Store, turn_id: str, step: str, owner: str, error: Exception) -> None:
    # A person's mistake ends the turn; anything else (a full disk, no memory) is tried again by the next `feilun turn`.
    blames = isinstance(error, UserError) and not isinstance(error, StoreError)
    try:
        store.fail_step(turn_id, step, owner, f"{BAD_INPUT if blames else ''}{type(error).__name__}: {error}")
    except Conflict:
        print(f"step {step}: its lease was taken over; this error is not recorded: {error}", file=sys.stderr)


def input_hash(turn: TurnRow, step: str) -> str:
    """What the step depends on: plan and earlier outputs, without their costs."""
    earlier = {name: {k: v for k, v in turn.steps[name].output.items() if k not in NO_COUNT} for name in STEPS[: STEPS.index(step)]}
    body = json.dumps([step, dict(turn.plan), earlier], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(u.ru_utime + u.ru_stime for u in used), 3)


def _collect(job: Job) -> dict[str, Any]:
    """The cut: events after this sequence number belong to the next turn."""
    cut = job.store.last_seq()
    before = [t.steps["collect"].output.get("upto_seq", 0) for t in job.store.turns() if t.id != job.turn.id and "collect" in t.steps]
    fresh = [e for e in job.store.events(after_seq=max(before, default=0)) if e.seq <= cut]
    return {"upto_seq": cut, "new_events": len(fresh)}


def _curate(job: Job) -> dict[str, Any]:
    """All lessons up to the cut; each turn learns from the whole history. An owner's turn also counts the owner's own."""
    lessons = job.rooms.build_lessons(
        job.store, job.home, job.name, upto_seq=job.output("collect", "upto_seq"), gold=gold_of(job.home, job.store), settings=job.settings,
        protect=protector(job.settings.protect),
    )  # fmt: skip
    output = {"lessons": _ref(lessons), "rows": sum(_num_lines(lessons.path / name) for name in ("sft.jsonl", "pairs.jsonl"))}
    output |= _check(job, lessons)
    if output["refused"]:
        return output
    if job.is_owners:
        output |= count_corrections(job.store, job.home, lessons, job.champion)
        if not output["new_corrections"]:
            return output
    if job.settings.spread and output["rows"]:
        made = job.rooms.spread_lessons(job.home, output["lessons"], job.champion, job.settings, f"{job.name}-spread")
        output["spread"] = _ref(made)
    return output


def _check(job: Job, lessons: Artifact) -> dict[str, Any]:
    """G0 and its receipt: what refuses the turn before anything is trained, and which exam questions do not count."""
    upto_seq = job.output("collect", "upto_seq")
    checked = job.rooms.check_lessons(job.store, lessons, job.settings, upto_seq)
    inputs = {"lessons": _ref(lessons), "champion": job.champion, "upto_seq": upto_seq}
    figures = {**checked.figures, "why": list(checked.why), "shown": list(checked.shown)}
    receipt = leave(job.store, job.turn, "g0", inputs, figures, "refused" if checked.why else "passed")
    return {"refused": list(checked.why), "shown": list(checked.shown), "receipt_hash": receipt.hash}


def _train(job: Job) -> dict[str, Any]:
    curated = job.turn.steps["curate"].output
    settings = dataclasses.replace(job.settings.prefer, base=job.champion, lessons=curated["lessons"], spread=curated.get("spread", ""))
    if job.is_owners:
        # Asked again after a refusal, with the same lessons, the same dice would fall.
        settings = dataclasses.replace(settings, seed=settings.seed + len(job.store.turns()))
    candidate = job.rooms.train_prefer(job.home, settings, job.name, progress=_Reporter(job.store, job.turn.id))
    job.store.set_candidate(_ref(candidate))
    return {"candidate": _ref(candidate)}


def _exam(job: Job) -> dict[str, Any]:
    """Both on the same questions; an exam that was taken before with these settings is found, not taken again."""
    refs = {"champion": job.champion, "candidate": job.output("train", "candidate")}
    if job.is_owners:
        return {side: [_ref(exam) for exam in owner_exams(job, ref)] for side, ref in refs.items()}
    asked = held_out_questions(job.store, job.output("collect", "upto_seq"))
    exams = {side: [_ref(exam) for exam in all_exams(job, ref, asked.questions)] for side, ref in refs.items()}
    return {**exams, HELD_OUT: asked.counts()}


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


def _gate(job: Job) -> dict[str, Any]:
    """The verdict and its receipt; the receipt holds no clock, so the same inputs give the same artifact."""
    exams = {side: _as_list(job.output("exam", side)) for side in ("champion", "candidate")}
    answers = {side: [row for ref in refs for row in read_rows(find(job.home, ref).path / "answers.jsonl")] for side, refs in exams.items()}
    from feilun.exam.marks import marked

    answers = {side: marked(rows) for side, rows in answers.items()}
    shown, judge = frozenset(job.turn.steps["curate"].output.get("shown", ())), decide_taught if job.is_owners else decide
    verdict = judge(answers["champion"], answers["candidate"], job.settings, shown)
    told = job.turn.steps["exam"].output
    asked = {HELD_OUT: told[HELD_OUT]} if HELD_OUT in told else {}
    receipt = {
        "plan_hash": body_hash(job.turn.plan), "previous": job.turn.steps["curate"].output.get("receipt_hash", ""),
        "turn": job.turn.id, "rule": job.turn.plan["gate"], "champion": job.champion, "candidate": job.output("train", "candidate"),
        "lessons": job.output("curate", "lessons"), "upto_seq": job.output("collect", "upto_seq"),
        "exams": {side: job.output("exam", side) for side in exams}, **verdict.to_json(), **asked,
    }  # fmt: skip
    if job.is_owners:
        receipt["taught"] = taught_rows(find(job.home, receipt["lessons"]), answers["champion"], answers["candidate"])
    parents = [job.champion, job.output("train", "candidate"), *(ref for refs in exams.values() for ref in refs)]
    with draft(job.home, "runs", f"{job.name}-gate", parents=parents, recipe=job.turn.plan["gate"]) as work:
        write_json(work.path / "receipt.json", receipt)
        work.counts["verdict"] = verdict.verdict
    assert work.artifact is not None
    inputs = {key: receipt[key] for key in ("champion", "candidate", "lessons", "upto_seq", "exams")} | {"receipt": _ref(work.artifact)}
    row = leave(job.store, job.turn, "g1", inputs, {"why": list(verdict.why), "flip": dict(verdict.flip), **asked}, verdict.verdict)
    return {"verdict": verdict.verdict, "why": list(verdict.why), "receipt": _ref(work.artifact), "receipt_hash": row.hash}


def _as_list(refs: str | list[str]) -> list[str]:
    return [refs] if isinstance(refs, str) else refs


def _promote(job: Job) -> dict[str, Any]:
    """Point at the candidate, unless the champion changed since the plan was made."""
    assert job.output("gate", "verdict") == "promoted"
    if job.settings.rollout == "staged":
        return _begin_rollout(job)
    candidate, epoch = job.output("train", "candidate"), job.turn.plan["champion"]["epoch"]
    current = job.store.champion()
    if current is not None and (current.model, current.epoch) == (candidate, epoch + 1):
        return {"epoch": current.epoch, "trouble": ""}  # killed between the promotion and this row
    try:
        row = job.store.set_champion(candidate, f"turn {job.turn.id} ({job.name}): {job.output('gate', 'receipt')}", expected_epoch=epoch)
    except Conflict as conflict:
        return {"epoch": None, "trouble": f"the champion changed during the turn: {conflict}"}
    return {"epoch": row.epoch, "trouble": ""}


def _begin_rollout(job: Job) -> dict[str, Any]:
    """The candidate answers nobody yet: it comes step by step, and the champion changes when the last of them is passed."""
    try:
        row = begin(job.store, job.turn, job.output("train", "candidate"), job.settings.staged)
    except Conflict as conflict:
        return {"epoch": None, "trouble": f"no rollout could begin: {conflict}"}
    return {"epoch": None, "trouble": "", "rollout": row.id}


WORK: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "collect": _collect, "curate": _curate, "train": _train, "exam": _exam, "gate": _gate, "promote": _promote,
}  # fmt: skip


def protector(name: str) -> Callable[[str], str | None] | None:
    """The function that `TurnSettings.protect` names, or None for none."""
    if not name:
        return None
    module, _, function = name.partition(":")
    try:
        found: Callable[[str], str | None] = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f'protect={name!r}: {error}; allowed is "module:function", a function from a text to a reason or None') from None
    return found


class _Reporter:
    """Training progress as a note in the store, where the parent and the page find it."""

    def __init__(self, store: Store, turn_id: str) -> None:
        self._store, self._turn_id, self._last = store, turn_id, 0.0

    def __call__(self, progress: Any) -> None:
        if time.monotonic() - self._last >= NOTE_SECONDS:
            self._last = time.monotonic()
            row = {"turn": self._turn_id, "step": "train", "done": progress.step, "total": progress.num_steps}
            self._store.note(NOTE, {**row, "eta_seconds": progress.eta_seconds})


def _num_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open(encoding="utf-8") as lines:
        return sum(1 for line in lines if line.strip())


def _ref(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.ref}"
