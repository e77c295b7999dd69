"""Forgetting a person: content goes, ids stay, so that whatever was made from it can be found and rebuilt."""

import time
from typing import Any

import sqlalchemy as sa

from feilun.store import drafts, search
from feilun.store.identity import digest, root_address, uuid7
from feilun.store.rows import Erasure, NotFound
from feilun.store.schema import choices, completions, erasures, events, messages


def forget(connection: sa.Connection, principal: str) -> Erasure:
    """Erases what stands under the principal; the answer also names what earlier erasures of it emptied."""
    mine = completions.c.principal == principal
    _empty(connection, principal, mine, events.c.principal == principal, messages.c.principal == principal)
    search.forget(connection, principal)
    drafts.forget(connection, principal)
    return _joined(connection, digest("subject", principal))


def forget_thread(connection: sa.Connection, principal: str, thread_id: str) -> None:
    """Erases one conversation of a principal, and what they said about its answers. Raises NotFound."""
    mine = (completions.c.principal == principal) & (completions.c.thread_id == thread_id)
    if not connection.execute(sa.select(completions.c.id).where(mine)).first():
        raise NotFound(f"no conversation {thread_id!r}")
    root = root_address(principal, thread_id)
    below = sa.select(messages.c.address).where(messages.c.parent == root).cte("below", recursive=True)
    below = below.union_all(sa.select(messages.c.address).join(below, messages.c.parent == below.c.address))
    about = (events.c.principal == principal) & events.c.target_id.in_(sa.select(completions.c.id).where(mine))
    said = messages.c.address.in_(list(connection.execute(sa.select(below)).scalars()))
    _empty(connection, principal, mine, about, said)
    search.forget(connection, principal, thread_id)
    drafts.forget(connection, principal, thread_id)


Which = sa.ColumnElement[bool]


def _empty(connection: sa.Connection, principal: str, mine: Which, about: Which, said: Which) -> None:
    """Blank these completions and events, delete these messages, and leave a row that names what was emptied."""
    event_ids = list(connection.execute(sa.select(events.c.id).where(about).order_by(events.c.seq)).scalars())
    wanted = sa.select(completions.c.id).where(mine)
    completion_ids = list(connection.execute(wanted.order_by(completions.c.id)).scalars())
    # Nobody's name: rows of one erasure stay together, and nothing leads back to the person.
    nobody = f"erased:{uuid7()}"
    emptied: dict[str, Any] = {
        "principal": nobody, "value": None, "reason": [], "idempotency_key": None, "body_hash": "", "slot": "", "erased": 1,
    }  # fmt: skip
    connection.execute(choices.update().where(choices.c.completion_id.in_(wanted)).values(address=""))
    connection.execute(events.update().where(about).values(emptied))
    connection.execute(messages.delete().where(said))
    blank: dict[str, Any] = {"principal": nobody, "end_user": None, "thread_id": "", "parent": "", "params": {}, "erased": 1}
    connection.execute(completions.update().where(mine).values(blank))
    if event_ids or completion_ids:
        subject = digest("subject", principal)
        row = {"id": uuid7(), "subject_hash": subject, "event_ids": event_ids, "completion_ids": completion_ids, "at": time.time()}
        connection.execute(erasures.insert().values(row))


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
