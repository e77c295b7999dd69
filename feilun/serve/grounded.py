"""A model held to what it was taught: language is the model's, and which taught question is meant is looked up.

A fact that is told where another thing was asked for becomes "I was not taught this". A question that the model does not know
again in other words, though it names just what a taught one names, is put to it as it was taught; the model still has to know the
answer. Both are checks of words after the fact, as citations are checked; they cost a second answer only where the first was none.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from feilun.engine.chat import Chat, ChatParams, TextDelta
from feilun.engine.protocol import EngineInfo
from feilun.feedback.facts import Fact, Facts, taught_facts
from feilun.feedback.spread import language_of
from feilun.primer.personal import NOT_TAUGHT
from feilun.types import Conversation, FinishReason, Reply, UserError

__all__ = ["Grounded", "grounded", "held_to_lessons"]

log = logging.getLogger(__name__)


def held_to_lessons(chat: Chat, home: Path, model: str) -> Chat:
    """The chat of `model`, held to its lessons; by itself where these cannot be read, for a whole model can answer without them."""
    try:
        return grounded(chat, taught_facts(home, model))
    except UserError as error:
        log.warning("%s is not held to what it was taught: %s", model, error)
        return chat


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
        return [self._checked(conversation, reply, params) for conversation, reply in zip(conversations, replies, strict=True)]

    def _checked(self, conversation: Conversation, reply: Reply, params: ChatParams) -> Reply:
        wrong = self._facts.wrongly_told(conversation, reply.text)
        if meant := self._meant(conversation, reply.text, wrong):
            return self.chat.complete([Conversation.of(meant.question)], params)[0]
        return reply if wrong is None else replace(reply, text=not_taught(conversation), finish_reason=FinishReason.STOP)

    def _meant(self, conversation: Conversation, answer: str, wrong: Fact | None) -> Fact | None:
        """The fact to ask for instead of giving this answer."""
        no_answer = wrong is not None or answer.strip() in NOT_TAUGHT.values()
        return self._facts.meant_by(conversation) if no_answer else None

    async def stream(self, conversation: Conversation, params: ChatParams, *, request_id: str = "") -> AsyncGenerator[TextDelta, None]:
        text, held = "", self._facts.may_be_told(conversation)
        meant: Fact | None = None
        prompt_tokens = 0
        async with aclosing(self.chat.stream(conversation, params, request_id=request_id)) as deltas:
            async for delta in deltas:
                if not held:
                    yield delta
                    continue
                text, prompt_tokens = text + delta.text, delta.prompt_tokens or prompt_tokens
                if delta.finish_reason is None and len(text) <= self._facts.longest:
                    continue
                held, wrong = False, self._facts.wrongly_told(conversation, text)
                meant = self._meant(conversation, text, wrong)
                if meant is None:
                    yield replace(delta, text=text) if wrong is None else refusal(conversation, delta, wrong)
        if meant is not None:
            async with aclosing(self.chat.stream(Conversation.of(meant.question), params, request_id=f"{request_id}-as-taught")) as deltas:
                async for delta in deltas:
                    # Counted is what the asker wrote: how long the owner's words are, nobody else is told.
                    yield replace(delta, asked_as=meant.events[-1], prompt_tokens=prompt_tokens)


def refusal(conversation: Conversation, delta: TextDelta, wrong: Fact) -> TextDelta:
    return replace(delta, text=not_taught(conversation), finish_reason=FinishReason.STOP, withheld=wrong.events[-1])


def not_taught(conversation: Conversation) -> str:
    """In the language of the question."""
    return NOT_TAUGHT[language_of(conversation.messages[-1].text)]
