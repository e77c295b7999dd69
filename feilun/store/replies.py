"""What became of answers: whether another was asked for beside one, and what was said after it."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.identity import text_of
from feilun.store.schema import choices, completions, messages
from feilun.types import Consent

IN_CHUNK = 500


class Reply(NamedTuple):
    """An answer and what followed. siblings: answers to the same question, itself included; next: the user's words after it."""

    completion_id: str
    choice: int
    principal: str
    consent: Consent
    siblings: int
    next: str | None


def newest(connection: sa.Connection, limit: int) -> list[Reply]:
    """The newest `limit` answers, by when they ended. Of two siblings in one completion neither was asked for in place of the other."""
    about = completions.c
    wanted = sa.select(about.id, about.principal, about.consent, about.parent, choices.c.choice_index, choices.c.address)
    wanted = wanted.join(choices, choices.c.completion_id == about.id).where(about.erased == 0)
    rows = connection.execute(wanted.order_by(about.finished.desc(), about.id, choices.c.choice_index).limit(limit)).all()
    after = _said_after(connection, [row.address for row in rows])
    asked: dict[str, set[str]] = {}
    for row in rows:
        asked.setdefault(row.parent, set()).add(row.id)
    return [
        Reply(row.id, row.choice_index, row.principal, Consent(row.consent), len(asked[row.parent]), after.get(row.address))
        for row in rows
    ]  # fmt: skip


def _said_after(connection: sa.Connection, addresses: list[str]) -> dict[str, str]:
    said: dict[str, Any] = {}
    for start in range(0, len(addresses), IN_CHUNK):
        among = messages.c.parent.in_(addresses[start : start + IN_CHUNK]) & (messages.c.role == "user")
        rows = connection.execute(sa.select(messages.c.parent, messages.c.content).where(among).order_by(messages.c.address))
        said.update((row.parent, text_of(row.content)) for row in rows)
    return said
