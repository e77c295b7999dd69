"""What the chat page calls: threads, running answers, search, and what the model saw. Each caller sees only what is its own."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from feilun.serve.auth import Principal, requires
from feilun.serve.chat_request import ChatCall, check_name, model_field, number_field, whole_field, wrong_value
from feilun.serve.context import context_of
from feilun.serve.errors import ApiError
from feilun.serve.generation import Generation, Place
from feilun.serve.language import language_of
from feilun.serve.live import Live, frames, recorded_frames
from feilun.serve.prompt import fit
from feilun.serve.render import render_blocks
from feilun.serve.state import State, state_of
from feilun.serve.threads import (
    asked_chain,
    hit_json,
    owned_completion,
    owned_live,
    owned_thread,
    path_to,
    question_of,
    rows,
    thread_json,
    told,
)
from feilun.serve.traffic import Route
from feilun.serve.wire import EventStream, read_json
from feilun.store import NotFound, StoreError, Thread, address_of, parts_of, root_address, uuid7
from feilun.types import Consent, Conversation

__all__ = ["router"]

router = APIRouter(prefix="/api")

MAX_TEXT_CHARS = 32_000
MAX_RENDER_CHARS = 100_000
MAX_MESSAGES = 500
MAX_ANSWERS = 3
MAX_THREADS = 100
MAX_HITS = 30
SAMPLED_TEMPERATURE = 0.8
# A page reads numbers as doubles: a seed drawn here comes back from it as it was.
SEED_BITS = 53
FIELDS = ("thread_id", "parent", "text", "model", "n", "temperature", "consent", "seed")

Chatter = Annotated[Principal, Depends(requires("chat"))]
NO_STORE = {"Cache-Control": "no-store"}


@router.get("/threads")
async def list_threads(request: Request, principal: Chatter, limit: int = 50, before: float | None = None) -> JSONResponse:
    if not 1 <= limit <= MAX_THREADS:
        raise wrong_value("limit", limit, f"a whole number from 1 to {MAX_THREADS}")
    return JSONResponse({"threads": await rows(state_of(request), principal, limit, before)}, headers=NO_STORE)


@router.get("/threads/{thread_id:path}")
async def get_thread(request: Request, thread_id: str, principal: Chatter) -> JSONResponse:
    state = state_of(request)
    thread = await owned_thread(state, principal, thread_id)
    running = state.lives.running(principal.name, thread_id)
    return JSONResponse(await asyncio.to_thread(thread_json, thread, running), headers=NO_STORE)


@router.delete("/threads/{thread_id:path}")
async def delete_thread(request: Request, thread_id: str, principal: Chatter) -> Response:
    state = state_of(request)
    await owned_thread(state, principal, thread_id)
    for live in state.lives.running(principal.name, thread_id):
        live.generation.stop(None)
        await live.generation.ended()
    state.lives.forget(principal.name, thread_id)
    try:
        await asyncio.get_running_loop().run_in_executor(state.writers, state.store.forget_thread, principal.name, thread_id)
    except NotFound:
        pass  # somebody else's tab was faster
    except StoreError as error:
        raise _unavailable(error) from None
    return Response(status_code=204)


@router.get("/search")
async def search(request: Request, principal: Chatter, q: str = "") -> JSONResponse:
    hits = await asyncio.to_thread(state_of(request).store.search, principal.name, q, MAX_HITS)
    return JSONResponse({"hits": [hit_json(hit) for hit in hits]}, headers=NO_STORE)


@router.get("/completions/{completion_id}/context")
async def get_context(request: Request, completion_id: str, principal: Chatter) -> JSONResponse:
    state = state_of(request)
    record = await owned_completion(state, principal, completion_id)
    return JSONResponse(await asyncio.to_thread(context_of, state, record), headers=NO_STORE)


@router.post("/render")
async def render(request: Request, _principal: Chatter) -> JSONResponse:
    body = await read_json(request)
    text = body.get("text") if isinstance(body, dict) else None
    if not isinstance(text, str) or len(text) > MAX_RENDER_CHARS:
        raise ApiError(400, f"text: a text of at most {MAX_RENDER_CHARS} characters is needed", param="text", code="invalid_value")
    return JSONResponse({"blocks": await asyncio.to_thread(render_blocks, text)})


# --- generations


@router.get("/generations/{generation_id}")
async def attach(request: Request, generation_id: str, principal: Chatter) -> Response:
    state = state_of(request)
    live = await owned_live(state, principal, generation_id)
    if live is not None:
        live.enter()
        # A reader who goes stops nothing.
        return EventStream(frames(live, language_of(request)), on_end=live.leave)
    record = await owned_completion(state, principal, generation_id)
    return EventStream(recorded_frames(record, await question_of(state, principal, record)))


@router.delete("/generations/{generation_id}")
async def stop(request: Request, generation_id: str, principal: Chatter, seen: str | None = None) -> JSONResponse:
    state = state_of(request)
    live = await owned_live(state, principal, generation_id)
    if live is None:
        await owned_completion(state, principal, generation_id)
        return JSONResponse({"stopped": False})
    stopped = live.generation.stop(None if seen is None else _seen(seen, live.generation.call.n))
    await live.generation.ended()
    return JSONResponse({"stopped": stopped})


def _seen(text: str, num_answers: int) -> list[int]:
    parts = text.split(",")
    if len(parts) != num_answers or not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise wrong_value("seen", text[:80], f"{num_answers} numbers of characters with commas between them")
    return [int(part) for part in parts]


# --- asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The body of `POST /api/chat`, checked. text None: another answer to the message at `parent`."""

    thread_id: str | None
    parent: str | None
    text: str | None
    model: str
    n: int
    temperature: float
    consent: Consent | None
    seed: int


