"""One request being answered: its answers run, are recorded, and only then end.

The generation is a task of its own, apart from the HTTP responses that read it, of which there may be several, and which may come late.
However it ends, what was generated is in the store before anybody can learn that it ended; so feedback on its id always finds it.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from feilun.engine.chat import ChatParams
from feilun.engine.protocol import EngineFault
from feilun.serve.auth import Principal
from feilun.serve.champion import Loaded
from feilun.serve.chat_request import ChatCall
from feilun.serve.state import State
from feilun.store import CompletionRecord, Erasure, Exposure, StoreError, thread_of, uuid7
from feilun.types import Decision, FinishReason

__all__ = ["Answer", "Ended", "Failed", "Generation", "Piece", "Place", "Reader"]

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
    withheld: str = ""
    asked_as: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def to_row(self) -> dict[str, Any]:
        reason = self.finish_reason or FinishReason.ABORT
        return {"index": self.index, "text": self.text, "finish_reason": reason.value, "num_tokens": self.num_tokens}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the answers are recorded: after these messages, of which the model may have seen fewer. num_quoted: see CompletionRecord."""

    thread_id: str
    messages: list[dict[str, Any]]
    num_quoted: int = 0


class Generation:
    """Answers to one call. `log` is what there is so far, `end` how it ended; a `Reader` follows both."""

    def __init__(
        self,
        state: State,
        call: ChatCall,
        principal: Principal,
        model: Loaded,
        prompt_tokens: int,
        max_tokens: int | None,
        place: Place | None = None,
        exposure: Exposure | None = None,
    ):
        self.id = f"chatcmpl-{uuid7()}"
        self.created = time.time()
        self.call, self.model, self.principal = call, model, principal
        self.prompt_tokens = prompt_tokens
        self.answers = [Answer(index) for index in range(call.n)]
        self._max_tokens = max_tokens
        self._state = state
        messages = call.conversation.to_json()
        self.place = place or Place(thread_id=thread_of(principal.name, messages, call.thread_id), messages=messages)
        self.log: list[Piece] = []
        self.end: Ended | Failed | None = None
        self.finished = 0.0
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._begun = self._cancelled = False
        self._seen: Sequence[int] | None = None
        self.exposure, self.fault = exposure, ""

    @property
    def completion_tokens(self) -> int:
        return sum(answer.num_tokens for answer in self.answers)

    def start(self) -> None:
        """Begin. The caller has acquired the model for call.n answers; from here on this generation lets it go."""
        self._state.in_flight[self.principal.name, self.id] = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._state.generations.add(self)
        self._task.add_done_callback(self._close)

    def cancel(self) -> None:
        """Stop generating and free the slots; what was generated so far is still recorded. Nothing once it is being recorded."""
        if not self._cancelled:
            self._cancelled = True
            if self._begun and self._task is not None:
                self._task.cancel()

    def is_erased_by(self, erasure: Erasure) -> bool:
        """Whether what is asked here went with it; the store then refuses to record the answer."""
        return erasure.covers(self.principal.name, self.place.thread_id, self.created)

    def stop(self, seen: Sequence[int] | None) -> bool:
        """Cancel, as a reader wants who has seen so many characters of each answer: the rest is not recorded. None: keep everything.

        False when it is too late.
        """
        if self._cancelled:
            return False
        self._seen = [len(answer.text) for answer in self.answers] if seen is None else seen
        self.cancel()
        return True

    async def change(self) -> None:
        """Wait until the log grows or the end comes. May be cancelled without loss."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def ended(self) -> Ended | Failed:
        while self.end is None:
            await self.change()
        return self.end

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _run(self) -> None:
        # A task that is cancelled before its first step never takes it; this one must, to record what was asked.
        self._begun = True
        failure = Failed("the request was cancelled") if self._cancelled else await self._generate()
        self._cancelled = True
        if self._seen is not None:
            failure = None
            self._cut(self._seen)
        elif failure is None and not any(answer.text.strip() for answer in self.answers):
            self.fault = "empty"
        self.finished = time.time()
        record = self.to_record()
        try:
            await asyncio.get_running_loop().run_in_executor(self._state.writers, self._state.store.record_completion, record)
        except StoreError as error:
            log.error("completion %s could not be recorded: %s", self.id, error)
            failure = Failed("the answer could not be recorded, so it was withheld; try again")
        self.end = failure or Ended()
        self._wake()
        self._state.mirrors.offer(self, is_whole=self._seen is None and (failure is None or bool(self.fault)))

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
            self.fault = "error"
            fault = _fault_in(error)
            if fault is not None:
                log.warning("%s: %s", self.id, fault)
                return Failed(str(fault), fault.http_status, "engine_failed", fault.retry_after_seconds)
            log.exception("the engine failed on %s", self.id)
            return Failed("the engine failed on this request; the server's log says why")
        return None

    def params_of(self, answer: Answer) -> ChatParams:
        # Equal seeds give equal draws; the answers of one call are to differ, and a seed stays within 63 bits.
        call = self.call
        seed = None if call.seed is None else (call.seed + answer.index) % SEEDS
        return ChatParams(temperature=call.temperature, top_p=call.top_p, seed=seed, stop=call.stop, max_tokens=self._max_tokens)

    async def _answer(self, answer: Answer) -> None:
        async with aclosing(
            self.model.chat.stream(self.call.conversation, self.params_of(answer), request_id=f"{self.id}-{answer.index}")
        ) as deltas:
            async for delta in deltas:
                answer.num_tokens, answer.withheld, answer.asked_as = delta.num_tokens, delta.withheld, delta.asked_as
                self.prompt_tokens = delta.prompt_tokens or self.prompt_tokens
                if delta.text:
                    answer.pieces.append(delta.text)
                    self.log.append(Piece(answer.index, delta.text))
                    self._wake()
                if delta.finish_reason is not None:
                    answer.finish_reason = delta.finish_reason
        if answer.finish_reason not in (FinishReason.STOP, FinishReason.LENGTH):
            raise RuntimeError(f"the engine ended answer {answer.index} with {answer.finish_reason}")

    def _cut(self, seen: Sequence[int]) -> None:
        for answer, num_chars in zip(self.answers, seen, strict=True):
            if num_chars < len(answer.text):
                answer.pieces, answer.finish_reason = [answer.text[:num_chars]], FinishReason.ABORT

    def to_record(self) -> CompletionRecord:
        """What the store keeps; before the end, what it would keep if this were it."""
        call = self.call
        return CompletionRecord(
            id=self.id,
            principal=self.principal.name,
            end_user=self.principal.end_user,
            model=self.model.ref,
            decision=Decision(
                engine=self.model.chat.info.engine,
                model=self.model.ref,
                candidates=(self.model.ref,),
                policy=self.exposure.phase if self.exposure else "single",
            ),
            thread_id=self.place.thread_id,
            messages=self.place.messages,
            choices=[answer.to_row() for answer in self.answers],
            params=dict(call.recorded) | self._by_facts(),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            consent=call.consent,
            started=self.created,
            finished=self.finished or time.time(),
            num_quoted=self.place.num_quoted,
            exposure=self.exposure and self.exposure._replace(fault=self.fault),
        )

    def _by_facts(self) -> dict[str, dict[str, str]]:
        """{"withheld": {index: event}, "asked_as": {index: event}}: answers that a fact changed, by its lesson; neither where none is."""
        names = ("withheld", "asked_as")
        found = {name: {str(a.index): event for a in self.answers if (event := getattr(a, name))} for name in names}
        return {name: events for name, events in found.items() if events}

    def _close(self, _task: "asyncio.Task[None]") -> None:
        self.model.release(self.call.n)
        self._state.generations.discard(self)
        self._state.in_flight.pop((self.principal.name, self.id)).set()


class Reader:
    """One follower of a generation, from its beginning, whenever it came."""

    def __init__(self, generation: Generation):
        self._generation, self._position = generation, 0

    async def next_event(self) -> Piece | Ended | Failed:
        """What comes next: Piece..., then Ended or Failed for ever. A wait may be cancelled without loss."""
        generation = self._generation
        while True:
            if self._position < len(generation.log):
                self._position += 1
                return generation.log[self._position - 1]
            if generation.end is not None:
                return generation.end
            await generation.change()


def _fault_in(error: Exception) -> EngineFault | None:
    """The fault of an engine elsewhere, if that is all that went wrong: it is told, where our own faults are only logged."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, EngineFault) else None
