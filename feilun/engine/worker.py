"""One thread that turns a batch, and the asyncio side that feeds it and hears from it."""

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from typing import TypeAlias

import torch

from feilun.engine.batch import Batch
from feilun.engine.protocol import EngineClosed
from feilun.types import GenerationRequest, TokenEvent

__all__ = ["Worker"]

LOG = logging.getLogger("feilun.engine")

Mail: TypeAlias = TokenEvent | EngineClosed


class Listener:
    """Where the events of one request go: a queue of the event loop that asked."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.loop = asyncio.get_running_loop()
        self.mail: asyncio.Queue[Mail] = asyncio.Queue()


class Worker:
    """Owns its batch: only the thread touches it; everyone else leaves requests and cancellations under the lock."""

    def __init__(self, batch: Batch, threads: int | None):
        self._batch, self._threads = batch, threads
        self._changed = threading.Condition()
        self._submitted: list[GenerationRequest] = []
        self._cancelled: set[str] = set()
        self._listeners: dict[str, Listener] = {}
        self._closing = self._draining = False
        self._failure = "the engine is closed"
        self._thread = threading.Thread(target=self._run, name="feilun-engine", daemon=True)
        self._thread.start()

    @property
    def num_requests(self) -> int:
        """Requests that run or wait."""
        return len(self._listeners)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
        listener = Listener(request.id)
        self._submit(request, listener)
        try:
            while True:
                mail = await listener.mail.get()
                if isinstance(mail, EngineClosed):
                    raise mail
                yield mail
                if mail.finish_reason is not None:
                    return
        finally:
            self._forget(request.id)

    def _submit(self, request: GenerationRequest, listener: Listener) -> None:
        with self._changed:
            if self._closing or self._draining:
                raise EngineClosed(self._failure)
            if request.id in self._listeners or request.id in self._cancelled:
                raise ValueError(f"request id {request.id!r} is already being answered; ids must differ")
            self._listeners[request.id] = listener
            self._submitted.append(request)
            self._changed.notify()

    def _forget(self, request_id: str) -> None:
        with self._changed:
            # Still listed means not yet finished.
            if self._listeners.pop(request_id, None) is None:
                return
            waiting = [request for request in self._submitted if request.id != request_id]
            if len(waiting) == len(self._submitted):
                self._cancelled.add(request_id)
                self._changed.notify()
            self._submitted = waiting

    def close(self, *, drain: bool) -> None:
        with self._changed:
            self._draining = True
            self._closing = self._closing or not drain
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        if self._threads is not None:
            # OpenMP keeps the number of threads per calling thread.
            torch.set_num_threads(self._threads)
        try:
            while self._take_changes():
                self._deliver(self._batch.advance())
        except Exception as error:
            # Whatever broke, nobody may be left waiting; the loss of the engine is theirs to report.
            self._failure = f"the engine stopped on {type(error).__name__}: {error}"
            LOG.exception(self._failure)
        finally:
            self._end()

    def _take_changes(self) -> bool:
        """Wait for work, take in what came; False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._submitted or self._cancelled or not self._batch.idle or self._draining)
            submitted, self._submitted = self._submitted, []
            cancelled, self._cancelled = frozenset(self._cancelled), set()
            closing = self._closing
        for request in submitted:
            self._batch.submit(request)
        if cancelled:
            self._batch.cancel(cancelled)
        return not closing and not (self._draining and self._batch.idle)

    def _deliver(self, events: list[TokenEvent]) -> None:
        """One wake-up of each event loop for a whole step."""
        letters: dict[asyncio.AbstractEventLoop, list[tuple[Listener, Mail]]] = {}
        with self._changed:
            for event in events:
                listener = self._listeners.get(event.request_id)
                if listener is None:
                    continue
                letters.setdefault(listener.loop, []).append((listener, event))
                if event.finish_reason is not None:
                    del self._listeners[event.request_id]
        for loop, posts in letters.items():
            if not _send(loop, posts):
                for listener, _ in posts:
                    self._forget(listener.request_id)

    def _end(self) -> None:
        with self._changed:
            self._closing = self._draining = True
            left, self._listeners = list(self._listeners.values()), {}
        for listener in left:
            _send(listener.loop, [(listener, EngineClosed(self._failure))])


def _send(loop: asyncio.AbstractEventLoop, posts: list[tuple[Listener, Mail]]) -> bool:
    """False when the loop is closed and nobody is left to tell."""
    try:
        loop.call_soon_threadsafe(_post, posts)
    except RuntimeError:
        return False
    return True


def _post(posts: list[tuple[Listener, Mail]]) -> None:
    for listener, mail in posts:
        listener.mail.put_nowait(mail)
