"""Engines elsewhere: added after a look at what they serve, and asked as models are. Their keys lie in files for the owner alone."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from feilun.artifacts import write_secret
from feilun.engine.endpoint import Endpoint, bases, check_url
from feilun.engine.protocol import ENGINES, EngineFault
from feilun.engine.remote import Found, RemoteChat, find_models
from feilun.serve.errors import ApiError
from feilun.serve.loaded import Loaded
from feilun.store import ENGINE_NAME, Conflict, EngineRow, NotFound, Store, engine_of
from feilun.types import UserError

__all__ = ["Added", "Remotes", "Tested", "add_engine", "keep_engine", "look", "read_key", "remove_engine", "write_key"]

RESERVED = frozenset({*ENGINES, "feilun", "champion", "candidate", "own", "remote", "rules"})
MAX_KEY_CHARS = 4096
MAX_MODEL_CHARS = 200
NUM_SHOWN = 8


class Tested(NamedTuple):
    """What a look at an endpoint found. problem: "" when there is none."""

    url: str
    models: tuple[str, ...]
    problem: str


class Added(NamedTuple):
    row: EngineRow
    tested: Tested


@dataclass(frozen=True, slots=True)
class Held:
    """A remote model and what it was made of; made of something else, it is another."""

    row: EngineRow
    key: str
    loaded: Loaded
    chat: RemoteChat


class Remotes:
    """The engines of the store as models. Another process may change them: every look is a fresh one."""

    def __init__(self, home: Path, store: Store, capacity: int):
        self._home, self._store, self._capacity = home, store, capacity
        self._held: dict[str, Held] = {}

    async def named(self, model: str) -> Loaded:
        """The model "engine:NAME", or "engine:NAME/MODEL" as its answers are signed; ApiError 404."""
        return (await self._hold(model)).loaded

    async def _hold(self, model: str) -> Held:
        name = engine_of(model) or ""
        try:
            row, key = await asyncio.to_thread(self._look_up, name)
        except NotFound:
            raise ApiError(404, f"there is no engine {name!r}", param="model", code="model_not_found") from None
        if model not in (f"engine:{name}", row.ref):
            raise ApiError(404, f"the engine {name!r} serves {row.ref!r}, not {model!r}", param="model", code="model_not_found")
        # No await may stand between here and the caller's acquire.
        held = self._held.get(name)
        if held is None or (held.row.url, held.row.ref, held.key) != (row.url, row.ref, key):
            if held is not None:
                held.loaded.retire()
            chat = RemoteChat(Endpoint(name=name, url=row.url, key=key), row.model, ref=row.ref)
            held = self._held[name] = Held(row, key, Loaded(row.ref, chat, self._capacity), chat)
        return held

    def _look_up(self, name: str) -> tuple[EngineRow, str]:
        return self._store.engine(name), read_key(self._home, name)

    def problem(self, row: EngineRow) -> str | None:
        """What went wrong with the last answer or test; "" after a whole one, None before the first."""
        held = self._held.get(row.name)
        return held.chat.problem if held is not None and held.row.ref == row.ref else None

    async def test(self, name: str) -> Tested:
        """Ask an engine what it serves; the store's row is not touched. ApiError 404."""
        held = await self._hold(f"engine:{name}")
        tested = await look(held.chat.endpoint, held.row.model)
        held.chat.problem = tested.problem
        return tested

    def leave(self) -> list[Loaded]:
        """All that was held, to be retired by the caller."""
        held, self._held = self._held, {}
        return [item.loaded for item in held.values()]


async def look(endpoint: Endpoint, model: str = "") -> Tested:
    """What an endpoint serves, and whether `model` is among it; a fault is told as its problem."""
    try:
        found = await find_models(endpoint)
    except EngineFault as fault:
        return Tested(bases(endpoint.url)[0], (), str(fault))
    missing = model and found.models and model not in found.models
    return Tested(*found, str(endpoint.fault(f"it does not list {model!r}, but {_some(found.models)}")) if missing else "")


