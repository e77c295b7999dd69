"""What this process holds of somebody goes when another process erases them in the store."""

import asyncio
import logging
from typing import Any

from feilun.serve import archive, formula, growth, highlight, render
from feilun.serve.state import State
from feilun.serve.turns import CACHED
from feilun.store import StoreError

__all__ = ["drop_erased", "watch_erasures"]

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
# What they hold is made again when somebody asks; whose it was they do not know.
KEPT = (
    render.render_blocks, highlight.highlight, formula.mathml, archive.opened_at, archive.parsed_at, archive.logged_at, growth.owner_votes,
)  # fmt: skip


async def watch_erasures(state: State, cache: Any) -> None:
    """Look at the number of erasures for ever."""
    seen = -1
    while True:
        try:
            epoch = await asyncio.to_thread(state.store.erasure_epoch)
            if seen not in (-1, epoch):
                await drop_erased(state, cache)
            seen = epoch
        except StoreError as error:
            log.warning("erasures could not be looked at: %s", error)
        await asyncio.sleep(WATCH_SECONDS)


async def drop_erased(state: State, cache: Any) -> None:
    """Stop and forget every answer that an erasure covers, and empty what was kept for speed. cache: as in `turns.turn_overview`."""
    erasures = await asyncio.to_thread(state.store.erasures)
    for generation in tuple(state.generations):
        if any(map(generation.is_erased_by, erasures)):
            generation.cancel()
    for live in state.lives.all():
        if any(map(live.generation.is_erased_by, erasures)):
            state.lives.drop(live)
    for name in CACHED:
        if hasattr(cache, name):
            delattr(cache, name)
    for kept in KEPT:
        kept.cache_clear()
    state.raters.forget()
