"""Looking at the store again and again while the server runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

__all__ = ["look_for_ever"]

log = logging.getLogger(__name__)


async def look_for_ever(what: str, look: Callable[[], Awaitable[None]], every_seconds: float) -> None:
    """`look`, for ever; a fault of the look itself is logged and looked past. what: "the champion row"."""
    while True:
        try:
            await look()
        except Exception:
            log.exception("looking at %s failed; trying again", what)
        await asyncio.sleep(every_seconds)
