"""One turn of the wheel, seen from the parent: which step is next, who runs it, how it ended.

The state is in the store alone. A turn killed anywhere goes on where it was; a finished step is not run again.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from feilun.config import TurnSettings, rebuild, resolved
from feilun.feedback.owner import TAUGHT, is_owner_turn
from feilun.store import Store, TurnRow, TurnState
from feilun.turn.account import leave_account
from feilun.turn.gate import rule
from feilun.turn.line import line_of
from feilun.turn.owner import nothing_new
from feilun.turn.rolling import under_way
from feilun.turn.steps import BAD_INPUT, NOTE, STEPS
from feilun.turn.sweep import sweep, sweep_if_owed
from feilun.turn.taught import taught_rule
from feilun.types import UserError

__all__ = ["Command", "Progress", "TurnProgress", "TurnResult", "TurnRunning", "abandon", "run_turn"]

LOCK = "turn.lock"
POLL_SECONDS = 0.5
Command = Callable[[Path, str, str], list[str]]


class TurnRunning(UserError):
    """Another process is at work on a turn."""


class TurnProgress(NamedTuple):
    """state: running, done or kept (it was done before a resume). done, total: training steps while step train runs."""

    turn: str
    step: str
    state: Literal["running", "done", "kept"]
    done: int = 0
    total: int = 0
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """How a turn ended. verdict "rolling_out": its candidate comes step by step; "planned": a dry run, nothing was written.

    outputs: step -> what its row holds.
    """

    turn: str
    verdict: Literal["promoted", "refused", "failed", "rolling_out", "planned"]
    why: tuple[str, ...]
    champion: str
    candidate: str | None
    outputs: dict[str, dict[str, Any]]
    cpu_seconds: float


Progress = Callable[[TurnProgress], None]


def run_turn(
    home: Path,
    settings: TurnSettings,
    *,
    progress: Progress | None = None,
    dry_run: bool = False,
    command: Command | None = None,
    request: str = "",
    start: str = "",
    rebuilds: Sequence[str] = (),
) -> TurnResult:
    """Make the next model from the lessons, examine it, promote or refuse it; goes on with an unfinished turn.

    dry_run: say what would happen. command: the child's command line, (home, turn id, step) -> argv. request: what this turn
    answers; it is written into the plan. start: the model to start from and to be compared with, where that is not the champion;
    rebuilds: the models in whose place the new one is to stand. Raises UserError when another turn runs (TurnRunning), when
    there is no champion, or when a child ended without finishing its step (run it again to go on).
    """
    with Store.open(home) as store:
        if dry_run:
            return _planned(store, settings)
        with _only_turn(home, store), _swept(home, store):
            turn = _begin(store, settings, {"request": request, "start": start, "rebuilds": list(rebuilds)})
            tell = progress or (lambda _: None)
            for step in STEPS:
                kept = turn.steps.get(step) is not None and turn.steps[step].status == "done"
                if not kept:
                    tell(TurnProgress(turn.id, step, "running"))
                    _run_child(store, (command or child_command)(home, turn.id, step), turn.id, step, tell)
                turn = store.turn(turn.id)
                ended = _ending(turn, step)
                if ended is not None:
                    return _end(home, store, turn, *ended)
                tell(TurnProgress(turn.id, step, "kept" if kept else "done"))
            raise AssertionError("a turn ends with its last step")


def abandon(home: Path, reason: str) -> TurnResult:
    """End an unfinished turn as failed, so that the next one starts afresh."""
    with Store.open(home) as store, _only_turn(home, store):
        turn = store.unfinished_turn()
        if turn is None:
            raise UserError("no turn is unfinished; there is nothing to abandon")
        return _end(home, store, turn, "failed", f"abandoned: {reason}")


def _end(home: Path, store: Store, turn: TurnRow, state: TurnState, why: str) -> TurnResult:
    """The account first: a turn that has ended has one."""
    leave_account(home, store, replace(turn, state=state, why=why))
    store.finish_turn(turn.id, state, why)
    return _result(store.turn(turn.id))


def child_command(home: Path, turn_id: str, step: str) -> list[str]:
    return [sys.executable, "-m", "feilun.cli", "--home", str(home), "turn-step", turn_id, step]


@contextmanager
def _only_turn(home: Path, store: Store) -> Iterator[None]:
    """Held by one process of this host at a time; the system lets go of it when that process ends in any way."""
    with (home / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            running = store.unfinished_turn()
            named = f"turn {running.id}" if running is not None else "a turn"
            raise TurnRunning(f"{named} is running (process {lock.read().strip()}); wait for it to end, or stop that process") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


@contextmanager
def _swept(home: Path, store: Store) -> Iterator[None]:
    """What was erased in the store is taken out of the artifacts before a turn, and what was erased while it ran after it."""
    sweep_if_owed(home, store)
    epoch = store.erasure_epoch()
    yield
    if store.erasure_epoch() != epoch:
        sweep(home, store)


def _begin(store: Store, settings: TurnSettings, asked: Mapping[str, Any]) -> TurnRow:
    """The unfinished turn if it was planned with these settings, else a new one with its plan written down."""
    unfinished = store.unfinished_turn()
    if unfinished is None:
        plan = _plan(store, settings, str(asked["start"]))
        return store.turn(store.start_turn(plan | {key: value for key, value in asked.items() if value and key != "start"}))
    planned = resolved(rebuild(TurnSettings, unfinished.plan["settings"]))  # a setting that is new since then has its default
    if planned != resolved(settings):
        changed = sorted(_changed(planned, resolved(settings)))
        raise UserError(
            f"turn {unfinished.id} is unfinished and was planned with other settings ({', '.join(changed)}); "
            "finish it with those, or abandon it first"
        )
    return unfinished


def _plan(store: Store, settings: TurnSettings, start: str = "") -> dict[str, Any]:
    """What is fixed before anything is trained: settings, the champion to beat, the gate's rule."""
    champion = store.champion()
    if champion is None:
        raise UserError("there is no champion to start from; promote a model first: feilun promote REF")
    if (rollout := under_way(store)) is not None:
        told = f"{rollout.candidate} is being rolled out ({rollout.stage})"
        raise UserError(f"{told}; wait for its end, or end it with feilun rollout abort")
    owners = settings.rise_task == TAUGHT
    if not settings.prefer.replay and (settings.prefer.replay_share or not owners):
        raise UserError("a turn repeats the examples that made the first model; name their lessons: --set prefer.replay=REF")
    model = start or champion.model
    return {
        "name": f"turn-{len(store.turns()) + 1}", "steps": list(STEPS), "settings": resolved(settings),
        "champion": {"model": model, "epoch": champion.epoch}, "gate": taught_rule(settings) if owners else rule(settings),
        **({} if owners else {"line": line_of(store, model)}),
    }  # fmt: skip


