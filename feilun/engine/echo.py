"""An engine that says back what it was told. Same contract as the real ones, no torch: for tests and for checking a client."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

from feilun.engine.protocol import EngineClosed, EngineInfo, check_batch, check_request
from feilun.tokenizer import IM_END, IM_START, Tokenizer
from feilun.types import FinishReason, GenerationRequest, TokenEvent, UserError

__all__ = ["EchoEngine"]

CONTEXT_TOKENS = 4096
# Log-probability of every token the echo would not say.
UNLIKELY = -30.0


class EchoEngine:
    """Answers a chat prompt with `answer(last message)`, by default the message itself.

    delay_seconds: pause before each streamed token, for tests of slow answers.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        ref: str = "echo",
        answer: Callable[[str], str] = str,
        delay_seconds: float = 0.0,
        context_tokens: int = CONTEXT_TOKENS,
    ):
        self.tokenizer, self.num_requests = tokenizer, 0
        self._answer, self._delay_seconds, self._closed = answer, delay_seconds, False
        self._start, self._end = tokenizer.id_of(IM_START), tokenizer.id_of(IM_END)
        self.info = EngineInfo(
            engine="echo",
            model=ref,
            context_tokens=context_tokens,
            vocab_size=tokenizer.vocab_size,
            precision="exact",
            capabilities=frozenset({"generate", "stream", "score", "embed", "log_probs"}),
        )

    @classmethod
    def load(cls, path: Path, *, model: str = "", threads: int | None = None, max_batch: int = 32) -> "EchoEngine":
        """Echo with the tokenizer at `path`; threads and max_batch change nothing here."""
        return cls(Tokenizer.load(path), ref=model or path.name)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[TokenEvent]:
        self._check_open()
        check_batch(requests, self.info)
        return (event for request in requests for event in self._events(request))

    def _events(self, request: GenerationRequest) -> Iterator[TokenEvent]:
        limit = min(request.max_tokens, self.info.context_tokens - len(request.ids))
        words = [*self._speech(request.ids), self._end]
        for i, token_id in enumerate(words[:limit]):
            stopped = token_id in request.stop_ids or token_id == self._end
            reason = FinishReason.STOP if stopped else FinishReason.LENGTH if i + 1 == limit else None
            yield TokenEvent(
                request_id=request.id, token_id=token_id, log_prob=0.0, token_bytes=self.tokenizer.token_bytes(token_id),
                finish_reason=reason, model=self.info.model,
            )  # fmt: skip
            if reason is not None:
                return

    def _speech(self, prompt_ids: Sequence[int]) -> list[int]:
        """What the echo says after a prompt that ends with the assistant's header."""
        starts = [i for i, token_id in enumerate(prompt_ids) if token_id == self._start]
        if len(starts) < 2:
            return []
        message = self.tokenizer.decode(prompt_ids[starts[-2] + 1 : starts[-1]], specials=False)
        _, _, content = message.removesuffix("\n").partition("\n")
        return self.tokenizer.encode(self._answer(content))

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
        check_request(request, self.info.context_tokens, self.info.vocab_size)
        self._check_open()
        self.num_requests += 1
        try:
            for event in self._events(request):
                await asyncio.sleep(self._delay_seconds)
                self._check_open()
                yield event
        finally:
            self.num_requests -= 1

    def score(self, ids: Sequence[Sequence[int]], mask: Sequence[Sequence[int]]) -> list[list[float]]:
        self._check_open()
        if [len(row) for row in ids] != [len(row) for row in mask]:
            raise UserError("score needs one mask value a token")
        return [[self._log_prob(row, t) for t, on in enumerate(row_mask) if on] for row, row_mask in zip(ids, mask, strict=True)]

    def _log_prob(self, row: Sequence[int], t: int) -> float:
        header = [self._start, *self.tokenizer.encode("assistant\n")]
        starts = [i + len(header) for i in range(t) if list(row[i : i + len(header)]) == header]
        if not starts or starts[-1] > t:
            return UNLIKELY
        words = [*self._speech(row[: starts[-1]]), self._end]
        said = t - starts[-1]
        return 0.0 if said < len(words) and list(row[starts[-1] : t + 1]) == words[: said + 1] else UNLIKELY

    def embed(self, ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Counts of ids modulo 16, scaled to length 1."""
        self._check_open()
        vectors = [[float(sum(i % 16 == k for i in row)) for k in range(16)] for row in ids]
        return [[value / (math.hypot(*vector) or 1.0) for value in vector] for vector in vectors]

    def close(self, *, drain: bool = False) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed("the engine is closed")