async def add_engine(home: Path, store: Store, name: str, url: str, *, model: str = "", key: str = "", teach: bool = False) -> Added:
    """Add an endpoint under a name. Without a model it must serve exactly one; with one it may be away. UserError, EngineFault."""
    row = EngineRow(name=check_name(name), url=check_url(url), model=check_model(model), teach=teach)
    endpoint = Endpoint(name=name, url=row.url, key=check_key(key))
    await asyncio.to_thread(_check_free, store, name)
    if model:
        tested = await look(endpoint, model)
    else:
        found = await find_models(endpoint)
        model, tested = check_model(_only(endpoint, found)), Tested(*found, "")
    row = await asyncio.to_thread(_write, home, store, EngineRow(name=name, url=tested.url, model=model, teach=teach), key)
    return Added(row, tested)


async def keep_engine(home: Path, store: Store, name: str, url: str, *, model: str = "", key: str = "") -> Added:
    """As `add_engine`, but one that is there at this URL is kept: what is not given stays as it is, its owner's word on terms above all."""
    try:
        row = store.engine(name)
    except NotFound:
        return await add_engine(home, store, name, url, model=model, key=key)
    if row.url not in bases(check_url(url)):
        raise Conflict(f"the engine {name!r} is at {row.url}, not at {url}; remove it on the page first, or take another name")
    if key:
        write_key(home, name, key)
    if model:
        row = store.change_engine(name, model=check_model(model))
    return Added(row, Tested(row.url, (), ""))


def _check_free(store: Store, name: str) -> None:
    """Said before a slow look; the store says it again when it counts."""
    if any(row.name == name for row in store.engines()):
        raise Conflict(f"the engine {name!r} is there already; remove it first, or take another name")


def _write(home: Path, store: Store, row: EngineRow, key: str) -> EngineRow:
    # The row first: a name that is taken must not get another engine's key.
    row = store.add_engine(row)
    try:
        write_key(home, row.name, key)
    except OSError:
        store.remove_engine(row.name)
        raise
    return row


def remove_engine(home: Path, store: Store, name: str) -> None:
    """Raises NotFound. Its answers stay, and teach no more."""
    store.remove_engine(name)
    _key_path(home, name).unlink(missing_ok=True)


def _only(endpoint: Endpoint, found: Found) -> str:
    if not found.models:
        raise UserError(f"engine {endpoint.name}: {found.url} lists no model; say which one to ask for")
    if len(found.models) > 1:
        raise UserError(f"engine {endpoint.name}: {found.url} serves {_some(found.models)}; say which one to ask for")
    return found.models[0]


def _some(models: tuple[str, ...]) -> str:
    more = f" and {len(models) - NUM_SHOWN} more" if len(models) > NUM_SHOWN else ""
    return ", ".join(models[:NUM_SHOWN]) + more


def check_name(name: str) -> str:
    if not ENGINE_NAME.fullmatch(name):
        raise UserError(f"an engine's name is 1 to 32 of a-z, 0-9 and '-', found {name[:80]!r}")
    if name in RESERVED:
        raise UserError(f"the name {name!r} means something else here; take another one for the engine")
    return name


def check_model(model: str) -> str:
    if len(model) > MAX_MODEL_CHARS or not model.isprintable():
        raise UserError(f"a model's name is at most {MAX_MODEL_CHARS} printable characters, found {model[:80]!r}")
    return model


def check_key(key: str) -> str:
    """What may stand in an HTTP header; the message does not show it."""
    if len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"the engine's key must be at most {MAX_KEY_CHARS} printable ASCII characters without spaces")
    return key


def _key_path(home: Path, name: str) -> Path:
    return home / "keys" / f"engine-{name}.key"


def write_key(home: Path, name: str, key: str) -> None:
    """The key in a file of its own that the owner alone can read; an empty key is no file."""
    path = _key_path(home, name)
    if not key:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_secret(path, check_key(key))


def read_key(home: Path, name: str) -> str:
    try:
        return _key_path(home, name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
