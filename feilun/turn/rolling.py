"""Rollouts as they go: begun by a turn, looked at again and again, moved on or taken back; and by hand.

Everything is in the store, and every move is one transaction with its receipt: who dies at whatever moment, the next look goes on.
"""

import math
import secrets
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from feilun.artifacts import find, lineage
from feilun.config import RolloutSettings
from feilun.store import LOAD_FAILURE_NOTE, Conflict, RolloutMove, RolloutRow, Store, TurnRow
from feilun.turn.account import leave_account
from feilun.turn.beside import REST, again_and_again
from feilun.turn.rollout import GATES, UNFELT_SECONDS, Found, Seen, complaints_seen, decide_rollout, firsts_of, plan_rollout, shadow_harms
from feilun.types import UserError

__all__ = ["abort", "advance", "begin", "hold", "keeping_rollouts", "look", "release", "seen_by", "under_way"]

NUM_TIMED, MIN_TIMED = 1000, 20
LOOK_SECONDS = 5.0


def begin(store: Store, turn: TurnRow, candidate: str, settings: RolloutSettings, salt: str = "") -> RolloutRow:
    """Of a turn whose candidate passed the exams; again: the same. A holdback that still runs is closed for it. Raises Conflict.

    salt: of the lot; drawn where it is not given.
    """
    running = store.rollout()
    if running is not None and running.stage == "holdback" and running.turn_id != turn.id:
        body = {"inputs": inputs_of(running), "figures": {}, "verdict": "closed early"}
        store.move_rollout(running, RolloutMove(stage="closed", gate="g4", body=body, why=f"turn {turn.id} brings the next candidate"))
    epoch = int(turn.plan["champion"]["epoch"])
    plan = plan_rollout(settings, slow_seconds(store, str(turn.plan["champion"]["model"])), salt or secrets.token_hex(8))
    return store.start_rollout(turn.id, candidate, epoch, plan)


def slow_seconds(store: Store, model: str) -> float | None:
    """The 95th percentile of the model's newest answers; None where there are too few."""
    taken = sorted(store.seconds_of(model, NUM_TIMED))
    return max(UNFELT_SECONDS, taken[math.ceil(0.95 * len(taken)) - 1]) if len(taken) >= MIN_TIMED else None


def under_way(store: Store) -> RolloutRow | None:
    """The rollout beside which no turn may begin; a holdback does not hinder one."""
    row = store.rollout()
    return row if row is not None and row.stage != "holdback" else None


def seen_by(store: Store, row: RolloutRow) -> Seen:
    """What can be known of the present step."""
    if row.stage == "shadow":
        pairs = store.shadow.pairs(row.id)
        return Seen({}, firsts_of(shadow_harms(pairs, row.slow_seconds)), pairs)
    harms = store.first_harms(row.id, row.stage, row.slow_seconds)
    return Seen(store.crowds(row.id, row.stage, row.step), firsts_of(harms))


def look(home: Path, store: Store, now: float | None = None) -> RolloutRow | None:
    """Look at the rollout that is not finished and do what the plan asks for; the row as it is then. Two who look at once do it once."""
    row = store.rollout()
    if row is None or store.turn(row.turn_id).state == "running":
        return row  # a turn that was killed between its last step and its end is gone on with first
    try:
        if void := broken(store, row):
            return _move(home, store, row, ended(row, Found("void", void, {})))
        seen = seen_by(store, row)
        found = decide_rollout(row, seen, time.time() if now is None else now)
        if found.verdict == "wait":
            return row
        return _move(home, store, row, onward(home, store, row, seen, found))
    except Conflict:
        return store.rollout()


def _move(home: Path, store: Store, row: RolloutRow, to: RolloutMove) -> RolloutRow:
    """The move; where it brings the turn to its end, the turn has another account."""
    moved = store.move_rollout(row, to)
    if to.turn_state:
        leave_account(home, store, store.turn(row.turn_id))
    return moved


def broken(store: Store, row: RolloutRow) -> str:
    """Why the plan cannot be followed any more, whatever people say; empty when it can."""
    champion, failure = store.champion(), store.read_note(LOAD_FAILURE_NOTE) or {}
    if store.turn(row.turn_id).state == "failed":
        return "its turn was abandoned"
    wanted = row.candidate if row.stage == "holdback" else row.champion
    if champion is None or champion.model != wanted or (row.stage != "holdback" and champion.epoch != row.epoch):
        return f"the champion was changed to {champion.model if champion else 'none'} meanwhile"
    if why := {**store.quarantined()}.get(row.champion if row.stage == "holdback" else row.candidate):
        return f"a model of this rollout was set aside: {why}"
    if failure.get("rollout") == row.id and failure.get("stage") == row.stage:
        return f"{failure['model']} could not be loaded: {failure['error']}"
    return ""


