"""An engine elsewhere: any endpoint that speaks OpenAI's chat completions, as a Chat. It cannot serve rl: it gives text, not tokens.

What it does wrong becomes an EngineFault that names it. Nothing here waits for ever, and nothing is asked twice, except without a field
that the endpoint says it does not know.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

from feilun.engine.arriving import Arriving, rows_of
from feilun.engine.chat import ChatParams, TextDelta
from feilun.engine.endpoint import Endpoint, Patience, Refusal, bases, detail_of
from feilun.engine.events import DONE, NotEvents
from feilun.engine.protocol import EngineFault, EngineInfo
from feilun.engine.wire import Wire, sent
from feilun.types import Conversation, Reply

__all__ = ["Found", "RemoteChat", "find_models"]

MAX_BODY_BYTES = 8 << 20
MAX_REFUSAL_BYTES = 1 << 16
MAX_TOGETHER = 8
PROBE = Patience(connect_seconds=5.0, first_byte_seconds=10.0, byte_seconds=10.0, text_seconds=20.0)
# Endpoints differ in the seeds they take; all take these.
SEEDS = 1 << 31
# Fields that are left to the endpoint when it does not know them: it then samples as it does, and `stop` is held to here anyway.
OPTIONAL = ("stream_options", "max_tokens", "stop", "seed", "top_p", "temperature")
UNKNOWN_FIELD = re.compile(r"support|unrecogni[sz]ed|unknown|unexpected|permitted|extra input|not allowed|does not exist|deprecated", re.I)

log = logging.getLogger(__name__)


class Found(NamedTuple):
    """Where an API begins, and the models that it lists."""

    url: str
    models: tuple[str, ...]


class RemoteChat:
    """A model of an endpoint. `problem` is what went wrong with the last answer, "" if it was whole, None before the first."""

    def __init__(self, endpoint: Endpoint, model: str, *, ref: str, patience: Patience | None = None):
        self.endpoint, self.model = endpoint, model
        self.problem: str | None = None
        self._info = EngineInfo(
            engine=endpoint.name, model=ref, context_tokens=0, vocab_size=0, precision="", capabilities=frozenset({"stream"})
        )
        self._patience = patience or Patience()
        self._unknown: frozenset[str] = frozenset()

    @property
    def info(self) -> EngineInfo:
        return self._info

    def count_prompt(self, _conversation: Conversation) -> None:
        """Only the endpoint could say."""
        return

    def close(self) -> None:
        """Nothing is held between answers."""

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        """One reply a conversation, in order, a few asked at a time; not from within a running event loop."""

        async def ask_all() -> list[Reply]:
            places = asyncio.Semaphore(MAX_TOGETHER)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._reply(conversation, params, places)) for conversation in conversations]
            return [task.result() for task in tasks]

        try:
            return asyncio.run(ask_all())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _reply(self, conversation: Conversation, params: ChatParams, places: asyncio.Semaphore) -> Reply:
        async with places, aclosing(self.stream(conversation, params)) as stream:
            deltas = [delta async for delta in stream]
        reason = deltas[-1].finish_reason
        assert reason is not None
        return Reply(text="".join(delta.text for delta in deltas), finish_reason=reason, num_tokens=deltas[-1].num_tokens)

    async def stream(self, conversation: Conversation, params: ChatParams, *, request_id: str = "") -> AsyncGenerator[TextDelta, None]:
        """The answer piece by piece; closing the generator closes the connection. EngineFault when it is not a whole answer."""
        try:
            async with aclosing(self._deltas(self._body(conversation, params), params.stop)) as deltas:
                async for delta in deltas:
                    if delta.finish_reason is not None:
                        self.problem = ""
                    yield delta
        except EngineFault as fault:
            self.problem = str(fault)
            raise

    async def _deltas(self, body: Mapping[str, Any], stop: tuple[str, ...]) -> AsyncGenerator[TextDelta, None]:
        answer = Arriving(self.endpoint, self.info.model, stop)
        with self.endpoint.faults():
            async with self._answering(body) as wire, aclosing(self._chunks(wire)) as chunks:
                async for chunk in chunks:
                    if chunk is DONE:
                        answer.done()
                        break
                    if text := answer.take(chunk):
                        yield answer.delta(text)
                    if answer.is_cut:
                        break
                    wire.is_whole = answer.is_whole
            yield answer.last()

    def _body(self, conversation: Conversation, params: ChatParams) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model, "messages": conversation.to_json(), "temperature": params.temperature}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        if params.max_tokens is not None:
            body["max_tokens"] = params.max_tokens
        if params.top_p < 1.0:
            body["top_p"] = params.top_p
        if params.seed is not None:
            body["seed"] = params.seed % SEEDS
        if params.stop:
            body["stop"] = list(params.stop)
        return body

    @asynccontextmanager
    async def _answering(self, body: Mapping[str, Any]) -> AsyncIterator[Wire]:
        """The endpoint's answer with status 200, of which nothing has been read."""
        unknown = self._unknown
        async with self.endpoint.client(self._patience) as client:
            while True:
                request = client.build_request("POST", f"{self.endpoint.url}/chat/completions", content=_encode(body, unknown))
                async with sent(client, request, self._patience) as wire:
                    if wire.response.status_code == 200:
                        self._learn(unknown)
                        yield wire
                        return
                    refusal = detail_of(wire.response, await wire.read(MAX_REFUSAL_BYTES))
                field = _field_at_fault(refusal, body, unknown)
                if field is None:
                    raise self.endpoint.refused(refusal)
                unknown |= {field}

    def _learn(self, unknown: frozenset[str]) -> None:
        """A field is left out for good once an answer came without it."""
        if news := unknown - self._unknown:
            log.warning("engine %s does not know %s: left to the endpoint from now on", self.endpoint.name, ", ".join(sorted(news)))
            self._unknown = unknown

    async def _chunks(self, wire: Wire) -> AsyncGenerator[Any, None]:
        """The objects of an answer, and DONE where the endpoint says so; an endpoint that does not stream sends one."""
        if "html" in wire.kind:
            raise self.endpoint.fault(f"{self.endpoint.url} answers with a web page, not with an API's answer; is the URL right?")
        try:
            if wire.kind.startswith("application/json"):
                yield _object(json.loads(await wire.read(MAX_BODY_BYTES)))
                yield DONE
                return
            async with aclosing(wire.values()) as values:
                async for value in values:
                    yield value if value is DONE else _object(value)
        except NotEvents as error:
            raise self.endpoint.fault(f"it sent {error}") from None
        except (ValueError, RecursionError):
            raise self.endpoint.fault("it sent an answer that is not JSON") from None


