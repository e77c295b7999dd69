"""Engines elsewhere: which there are, and whether their terms let a model be taught with their answers.

They stand in notes "engine/NAME"; their keys never do. A removed engine keeps its row, because its answers stay in the store: its
name must not come to stand for another endpoint, which may have other terms.
"""

import re
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa

from feilun.store import notes as note_rows
from feilun.store.rows import Conflict, NotFound, StoreError
from feilun.store.schema import completions, notes

MODEL_PREFIX = "engine:"
NOTE_PREFIX, AFTER_PREFIX = "engine/", "engine0"  # "0" follows "/": between the two stand all names
ENGINE_NAME = re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """url: of its API, up to "/v1" or what it has instead. teach: whether the owner says that its terms allow it."""

    name: str
    url: str
    model: str
    teach: bool = False
    added: float = 0.0
    removed: float | None = None

    @property
    def ref(self) -> str:
        """What a completion's `model` says: "engine:NAME/model"."""
        return f"{MODEL_PREFIX}{self.name}/{self.model}"


def engine_of(model: str) -> str | None:
    """The engine elsewhere that a completion's model names; None for an own model."""
    return model.removeprefix(MODEL_PREFIX).partition("/")[0] if model.startswith(MODEL_PREFIX) else None


def listed(connection: sa.Connection) -> list[EngineRow]:
    ours = (notes.c.key > NOTE_PREFIX) & (notes.c.key < AFTER_PREFIX)
    found = connection.execute(sa.select(notes.c.key, notes.c.value).where(ours)).all()
    rows = (_row(key.removeprefix(NOTE_PREFIX), value) for key, value in found)
    return sorted((row for row in rows if row.removed is None), key=lambda row: (row.added, row.name))


def by_name(connection: sa.Connection, name: str) -> EngineRow:
    row = _any(connection, name)
    if row is None or row.removed is not None:
        raise NotFound(f"there is no engine {name!r}")
    return row


def add(connection: sa.Connection, row: EngineRow) -> EngineRow:
    if not ENGINE_NAME.fullmatch(row.name):
        raise StoreError(f"an engine's name is 1 to 32 of a-z, 0-9 and '-', found {row.name!r}")
    earlier = _any(connection, row.name)
    if earlier is not None and earlier.removed is None:
        raise Conflict(f"the engine {row.name!r} is there already, at {earlier.url}; remove it first, or take another name")
    if earlier is not None and earlier.url != row.url and _has_spoken(connection, row.name):
        raise Conflict(f"the name {row.name!r} belonged to {earlier.url}, whose answers are kept; take another name for {row.url}")
    return _put(connection, replace(row, added=time.time(), removed=None))


def change(connection: sa.Connection, name: str, *, teach: bool | None, model: str | None) -> EngineRow:
    row = by_name(connection, name)
    return _put(connection, replace(row, teach=row.teach if teach is None else teach, model=row.model if model is None else model))


def remove(connection: sa.Connection, name: str) -> None:
    _put(connection, replace(by_name(connection, name), teach=False, removed=time.time()))


def _any(connection: sa.Connection, name: str) -> EngineRow | None:
    value = note_rows.read(connection, NOTE_PREFIX + name)
    return None if value is None else _row(name, value)


def _row(name: str, value: dict[str, Any]) -> EngineRow:
    return EngineRow(name=name, **value)


def _put(connection: sa.Connection, row: EngineRow) -> EngineRow:
    note_rows.write(connection, NOTE_PREFIX + row.name, {key: value for key, value in asdict(row).items() if key != "name"})
    return row


def _has_spoken(connection: sa.Connection, name: str) -> bool:
    wanted = completions.c.model.startswith(f"{MODEL_PREFIX}{name}/", autoescape=True)
    return connection.execute(sa.select(completions.c.id).where(wanted).limit(1)).first() is not None
