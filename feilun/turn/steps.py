"""What each step of a turn does, in the child process. Every step's output is references; the store row holds them."""

import dataclasses
import hashlib
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, draft, find, write_json
from feilun.config import TurnSettings, rebuild
from feilun.feedback.gold import gold_of
from feilun.store import Conflict, Store, StoreError, TurnRow, body_hash
from feilun.turn.examine import answers_of, best_of, examine, exams_of
from feilun.turn.gate import decide
from feilun.turn.job import Job, Rooms, ref_of
from feilun.turn.lease import STALE_SECONDS, Lease, own_name, take
from feilun.turn.owner import count_corrections, taught_rows
from feilun.turn.receipts import leave
from feilun.turn.rolling import begin
from feilun.turn.sweep import sweep
from feilun.turn.taught import decide_taught
from feilun.turn.voters import HELD_OUT
from feilun.types import UserError

__all__ = ["BAD_INPUT", "NOTE", "STEPS", "run_step"]

STEPS = ("collect", "curate", "train", "exam", "gate", "promote")
BAD_INPUT = "bad input: "
NOTE = "turn"
NOTE_SECONDS = 0.5
NO_COUNT = {"cpu_seconds"}


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
    output = {"lessons": ref_of(lessons), "rows": sum(_num_lines(lessons.path / name) for name in ("sft.jsonl", "pairs.jsonl"))}
    output |= _check(job, lessons)
    if output["refused"]:
        return output
    if job.is_owners:
        output |= count_corrections(job.store, job.home, lessons, job.champion)
        if not output["new_corrections"]:
            return output
    if job.settings.spread and output["rows"]:
        made = job.rooms.spread_lessons(job.home, output["lessons"], job.champion, job.settings, f"{job.name}-spread")
        output["spread"] = ref_of(made)
    return output


def _check(job: Job, lessons: Artifact) -> dict[str, Any]:
    """G0 and its receipt: what refuses the turn before anything is trained, and which exam questions do not count."""
    upto_seq = job.output("collect", "upto_seq")
    checked = job.rooms.check_lessons(job.store, lessons, job.settings, upto_seq)
    inputs = {"lessons": ref_of(lessons), "champion": job.champion, "upto_seq": upto_seq}
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
    job.store.set_candidate(ref_of(candidate))
    return {"candidate": ref_of(candidate)}


def _gate(job: Job) -> dict[str, Any]:
    """The verdict and its receipt; the receipt holds no clock, so the same inputs give the same artifact."""
    from feilun.exam.marks import marked

    told = job.turn.steps["exam"].output
    (champions, champions_more), (candidates, candidates_more) = (answers_of(job, side, told) for side in ("champion", "candidate"))
    sides, shown = (marked(champions), marked(candidates)), frozenset(job.turn.steps["curate"].output.get("shown", ()))
    if job.is_owners:
        verdict = decide_taught(*sides, job.settings, shown, more=(champions_more, candidates_more))
    else:
        verdict = decide(*sides, job.settings, shown, more=(champions_more, candidates_more), best=best_of(job, told))
    kept = {key: told[key] for key in (HELD_OUT, "best", "more") if told.get(key)}
    receipt = {
        "plan_hash": body_hash(job.turn.plan), "previous": job.turn.steps["curate"].output.get("receipt_hash", ""),
        "turn": job.turn.id, "rule": job.turn.plan["gate"], "champion": job.champion, "candidate": job.output("train", "candidate"),
        "lessons": job.output("curate", "lessons"), "upto_seq": job.output("collect", "upto_seq"),
        "exams": {side: told[side] for side in ("champion", "candidate")}, **verdict.to_json(), **kept,
    }  # fmt: skip
    if job.is_owners:
        receipt["taught"] = taught_rows(find(job.home, receipt["lessons"]), *sides)
    parents = list(dict.fromkeys([job.champion, job.output("train", "candidate"), *exams_of(told)]))
    with draft(job.home, "runs", f"{job.name}-gate", parents=parents, recipe=job.turn.plan["gate"]) as work:
        write_json(work.path / "receipt.json", receipt)
        work.counts["verdict"] = verdict.verdict
    assert work.artifact is not None
    inputs = {key: receipt[key] for key in ("champion", "candidate", "lessons", "upto_seq", "exams")} | {"receipt": ref_of(work.artifact)}
    row = leave(job.store, job.turn, "g1", inputs, {"why": list(verdict.why), "flip": dict(verdict.flip), **kept}, verdict.verdict)
    return {"verdict": verdict.verdict, "why": list(verdict.why), "receipt": ref_of(work.artifact), "receipt_hash": row.hash}


def _promote(job: Job) -> dict[str, Any]:
    """Point at the candidate, unless the champion changed since the plan was made."""
    assert job.output("gate", "verdict") == "promoted"
    candidate, epoch = job.output("train", "candidate"), job.turn.plan["champion"]["epoch"]
    current = job.store.champion()
    if current is not None and (current.model, current.epoch) == (candidate, epoch + 1):
        return {"epoch": current.epoch, "trouble": ""}  # killed between the promotion and this row
    if why := _set_aside(job, candidate):
        return {"epoch": None, "trouble": f"{candidate} is set aside: {why}"}
    if job.settings.rollout == "staged":
        return _begin_rollout(job)
    try:
        row = job.store.set_champion(candidate, f"turn {job.turn.id} ({job.name}): {job.output('gate', 'receipt')}", expected_epoch=epoch)
    except Conflict as conflict:
        return {"epoch": None, "trouble": f"the champion changed during the turn: {conflict}"}
    return {"epoch": row.epoch, "trouble": ""}


def _set_aside(job: Job, candidate: str) -> str:
    """Why the candidate may answer nobody, "" where it may: who was forgotten while it was trained may be in it all the same."""
    if any(erasure.at >= job.turn.started for erasure in job.store.erasures()):
        sweep(job.home, job.store)
    return job.store.quarantined().get(candidate, "")


def _begin_rollout(job: Job) -> dict[str, Any]:
    """The candidate answers nobody yet: it comes step by step, and the champion changes when the last of them is passed."""
    try:
        row = begin(job.store, job.turn, job.output("train", "candidate"), job.settings.staged)
    except Conflict as conflict:
        return {"epoch": None, "trouble": f"no rollout could begin: {conflict}"}
    return {"epoch": None, "trouble": "", "rollout": row.id}


WORK: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "collect": _collect, "curate": _curate, "train": _train, "exam": examine, "gate": _gate, "promote": _promote,
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
