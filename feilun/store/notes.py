"""Small status rows by key; the last write wins."""

import time
from typing import Any

import sqlalchemy as sa

from feilun.store.schema import notes


def write(connection: sa.Connection, key: str, value: dict[str, Any]) -> None:
    row = {"value": value, "at": time.time()}
    if connection.execute(notes.update().where(notes.c.key == key).values(row)).rowcount == 0:
        connection.execute(notes.insert().values(key=key, **row))


def read(connection: sa.Connection, key: str) -> dict[str, Any] | None:
    return connection.execute(sa.select(notes.c.value).where(notes.c.key == key)).scalar()
