"""Models that may not answer any more: no promotion and no way back leads to them."""

import time
from collections.abc import Iterable

import sqlalchemy as sa

from feilun.store.schema import quarantined


def add(connection: sa.Connection, refs: Iterable[str], why: str) -> None:
    """The first reason stays."""
    known = set(listed(connection))
    rows = [{"ref": ref, "why": why, "at": time.time()} for ref in refs if ref not in known]
    if rows:
        connection.execute(quarantined.insert(), rows)


def listed(connection: sa.Connection) -> dict[str, str]:
    """ref -> why, oldest first."""
    return {row.ref: row.why for row in connection.execute(quarantined.select().order_by(quarantined.c.at, quarantined.c.ref))}
