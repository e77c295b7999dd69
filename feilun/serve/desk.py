"""The labelling desk: a page of its own for raters with a key, and for its owner how far it has come."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse

from feilun.feedback.desk import DeskRules, desk_report, raters_now
from feilun.serve.auth import Principal, owner_only, requires
from feilun.serve.errors import ApiError
from feilun.serve.language import language_of
from feilun.serve.product import template
from feilun.serve.render import render_blocks
from feilun.serve.state import State, state_of
from feilun.serve.tasks import judge, task_json
from feilun.serve.wire import read_json
from feilun.serve.words import words_of
from feilun.store import DeskRow, NotFound

__all__ = ["router"]

router = APIRouter()

WORDS = ("shell", "chat", "learn", "desk")
NO_STORE = {"Cache-Control": "no-store"}

Rater = Annotated[Principal, Depends(requires("desk"))]
Owner = Annotated[Principal, Depends(owner_only)]


@router.get("/desk")
async def page(request: Request) -> HTMLResponse:
    """The same for everybody: what it shows comes by calls that bear a key."""
    language = language_of(request)
    html = template("desk.html").render(language=language, words=words_of(language, WORDS))
    return HTMLResponse(html, headers={**NO_STORE, "Vary": "Accept-Language, Cookie", "Content-Language": language})


@router.get("/api/desk")
async def next_task(request: Request, rater: Rater) -> JSONResponse:
    """{"desk": null or {"name", "guidelines"}, "task": null or as in Teach, "done": own labels, "owner"}."""
    state = state_of(request)
    desk = await asyncio.to_thread(_open_desk, state)
    if desk is None:
        return JSONResponse({"desk": None, "task": None, "done": 0, "owner": rater.is_owner}, headers=NO_STORE)
    rules = DeskRules.of(desk)
    task = await asyncio.to_thread(state.store.desks.assign, desk.name, rater.name, rules.overlap, rules.gold_share)
    done = await asyncio.to_thread(state.store.desks.count_labels, desk.name, rater.name)
    shown = None if task is None else await asyncio.to_thread(task_json, task)
    about = {"name": desk.name, "guidelines": render_blocks(rules.guidelines)}
    return JSONResponse({"desk": about, "task": shown, "done": done, "owner": rater.is_owner}, headers=NO_STORE)


@router.post("/api/desk/answers")
async def answer(request: Request, rater: Rater) -> JSONResponse:
    """Whose answers they were is told to nobody: the next rater may ask this one."""
    judged = await judge(request, rater)
    return JSONResponse({"id": judged.result.id, "status": judged.result.status, "target": judged.target})


@router.get("/api/desk/progress")
async def progress(request: Request, _owner: Owner) -> JSONResponse:
    state = state_of(request)
    desks = await asyncio.to_thread(state.store.desks.listed)
    if not desks:
        return JSONResponse({"desk": None}, headers=NO_STORE)
    newest = await asyncio.to_thread(lambda: (state.store.last_seq(), state.store.erasure_epoch()))
    raters = await state.raters.get(newest, lambda: raters_now(state.home, state.store))
    found = await asyncio.to_thread(desk_report, state.home, state.store, desks[-1], raters)
    return JSONResponse({"desk": found.to_json()}, headers=NO_STORE)


@router.post("/api/desk/gold")
async def mark_gold(request: Request, owner: Owner) -> JSONResponse:
    """{"task", "right": "first", "second", "tie", "both_bad", or null for no gold}: as the owner was shown it."""
    state, body = state_of(request), await read_json(request)
    if not isinstance(body, dict) or body.keys() != {"task", "right"} or not isinstance(body["task"], str):
        raise _invalid('the body must be {"task": ID, "right": "first|second|tie|both_bad" or null}')
    right = body["right"]
    if right is not None and right not in ("first", "second", "tie", "both_bad"):
        raise _invalid(f"right is first, second, tie, both_bad or null, found {right!r}")
    try:
        task = await asyncio.to_thread(state.store.desks.task, body["task"], owner.name)
        await asyncio.to_thread(state.store.desks.mark_gold, task.id, None if right is None else task.side(right))
    except NotFound as error:
        raise ApiError(404, str(error), code="not_found") from None
    return JSONResponse({"task": task.id, "gold": right})


def _open_desk(state: State) -> DeskRow | None:
    return next((desk for desk in state.store.desks.listed() if desk.closed is None), None)


def _invalid(message: str) -> ApiError:
    return ApiError(422, message, code="invalid_value")
