"""Conversations for the page: whose they are, what is shown of them, and what a model is told when they go on.

Every id that comes from outside passes `owned_thread`, `owned_completion` or `owned_live`; an unknown one and another's are the same 404.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from feilun.serve.auth import Principal
from feilun.serve.errors import ApiError
from feilun.serve.live import Live
from feilun.serve.render import render_blocks
from feilun.serve.state import State
from feilun.store import CompletionRecord, Hit, ShownMessage, Thread, ThreadRow, address_of, parts_of, root_address
from feilun.store.threads import title_of

__all__ = ["asked_chain", "hit_json", "owned_completion", "owned_live", "owned_thread", "path_to", "question_of", "rows", "thread_json"]

SNIPPET_CHARS = 120
BEFORE_HIT_CHARS = 30


def _nothing(what: str, name: str) -> ApiError:
    return ApiError(404, f"there is no {what} {name!r}", code="not_found")


async def owned_thread(state: State, principal: Principal, thread_id: str) -> Thread:
    """The conversation, what is being answered just now included; ApiError 404 unless it is the principal's."""
    found = await asyncio.to_thread(state.store.thread, principal.name, thread_id)
    running = state.lives.running(principal.name, thread_id)
    if found is None and not running:
        raise _nothing("conversation", thread_id)
    if found is None:
        first = running[0].generation
        found = Thread(thread_id, title_of(first.place.messages[-1]["content"]), first.call.consent, ())
    there = {message.address for message in found.messages}
    fresh = {live.question: _question(live) for live in running if live.question not in there}
    consent = running[-1].generation.call.consent if running else found.consent
    return found._replace(messages=(*found.messages, *fresh.values()), consent=consent)


def _question(live: Live) -> ShownMessage:
    text = live.generation.place.messages[-1]["content"]
    return ShownMessage(live.question, live.parent, "user", text, live.generation.created, None, ())


async def owned_completion(state: State, principal: Principal, completion_id: str) -> CompletionRecord:
    found = await asyncio.to_thread(state.store.completion, completion_id)
    if found is None or found.principal != principal.name:
        raise _nothing("completion", completion_id)
    return found


async def owned_live(state: State, principal: Principal, generation_id: str) -> Live | None:
    """The generation, if this server holds it; None when it is another's or only the store may know it."""
    live = state.lives.get(generation_id)
    if live is not None and live.principal == principal.name:
        return live
    # Left by a killed server and not yet recorded: a moment later it will be.
    if await asyncio.to_thread(state.store.drafts.principal_of, generation_id) == principal.name:
        raise ApiError(503, "this answer is being recovered; try again", code="not_yet_recorded", retry_after_seconds=1)
    return None


async def rows(state: State, principal: Principal, limit: int, before: float | None) -> list[dict[str, Any]]:
    """The conversations, newest first; on the first page those that have only begun stand at the top."""
    listed = await asyncio.to_thread(state.store.threads, principal.name, limit, before)
    there = {row.id for row in listed}
    begun = {live.thread_id: live for live in reversed(state.lives.running(principal.name)) if live.thread_id not in there}
    new = [_begun_row(live) for live in begun.values()] if before is None else []
    return [{"id": row.id, "title": row.title, "at": row.at, "num_answers": row.num_answers} for row in (*new, *listed)]


def _begun_row(live: Live) -> ThreadRow:
    first = live.generation.place.messages[0]["content"]
    return ThreadRow(live.thread_id, title_of(first), live.generation.created, 0)


def thread_json(thread: Thread, running: Iterable[Live]) -> dict[str, Any]:
    """The conversation as the page gets it. Renders what is not yet rendered: not for the event loop."""
    newest = max(thread.messages, key=lambda message: message.at, default=None)
    return {
        "id": thread.id,
        "title": thread.title,
        "consent": thread.consent.value,
        "tip": newest.address if newest else None,
        "messages": [_message_json(message) for message in thread.messages],
        "running": [{"id": live.id, "parent": live.question, "num_answers": live.generation.call.n} for live in running],
    }


