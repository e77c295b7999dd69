"""The owner's engines elsewhere: which there are, a look at one before it is added, and whether its terms let it teach."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from feilun.engine.endpoint import Endpoint, check_url
from feilun.engine.protocol import EngineFault
from feilun.serve.auth import Principal, owner_only
from feilun.serve.champion import SERVED_NAMES
from feilun.serve.errors import ApiError
from feilun.serve.language import language_of, said
from feilun.serve.remotes import Tested, add_engine, check_key, check_model, check_name, look, remove_engine
from feilun.serve.state import State, state_of
from feilun.serve.wire import read_json
from feilun.store import EngineRow, StoreError
from feilun.types import UserError

__all__ = ["router"]

router = APIRouter(prefix="/api/engines")

Owner = Annotated[Principal, Depends(owner_only)]
CODES = {404: "engine_not_found", 409: "engine_exists", 503: "store_unavailable"}


@router.get("")
async def list_engines(request: Request, _owner: Owner) -> JSONResponse:
    state = state_of(request)
    rows, language = await asyncio.to_thread(state.store.engines), language_of(request)
    found = [own_row(state), *(remote_row(state, row, language) for row in rows)]
    return JSONResponse({"engines": found}, headers={"Cache-Control": "no-store"})


@router.post("")
async def create_engine(request: Request, _owner: Owner) -> JSONResponse:
    state = state_of(request)
    given = _fields(await read_json(request), {"name": str, "url": str, "model": str, "key": str, "teach": bool}, needed=("name", "url"))
    try:
        added = await add_engine(state.home, state.store, **given)
    except (UserError, EngineFault) as error:
        raise _refusal(error) from None
    language = language_of(request)
    return JSONResponse({**remote_row(state, added.row, language), **_tested(added.tested, language)}, 201)


@router.post("/test")
async def look_at_engine(request: Request, _owner: Owner) -> JSONResponse:
    """Of an engine by its name, or of a URL that is none yet."""
    state = state_of(request)
    given = _fields(await read_json(request), {"name": str, "url": str, "model": str, "key": str})
    if "url" not in given:
        return JSONResponse(_tested(await state.models.remotes.test(given.get("name", "")), language_of(request)))
    try:
        endpoint = Endpoint(name=check_name(given.get("name") or "new"), url=check_url(given["url"]), key=check_key(given.get("key", "")))
        return JSONResponse(_tested(await look(endpoint, check_model(given.get("model", ""))), language_of(request)))
    except UserError as error:
        raise _refusal(error) from None


@router.patch("/{name}")
async def change_engine(request: Request, name: str, _owner: Owner) -> JSONResponse:
    state = state_of(request)
    given = _fields(await read_json(request), {"teach": bool}, needed=("teach",))
    try:
        row = await asyncio.to_thread(state.store.change_engine, name, **given)
    except StoreError as error:
        raise _refusal(error) from None
    return JSONResponse(remote_row(state, row, language_of(request)))


@router.delete("/{name}")
async def delete_engine(request: Request, name: str, _owner: Owner) -> Response:
    state = state_of(request)
    try:
        await asyncio.to_thread(remove_engine, state.home, state.store, name)
    except StoreError as error:
        raise _refusal(error) from None
    return Response(status_code=204)


def own_row(state: State) -> dict[str, Any]:
    current = state.models.current
    model = None if current is None else current.ref
    return {"name": SERVED_NAMES[0], "kind": "own", "model": model, "url": None, "teach": True, "ok": current is not None, "problem": None}


def remote_row(state: State, row: EngineRow, language: str) -> dict[str, Any]:
    """ok: whether the last answer or test went well, null before the first."""
    problem = state.models.remotes.problem(row)
    ok = None if problem is None else not problem
    return {
        "name": row.name, "kind": "remote", "model": row.model, "url": row.url, "teach": row.teach, "ok": ok,
        "problem": said(problem or "", language) or None,
    }  # fmt: skip


def _tested(tested: Tested, language: str) -> dict[str, Any]:
    return {"ok": not tested.problem, "problem": said(tested.problem, language) or None, "url": tested.url, "models": tested.models}


def _fields(body: Any, kinds: Mapping[str, type], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a body, each of its type; ApiError 400 names the one at fault, and shows no value: it may be a key."""
    if not isinstance(body, dict):
        raise ApiError(400, f"the body must be a JSON object, found {type(body).__name__}")
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name not in kinds:
            raise ApiError(400, f"unknown field {name!r}; allowed: {', '.join(kinds)}", param=name, code="unknown_parameter")
        if not isinstance(value, kinds[name]):
            wanted = "true or false" if kinds[name] is bool else "a string"
            raise ApiError(400, f"{name}: {wanted} is needed, found {type(value).__name__}", param=name, code="invalid_value")
    for name in needed:
        if name not in given:
            raise ApiError(400, f"{name} is missing", param=name, code="missing_required_parameter")
    return given


def _refusal(error: UserError | EngineFault) -> ApiError:
    if isinstance(error, EngineFault):
        return ApiError(error.http_status, str(error), code="engine_failed", retry_after_seconds=error.retry_after_seconds)
    status = error.http_status if isinstance(error, StoreError) else 400
    return ApiError(status, str(error), code=CODES.get(status, "invalid_value"))
