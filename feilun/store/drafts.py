"""Answers that are being written. Their server renews them about every second; what it leaves behind becomes an aborted answer."""

import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from feilun.store import completions
from feilun.store.database import Database
from feilun.store.graves import check_not_forgotten
from feilun.store.rows import CompletionRecord
from feilun.store.schema import drafts
from feilun.types import Consent, Decision

COLUMNS = ("id", "principal", "end_user", "model", "thread_id")
ABORT = "abort"


class Drafts:
    """Each write is committed when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, record: CompletionRecord) -> None:
        """Keep an answer that is being written; `record_completion` of the same id ends it."""
        self._database.write(lambda c: save(c, record))

    def renew(self, draft_id: str, texts: Sequence[dict[str, Any]]) -> None:
        """The answers as far as they have come: {"index", "text", "num_tokens"} each. A draft that has ended stays ended."""
        self._database.write(lambda c: renew(c, draft_id, texts))

    def principal_of(self, draft_id: str) -> str | None:
        """Whose answer is being written under this id; None when there is no such draft."""
        return self._database.read(lambda c: principal_of_draft(c, draft_id))

    def of(self, principal: str) -> list[CompletionRecord]:
        """What is being written for a principal, as if it were broken off now."""
        return self._database.read(lambda c: [_record(row) for row in c.execute(drafts.select().where(drafts.c.principal == principal))])

    def adopt(self, before: float, but: Collection[str] = ()) -> list[str]:
        """Record drafts that nobody renewed since `before` as completions with finish_reason "abort"; their ids."""
        # Mostly there is none, and to find that out takes no lock.
        if not self._database.read(lambda c: left(c, before, but)):
            return []
        return self._database.write(lambda c: adopt(c, before, but))


def save(connection: sa.Connection, record: CompletionRecord) -> None:
    """A new draft: what was asked, and the answers as far as they have come."""
    check_not_forgotten(connection, record.principal, record.thread_id, record.started)
    given = asdict(record)
    del given["exposure"]  # an answer that a killed server broke off speaks for neither model
    row = {name: given.pop(name) for name in COLUMNS}
    row |= {"texts": given.pop("choices"), "request": given, "updated": time.time()}
    connection.execute(drafts.insert().values(row))


def renew(connection: sa.Connection, draft_id: str, texts: Sequence[dict[str, Any]]) -> None:
    """The answers as far as they have come since; a draft that was recorded meanwhile is gone and stays so."""
    connection.execute(drafts.update().where(drafts.c.id == draft_id).values(texts=list(texts), updated=time.time()))


def principal_of_draft(connection: sa.Connection, draft_id: str) -> str | None:
    return connection.execute(sa.select(drafts.c.principal).where(drafts.c.id == draft_id)).scalar()


def left(connection: sa.Connection, before: float, but: Collection[str]) -> list[sa.Row[Any]]:
    """Drafts that nobody renewed since `before`, those in `but` aside."""
    return list(connection.execute(drafts.select().where(drafts.c.updated < before, drafts.c.id.not_in(list(but)))).all())


def adopt(connection: sa.Connection, before: float, but: Collection[str]) -> list[str]:
    """Record each of them as a completion that was broken off; their ids."""
    rows = left(connection, before, but)
    for row in rows:
        completions.record(connection, _record(row))
    return [row.id for row in rows]


def _record(row: sa.Row[Any]) -> CompletionRecord:
    request, names = dict(row.request), row._mapping
    decision = request.pop("decision")
    request |= {
        "decision": Decision(**{**decision, "candidates": tuple(decision["candidates"])}),
        "consent": Consent(request["consent"]),
        "finished": row.updated,
        "completion_tokens": sum(text["num_tokens"] for text in row.texts),
        "choices": [{**text, "finish_reason": ABORT} for text in row.texts],
    }
    return CompletionRecord(**{name: names[name] for name in COLUMNS}, **request)


def forget(connection: sa.Connection, principal: str, thread_id: str | None = None) -> None:
    mine = drafts.c.principal == principal
    connection.execute(drafts.delete().where(mine if thread_id is None else mine & (drafts.c.thread_id == thread_id)))
