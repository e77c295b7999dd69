"""Generations as state that a page attaches to: a snapshot, then what changes, then the end.

Whoever reads, however often and late, reads the same state; that nobody reads stops nothing. What was made is kept in memory for some
minutes after the end, and about once a second in the store, so that neither a reload nor a killed server loses it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from feilun.serve.errors import ApiError
from feilun.serve.generation import Failed, Generation
from feilun.serve.language import said
from feilun.serve.render import Blocks, render_blocks
from feilun.serve.state import State
from feilun.serve.wire import encode
from feilun.store import CompletionRecord, StoreError, address_of, parts_of

__all__ = ["Live", "Lives", "frames", "watch_drafts"]

log = logging.getLogger(__name__)

KEEP_SECONDS = 600.0
MAX_ENDED = 256
MAX_READERS = 32
DRAFT_SECONDS = 1.0
STALE_SECONDS = 3.0
HEARTBEAT_SECONDS = 15.0
PAUSE_SECONDS = 0.05
# Rendering takes at most about this share of the time, however long the text grows.
RENDER_SHARE = 0.2
LONG_CHARS = 8000


class Live:
    """A generation that a page asked for. question, parent: addresses as the page shows them."""

    def __init__(self, state: State, generation: Generation, question: str, parent: str):
        self.generation, self.question, self.parent = generation, question, parent
        self._state = state
        self._growing = [Blocks() for _ in generation.answers]
        self._rendered: list[int | None] = [None] * len(generation.answers)
        self._num_readers = 0
        self._drafting: asyncio.Task[None] | None = None
        self._rendering = asyncio.Lock()

    @property
    def id(self) -> str:
        return self.generation.id

    @property
    def principal(self) -> str:
        return self.generation.principal.name

    @property
    def thread_id(self) -> str:
        return self.generation.place.thread_id

    @property
    def has_ended(self) -> bool:
        return self.generation.end is not None

    def enter(self) -> None:
        """One more reads along until `leave`; ApiError 429 where as many as may do so already."""
        if self._num_readers >= MAX_READERS:
            message = f"{self._num_readers} readers follow this answer and {MAX_READERS} are allowed; close some of them"
            raise ApiError(429, message, code="too_many_readers", retry_after_seconds=5)
        self._num_readers += 1

    def leave(self) -> None:
        self._num_readers -= 1

    async def start(self) -> None:
        """Store the question, then begin. Raises StoreError, and then nothing has begun."""
        await self._write(self._state.store.drafts.save, self.generation.to_record())
        self.generation.start()
        self._drafting = asyncio.create_task(self._keep_draft())

    async def _keep_draft(self) -> None:
        while True:
            try:
                async with asyncio.timeout(DRAFT_SECONDS):
                    await self.generation.ended()
                return
            except TimeoutError:
                texts = [{"index": a.index, "text": a.text, "num_tokens": a.num_tokens} for a in self.generation.answers]
            try:
                await self._write(self._state.store.drafts.renew, self.id, texts)
            except StoreError as error:
                log.warning("the draft of %s could not be renewed: %s", self.id, error)

    async def _write(self, work: Any, *given: Any) -> None:
        await asyncio.get_running_loop().run_in_executor(self._state.writers, work, *given)

    async def blocks(self, index: int) -> tuple[str, ...]:
        """The answer so far as HTML; rendered once for all who read."""
        async with self._rendering:
            text, growing, has_ended = self.generation.answers[index].text, self._growing[index], self.has_ended
            state = -1 if has_ended else len(text)
            if self._rendered[index] != state:
                if len(text) > LONG_CHARS:
                    await asyncio.to_thread(growing.update, text, final=has_ended)
                else:
                    growing.update(text, final=has_ended)
                self._rendered[index] = state
            return growing.blocks


class Lives:
    """Every generation of this server that may be attached to, by id."""

    def __init__(self) -> None:
        self._all: dict[str, Live] = {}

    def add(self, live: Live) -> None:
        self._all[live.id] = live
        self._prune()

    def get(self, generation_id: str) -> Live | None:
        self._prune()
        return self._all.get(generation_id)

    def running(self, principal: str, thread_id: str | None = None) -> list[Live]:
        """Oldest first."""
        mine = (live for live in self._all.values() if live.principal == principal and not live.has_ended)
        return [live for live in mine if thread_id in (None, live.thread_id)]

    def all(self) -> list[Live]:
        """Oldest first."""
        return list(self._all.values())

    def drop(self, live: Live) -> None:
        self._all.pop(live.id, None)

    def forget(self, principal: str, thread_id: str) -> None:
        """Keep no text of this conversation in memory."""
        for live in list(self._all.values()):
            if (live.principal, live.thread_id) == (principal, thread_id):
                del self._all[live.id]

    @property
    def ids(self) -> list[str]:
        return list(self._all)

    def _prune(self) -> None:
        ended = [live for live in self._all.values() if live.has_ended]
        oldest = time.time() - KEEP_SECONDS
        for number, live in enumerate(ended):
            if live.generation.finished < oldest or number < len(ended) - MAX_ENDED:
                del self._all[live.id]


async def frames(live: Live, language: str) -> AsyncGenerator[bytes, None]:
    """The state of a generation as server-sent events, from a snapshot to its end; why it failed is said in `language`."""
    generation = live.generation
    heard = len(generation.log)
    lengths = _lengths(generation)
    shown = [await live.blocks(answer.index) for answer in generation.answers]
    answers = [{"index": answer.index, "blocks": shown[answer.index], "num_chars": lengths[answer.index]} for answer in generation.answers]
    head = {"model": generation.model.ref, "engine": generation.model.chat.info.engine}
    yield frame(0, "snapshot", {"answers": answers, **head, "question": live.question, "thread_id": live.thread_id})
    number = 0
    while not live.has_ended:
        # What came while this reader was being told is no change to wait for.
        if heard == len(generation.log) and not await _change(generation):
            yield b": ping\n\n"
            continue
        heard = len(generation.log)
        started = time.perf_counter()
        for event in await _changed(live, shown):
            number += 1
            yield frame(number, "blocks", event)
        await asyncio.sleep(max(PAUSE_SECONDS, (time.perf_counter() - started) / RENDER_SHARE))
    for event in await _changed(live, shown):
        number += 1
        yield frame(number, "blocks", event)
    end = generation.end
    if isinstance(end, Failed):
        yield frame(number + 1, "failed", {"message": said(end.message, language)})
    else:
        yield frame(number + 1, "end", end_of(generation.to_record(), live.question))


def _lengths(generation: Generation) -> list[int]:
    return [len(answer.text) for answer in generation.answers]


async def _change(generation: Generation) -> bool:
    """False when nothing came for a while."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await generation.change()
        return True
    except TimeoutError:
        return False


