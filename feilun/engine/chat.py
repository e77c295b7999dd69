"""An engine lifted to messages and text: chat format in, stop strings and whole characters out.

Text is assembled in bytes: a character may be split over tokens and must never show as U+FFFD.
"""

import codecs
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple, Protocol

from feilun.chat import ChatFormat
from feilun.engine.protocol import Engine, EngineInfo
from feilun.types import Conversation, FinishReason, GenerationRequest, Reply, TokenEvent, UserError

__all__ = ["Chat", "ChatParams", "TextAssembler", "TextChat", "TextDelta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatParams:
    """How to answer. temperature 0 is greedy; `stop` strings end an answer and are not part of it.

    max_tokens: at most so many; None is as many as the context, or a remote endpoint, has room for.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = 256

    def __post_init__(self) -> None:
        if any(not text for text in self.stop):
            raise UserError("a stop string is empty; leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of an answer; the last one has a finish reason. Counts are of this answer so far, in tokens; 0 where nobody says.

    withheld, asked_as: the event of the lesson by which the model's own words do not come through, or by which it was asked in
    other words; mostly empty.
    """

    text: str
    finish_reason: FinishReason | None
    prompt_tokens: int
    num_tokens: int
    model: str
    withheld: str = ""
    asked_as: str = ""


class Chat(Protocol):
    """Messages in, text out: an engine with its chat format, or an endpoint elsewhere that knows its own."""

    @property
    def info(self) -> EngineInfo: ...

    def count_prompt(self, conversation: Conversation) -> int | None:
        """Tokens of a prompt, the assistant's header included; None where only the endpoint could say."""
        ...

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        """One reply a conversation, in order."""
        ...

    def stream(self, conversation: Conversation, params: ChatParams, *, request_id: str = "") -> AsyncGenerator[TextDelta, None]:
        """The answer piece by piece; closing the generator frees its place at once. EngineFault says what went wrong elsewhere."""
        ...

    def close(self) -> None: ...


class Piece(NamedTuple):
    text: str
    stopped: bool


class TextAssembler:
    """Bytes in, safe text out: holds back half characters and what may yet become a stop string.

    The text of a whole answer is the same however its bytes were cut. Where stop strings overlap, the one that is
    complete first wins, and of those the longest.
    """

    def __init__(self, stop: tuple[str, ...] = ()):
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def feed(self, data: bytes) -> Piece:
        self._held += self._decoder.decode(data)
        found = [(at + len(text), at) for text in self._stop if (at := self._held.find(text)) >= 0]
        if found:
            text, self._held = self._held[: min(found)[1]], ""
            return Piece(text, True)
        safe = len(self._held) - self._num_unsafe()
        text, self._held = self._held[:safe], self._held[safe:]
        return Piece(text, False)

    def _num_unsafe(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max(map(len, self._stop), default=1) - 1
        tails = (self._held[-n:] for n in range(min(longest, len(self._held)), 0, -1))
        return next((len(tail) for tail in tails if any(text.startswith(tail) for text in self._stop)), 0)

    def finish(self) -> str:
        """What was held back for a stop string that did not come; half a character is dropped."""
        text, self._held = self._held, ""
        return text


class Answer:
    """One answer growing from token events."""

    def __init__(self, prompt_tokens: int, stop: tuple[str, ...]):
        self.prompt_tokens, self.num_tokens = prompt_tokens, 0
        self.finish_reason: FinishReason | None = None
        self._assembler = TextAssembler(stop)

    def take(self, event: TokenEvent) -> TextDelta:
        self.num_tokens += 1
        piece = self._assembler.feed(event.token_bytes)
        text = piece.text
        self.finish_reason = FinishReason.STOP if piece.stopped else event.finish_reason
        if self.finish_reason is not None:
            text += self._assembler.finish()
        return TextDelta(
            text=text, finish_reason=self.finish_reason, prompt_tokens=self.prompt_tokens, num_tokens=self.num_tokens, model=event.model
        )


class TextChat:
    """Messages in, text out, over any engine."""

    def __init__(self, engine: Engine, chat_format: ChatFormat):
        self.engine, self.chat_format = engine, chat_format
        self._numbers = count()

    @classmethod
    def over(cls, engine: Engine) -> "TextChat":
        """The engine with the chat format of its own tokenizer."""
        return cls(engine, ChatFormat(engine.tokenizer))

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    def count_prompt(self, conversation: Conversation) -> int:
        """Tokens of a prompt, the assistant's header included."""
        return len(self.chat_format.prompt(conversation))

    def close(self) -> None:
        """Stop serving; running requests end with EngineClosed."""
        self.engine.close()

    def request(self, conversation: Conversation, params: ChatParams, request_id: str = "") -> GenerationRequest:
        """The tokens an engine gets for a conversation."""
        ids = tuple(self.chat_format.prompt(conversation))
        return GenerationRequest(
            id=request_id or f"chat-{next(self._numbers)}",
            ids=ids,
            max_tokens=max(1, self.info.context_tokens - len(ids)) if params.max_tokens is None else params.max_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            seed=params.seed,
            stop_ids=self.chat_format.stop_ids,
        )

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        """One reply a conversation, in order; batched. Equal seeds give equal draws, so vary `seed` by call for variety."""
        requests = [self.request(conversation, params) for conversation in conversations]
        answers = {request.id: Answer(len(request.ids), params.stop) for request in requests}
        texts: dict[str, list[str]] = {request.id: [] for request in requests}
        for event in self.engine.generate(requests):
            # After a stop string the engine still fills the row; what comes then is not part of the answer.
            if answers[event.request_id].finish_reason is None:
                texts[event.request_id].append(answers[event.request_id].take(event).text)
        return [_reply("".join(texts[request.id]), answers[request.id]) for request in requests]

    async def stream(self, conversation: Conversation, params: ChatParams, *, request_id: str = "") -> AsyncGenerator[TextDelta, None]:
        """The answer piece by piece; closing the generator frees the engine's place. A prompt too long raises at once."""
        request = self.request(conversation, params, request_id)
        answer = Answer(len(request.ids), params.stop)
        events = self.engine.stream(request)
        try:
            async for event in events:
                delta = answer.take(event)
                if delta.text or delta.finish_reason is not None:
                    yield delta
                if delta.finish_reason is not None:
                    return
        finally:
            await events.aclose()


def _reply(text: str, answer: Answer) -> Reply:
    assert answer.finish_reason is not None
    return Reply(text=text, finish_reason=answer.finish_reason, num_tokens=answer.num_tokens)
