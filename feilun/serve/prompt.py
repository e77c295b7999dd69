"""What of a conversation a model is shown: all of it, or as many of its last turns as its context holds."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from feilun.serve.champion import Loaded
from feilun.serve.errors import ApiError
from feilun.types import Conversation, Message

__all__ = ["Fitted", "count_prompt", "count_system", "fit", "too_long"]

LONG_PROMPT_CHARS = 4096
# Room that an answer should find: so many tokens, but never more than this share of the context.
ANSWER_TOKENS = 256
ANSWER_SHARE = 4


class Fitted(NamedTuple):
    """prompt_tokens 0 and max_tokens None where only the endpoint could say. num_dropped: messages left out at the beginning."""

    conversation: Conversation
    prompt_tokens: int
    max_tokens: int | None
    num_dropped: int


async def count_prompt(model: Loaded, conversation: Conversation) -> int | None:
    """Tokens of a prompt; a long one is counted beside the event loop."""
    if sum(len(message.text) for message in conversation.messages) > LONG_PROMPT_CHARS:
        return await asyncio.to_thread(model.count_prompt, conversation)
    return model.count_prompt(conversation)


async def fit(model: Loaded, messages: Sequence[Message]) -> Fitted:
    """The messages that fit: the system's, and the longest end of the rest that begins with a question. ApiError 400 when none does."""
    num_system = count_system(messages)
    starts = [i for i, message in enumerate(messages) if message.role == "user" and i > num_system]
    # From the whole to the last question alone; the counts fall, so halving finds the first that fits.
    starts = [num_system, *starts]
    low, high = 0, len(starts) - 1
    tried: dict[int, int] = {}
    reserve = min(ANSWER_TOKENS, model.context_tokens // ANSWER_SHARE)
    while low <= high:
        middle = 0 if not tried else (low + high) // 2
        num_tokens = await count_prompt(model, _from(messages, num_system, starts[middle]))
        if num_tokens is None:
            return Fitted(Conversation(tuple(messages)), 0, None, 0)
        tried[middle] = num_tokens
        is_last = middle == len(starts) - 1
        if num_tokens <= model.context_tokens - (1 if is_last else reserve):
            high = middle - 1
        else:
            low = middle + 1
    if low == len(starts):
        raise too_long(model, tried[low - 1], "text")
    return Fitted(_from(messages, num_system, starts[low]), tried[low], model.context_tokens - tried[low], starts[low] - num_system)


def count_system(messages: Sequence[Message]) -> int:
    """How many messages of the system stand before all others; these are never left out."""
    return next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))


def _from(messages: Sequence[Message], num_system: int, start: int) -> Conversation:
    return Conversation((*messages[:num_system], *messages[start:]))


def too_long(model: Loaded, prompt_tokens: int, param: str = "messages") -> ApiError:
    message = f"this model's context holds {model.context_tokens} tokens; your messages are {prompt_tokens} and leave no room to answer"
    return ApiError(400, message, param=param, code="context_length_exceeded")
