"""What became of answers: whether another was asked for beside one, and what was said after it."""

from typing import NamedTuple

import sqlalchemy as sa

from feilun.store.identity import DESK, text_of
from feilun.store.schema import choices, completions, messages
from feilun.types import Consent


class Reply(NamedTuple):
    """An answer after which its asker went on. siblings: answers to the same question, itself included; next: the user's words after it."""

    completion_id: str
    choice: int
    principal: str
    consent: Consent
    siblings: int
    next: str


def newest(connection: sa.Connection, limit: int) -> list[Reply]:
    """Of the newest `limit` answers, by when they ended, those that were followed by something, the newest first.

    Of two siblings in one completion neither was asked for in place of the other.
    """
    about = completions.c
    columns = (about.id, about.principal, about.consent, about.parent, about.finished)
    whole = sa.select(*columns).where(about.erased == 0).order_by(about.finished.desc(), about.id).limit(limit).subquery()
    wanted = sa.select(whole, choices.c.choice_index, choices.c.address).join(choices, choices.c.completion_id == whole.c.id)
    some = wanted.order_by(whole.c.finished.desc(), whole.c.id, choices.c.choice_index).limit(limit).cte("some")
    after = (messages.c.parent == some.c.address) & (messages.c.role == "user")
    found = sa.select(some, messages.c.content).join(messages, after)
    rows = connection.execute(found.order_by(some.c.finished.desc(), some.c.id, some.c.choice_index, messages.c.address))
    # Of several things said after one answer the last in order of address counts.
    last = {(row.id, row.choice_index): row for row in rows}
    if not last:
        return []
    asked = sa.select(some.c.parent, sa.func.count(some.c.id.distinct()).label("num")).group_by(some.c.parent)
    siblings = {row.parent: row.num for row in connection.execute(asked)}
    return [
        Reply(row.id, row.choice_index, row.principal, Consent(row.consent), siblings[row.parent], text_of(row.content))
        for row in last.values()
    ]  # fmt: skip


class Given(NamedTuple):
    """An answer that was given to somebody, by whom."""

    id: str
    principal: str
    model: str


def given(connection: sa.Connection) -> list[Given]:
    """Every answer to people; what was made to be judged aside."""
    about = completions.c
    rows = connection.execute(sa.select(about.id, about.principal, about.model).where(about.erased == 0, about.principal != DESK))
    return [Given(*row) for row in rows]
