"""The contract of engines: tokens in, tokens out.

No torch here: a server without a model of its own needs none.
"""

import importlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from feilun.tokenizer import Tokenizer
from feilun.types import GenerationRequest, TokenEvent, UserError

__all__ = ["ENGINES", "Engine", "EngineClosed", "EngineFault", "EngineInfo", "PromptTooLong", "engine_class"]

ENGINES = {
    "native": "feilun.engine.native:NativeEngine",
    "echo": "feilun.engine.echo:EchoEngine",
}


class PromptTooLong(UserError):
    """The prompt leaves no room for an answer in the model's context."""

    def __init__(self, num_tokens: int, context_tokens: int):
        super().__init__(
            f"the prompt has {num_tokens} tokens; this model's context is {context_tokens} tokens and must hold "
            "at least one more for the answer; shorten the messages"
        )


class EngineClosed(RuntimeError):
    """The engine was closed, or died, before the request was answered."""


class EngineFault(RuntimeError):
    """An engine elsewhere did not answer as it should. The message is for the person who asked: engine, what was found, what to do.

    http_status: what a server says of it; retry_after_seconds: when trying again may help.
    """

    def __init__(self, message: str, *, http_status: int = 502, retry_after_seconds: int | None = None):
        super().__init__(message)
        self.http_status, self.retry_after_seconds = http_status, retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Who answers: the engine's name, the ref of the model it serves, and what it can do. Sizes are 0 where nobody says."""

    engine: str
    model: str
    context_tokens: int
    vocab_size: int
    precision: str
    capabilities: frozenset[str]


class Engine(Protocol):
    """One model, serving. A request keeps its model to its end; another model is another engine.

    Every request ends with exactly one event that has a finish reason. `log_prob` of an event is under the model's
    distribution at temperature 1, whatever the sampling.
    """

    tokenizer: Tokenizer

    @property
    def info(self) -> EngineInfo: ...

    @classmethod
    def load(cls, path: Path, *, model: str = "", threads: int | None = None, max_batch: int = 32) -> "Engine":
        """Serve the model directory at `path`. threads: None leaves the process's setting alone."""
        ...

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[TokenEvent]:
        """Answer a batch; events of different requests interleave, those of one request come in order."""
        ...

    def stream(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
        """Answer one request among others; closing the generator frees its place at once."""
        ...

    def score(self, ids: Sequence[Sequence[int]], mask: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities, row by row, of the tokens whose mask is 1, each given all tokens before it."""
        ...

    def embed(self, ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """One vector of length 1 a row: the mean of its final hidden states."""
        ...

    def close(self, *, drain: bool = False) -> None:
        """Stop serving; running requests end with EngineClosed, or first get their answers (`drain`)."""
        ...


def engine_class(name: str) -> Any:
    """The class behind a name of ENGINES or behind "module:Class"."""
    spec = ENGINES.get(name, name)
    module, colon, attribute = spec.partition(":")
    if not colon:
        raise UserError(f"engine {name!r} is unknown; allowed: {', '.join(ENGINES)}, or module:Class")
    return getattr(importlib.import_module(module), attribute)


def check_batch(requests: Sequence[GenerationRequest], info: EngineInfo) -> None:
    """Raise UserError for a batch with an id twice, or with a request that no engine can answer."""
    if len({request.id for request in requests}) != len(requests):
        raise UserError("two requests of one batch have the same id; ids must differ")
    for request in requests:
        check_request(request, info.context_tokens, info.vocab_size)


def check_request(request: GenerationRequest, context_tokens: int, vocab_size: int) -> None:
    """Raise UserError for what no engine can answer."""
    if not request.ids:
        raise UserError("the prompt is empty; send at least one token")
    if not 0 <= min(request.ids) <= max(request.ids) < vocab_size:
        raise UserError(f"token ids must lie in 0..{vocab_size - 1}, found {min(request.ids)}..{max(request.ids)}")
    if request.max_tokens < 1:
        raise UserError(f"max_tokens={request.max_tokens} is not allowed; ask for at least 1")
    if len(request.ids) >= context_tokens:
        raise PromptTooLong(len(request.ids), context_tokens)
    if not request.temperature >= 0.0 or not 0.0 < request.top_p <= 1.0:
        raise UserError(f"temperature={request.temperature}, top_p={request.top_p} are not allowed; temperature >= 0, 0 < top_p <= 1")