class Question(NamedTuple):
    """What is to be answered: everything said up to it, where a page shows it, and under what."""

    messages: list[dict[str, Any]]
    address: str
    parent: str


@router.post("/chat")
async def chat(request: Request, principal: Chatter) -> JSONResponse:
    state = state_of(request)
    asked = parse_asked(await read_json(request))
    state.answer_rate.take(principal.name, asked.n)
    thread = Thread(uuid7(), "", Consent.IMPROVE, ())
    if asked.thread_id is not None:
        thread = await owned_thread(state, principal, asked.thread_id)
    question = await _question(state, principal, thread, asked)
    model, exposure = await state.traffic.named(asked.model, principal.name, any_ref="exam" in principal.scopes)
    # No await may stand between finding a model and acquiring it: a swap in between would close it.
    model.acquire(asked.n)
    try:
        live = await _prepare(state, principal, Route(model, exposure), thread, asked, question)
        await live.start()
    except BaseException as error:
        model.release(asked.n)
        if isinstance(error, StoreError):
            raise _unavailable(error) from None
        raise
    state.lives.add(live)
    return JSONResponse({"id": live.id, "thread_id": thread.id, "question": question.address, "num_answers": asked.n})


def parse_asked(body: Any) -> Asked:
    """ApiError 400 names the field at fault."""
    if not isinstance(body, dict):
        raise ApiError(400, f"the body must be a JSON object, found {type(body).__name__}")
    for name in body:
        if name not in FIELDS:
            raise ApiError(400, f"unknown field {name!r}; allowed: {', '.join(FIELDS)}", param=name, code="unknown_parameter")
    given = {name: value for name, value in body.items() if value is not None}
    text, num_answers = _text(given), whole_field(given, "n", 1, MAX_ANSWERS) or 1
    usual = 0.0 if text is not None and num_answers == 1 else SAMPLED_TEMPERATURE
    seed = whole_field(given, "seed", -(1 << 63), (1 << 63) - 1)
    return Asked(
        thread_id=_id(given, "thread_id"),
        parent=_id(given, "parent"),
        text=text,
        model=model_field({"model": "feilun", **given}),
        n=num_answers,
        temperature=number_field(given, "temperature", 0.0, 2.0, usual),
        consent=_consent(given),
        seed=secrets.randbits(SEED_BITS) if seed is None else seed,
    )


def _text(given: Mapping[str, Any]) -> str | None:
    text = given.get("text")
    if text is None:
        if "parent" not in given:
            raise ApiError(400, "give a text, or the parent that is to be answered again", param="text", code="missing_required_parameter")
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT_CHARS:
        raise wrong_value("text", text, f"a text of 1 to {MAX_TEXT_CHARS} characters that is not blank")
    return text


def _id(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if name == "parent" and value is not None and "thread_id" not in given:
        raise ApiError(400, "parent stands in a conversation; give its thread_id too", param="thread_id", code="missing_required_parameter")
    return None if value is None else check_name(name, value)


def _consent(given: Mapping[str, Any]) -> Consent | None:
    value = given.get("consent")
    if value is not None and value not in tuple(Consent):
        raise wrong_value("consent", value, ", ".join(Consent))
    return None if value is None else Consent(value)


async def _question(state: State, principal: Principal, thread: Thread, asked: Asked) -> Question:
    path = path_to(thread, asked.parent)
    last = path[-1] if path else None
    if asked.text is None:
        if last is None or last.role != "user":
            raise wrong_value("parent", asked.parent, "a question of this conversation, when no text is given")
        return Question(await asked_chain(state, principal, thread, last), last.address, last.parent)
    if last is not None and last.role == "user":
        raise wrong_value("parent", asked.parent, "an answer of this conversation, or null for its first question")
    if len(thread.messages) >= MAX_MESSAGES:
        raise ApiError(
            409, f"this conversation holds {len(thread.messages)} messages, {MAX_MESSAGES} are allowed; begin a new one", code="thread_full"
        )
    above = root_address(principal.name, thread.id) if last is None else last.address
    messages = [*told(path), {"role": "user", "content": asked.text}]
    return Question(messages, address_of(above, "user", parts_of(asked.text)), thread.id if last is None else last.address)


async def _prepare(state: State, principal: Principal, route: Route, thread: Thread, asked: Asked, question: Question) -> Live:
    model, exposure = route
    fitted = await fit(model, Conversation.from_json(question.messages).messages)
    recorded: dict[str, Any] = {"temperature": asked.temperature, "seed": asked.seed, "n": asked.n}
    if fitted.num_dropped:
        recorded["dropped"] = fitted.num_dropped
    call = ChatCall(
        model=asked.model, conversation=fitted.conversation, n=asked.n, stream=True, include_usage=False, temperature=asked.temperature,
        top_p=1.0, seed=asked.seed, stop=(), max_tokens=None, user=None, thread_id=thread.id, consent=asked.consent or thread.consent,
        recorded=recorded,
    )  # fmt: skip
    place = Place(thread_id=thread.id, messages=question.messages, num_quoted=len(question.messages) - 1)
    generation = Generation(state, call, principal, model, fitted.prompt_tokens, fitted.max_tokens, place, exposure)
    return Live(state, generation, question.address, question.parent)


def _unavailable(error: StoreError) -> ApiError:
    retry = 1 if error.http_status == 503 else None
    return ApiError(error.http_status, str(error), code="store_unavailable", retry_after_seconds=retry)
