"""Who speaks while a candidate comes to people: the model that the lot gives a person, and the second model held ready for it.

The rollout is a row in the store. Every server looks at it as at the champion, and none decides anything: `feilun turn --watch` does.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import NamedTuple

from feilun.serve.champion import SERVED_NAMES, Loaded, Models
from feilun.serve.looking import look_for_ever
from feilun.store import LOAD_FAILURE_NOTE, Arm, Exposure, RolloutRow, Store

__all__ = ["Route", "Traffic"]

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
RETRY_SECONDS = 30.0


class Route(NamedTuple):
    """exposure: None where no rollout had a say."""

    model: Loaded
    exposure: Exposure | None


class Traffic:
    """row: the rollout under way. other: the model of it that is not the champion of this server, once it is loaded."""

    def __init__(self, store: Store, models: Models) -> None:
        self.row: RolloutRow | None = None
        self.other: Loaded | None = None
        self._store, self._models = store, models
        self._failed: tuple[str, float] = ("", 0.0)

    async def watch(self) -> None:
        """Look at the rollout for ever; a fault of the look itself is logged and looked past."""
        await look_for_ever("the rollout", self.look, WATCH_SECONDS)

    async def look(self) -> None:
        self.row = row = await asyncio.to_thread(self._store.rollout)
        wanted = self._wanted(row)
        if self.other is not None and self.other.ref != wanted:
            self._drop()
        if row is not None and wanted and self.other is None and not self._failed_lately(wanted):
            await self._load(row, wanted)

    def _wanted(self, row: RolloutRow | None) -> str:
        """The model of the rollout that does not answer here as the champion; none where the champion is a third one."""
        current = self._models.current
        if row is None or current is None or current.ref not in (row.champion, row.candidate):
            return ""
        return row.candidate if current.ref == row.champion else row.champion

    def _failed_lately(self, ref: str) -> bool:
        return self._failed[0] == ref and time.monotonic() - self._failed[1] < RETRY_SECONDS

    async def _load(self, row: RolloutRow, ref: str) -> None:
        try:
            self.other = await self._models.load(ref)
        except Exception as error:
            # Whatever a broken directory raises, the champion answers everybody, and the rollout ends.
            log.error("%s could not be loaded for the rollout: %s", ref, error)
            self._failed = (ref, time.monotonic())
            note = {"rollout": row.id, "stage": row.stage, "model": ref, "error": f"{type(error).__name__}: {error}", "at": time.time()}
            await asyncio.to_thread(self._store.note, LOAD_FAILURE_NOTE, note)

    def _drop(self) -> None:
        assert self.other is not None
        self.other.retire()
        self.other = None

    def loaded(self) -> Mapping[str, Loaded]:
        """The models of the rollout that can answer now, by ref."""
        return {model.ref: model for model in (self.other, self._models.current) if model is not None}

    async def named(self, model: str, principal: str, *, any_ref: bool) -> Route:
        """The model that a request names; where it asks for whatever answers here, the one that the lot gives this person."""
        if model in SERVED_NAMES and (route := self.route(principal)) is not None:
            return route
        return Route(await self._models.named(model, any_ref=any_ref), None)

    def route(self, principal: str) -> Route | None:
        """None where nobody draws a lot: no rollout, the shadow, or one of its models is not here (yet)."""
        row, ready = self.row, self.loaded()
        if row is None or row.stage == "shadow" or not {row.champion, row.candidate} <= ready.keys():
            return None
        number = row.number_of(principal)
        arm: Arm = "candidate" if number < row.share else "champion"
        lot = row.lot if number >= row.share_before else 1.0
        exposure = Exposure(row.id, row.who(principal), row.stage, row.step, lot, arm)
        return Route(ready[row.candidate if arm == "candidate" else row.champion], exposure)

    async def close(self) -> None:
        other, self.row = self.other, None
        if other is not None:
            self._drop()
            await other.closed()
