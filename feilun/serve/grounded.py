"""A model held to what it was taught: a fact that is told where another thing was asked for becomes "I was not taught this".

The check is by words and after the fact, as citations are checked; the model is not asked again. It only ever takes an answer
back: what the model does not know, nobody says for it.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from feilun.engine.chat import Chat, ChatParams, TextDelta
from feilun.engine.protocol import EngineInfo
from feilun.feedback.facts import Facts
from feilun.feedback.spread import language_of
from feilun.primer.personal import NOT_TAUGHT
from feilun.types import Conversation, FinishReason, Reply

__all__ = ["Grounded", "grounded"]


def grounded(chat: Chat, facts: Facts) -> Chat:
    """The chat itself where nothing was taught."""
    return Grounded(chat, facts) if facts else chat


class Grounded:
    """A Chat over another. An answer to a question that facts could answer is held back until it is too long to be one."""

    def __init__(self, chat: Chat, facts: Facts):
        self.chat, self._facts = chat, facts

    @property
    def info(self) -> EngineInfo:
        return self.chat.info

    def count_prompt(self, conversation: Conversation) -> int | None:
        return self.chat.count_prompt(conversation)

    def close(self) -> None:
        self.chat.close()

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        replies = self.chat.complete(conversations, params)
        return [self._checked(conversation, reply) for conversation, reply in zip(conversations, replies, strict=True)]

    def _checked(self, conversation: Conversation, reply: Reply) -> Reply:
        if self._facts.wrongly_told(conversation, reply.text) is None:
            return reply
        return replace(reply, text=not_taught(conversation), finish_reason=FinishReason.STOP)

    async def stream(self, conversation: Conversation, params: ChatParams, *, request_id: str = "") -> AsyncGenerator[TextDelta, None]:
        held: list[TextDelta] | None = [] if self._facts.may_be_told(conversation) else None
        async with aclosing(self.chat.stream(conversation, params, request_id=request_id)) as deltas:
            async for delta in deltas:
                if held is None:
                    yield delta
                    continue
                held.append(delta)
                text = "".join(piece.text for piece in held)
                if delta.finish_reason is not None or len(text) > self._facts.longest:
                    fact = self._facts.wrongly_told(conversation, text)
                    yield (
                        replace(delta, text=text)
                        if fact is None
                        else replace(delta, text=not_taught(conversation), finish_reason=FinishReason.STOP, withheld=fact.events[-1])
                    )
                    held = None


def not_taught(conversation: Conversation) -> str:
    """In the language of the question."""
    return NOT_TAUGHT[language_of(conversation.messages[-1].text)]