def _message_json(message: ShownMessage) -> dict[str, Any]:
    row: dict[str, Any] = {
        "address": message.address, "parent": message.parent, "role": message.role, "text": message.text,
        "html": render_blocks(message.text) if message.role == "assistant" else [], "at": message.at,
        "answer": None, "thumb": 0, "reasons": [], "lesson": None,
    }  # fmt: skip
    if message.answer is not None:
        answer, standing = message.answer, message.answer.standing
        names = ("id", "index", "model", "engine", "finish_reason", "num_tokens", "seconds", "consent")
        row["answer"] = {name: getattr(answer, name) for name in names}
        row |= {"thumb": standing.thumb, "reasons": standing.reason}
        if standing.edit is not None:
            row["lesson"] = {"event": standing.edit_id, "text": standing.edit, "html": render_blocks(standing.edit)}
    return row


def hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "thread_id": hit.thread_id, "title": hit.title, "address": hit.address, "role": hit.role, "snippet": _snippet(hit), "at": hit.at,
    }  # fmt: skip


def _snippet(hit: Hit) -> list[dict[str, Any]]:
    """The surroundings of the first place that was found, in pieces."""
    start = max(0, hit.marks[0][0] - BEFORE_HIT_CHARS) if hit.marks else 0
    end = min(len(hit.text), start + SNIPPET_CHARS)
    pieces, at = [("…" if start else "", False)], start
    for low, high in hit.marks:
        if low < end:
            pieces += [(hit.text[at:low], False), (hit.text[low : min(high, end)], True)]
            at = min(high, end)
    pieces += [(hit.text[at:end], False), ("…" if end < len(hit.text) else "", False)]
    return [{"text": text, "hit": is_hit} for text, is_hit in pieces if text]


# --- what a model is told


def path_to(thread: Thread, address: str | None) -> list[ShownMessage]:
    """Messages from the first to the one at `address`; ApiError 404 when it is not in this conversation."""
    by_address = {message.address: message for message in thread.messages}
    path = []
    at = thread.id if address is None else address
    while at != thread.id:
        if at not in by_address:
            raise _nothing("message", str(address))
        path.append(by_address[at])
        at = by_address[at].parent
    return path[::-1]


def told(path: Iterable[ShownMessage]) -> list[dict[str, Any]]:
    """The messages as a reader sees them: a standing edit in the place of the answer that it corrects."""
    return [{"role": message.role, "content": _text(message)} for message in path]


def _text(message: ShownMessage) -> str:
    edit = message.answer.standing.edit if message.answer else None
    return message.text if edit is None else edit


async def asked_chain(state: State, principal: Principal, thread: Thread, question: ShownMessage) -> list[dict[str, Any]]:
    """What led to a question, itself included, for another answer to it.

    As a reader sees it now, where it was asked so; else as it was asked: answers are only comparable under one prompt.
    """
    now = told(path_to(thread, question.address))
    for live in state.lives.running(principal.name, thread.id):
        if live.question == question.address:
            return live.generation.place.messages
    if not question.asked or _stored_address(principal, thread.id, now) in question.asked:
        return now
    return await asyncio.to_thread(state.store.messages_to, question.asked[-1])


def _stored_address(principal: Principal, thread_id: str, messages: Iterable[dict[str, Any]]) -> str:
    address = root_address(principal.name, thread_id)
    for message in messages:
        address = address_of(address, message["role"], parts_of(message["content"]))
    return address


async def question_of(state: State, principal: Principal, record: CompletionRecord) -> str:
    """Where a page shows the question that a completion answered."""
    thread = await owned_thread(state, principal, record.thread_id)
    stored = _stored_address(principal, record.thread_id, record.messages)
    return next((message.address for message in thread.messages if stored in message.stored), stored)
