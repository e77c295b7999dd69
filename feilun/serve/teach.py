"""Teach: the questions that would teach most are put before the owner, two answers each, blind, one after the other.

Where no task is left, the champion and the generation before it answer the newest open questions in the background.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from feilun.feedback.teaching import Asking, Speaker, prepare_tasks
from feilun.feedback.worth import basis, worth_now
from feilun.serve.auth import Principal, owner_only
from feilun.serve.errors import ApiError
from feilun.serve.loaded import Loaded
from feilun.serve.state import State, state_of
from feilun.serve.tasks import judge, task_json
from feilun.store import TEACH

__all__ = ["Preparing", "router"]

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api/teach")

# A page waits for these, and people are being answered meanwhile.
ASKING = Asking(num_looked=24, num_tasks=8)
AGAIN_SECONDS = 60.0

Owner = Annotated[Principal, Depends(owner_only)]


@dataclass(slots=True)
class Preparing:
    """The search for tasks that runs, if one does, and when the last one began."""

    task: asyncio.Task[None] | None = None
    begun: float = float("-inf")

    @property
    def is_running(self) -> bool:
        return self.task is not None and not self.task.done()

    async def ended(self) -> None:
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)


@router.get("")
async def next_task(request: Request, owner: Owner) -> JSONResponse:
    state = state_of(request)
    task = await asyncio.to_thread(state.store.desks.assign, TEACH, owner.name)
    if task is None:
        _look(state)
    shown = None if task is None else await asyncio.to_thread(task_json, task)
    return JSONResponse({"task": shown, "looking": state.preparing.is_running}, headers={"Cache-Control": "no-store"})


@router.post("/answers")
async def answer(request: Request, owner: Owner) -> JSONResponse:
    judged = await judge(request, owner)
    return JSONResponse({"id": judged.result.id, "status": judged.result.status, "target": judged.target, "models": judged.models})


@router.get("/worth")
async def get_worth(request: Request, _owner: Owner) -> JSONResponse:
    state = state_of(request)
    known = await asyncio.to_thread(basis, state.store)
    found = await state.worth.get(known, lambda: worth_now(state.home, state.store))
    return JSONResponse(found.to_json(), headers={"Cache-Control": "no-store"})


def _look(state: State) -> None:
    preparing = state.preparing
    if state.models.current is None or preparing.is_running or time.monotonic() - preparing.begun < AGAIN_SECONDS:
        return
    preparing.begun = time.monotonic()
    preparing.task = asyncio.create_task(_prepare(state))


async def _prepare(state: State) -> None:
    back = await asyncio.to_thread(state.store.rollback_target)
    try:
        earlier = await state.models.named(back.model, any_ref=True) if back else None
    except ApiError as error:
        log.warning("the generation before this one cannot be asked: %s", error.message)
        earlier = None
    champion = state.models.current
    held = [model for model in (champion, earlier) if model is not None]
    if champion is None:
        return
    # No await may stand between finding a model and acquiring it.
    for model in held:
        model.acquire(1)
    try:
        made = await asyncio.to_thread(
            prepare_tasks, state.store, TEACH, _speaker(champion), _speaker(earlier) if earlier else None, ASKING
        )
        log.info("looked at %d questions, %d are worth asking", made.looked, made.added)
    finally:
        for model in held:
            model.release(1)


def _speaker(model: Loaded) -> Speaker:
    return Speaker(model.ref, model.chat)