async def find_models(endpoint: Endpoint, *, patience: Patience = PROBE) -> Found:
    """Ask an endpoint what it serves, wherever its API may begin; EngineFault when there is none, or it does not let us in."""
    for url in bases(endpoint.url):
        there = Endpoint(name=endpoint.name, url=url, key=endpoint.key)
        with there.faults():
            request_to = f"{url}/models"
            async with there.client(patience) as client, sent(client, client.build_request("GET", request_to), patience) as wire:
                body, status = await wire.read(MAX_BODY_BYTES), wire.response.status_code
                refusal = detail_of(wire.response, body[:MAX_REFUSAL_BYTES])
        models = _models(body) if status == 200 else None
        if models is not None:
            return Found(url, models)
        if status not in (200, 404, 405):
            raise there.refused(refusal)
    looked = " and ".join(f"{url}/models" for url in bases(endpoint.url))
    raise endpoint.fault(f"no list of models at {looked}; is the URL right?")


def _models(body: bytes) -> tuple[str, ...] | None:
    """The ids in a list of models; None when it is none."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    rows = said.get("data") if isinstance(said, Mapping) else said
    if not isinstance(rows, list):
        return None
    return tuple(row["id"] for row in rows_of(rows) if isinstance(row.get("id"), str) and row["id"].isprintable())


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise NotEvents(f"something that is no object: {json.dumps(value)[:60]}")
    return value


def _encode(body: Mapping[str, Any], unknown: frozenset[str]) -> bytes:
    given = {field: value for field, value in body.items() if field not in unknown}
    if "max_tokens" in unknown and "max_tokens" in body:
        given["max_completion_tokens"] = body["max_tokens"]
    return json.dumps(given).encode()


def _field_at_fault(refusal: Refusal, body: Mapping[str, Any], unknown: frozenset[str]) -> str | None:
    """The optional field of `body` that the endpoint says it does not know."""
    if refusal.status not in (400, 422) or not UNKNOWN_FIELD.search(refusal.detail):
        return None
    left = [field for field in OPTIONAL if field in body and field not in unknown]
    named = [field for field in left if refusal.param == field]
    return next(iter(named or [field for field in left if re.search(rf"\b{field}\b", refusal.detail)]), None)
