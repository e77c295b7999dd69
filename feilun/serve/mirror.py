"""The shadow of a rollout: questions that were answered are put to the candidate too, and nobody hears what it says.

It begins when a reply has gone out, in a moment in which nobody is being answered. What finds no place or no such moment is dropped and
counted; nothing here is ever waited for.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from feilun.engine.chat import ChatParams
from feilun.serve.champion import SERVED_NAMES, Loaded
from feilun.serve.errors import ApiError
from feilun.serve.traffic import Traffic
from feilun.store import Conflict, Mirror, RolloutRow, Store, StoreError, lot_number
from feilun.types import Consent, Conversation, FinishReason

if TYPE_CHECKING:
    from feilun.serve.generation import Generation
    from feilun.serve.state import State

__all__ = ["Mirrors"]

log = logging.getLogger(__name__)

MAX_WAITING = 64
PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.02
FLUSH_SECONDS = 1.0


class Job(NamedTuple):
    row: RolloutRow
    completion_id: str
    who: str
    conversation: Conversation
    params: ChatParams
    champion: dict[str, object]


class Said(NamedTuple):
    text: str
    finish_reason: str
    fault: str


class Mirrors:
    """drops: questions that should have been mirrored and were not, by reason, until they are told to the store."""

    def __init__(self, store: Store, traffic: Traffic) -> None:
        self.drops: Counter[str] = Counter()
        self._store, self._traffic = store, traffic
        self._waiting: asyncio.Queue[Job] = asyncio.Queue(MAX_WAITING)
        self._rollout_id = ""

    def offer(self, generation: "Generation", *, is_whole: bool) -> None:
        """Called when a reply has ended. is_whole: neither its reader nor its client broke it off."""
        row = self._traffic.row
        if row is None or row.stage != "shadow" or generation.model.ref != row.champion or not is_whole:
            return
        call, answer = generation.call, generation.answers[0]
        if call.model not in SERVED_NAMES or call.consent == Consent.SERVE:
            return
        if lot_number(row.id, generation.id) >= float(row.plan["shadow"]["share"]):
            return
        about = {"seconds": generation.finished - generation.created, "chars": len(answer.text), "fault": generation.fault}
        about["finish_reason"] = answer.to_row()["finish_reason"]
        job = Job(row, generation.id, row.who(generation.principal.name), call.conversation, generation.params_of(answer), about)
        try:
            self._waiting.put_nowait(job)
        except asyncio.QueueFull:
            self._drop(row, "queue_full")

    def _drop(self, row: RolloutRow, reason: str) -> None:
        if self._rollout_id != row.id:
            self.drops.clear()
            self._rollout_id = row.id
        self.drops[reason] += 1

    async def watch(self, state: "State") -> None:
        """Put what waits to the candidate, one after the other, for ever."""
        while True:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    job = await self._waiting.get()
            except TimeoutError:
                pass
            else:
                try:
                    await self._mirror(state, job)
                except Exception:
                    log.exception("mirroring %s failed", job.completion_id)
                    self._drop(job.row, "failed")
            await self._flush()

    async def _flush(self) -> None:
        counts, self.drops = self.drops, Counter()
        if counts:
            try:
                await asyncio.to_thread(self._store.shadow.count_drops, self._rollout_id, counts)
            except StoreError as error:
                self.drops += counts
                log.warning("drops of the mirror could not be counted: %s", error)

    async def _mirror(self, state: "State", job: Job) -> None:
        if not await self._quiet(state):
            return self._drop(job.row, "busy")
        row, candidate = self._traffic.row, self._traffic.loaded().get(job.row.candidate)
        if row is None or row.id != job.row.id or row.stage != "shadow" or candidate is None:
            return self._drop(job.row, "not_ready" if candidate is None else "over")
        try:
            candidate.acquire(1)
        except ApiError:
            return self._drop(job.row, "busy")
        began = time.time()
        try:
            said = await said_by(candidate, job)
        finally:
            candidate.release(1)
        side = {"seconds": time.time() - began, "chars": len(said.text), "finish_reason": said.finish_reason, "fault": said.fault}
        pair = Mirror(job.completion_id, job.who, job.champion, side, time.time())
        try:
            await asyncio.get_running_loop().run_in_executor(state.writers, self._store.shadow.record, job.row.id, pair, said.text)
        except Conflict:
            self._drop(job.row, "erased")

    async def _quiet(self, state: "State") -> bool:
        """Whether a moment came in which nobody is being answered."""
        end = time.monotonic() + PATIENCE_SECONDS
        while state.generations:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True


async def said_by(candidate: Loaded, job: Job) -> Said:
    """What the candidate says, as its text so far where it fails."""
    pieces: list[str] = []
    reason = FinishReason.ABORT
    try:
        async with aclosing(candidate.chat.stream(job.conversation, job.params, request_id=f"{job.completion_id}-shadow")) as deltas:
            async for delta in deltas:
                pieces.append(delta.text)
                reason = delta.finish_reason or reason
    except Exception as error:
        # Whatever an engine raises, it is what people would have met.
        log.warning("the candidate failed on %s: %s", job.completion_id, error)
        return Said("".join(pieces), reason.value, "error")
    text = "".join(pieces)
    return Said(text, reason.value, "" if text.strip() else "empty")
