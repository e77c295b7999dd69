"""Forgetting a person: content goes, ids stay, so that whatever was made from it can be found and rebuilt."""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa

from feilun.store import drafts, kept, mirrors, search, tasks
from feilun.store.chunks import in_chunks
from feilun.store.identity import DESK, root_address, subject_of, text_of, thread_hash, uuid7
from feilun.store.rows import EXPIRED, WHOLE, Erasure, NotFound, OldEvent, OldThread
from feilun.store.schema import choices, completions, erasures, events, messages
from feilun.store.schema import drafts as drafts_table

Place = tuple[str, str | None]  # principal and thread; None: all of them


def forget(connection: sa.Connection, principal: str) -> Erasure:
    """Erases what stands under the principal; the answer also names what earlier erasures of it emptied."""
    mine = completions.c.principal == principal
    places = [*_forget_copies(connection, mine, subject_of(principal)), (principal, None)]
    tasks.forget_rater(connection, principal)
    _empty(connection, subject_of(principal), WHOLE, mine, events.c.principal == principal, messages.c.principal == principal)
    search.forget(connection, places)
    drafts.forget(connection, principal)
    return _joined(connection, subject_of(principal))


def forget_thread(connection: sa.Connection, principal: str, thread_id: str) -> None:
    """Erases one conversation of a principal, and what they said about its answers. Raises NotFound."""
    search.forget(connection, _forget_thread(connection, principal, thread_id, subject_of(principal)))


def _forget_thread(connection: sa.Connection, principal: str, thread_id: str, subject: str) -> list[Place]:
    """subject: in whose name. The conversations that are still to be taken out of the index: this one, and copies of its questions."""
    mine = (completions.c.principal == principal) & (completions.c.thread_id == thread_id)
    if not connection.execute(sa.select(completions.c.id).where(mine)).first():
        raise NotFound(f"no conversation {thread_id!r}")
    root = root_address(principal, thread_id)
    below = sa.select(messages.c.address).where(messages.c.parent == root).cte("below", recursive=True)
    below = below.union_all(sa.select(messages.c.address).join(below, messages.c.parent == below.c.address))
    places = _forget_copies(connection, mine, subject)
    # About a task's answers others speak too, and lessons name their events.
    about = events.c.target_id.in_(sa.select(completions.c.id).where(mine))
    said = messages.c.address.in_(list(connection.execute(sa.select(below)).scalars()))
    _empty(connection, subject, thread_hash(principal, thread_id), mine, about, said)
    drafts.forget(connection, principal, thread_id)
    return [*places, (principal, thread_id)]


def _forget_copies(connection: sa.Connection, mine: "Which", subject: str) -> list[Place]:
    """Erase the tasks that were made of these answers' questions, with what was said of them, whoever said it."""
    places: list[Place] = []
    for task in tasks.copies_of(connection, connection.execute(sa.select(completions.c.id).where(mine)).scalars().all()):
        tasks.forget(connection, task)
        if connection.execute(sa.select(completions.c.id).where(completions.c.thread_id == task, completions.c.principal == DESK)).first():
            places += _forget_thread(connection, DESK, task, subject)
    return places


def old_threads(connection: sa.Connection, before: float) -> list[OldThread]:
    """Conversations whose newest answer ended earlier and in which nothing is being written, the oldest first."""
    at = sa.func.max(completions.c.finished)
    place = (completions.c.principal, completions.c.thread_id)
    found = sa.select(*place, at.label("at")).where(completions.c.erased == 0).group_by(*place).having(at < before)
    busy = {(row.principal, row.thread_id) for row in connection.execute(sa.select(drafts_table.c.principal, drafts_table.c.thread_id))}
    rows = (OldThread(*row) for row in connection.execute(found.order_by(at)))
    return [row for row in rows if (row.principal, row.thread_id) not in busy]


def old_events(connection: sa.Connection, before: float) -> list[OldEvent]:
    """Events that came earlier and still say something, with the conversation they are about."""
    joined = events.join(completions, completions.c.id == events.c.target_id)
    columns = (events.c.id, events.c.principal, completions.c.thread_id, events.c.at)
    wanted = sa.select(*columns).select_from(joined).where(events.c.at < before, events.c.erased == 0).order_by(events.c.seq)
    return [OldEvent(*row) for row in connection.execute(wanted)]


