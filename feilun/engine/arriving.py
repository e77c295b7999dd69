"""An answer of an endpoint growing from chunks as OpenAI shapes them; what other endpoints add to them is passed over."""

import codecs
from collections.abc import Mapping
from typing import Any

from feilun.engine.chat import TextAssembler, TextDelta
from feilun.engine.endpoint import Endpoint, Refusal, error_text
from feilun.types import FinishReason

__all__ = ["Arriving", "rows_of"]

MAX_ANSWER_CHARS = 1 << 20
LENGTH = frozenset({"length", "max_tokens", "model_length"})
WITHHELD = frozenset({"content_filter", "tool_calls", "function_call", "error"})


class Arriving:
    """Feed it chunks. `is_cut`: a stop string, or the longest answer that is taken, ended it. `is_whole`: the endpoint said so."""

    def __init__(self, endpoint: Endpoint, model: str, stop: tuple[str, ...]):
        self.is_cut = False
        self._endpoint, self._model = endpoint, model
        self._assembler = TextAssembler(stop)
        # Half a surrogate pair may end a chunk; the other half begins the next.
        self._pairs = codecs.getincrementaldecoder("utf-16-le")(errors="replace")
        self._reason: FinishReason | None = None
        self._num_chars = self._num_chunks = self._prompt_tokens = self._num_tokens = 0

    @property
    def is_whole(self) -> bool:
        return self._reason is not None

    def take(self, chunk: Mapping[str, Any]) -> str:
        """More text; EngineFault when the chunk is an error, or says that the answer is withheld."""
        if chunk.get("error") or chunk.get("object") == "error":
            raise self._endpoint.refused(Refusal(0, *error_text(chunk)))
        self._count(chunk.get("usage"))
        texts = [self._choice(choice) for choice in rows_of(chunk.get("choices")) if choice.get("index") in (0, None)]
        whole = self._pairs.decode("".join(texts).encode("utf-16-le", "surrogatepass"))
        piece = self._assembler.feed(whole.encode())
        self._num_chars += len(piece.text)
        if piece.stopped or self._num_chars > MAX_ANSWER_CHARS:
            self.is_cut, self._reason = True, FinishReason.STOP if piece.stopped else FinishReason.LENGTH
        return piece.text

    def done(self) -> None:
        """The endpoint says that all has been sent; some say only this, and give no reason."""
        if self._num_chunks and self._reason is None:
            self._reason = FinishReason.STOP

    def delta(self, text: str) -> TextDelta:
        """A piece that is not the last."""
        return self._delta(text, None)

    def last(self) -> TextDelta:
        """What was held back, with the finish reason; EngineFault where the endpoint did not say that the answer was whole."""
        if self._reason is None:
            what = "broke off in the middle of its answer" if self._num_chunks else "ended its answer before it began"
            raise self._endpoint.fault(f"it {what} (no finish_reason, no [DONE])")
        return self._delta("" if self.is_cut else self._assembler.finish(), self._reason)

    def _delta(self, text: str, reason: FinishReason | None) -> TextDelta:
        return TextDelta(text=text, finish_reason=reason, prompt_tokens=self._prompt_tokens, num_tokens=self._num_tokens, model=self._model)

    def _count(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            self._prompt_tokens = _count(usage.get("prompt_tokens"), self._prompt_tokens)
            self._num_tokens = _count(usage.get("completion_tokens"), self._num_tokens)

    def _choice(self, choice: Mapping[str, Any]) -> str:
        self._num_chunks += 1
        reason = choice.get("finish_reason")
        if reason in WITHHELD:
            raise self._endpoint.fault(f"it did not finish its answer (finish_reason {reason!r})")
        if isinstance(reason, str) and reason:
            self._reason = FinishReason.LENGTH if reason in LENGTH else FinishReason.STOP
        for key in ("delta", "message"):
            if isinstance(said := choice.get(key), Mapping):
                return _text(said.get("content")) or _text(said.get("refusal"))
        return ""


def rows_of(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing for anything else."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _text(content: Any) -> str:
    """The text of a content, given as a string or as typed parts."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in rows_of(content) if part.get("type") == "text" and isinstance(part.get("text"), str))


def _count(value: Any, before: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else before
