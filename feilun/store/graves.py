"""What is known of erasures: how many, of what, and whether an answer comes too late to be kept."""

import sqlalchemy as sa

from feilun.store.identity import subject_of, thread_hash
from feilun.store.rows import WHOLE, Conflict, Erasure
from feilun.store.schema import erasures


def listed(connection: sa.Connection) -> list[Erasure]:
    rows = connection.execute(erasures.select().order_by(erasures.c.at, erasures.c.id))
    return [
        Erasure(
            event_ids=tuple(row.event_ids), completion_ids=tuple(row.completion_ids), at=row.at, subject=row.subject_hash,
            thread=row.thread_hash,
        )
        for row in rows
    ]  # fmt: skip


def epoch(connection: sa.Connection) -> int:
    """How many erasures there were; another number means that something went."""
    # No row is ever deleted, so the newest rowid is their number; to count them would be to read them, twice a second.
    return connection.execute(sa.select(sa.func.max(sa.literal_column("rowid"))).select_from(erasures)).scalar() or 0


def check_not_forgotten(connection: sa.Connection, principal: str, thread_id: str, started: float) -> None:
    """Raises Conflict where what began at `started` was erased since then: its answer must not bring back what went."""
    about = (WHOLE, thread_hash(principal, thread_id))
    later = (erasures.c.subject_hash == subject_of(principal)) & erasures.c.thread_hash.in_(about) & (erasures.c.at >= started)
    if started and connection.execute(sa.select(erasures.c.id).where(later).limit(1)).first():
        raise Conflict("this conversation was erased while it was being answered; nothing of the answer is kept")
