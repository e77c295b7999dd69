"""A model that answers, own or elsewhere, held open while it does."""

import asyncio
import time

from feilun.engine.chat import Chat
from feilun.serve.errors import ApiError
from feilun.types import Conversation

__all__ = ["Loaded"]


class Loaded:
    """`ref` is "models/name@hash" or "engine:NAME/model"; `capacity` answers at once are taken, running and queued together."""

    def __init__(self, ref: str, chat: Chat, capacity: int):
        self.ref, self.chat, self.capacity = ref, chat, capacity
        self.loaded_at = time.time()
        self._active, self._retired = 0, False
        self._closing: asyncio.Task[None] | None = None

    @property
    def context_tokens(self) -> int:
        """0 where only the endpoint knows."""
        return self.chat.info.context_tokens

    def count_prompt(self, conversation: Conversation) -> int | None:
        """Tokens of a prompt, the assistant's header included; None where only the endpoint could say."""
        return self.chat.count_prompt(conversation)

    def acquire(self, num_answers: int) -> None:
        """Hold the model open for `num_answers` answers until `release`; ApiError 429 when the queue is full."""
        if self._active + num_answers > self.capacity:
            message = f"{self._active} answers are running or waiting and {self.capacity} are allowed; try again shortly"
            raise ApiError(429, message, code="queue_full", retry_after_seconds=1)
        self._active += num_answers

    def release(self, num_answers: int) -> None:
        self._active -= num_answers
        self._close_when_idle()

    def retire(self) -> None:
        """No new requests will come: close now or with the last one."""
        self._retired = True
        self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self._retired and not self._active and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(asyncio.to_thread(self.chat.close))

    async def closed(self) -> None:
        if self._closing is not None:
            await self._closing
