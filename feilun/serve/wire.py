"""Bytes in and out: JSON bodies under a cap, and server-sent events that end when the client goes."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from feilun.serve.auth import until_refused
from feilun.serve.errors import ApiError

__all__ = ["MAX_BODY_BYTES", "EventStream", "encode", "read_json", "wait_disconnect"]

MAX_BODY_BYTES = 1 << 20
HALF_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_json(request: Request) -> Any:
    """The decoded body; ApiError 413 above MAX_BODY_BYTES, 400 when it is not valid JSON in UTF-8."""
    raw = await _read(request)
    try:
        value = json.loads(raw.decode())
        if HALF_SURROGATE.search(raw):
            # Escapes can smuggle in halves of pairs, which no UTF-8 file or table can hold.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not valid JSON in UTF-8: {error}", code="invalid_json") from None
    return value


async def _read(request: Request) -> bytes:
    too_large = ApiError(413, f"the body is larger than {MAX_BODY_BYTES} bytes", code="request_too_large")
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > MAX_BODY_BYTES:
        raise too_large
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise too_large
        parts.append(part)
    return b"".join(parts)


def encode(value: Any) -> bytes:
    """JSON as it goes on the wire: UTF-8, compact."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


async def wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def nothing() -> None:
    """What there is to do where nobody minds."""


class EventStream(Response):
    """`frames` as text/event-stream, to their end or until the client goes, which calls `on_disconnect`; either way `on_end` comes last.

    A client whose key is revoked meanwhile is taken for gone, and hears nothing more.
    """

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes, None], on_disconnect: Callable[[], None] = nothing, on_end: Callable[[], None] = nothing
    ):
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.raw_headers[[name for name, _ in self.raw_headers].index(b"content-length")]
        self.frames, self.on_disconnect, self.on_end = frames, on_disconnect, on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        watching = [asyncio.create_task(wait) for wait in (wait_disconnect(receive), until_refused(Request(scope)))]
        try:
            await asyncio.wait([sending, *watching], return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self.on_disconnect()
                sending.cancel()
                await asyncio.wait([sending])
            if not sending.cancelled():
                sending.result()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            self.on_disconnect()
        finally:
            for task in (sending, *watching):
                task.cancel()
            self.on_end()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self.frames) as frames:
            async for frame in frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