async def _changed(live: Live, shown: list[tuple[str, ...]]) -> list[dict[str, Any]]:
    """What a reader who has `shown` needs to show what there is; `shown` is brought up to date."""
    events = []
    for answer in live.generation.answers:
        num_chars = len(answer.text)
        now, had = await live.blocks(answer.index), shown[answer.index]
        same = next((i for i, (old, new) in enumerate(zip(had, now, strict=False)) if old != new), min(len(had), len(now)))
        if now != had:
            events.append({"index": answer.index, "from": same, "blocks": now[same:], "num_chars": num_chars})
            shown[answer.index] = now
    return events


def end_of(record: CompletionRecord, question: str) -> dict[str, Any]:
    """The last event of a generation that was recorded."""
    answers = [
        {
            "index": choice["index"], "address": address_of(question, "assistant", parts_of(choice["text"])), "text": choice["text"],
            "finish_reason": choice["finish_reason"], "num_tokens": choice["num_tokens"],
        }
        for choice in record.choices
    ]  # fmt: skip
    return {"answers": answers, "seconds": record.finished - record.started}


async def recorded_frames(record: CompletionRecord, question: str) -> AsyncGenerator[bytes, None]:
    """The same for a generation that nobody holds in memory any more."""
    rendered = [(c["index"], c["text"], await asyncio.to_thread(render_blocks, c["text"])) for c in record.choices]
    answers = [{"index": index, "blocks": blocks, "num_chars": len(text)} for index, text, blocks in rendered]
    head = {"model": record.model, "engine": record.decision.engine, "question": question, "thread_id": record.thread_id}
    yield frame(0, "snapshot", {"answers": answers, **head})
    yield frame(1, "end", end_of(record, question))


def frame(number: int, name: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {name}\nid: {number}\ndata: ".encode() + encode(data) + b"\n\n"


async def watch_drafts(state: State) -> None:
    """Record what killed servers left half written, for ever. A draft that its server renews is left alone."""
    while True:
        try:
            await asyncio.to_thread(state.store.drafts.adopt, time.time() - STALE_SECONDS, state.lives.ids)
        except StoreError as error:
            log.warning("drafts could not be looked through: %s", error)
        await asyncio.sleep(DRAFT_SECONDS)
