"""Which model answers: the champion, swapped while requests run, models that an exam names, and engines elsewhere.

A request acquires a model and keeps it to its end; a retired model is closed when the last request lets go. Everything here runs on
the event loop, except loading, verifying and closing, which run in threads.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from feilun.artifacts import Artifact, find, verify
from feilun.config import ServeSettings
from feilun.engine.chat import Chat, ChatParams
from feilun.serve.errors import ApiError
from feilun.serve.grounded import held_to_lessons
from feilun.serve.loaded import Loaded
from feilun.serve.looking import look_for_ever
from feilun.serve.remotes import Remotes
from feilun.store import ChampionRow, Store, engine_of
from feilun.types import Conversation, UserError

__all__ = ["SERVED_NAMES", "EngineFactory", "Loaded", "Models"]

log = logging.getLogger(__name__)

EngineFactory = Callable[[Path, str, ServeSettings], Chat]

SERVED_NAMES = ("feilun", "champion")
WATCH_SECONDS = 0.5
RETRY_SECONDS = 30.0
MAX_EXTRAS = 2
FAILURE_NOTE = "champion_failure"


@dataclass(slots=True)
class Failure:
    epoch: int
    at: float


class Models:
    """The champion, watched in the store, and at most MAX_EXTRAS further models, the least recently used retired first."""

    def __init__(self, home: Path, settings: ServeSettings, store: Store, factory: EngineFactory, *, retry_seconds: float = RETRY_SECONDS):
        self.home, self.settings, self.store, self.factory, self.retry_seconds = home, settings, store, factory, retry_seconds
        self.current: Loaded | None = None
        self.epoch = 0
        self._failure: Failure | None = None
        self._extras: OrderedDict[str, asyncio.Task[Loaded]] = OrderedDict()
        self.remotes = Remotes(home, store, self._capacity)

    @property
    def _capacity(self) -> int:
        return self.settings.max_batch + self.settings.max_queue

    async def watch(self) -> None:
        """Look at the champion row for ever; a fault of the look itself is logged and looked past."""
        await look_for_ever("the champion row", self.look, WATCH_SECONDS)

    async def look(self) -> None:
        """Take the champion if it is another one; one that could not be loaded is tried again after `retry_seconds`."""
        row = await asyncio.to_thread(self.store.champion)
        if row is None or row.epoch == self.epoch or self._failed_lately(row):
            return
        if self.current is None or self.current.ref != full_ref(row.model):
            await self._swap(row)
        elif self._failure is not None:  # back to the model that never left
            await self._forget_failure()
        if self._failure is None:
            self.epoch = row.epoch

    def _failed_lately(self, row: ChampionRow) -> bool:
        failure = self._failure
        return failure is not None and failure.epoch == row.epoch and time.monotonic() - failure.at < self.retry_seconds

    async def _swap(self, row: ChampionRow) -> None:
        try:
            fresh = await self.load(row.model)
        except Exception as error:
            # Whatever a broken directory raises, the old model goes on answering.
            await self._note_failure(row, error)
            return
        old, self.current = self.current, fresh
        log.info("champion %s (epoch %d) answers from now on", fresh.ref, row.epoch)
        if old is not None:
            old.retire()
        await self._forget_failure()

    async def _forget_failure(self) -> None:
        self._failure = None
        await asyncio.to_thread(self.store.note, FAILURE_NOTE, {})

    async def _note_failure(self, row: ChampionRow, error: Exception) -> None:
        log.error("champion %s could not be loaded, the old model stays: %s", row.model, error)
        self._failure = Failure(row.epoch, time.monotonic())
        note = {"model": row.model, "epoch": row.epoch, "error": f"{type(error).__name__}: {error}", "at": time.time()}
        await asyncio.to_thread(self.store.note, FAILURE_NOTE, note)

    async def named(self, model: str, *, any_ref: bool) -> Loaded:
        """The model that a request names. any_ref: it may be any in the home. ApiError 404 or 503."""
        if engine_of(model) is not None:
            return await self.remotes.named(model)
        current = self.current
        if model in SERVED_NAMES or (current is not None and full_ref(model) == current.ref):
            if current is None:
                raise ApiError(
                    503, "no model has been made yet; the page shows how far it is", code="model_not_ready", retry_after_seconds=5
                )
            return current
        if not any_ref:
            known = ", ".join((*SERVED_NAMES, *([current.ref] if current else [])))
            raise ApiError(404, f"the model {model!r} does not exist here; served: {known}", param="model", code="model_not_found")
        return await self._extra(model)

    async def _extra(self, model: str) -> Loaded:
        try:
            ref = await asyncio.to_thread(self._resolve, model)
            while True:
                if ref not in self._extras:
                    self._extras[ref] = asyncio.create_task(self.load(ref))
                task = self._extras[ref]
                self._extras.move_to_end(ref)
                self._evict()
                loaded = await asyncio.shield(task)
                if self._extras.get(ref) is task:
                    return loaded
        except UserError as error:
            raise ApiError(404, str(error), param="model", code="model_not_found") from None
        finally:
            self._drop_failed()

    def _evict(self) -> None:
        while len(self._extras) > MAX_EXTRAS:
            _, oldest = self._extras.popitem(last=False)
            oldest.add_done_callback(_retire_result)

    def _resolve(self, model: str) -> str:
        named = self.store.candidate() if model == "candidate" else model
        if named is None:
            raise UserError("there is no candidate now")
        artifact = find(self.home, named, "models")
        return f"{artifact.kind}/{artifact.ref}"

    def _drop_failed(self) -> None:
        for ref in [r for r, task in self._extras.items() if task.done() and (task.cancelled() or task.exception() is not None)]:
            del self._extras[ref]

    async def load(self, ref: str) -> Loaded:
        """A model of this home, whole and warm."""
        artifact, chat = await asyncio.to_thread(load_chat, self.home, ref, self.settings, self.factory)
        return Loaded(f"{artifact.kind}/{artifact.ref}", chat, self._capacity)

    async def close(self) -> None:
        """Retire every model and wait until it is closed; call when no request is left."""
        loaded = [self.current] if self.current else []
        for task in self._extras.values():
            with suppress(Exception):
                loaded.append(await task)
        self.current = None
        self._extras.clear()
        for model in (*loaded, *self.remotes.leave()):
            model.retire()
            await model.closed()


def full_ref(model: str) -> str:
    return model if model.startswith("models/") else f"models/{model}"


def load_chat(home: Path, ref: str, settings: ServeSettings, factory: EngineFactory) -> tuple[Artifact, Chat]:
    """Verify the artifact, load it and answer once, so that the first reader does not wait; UserError when it is not whole."""
    artifact = find(home, ref, "models")
    if artifact.manifest.get("tombstone"):
        raise UserError(f"{ref} was erased; promote another model")
    if faults := verify(artifact):
        raise UserError(f"{ref} is not whole: {'; '.join(faults[:3])}; make it again or roll back")
    chat = factory(artifact.path, f"{artifact.kind}/{artifact.ref}", settings)
    chat.complete([Conversation.of("1")], ChatParams(max_tokens=1))
    return artifact, held_to_lessons(chat, home, ref) if settings.hold_to_facts else chat


def _retire_result(task: "asyncio.Task[Loaded]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().retire()
