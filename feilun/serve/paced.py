"""A figure that only a reading of the whole history gives: kept while nothing is new, and read anew a twentieth of the time at most."""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Paced"]

T = TypeVar("T")
REST = 20.0  # times the processor's seconds of a reading, before the next


class Paced(Generic[T]):
    """The newest figure. clock: seconds that only grow; spent: the processor's seconds of the thread that asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.thread_time) -> None:
        self._clock, self._spent = clock, spent
        self._one_reader = asyncio.Lock()
        self._found: tuple[Hashable, T] | None = None
        self._not_before, self._epoch = 0.0, 0

    async def get(self, known: Hashable, read: Callable[[], T]) -> T:
        """What `read` gives, in a thread, where anything but `known` was known when it was read last and its time has come; else that."""
        async with self._one_reader:
            kept, epoch = self._found, self._epoch
            if kept is not None and (kept[0] == known or self._clock() < self._not_before):
                return kept[1]
            found = await asyncio.to_thread(self._read, read)
            self._found = (known, found) if epoch == self._epoch else None
            return found

    def _read(self, read: Callable[[], T]) -> T:
        began = self._spent()
        found = read()
        self._not_before = self._clock() + REST * (self._spent() - began)
        return found

    def forget(self) -> None:
        """Somebody may be named in it who was erased."""
        self._found = None
        self._epoch += 1  # what is being read now is not kept either
