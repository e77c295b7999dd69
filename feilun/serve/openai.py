"""OpenAI's API as an unmodified client speaks it: models and chat completions, streamed or whole.

`model` in every answer is the exact ref that spoke. `max_tokens` is an upper bound: what the context has no room for ends the
answer with finish_reason "length".
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from feilun.serve.auth import Principal, requires
from feilun.serve.champion import SERVED_NAMES, Loaded
from feilun.serve.chat_request import ChatCall, parse_chat
from feilun.serve.errors import ApiError, error_body
from feilun.serve.generation import Failed, Generation, Piece, Reader
from feilun.serve.prompt import count_prompt, too_long
from feilun.serve.state import State, state_of
from feilun.serve.traffic import Route
from feilun.serve.wire import EventStream, encode, read_json, wait_disconnect

__all__ = ["router"]

router = APIRouter(prefix="/v1")

HEARTBEAT_SECONDS = 15.0
DONE_FRAME = b"data: [DONE]\n\n"

Chatter = Annotated[Principal, Depends(requires("chat"))]


@router.get("/models")
async def list_models(request: Request, _principal: Chatter) -> JSONResponse:
    state = state_of(request)
    current = state.models.current
    rows = [] if current is None else [_model_row(current, SERVED_NAMES[0]), _model_row(current, current.ref)]
    for engine in await asyncio.to_thread(state.store.engines):
        rows.append(
            {"id": f"engine:{engine.name}", "object": "model", "created": int(engine.added), "owned_by": engine.name, "ref": engine.ref}
        )
    return JSONResponse({"object": "list", "data": rows})


@router.get("/models/{model:path}")
async def get_model(request: Request, model: str, principal: Chatter) -> JSONResponse:
    loaded = await state_of(request).models.named(model, any_ref="exam" in principal.scopes)
    return JSONResponse(_model_row(loaded, model))


@router.post("/chat/completions")
async def create_completion(request: Request, principal: Chatter) -> Response:
    state = state_of(request)
    call = parse_chat(await read_json(request))
    speaker = principal.speaking_for(call.user, "user")
    state.answer_rate.take(speaker.name, call.n)
    model, exposure = await state.traffic.named(call.model, speaker.name, any_ref="exam" in principal.scopes)
    # No await may stand between finding a model and acquiring it: a swap in between would close it.
    model.acquire(call.n)
    try:
        generation = await _prepare(state, call, speaker, Route(model, exposure))
    except BaseException:
        model.release(call.n)
        raise
    generation.start()
    if call.stream:
        return EventStream(_frames(generation), generation.cancel)
    return await _whole(request, generation)


async def _prepare(state: State, call: ChatCall, speaker: Principal, route: Route) -> Generation:
    model, exposure = route
    prompt_tokens = await count_prompt(model, call.conversation)
    if prompt_tokens is None:
        return Generation(state, call, speaker, model, 0, call.max_tokens, exposure=exposure)
    room = model.context_tokens - prompt_tokens
    if room < 1:
        raise too_long(model, prompt_tokens)
    max_tokens = room if call.max_tokens is None else min(room, call.max_tokens)
    return Generation(state, call, speaker, model, prompt_tokens, max_tokens, exposure=exposure)


async def _whole(request: Request, generation: Generation) -> Response:
    watcher = asyncio.create_task(_cancel_on_disconnect(request, generation))
    try:
        event = await generation.ended()
        if isinstance(event, Failed):
            raise ApiError(event.http_status, event.message, code=event.code, retry_after_seconds=event.retry_after_seconds)
    finally:
        watcher.cancel()
    return JSONResponse(_completion(generation))


async def _cancel_on_disconnect(request: Request, generation: Generation) -> None:
    await wait_disconnect(request.receive)
    generation.cancel()


async def _frames(generation: Generation) -> AsyncGenerator[bytes, None]:
    """The stream as OpenAI shapes it: roles, pieces, finish reasons, usage if asked for, [DONE]; or an error object and [DONE]."""
    head, reader = _chunk_head(generation), Reader(generation)
    yield b"".join(_frame(head, answer.index, {"role": "assistant", "content": ""}) for answer in generation.answers)
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                event = await reader.next_event()
        except TimeoutError:
            yield b": ping\n\n"
            continue
        if not isinstance(event, Piece):
            break
        yield _frame(head, event.index, {"content": event.text})
    if isinstance(event, Failed):
        yield b"data: " + encode(error_body(event.http_status, event.message, code=event.code)) + b"\n\n" + DONE_FRAME
        return
    tail = [_frame(head, answer.index, {}, answer.finish_reason) for answer in generation.answers]
    if generation.call.include_usage:
        tail.append(_data({**head, "choices": [], "usage": _usage(generation)}))
    yield b"".join((*tail, DONE_FRAME))


def _chunk_head(generation: Generation) -> dict[str, Any]:
    head = {
        "id": generation.id,
        "object": "chat.completion.chunk",
        "created": int(generation.created),
        "model": generation.model.ref,
        "system_fingerprint": None,
    }
    return {**head, "usage": None} if generation.call.include_usage else head


def _frame(head: dict[str, Any], index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return _data({**head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]})


def _data(chunk: dict[str, Any]) -> bytes:
    return b"data: " + encode(chunk) + b"\n\n"


def _completion(generation: Generation) -> dict[str, Any]:
    choices = [
        {
            "index": answer.index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": None,
            "finish_reason": answer.finish_reason,
        }
        for answer in generation.answers
    ]
    return {
        "id": generation.id,
        "object": "chat.completion",
        "created": int(generation.created),
        "model": generation.model.ref,
        "choices": choices,
        "usage": _usage(generation),
        "system_fingerprint": None,
    }


def _usage(generation: Generation) -> dict[str, Any]:
    prompt, completion = generation.prompt_tokens, generation.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _model_row(loaded: Loaded, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(loaded.loaded_at), "owned_by": "feilun", "ref": loaded.ref}
