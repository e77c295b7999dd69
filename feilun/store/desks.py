"""Labelling desks: one open at a time, its settings as they were when it opened; what its raters said; what is known to be right."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.rows import Conflict, NotFound
from feilun.store.schema import assignments, desks, tasks, vote_spans
from feilun.store.tasks import Outcome, sides_of, standing
from feilun.store.votes import plainly, stands_now


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRow:
    name: str
    settings: dict[str, Any]
    opened: float
    closed: float | None


class Label(NamedTuple):
    """One standing judgement. seconds: from the offer to the word."""

    task: str
    principal: str
    outcome: Outcome
    seconds: float
    swapped: bool
    gold: Outcome | None


# --- desks


def open_desk(connection: sa.Connection, name: str, settings: Mapping[str, Any]) -> DeskRow:
    if now := open_now(connection):
        raise Conflict(f"the desk {now.name!r} is open; close it first: feilun desk close")
    if connection.execute(sa.select(desks.c.name).where(desks.c.name == name)).first():
        raise Conflict(f"there was a desk {name!r} already; take another name")
    row = DeskRow(name=name, settings=dict(settings), opened=time.time(), closed=None)
    connection.execute(desks.insert().values(name=row.name, settings=row.settings, opened=row.opened, closed=None))
    return row


def close_desk(connection: sa.Connection) -> DeskRow:
    now = open_now(connection)
    if now is None:
        raise NotFound("no desk is open")
    connection.execute(desks.update().where(desks.c.name == now.name).values(closed=time.time()))
    return now


def open_now(connection: sa.Connection) -> DeskRow | None:
    return next((row for row in listed(connection) if row.closed is None), None)


def listed(connection: sa.Connection) -> list[DeskRow]:
    return [DeskRow(**row) for row in connection.execute(desks.select().order_by(desks.c.opened)).mappings()]


# --- what came of it


def mark_gold(connection: sa.Connection, task: str, gold: Outcome | None) -> None:
    """Everybody is asked it from now on, and measured by it. None: no longer. Raises NotFound."""
    if not connection.execute(tasks.update().where(tasks.c.id == task).values(gold=gold)).rowcount:
        raise NotFound(f"no task {task!r}")


def labels(connection: sa.Connection, desk: str) -> list[Label]:
    """Every judgement of the desk that stands, in order of time."""
    view = vote_spans.c
    mine = view.target_id.in_([tasks.c.left_id, tasks.c.right_id])
    wanted = sa.select(tasks, view.principal, view.target_id, view.value, view.at.label("said"), assignments.c.swapped,
                       assignments.c.at.label("shown")).select_from(tasks).join(vote_spans, mine).join(
        assignments, (assignments.c.task == tasks.c.id) & (assignments.c.principal == view.principal))  # fmt: skip
    rows = connection.execute(wanted.where(tasks.c.desk == desk, view.kind == "choice", stands_now()).order_by(view.seq))
    return [
        Label(
            task=row.id, principal=row.principal, outcome=_outcome(row), seconds=max(0.0, row.said - row.shown), swapped=bool(row.swapped),
            gold=row.gold,
        )
        for row in rows
    ]  # fmt: skip


def count_labels(connection: sa.Connection, desk: str, principal: str) -> int:
    """How many judgements of this rater stand."""
    view = vote_spans.c
    said = view.target_id.in_([tasks.c.left_id, tasks.c.right_id]) & (view.kind == "choice") & (plainly(view.principal) == principal)
    shown = assignments.join(tasks, tasks.c.id == assignments.c.task).join(vote_spans, said)
    mine = sa.select(sa.func.count()).select_from(shown).where(assignments.c.principal == principal, tasks.c.desk == desk, stands_now())
    return connection.execute(mine).scalar_one()


def _outcome(row: Any) -> Outcome:
    value = row.value if isinstance(row.value, dict) else json.loads(row.value)
    if value["outcome"] != "win":
        found: Outcome = value["outcome"]
        return found
    return "left" if row.target_id == row.left_id else "right"


def counts(connection: sa.Connection, desk: str) -> tuple[int, int]:
    """(tasks that stand, gold among them)."""
    rows = standing(connection, desk)
    return len(rows), sum(row.gold is not None for row in rows)


def gold_answers(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Question -> the answers that an owner knows to be right, of gold tasks where the question stands alone."""
    rows = connection.execute(tasks.select().where(tasks.c.gold.in_(("left", "right")))).all()
    sides = sides_of(connection, rows)
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        side = sides.get(row.left_id if row.gold == "left" else row.right_id)
        asked = [message["content"] for message in side.messages if message["role"] != "system"] if side else []
        if side and len(asked) == 1:
            found[asked[0]] = (*found.get(asked[0], ()), side.text)
    return found
