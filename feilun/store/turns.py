"""Turns of the wheel: a row a turn, a row a step, and the lease by which one process at a time works on a step."""

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from feilun.store import notes, receipts
from feilun.store.identity import uuid7
from feilun.store.rows import Conflict, NotFound, StepRow, TurnRow
from feilun.store.schema import steps, turns

END_STATES = ("promoted", "refused", "failed", "rolling_out")
REQUEST = "turn_request"


def start(connection: sa.Connection, plan: Mapping[str, Any]) -> str:
    running = unfinished(connection)
    if running:
        raise Conflict(f"turn {running.id} is still running; resume it or finish it first")
    if plan.get("request") and _has_begun(connection, plan["request"]):
        raise Conflict(f"request {plan['request']} has had its turn")
    turn_id = uuid7()
    connection.execute(turns.insert().values(id=turn_id, state="running", plan=dict(plan), why="", started=time.time()))
    for step in plan.get("steps", ()):
        _add_step(connection, turn_id, str(step))
    receipts.append(connection, turn_id, "plan", {"plan": receipts.body_hash(dict(plan))})
    return turn_id


def _add_step(connection: sa.Connection, turn_id: str, step: str) -> None:
    position = connection.execute(sa.select(sa.func.count()).select_from(steps).where(steps.c.turn_id == turn_id)).scalar_one()
    row = {"status": "pending", "owner": "", "heartbeat": 0.0, "input_hash": "", "output": {}, "error": ""}
    connection.execute(steps.insert().values(turn_id=turn_id, step=step, position=position, **row))


def by_id(connection: sa.Connection, turn_id: str) -> TurnRow:
    row = connection.execute(turns.select().where(turns.c.id == turn_id)).mappings().first()
    if row is None:
        raise NotFound(f"no turn {turn_id!r}")
    return _row(connection, row)


def _row(connection: sa.Connection, row: sa.RowMapping) -> TurnRow:
    return TurnRow(**row, steps=_steps(connection, steps.c.turn_id == row["id"]).get(row["id"], {}))


def _steps(connection: sa.Connection, which: sa.ColumnElement[bool]) -> dict[str, dict[str, StepRow]]:
    """turn -> its steps in order."""
    columns = [column for column in steps.c if column.name != "position"]
    found: dict[str, dict[str, StepRow]] = {}
    for row in connection.execute(sa.select(*columns).where(which).order_by(steps.c.turn_id, steps.c.position)).mappings():
        told = {name: value for name, value in row.items() if name != "turn_id"}
        found.setdefault(row["turn_id"], {})[row["step"]] = StepRow(**told)
    return found


def listed(connection: sa.Connection) -> list[TurnRow]:
    found = _steps(connection, sa.true())
    rows = connection.execute(turns.select().order_by(turns.c.started, turns.c.id)).mappings()
    return [TurnRow(**row, steps=found.get(row["id"], {})) for row in rows]


def unfinished(connection: sa.Connection) -> TurnRow | None:
    row = connection.execute(turns.select().where(turns.c.state == "running")).mappings().first()
    return _row(connection, row) if row else None


def ask(connection: sa.Connection, by: str) -> str:
    running = unfinished(connection)
    if running:
        raise Conflict(f"{running.plan.get('name', 'a turn')} is not finished; one turn runs at a time")
    if asked(connection):
        raise Conflict("a turn is asked for already; it begins as soon as somebody who watches takes it")
    request = {"id": uuid7(), "at": time.time(), "by": by}
    notes.write(connection, REQUEST, request)
    return str(request["id"])


def asked(connection: sa.Connection) -> dict[str, Any] | None:
    request = notes.read(connection, REQUEST)
    if request is None or "answer" in request:
        return None
    return None if _has_begun(connection, request["id"]) else request


def _has_begun(connection: sa.Connection, request_id: str) -> bool:
    named = sa.select(turns.c.id).where(turns.c.plan["request"].as_string() == request_id).limit(1)
    return connection.execute(named).first() is not None


def answer(connection: sa.Connection, request_id: str, why: str) -> None:
    request = asked(connection)
    if request is None or request["id"] != request_id:
        raise Conflict(f"request {request_id} waits for no answer any more")
    notes.write(connection, REQUEST, {**request, "answer": {"why": why, "at": time.time()}})


def claim(connection: sa.Connection, turn_id: str, step: str, owner: str, input_hash: str, stale_seconds: float) -> bool:
    turn = by_id(connection, turn_id)
    if turn.state != "running":
        raise Conflict(f"turn {turn_id} is {turn.state}; its steps cannot be claimed any more")
    if step not in turn.steps:
        _add_step(connection, turn_id, step)
    now, found = time.time(), turn.steps.get(step)
    if found and found.status == "done" and found.input_hash == input_hash:
        return False
    if found and found.status == "running" and found.owner != owner and now - found.heartbeat < stale_seconds:
        return False
    lease = {"status": "running", "owner": owner, "heartbeat": now, "input_hash": input_hash, "output": {}, "error": ""}
    connection.execute(steps.update().where(steps.c.turn_id == turn_id, steps.c.step == step).values(lease))
    return True


def _held(turn_id: str, step: str, owner: str) -> sa.ColumnElement[bool]:
    return sa.and_(steps.c.turn_id == turn_id, steps.c.step == step, steps.c.owner == owner, steps.c.status == "running")


def heartbeat(connection: sa.Connection, turn_id: str, step: str, owner: str) -> bool:
    return connection.execute(steps.update().where(_held(turn_id, step, owner)).values(heartbeat=time.time())).rowcount == 1


def end_step(connection: sa.Connection, turn_id: str, step: str, owner: str, status: str, output: dict[str, Any], error: str) -> None:
    ended = {"status": status, "output": output, "error": error, "heartbeat": time.time()}
    if connection.execute(steps.update().where(_held(turn_id, step, owner)).values(ended)).rowcount != 1:
        raise Conflict(f"step {step!r} of turn {turn_id} is not leased to {owner!r} any more; its result was not stored")


def finish(connection: sa.Connection, turn_id: str, state: str, why: str) -> None:
    if state not in END_STATES:
        raise Conflict(f"a turn cannot end as {state!r}; allowed: {', '.join(END_STATES)}")
    now = by_id(connection, turn_id).state
    if now not in ("running", state):
        raise Conflict(f"turn {turn_id} already ended as {now}")
    if now == "running":
        connection.execute(turns.update().where(turns.c.id == turn_id).values(state=state, why=why, finished=time.time()))
