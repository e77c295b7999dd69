"""One HTTP answer of an endpoint, read with patience that ends: bytes, a whole body, or a stream's JSON values."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx

from feilun.engine.endpoint import Patience
from feilun.engine.events import EventReader, NotEvents

__all__ = ["Wire", "sent"]


@asynccontextmanager
async def sent(client: httpx.AsyncClient, request: httpx.Request, patience: Patience) -> "AsyncIterator[Wire]":
    """The answer as soon as its head is there; however it is left, its connection is closed."""
    async with asyncio.timeout(patience.connect_seconds + patience.first_byte_seconds):
        response = await client.send(request, stream=True)
    try:
        yield Wire(response, patience)
    finally:
        await response.aclose()


class Wire:
    """Set `is_whole` once all that matters has come: what follows is waited for a moment only, and its faults do not count."""

    def __init__(self, response: httpx.Response, patience: Patience):
        self.response, self.is_whole = response, False
        self._patience = patience

    @property
    def kind(self) -> str:
        return str(self.response.headers.get("content-type", "")).lower()

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, as far as `max_bytes`."""
        body = bytearray()
        async with asyncio.timeout(self._patience.text_seconds), aclosing(self._parts()) as parts:
            async for part in parts:
                body += part
                if len(body) > max_bytes:
                    break
        return bytes(body[:max_bytes])

    async def values(self) -> AsyncGenerator[Any, None]:
        """The stream's events; NotEvents when it is none, TimeoutError when only keep-alives come or it takes too long."""
        try:
            async with aclosing(self._events()) as events:
                async for value in events:
                    yield value
        except NotEvents:
            if not self.is_whole:
                raise

    async def _events(self) -> AsyncGenerator[Any, None]:
        reader, clock = EventReader(), asyncio.get_running_loop().time
        began = said = clock()
        async with aclosing(self._parts()) as parts:
            async for part in parts:
                for value in reader.feed(part):
                    said = clock()
                    yield value
                if clock() - said > self._patience.text_seconds or clock() - began > self._patience.answer_seconds:
                    raise TimeoutError
        for value in reader.finish():
            yield value

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(_plain(self.response)) as parts:
            wait_seconds = self._patience.first_byte_seconds
            while part := await self._next(parts, wait_seconds):
                yield part
                wait_seconds = self._patience.tail_seconds if self.is_whole else self._patience.byte_seconds

    async def _next(self, parts: AsyncGenerator[bytes, None], wait_seconds: float) -> bytes:
        """More of the body; empty at its end."""
        try:
            async with asyncio.timeout(wait_seconds):
                return await anext(parts, b"")
        except (TimeoutError, httpx.HTTPError):
            if self.is_whole:
                return b""
            raise


async def _plain(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    async for part in response.aiter_bytes():
        if part:
            yield part
