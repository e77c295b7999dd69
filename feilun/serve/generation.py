"""One request being answered: its answers run, are recorded, and only then end.

The generation is a task of its own, apart from the HTTP response that reads it. However it ends, what was generated is in the
store before anybody can learn that it ended; so feedback on its id always finds it.
"""

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from feilun.engine.chat import ChatParams
from feilun.engine.protocol import EngineFault
from feilun.serve.auth import Principal
from feilun.serve.champion import Loaded
from feilun.serve.chat_request import ChatCall
from feilun.serve.state import State
from feilun.store import CompletionRecord, StoreError, thread_of, uuid7
from feilun.types import Decision, FinishReason

__all__ = ["Answer", "Ended", "Failed", "Generation", "Piece"]

SEEDS = 1 << 63

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """More text of one answer."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Every answer is whole and recorded."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why it ended early, and how an HTTP answer says so."""

    message: str
    http_status: int = 500
    code: str = "internal_error"
    retry_after_seconds: int | None = None


@dataclass(slots=True)
class Answer:
    index: int
    pieces: list[str] = field(default_factory=list)
    num_tokens: int = 0
    finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def to_row(self) -> dict[str, Any]:
        reason = self.finish_reason or FinishReason.ABORT
        return {"index": self.index, "text": self.text, "finish_reason": reason.value, "num_tokens": self.num_tokens}


class Generation:
    """Answers to one call. `run` is the task; `next_event` gives Piece..., then one Ended or Failed."""

    def __init__(self, state: State, call: ChatCall, principal: Principal, model: Loaded, prompt_tokens: int, max_tokens: int | None):
        self.id = f"chatcmpl-{uuid7()}"
        self.created = time.time()
        self.call, self.model, self.principal = call, model, principal
        self.prompt_tokens = prompt_tokens
        self.answers = [Answer(index) for index in range(call.n)]
        self._max_tokens = max_tokens
        self._state = state
        self._events: asyncio.Queue[Piece | Ended | Failed] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False

    @property
    def completion_tokens(self) -> int:
        return sum(answer.num_tokens for answer in self.answers)

    def start(self) -> None:
        """Begin. The caller has acquired the model for call.n answers; from here on this generation lets it go."""
        self._state.in_flight[self.id] = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._state.generations.add(self)
        # A callback, not a finally: a task that is cancelled before its first step never enters its body.
        self._task.add_done_callback(self._close)

    def cancel(self) -> None:
        """Stop generating and free the slots; what was generated so far is still recorded. Once only."""
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    async def next_event(self) -> Piece | Ended | Failed:
        """Wait for what comes next; nothing comes after Ended or Failed. A wait may be cancelled without loss."""
        return await self._events.get()

    async def _run(self) -> None:
        failure = await self._generate()
        record = self._record()
        try:
            await asyncio.get_running_loop().run_in_executor(self._state.writers, self._state.store.record_completion, record)
        except StoreError as error:
            log.error("completion %s could not be recorded: %s", self.id, error)
            failure = Failed("the answer could not be recorded, so it was withheld; try again")
        self._events.put_nowait(failure or Ended())

    async def _generate(self) -> Failed | None:
        """Run every answer to its end; None, or why they ended early."""
        try:
            if len(self.answers) == 1:
                await self._answer(self.answers[0])
            else:
                async with asyncio.TaskGroup() as group:
                    for answer in self.answers:
                        group.create_task(self._answer(answer))
        except asyncio.CancelledError:
            return Failed("the request was cancelled")
        except Exception as error:
            fault = _fault_in(error)
            if fault is not None:
                log.warning("%s: %s", self.id, fault)
                return Failed(str(fault), fault.http_status, "engine_failed", fault.retry_after_seconds)
            log.exception("the engine failed on %s", self.id)
            return Failed("the engine failed on this request; the server's log says why")
        return None

    async def _answer(self, answer: Answer) -> None:
        call = self.call
        # Equal seeds give equal draws; the answers of one call are to differ, and a seed stays within 63 bits.
        seed = None if call.seed is None else (call.seed + answer.index) % SEEDS
        params = ChatParams(temperature=call.temperature, top_p=call.top_p, seed=seed, stop=call.stop, max_tokens=self._max_tokens)
        async with aclosing(self.model.chat.stream(call.conversation, params, request_id=f"{self.id}-{answer.index}")) as deltas:
            async for delta in deltas:
                answer.num_tokens = delta.num_tokens
                self.prompt_tokens = delta.prompt_tokens or self.prompt_tokens
                if delta.text:
                    answer.pieces.append(delta.text)
                    if call.stream:
                        self._events.put_nowait(Piece(answer.index, delta.text))
                if delta.finish_reason is not None:
                    answer.finish_reason = delta.finish_reason
        if answer.finish_reason not in (FinishReason.STOP, FinishReason.LENGTH):
            raise RuntimeError(f"the engine ended answer {answer.index} with {answer.finish_reason}")

    def _record(self) -> CompletionRecord:
        call, name = self.call, self.principal.name
        messages = call.conversation.to_json()
        return CompletionRecord(
            id=self.id,
            principal=name,
            end_user=self.principal.end_user,
            model=self.model.ref,
            decision=Decision(engine=self.model.chat.info.engine, model=self.model.ref, candidates=(self.model.ref,)),
            thread_id=thread_of(name, messages, call.thread_id),
            messages=messages,
            choices=[answer.to_row() for answer in self.answers],
            params=dict(call.recorded),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            consent=call.consent,
            started=self.created,
            finished=time.time(),
        )

    def _close(self, _task: "asyncio.Task[None]") -> None:
        self.model.release(self.call.n)
        self._state.generations.discard(self)
        self._state.in_flight.pop(self.id).set()


def _fault_in(error: Exception) -> EngineFault | None:
    """The fault of an engine elsewhere, if that is all that went wrong: it is told, where our own faults are only logged."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, EngineFault) else None