def expire(connection: sa.Connection, threads: Iterable[OldThread], event_ids: Iterable[str]) -> None:
    """Erase what was kept for its time. What was made of it is no longer to be read either, but nobody asked to be unlearned."""
    places: list[Place] = []
    for thread in threads:
        # One may have gone with another, as a task does with the question that it was made of, or at somebody's word meanwhile.
        with contextlib.suppress(NotFound):
            places += _forget_thread(connection, thread.principal, thread.thread_id, EXPIRED)
    ids = list(event_ids)
    for some in in_chunks(ids):
        _empty(connection, EXPIRED, WHOLE, sa.false(), events.c.id.in_(some), sa.false())
    search.forget(connection, places, ids)


Which = sa.ColumnElement[bool]


def _empty(connection: sa.Connection, subject: str, thread: str, mine: Which, about: Which, said: Which) -> None:
    """Blank these completions and events, delete these messages, and leave a row that names what was emptied."""
    kept.drop(connection)
    event_ids = list(connection.execute(sa.select(events.c.id).where(about).order_by(events.c.seq)).scalars())
    wanted = sa.select(completions.c.id).where(mine)
    completion_ids = list(connection.execute(wanted.order_by(completions.c.id)).scalars())
    # Nobody's name: rows of one erasure stay together, and nothing leads back to the person.
    nobody = f"erased:{uuid7()}"
    emptied: dict[str, Any] = {
        "principal": nobody, "value": None, "reason": [], "idempotency_key": None, "body_hash": "", "slot": "", "erased": 1,
    }  # fmt: skip
    mirrors.forget(connection, wanted)
    connection.execute(choices.update().where(choices.c.completion_id.in_(wanted)).values(address=""))
    connection.execute(events.update().where(about).values(emptied))
    connection.execute(messages.delete().where(said))
    blank: dict[str, Any] = {"principal": nobody, "end_user": None, "thread_id": "", "parent": "", "params": {}, "erased": 1}
    connection.execute(completions.update().where(mine).values(blank))
    row = {
        "id": uuid7(), "subject_hash": subject, "thread_hash": thread, "event_ids": event_ids,
        "completion_ids": completion_ids, "at": time.time(),
    }  # fmt: skip
    connection.execute(erasures.insert().values(row))


def _joined(connection: sa.Connection, subject: str) -> Erasure:
    rows = connection.execute(erasures.select().where(erasures.c.subject_hash == subject).order_by(erasures.c.at)).all()
    return Erasure(
        event_ids=tuple(event_id for row in rows for event_id in row.event_ids),
        completion_ids=tuple(completion_id for row in rows for completion_id in row.completion_ids),
        at=rows[-1].at,
        subject=subject,
    )


def principals(connection: sa.Connection) -> list[str]:
    """Everybody of whom something is stored."""
    tables = (completions, messages, events, drafts_table)
    found = {name for table in tables for name in connection.execute(sa.select(table.c.principal).distinct()).scalars()}
    return sorted(name for name in found if not name.startswith("erased:"))


def words_of(connection: sa.Connection, principal: str) -> set[str]:
    """Every text that stands under the principal: what they asked, were answered, said of answers, and what is being written."""
    said = connection.execute(sa.select(messages.c.content).where(messages.c.principal == principal)).scalars()
    found = {text_of(content) for content in said}
    values = connection.execute(sa.select(events.c.value).where(events.c.principal == principal)).scalars()
    found |= {value for value in values if isinstance(value, str)}
    for row in connection.execute(drafts_table.select().where(drafts_table.c.principal == principal)):
        found |= {text["text"] for text in row.texts} | set(_texts(row.request.get("messages", [])))
    return {text for text in found if text.strip()}


def _texts(given: list[dict[str, Any]]) -> Iterator[str]:
    for message in given:
        content = message["content"]
        yield content if isinstance(content, str) else text_of(content)
