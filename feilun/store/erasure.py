"""Forgetting a person: content goes, ids stay, so that whatever was made from it can be found and rebuilt."""

import time
from typing import Any

import sqlalchemy as sa

from feilun.store.identity import digest, uuid7
from feilun.store.rows import Erasure
from feilun.store.schema import choices, completions, erasures, events, messages


def forget(connection: sa.Connection, principal: str) -> Erasure:
    """Erases what stands under the principal; the answer also names what earlier erasures of it emptied."""
    event_ids = list(connection.execute(sa.select(events.c.id).where(events.c.principal == principal).order_by(events.c.seq)).scalars())
    mine = sa.select(completions.c.id).where(completions.c.principal == principal)
    completion_ids = list(connection.execute(mine.order_by(completions.c.id)).scalars())
    # Nobody's name: rows of one erasure stay together, and nothing leads back to the person.
    nobody = f"erased:{uuid7()}"
    emptied: dict[str, Any] = {
        "principal": nobody, "value": None, "reason": [], "idempotency_key": None, "body_hash": "", "slot": "", "erased": 1,
    }  # fmt: skip
    connection.execute(choices.update().where(choices.c.completion_id.in_(mine)).values(address=""))
    connection.execute(events.update().where(events.c.principal == principal).values(emptied))
    connection.execute(messages.delete().where(messages.c.principal == principal))
    blank: dict[str, Any] = {"principal": nobody, "end_user": None, "thread_id": "", "parent": "", "params": {}, "erased": 1}
    connection.execute(completions.update().where(completions.c.principal == principal).values(blank))
    subject = digest("subject", principal)
    if event_ids or completion_ids:
        row = {"id": uuid7(), "subject_hash": subject, "event_ids": event_ids, "completion_ids": completion_ids, "at": time.time()}
        connection.execute(erasures.insert().values(row))
    return _joined(connection, subject)


def _joined(connection: sa.Connection, subject: str) -> Erasure:
    rows = connection.execute(erasures.select().where(erasures.c.subject_hash == subject).order_by(erasures.c.at)).all()
    return Erasure(
        event_ids=tuple(event_id for row in rows for event_id in row.event_ids),
        completion_ids=tuple(completion_id for row in rows for completion_id in row.completion_ids),
        at=rows[-1].at if rows else time.time(),
    )


def listed(connection: sa.Connection) -> list[Erasure]:
    rows = connection.execute(erasures.select().order_by(erasures.c.at))
    return [Erasure(event_ids=tuple(row.event_ids), completion_ids=tuple(row.completion_ids), at=row.at) for row in rows]