def onward(home: Path, store: Store, row: RolloutRow, seen: Seen, found: Found) -> RolloutMove:
    """The move that a decision asks for. seen: what it was made by."""
    if found.verdict == "harm":
        return replace(ended(row, found), withhold=new_events(home, store, row))
    if found.verdict == "void":
        return ended(row, found)
    timed = row.slow_seconds if row.slow_seconds is not None else slow_seconds(store, row.champion)
    figures = found.figures | {"slow_seconds": timed, "complaints_seen": told_ratio(complaints_seen(row, seen))}
    body, gate = {"inputs": inputs_of(row), "figures": figures, "verdict": found.why or "passed"}, GATES[row.stage]
    if row.stage == "shadow":
        return RolloutMove(stage="canary", step=0, gate=gate, body=body, slow_seconds=timed)
    if row.stage == "canary" and row.step + 1 < len(row.plan["shares"]):
        return RolloutMove(stage="canary", step=row.step + 1, gate=gate, body=body)
    if row.stage == "canary":
        held_back = float(row.plan["holdback"]["share"]) > 0
        stage, why = ("holdback", "it answers everybody but those held back") if held_back else ("closed", "it answers everybody")
        return RolloutMove(stage=stage, gate=gate, body=body, why=why, promote=True, turn_state="promoted")  # type: ignore[arg-type]
    return RolloutMove(stage="closed", gate=gate, body=body, why="the holdback ended without a sign of harm")


def told_ratio(ratio: float) -> float | None:
    """None where no harm however great would have been found."""
    return round(ratio, 2) if math.isfinite(ratio) else None


def ended(row: RolloutRow, found: Found) -> RolloutMove:
    """The end of a rollout that did not pass: by harm the model is set aside, and a champion goes back to the one before."""
    is_champion, harmed = row.stage == "holdback", found.verdict == "harm"
    at = f" at {row.share:.0%}" if row.stage != "shadow" else ""
    why = f"{'taken back' if harmed else 'broken off'} in the {row.stage}{at}: {found.why}"
    body = {"inputs": inputs_of(row), "figures": found.figures, "verdict": why}
    return RolloutMove(
        stage="rolled_back" if harmed else "aborted", gate=GATES[row.stage], body=body, why=why, back=harmed and is_champion,
        set_aside=why if harmed else "", turn_state="" if is_champion else "refused",
    )  # fmt: skip


def inputs_of(row: RolloutRow) -> dict[str, Any]:
    return {
        "rollout": row.id,
        "champion": row.champion,
        "candidate": row.candidate,
        "stage": row.stage,
        "step": row.step,
        "share": row.share,
    }


def new_events(home: Path, store: Store, row: RolloutRow) -> tuple[str, ...]:
    """The events behind the candidate's lessons from which no model before it had learnt."""
    turn = store.turn(row.turn_id)
    lessons = turn.steps["curate"].output.get("lessons") if "curate" in turn.steps else None
    try:
        mine = set(find(home, str(lessons)).manifest["counts"].get("events", ())) if lessons else set()
        before = [a for a in lineage(home, find(home, row.champion, "models", erased_too=True)) if a.kind == "lessons"]
    except UserError:
        return ()  # they were erased: there is nothing left to hold back
    return tuple(sorted(mine - {event for artifact in before for event in artifact.manifest["counts"].get("events", ())}))


# --- by hand


def the_rollout(store: Store) -> RolloutRow:
    row = store.rollout()
    if row is None:
        raise UserError("no rollout is under way; a turn with --set rollout=staged begins one")
    return row


def hold(store: Store, held: bool = True) -> RolloutRow:
    return store.hold_rollout(the_rollout(store).id, held)


def advance(home: Path, store: Store) -> RolloutRow:
    """To the next step now, whatever is missing; not past harm. The receipt says that it was by hand."""
    row = the_rollout(store)
    seen = seen_by(store, row)
    found = decide_rollout(replace(row, held=False), seen, time.time())
    if found.verdict not in ("harm", "void"):
        found = Found("next", f"by hand; {found.why or 'nothing was missing'}", found.figures)
    return _move(home, store, row, onward(home, store, row, seen, found))


def abort(home: Path, store: Store, reason: str) -> RolloutRow:
    """End it: before the last step the champion stays, in the holdback the new champion stays. Nothing is set aside."""
    row = the_rollout(store)
    return _move(home, store, row, ended(row, Found("void", reason, {})))


def release(store: Store, rollout_id: str | None = None) -> tuple[str, int]:
    """Let the events that a rollout took away teach again; of the newest one that took any, unless it is named."""
    taken = set(store.withheld_events().values())
    chosen = rollout_id or next((row.id for row in reversed(store.rollouts()) if row.id in taken), None)
    if chosen is None:
        raise UserError("no events are withheld; there is nothing to release")
    return chosen, store.release_events(chosen)


def keeping_rollouts(home: Path, store: Store, look_seconds: float = LOOK_SECONDS) -> AbstractContextManager[None]:
    """While the block runs, a thread looks at the rollout again and again; also while a turn trains."""
    return again_and_again("rollout", lambda: look(home, store), look_seconds, rest=REST)