def _changed(before: dict[str, Any], after: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changed(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}: {old!r} then, {new!r} now"


def _run_child(store: Store, command: list[str], turn_id: str, step: str, tell: Progress) -> None:
    """Start the step and wait. However this function is left, the child's standard input closes and it ends."""
    # The child's words go to our standard error: standard output belongs to the verb that was typed.
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.__stderr__)
    assert child.stdin is not None
    try:
        while True:
            try:
                status = child.wait(POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                _relay(store, turn_id, step, tell)
    finally:
        child.stdin.close()
        _reap(child)
    _check_ended(store.turn(turn_id), step, status)


def _reap(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(5.0)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _relay(store: Store, turn_id: str, step: str, tell: Progress) -> None:
    note = store.read_note(NOTE) or {}
    if (note.get("turn"), note.get("step")) == (turn_id, step):
        tell(TurnProgress(turn_id, step, "running", note["done"], note["total"], note["eta_seconds"]))


def _check_ended(turn: TurnRow, step: str, status: int) -> None:
    """A step is done, or failed for a reason that ends the turn; anything else is worth another try."""
    row = turn.steps.get(step)
    if row is not None and (row.status == "done" or (row.status == "failed" and row.error.startswith(BAD_INPUT))):
        return
    ended = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    said = f": {row.error}" if row is not None and row.status == "failed" else ""
    raise UserError(f"step {step} of turn {turn.id} {ended}{said}; run `feilun turn` again to go on from there")


def _ending(turn: TurnRow, step: str) -> tuple[TurnState, str] | None:
    """How the turn ends after this step, or None when it goes on."""
    row = turn.steps[step]
    output = row.output
    if row.status == "failed":
        return "failed", f"step {step}: {row.error}"
    if step == "curate" and output.get("refused"):
        return "refused", "\n".join(output["refused"])
    if step == "curate" and is_owner_turn(turn) and (why := nothing_new(output)):
        return "refused", why
    if step == "curate" and not output["rows"]:
        return "refused", "there are no lessons yet: no feedback that may teach"
    if step == "gate" and output["verdict"] == "refused":
        return "refused", "\n".join(output["why"])
    if step == "promote":
        trouble = output["trouble"]
        passed: Literal["promoted", "rolling_out"] = "rolling_out" if output.get("rollout") else "promoted"
        return ("refused", trouble) if trouble else (passed, "\n".join(turn.steps["gate"].output["why"]))
    return None


def _result(turn: TurnRow) -> TurnResult:
    assert turn.state != "running"
    outputs = {name: dict(turn.steps[name].output) for name in STEPS if name in turn.steps and turn.steps[name].status == "done"}
    return TurnResult(
        turn=turn.id, verdict=turn.state, why=tuple(turn.why.splitlines()), champion=turn.plan["champion"]["model"],
        candidate=outputs.get("train", {}).get("candidate"), outputs=outputs,
        cpu_seconds=round(sum(output.get("cpu_seconds", 0.0) for output in outputs.values()), 3),
    )  # fmt: skip


def _planned(store: Store, settings: TurnSettings) -> TurnResult:
    unfinished = store.unfinished_turn()
    plan = unfinished.plan if unfinished is not None else _plan(store, settings)
    waiting = [s for s in STEPS if unfinished is None or unfinished.steps.get(s) is None or unfinished.steps[s].status != "done"]
    fate = f"go on with turn {unfinished.id}" if unfinished is not None else f"start {plan['name']}"
    why = (
        f"would {fate} from {plan['champion']['model']}: {', '.join(waiting)}",
        f"{store.last_seq()} events so far, {store.count_votes()} of them standing",
        _wanted(plan["gate"]),
    )
    return TurnResult(turn=unfinished.id if unfinished is not None else "", verdict="planned", why=why, champion=plan["champion"]["model"],
                      candidate=None, outputs={}, cpu_seconds=0.0)  # fmt: skip


def _wanted(gate: dict[str, Any]) -> str:
    if gate["must_rise"] != TAUGHT:
        falls = f"no other task may fall by more than {gate['max_fall']:g}, from the champion or from the best before it"
        risers = f"{gate['must_rise']} or another task" if gate.get("may_carry") else gate["must_rise"]
        return f"{risers} must rise; {falls}"
    asked = f"no exam task may fall by more than {gate['max_fall']:g}" if gate["exam_tasks"] else "no exam is asked"
    return f"{gate['min_taught']:.0%} of your corrections that are not known must be learnt; {asked}"
