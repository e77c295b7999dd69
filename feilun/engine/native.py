"""Our own engine: packed weights, a KV cache, continuous batching; on the CPU."""

import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import torch

from feilun.artifacts import MANIFEST, open_directory
from feilun.engine.batch import PREFILL_TOKENS, Batch
from feilun.engine.packed import PackedModel
from feilun.engine.protocol import EngineClosed, EngineInfo, check_batch, check_request
from feilun.engine.worker import Worker
from feilun.model.checkpoint import load_model
from feilun.model.transformer import Transformer
from feilun.tokenizer import Tokenizer
from feilun.types import GenerationRequest, TokenEvent, UserError

__all__ = ["NativeEngine"]

CAPABILITIES = frozenset({"generate", "stream", "score", "embed", "log_probs"})


class NativeEngine:
    """One model of ours, serving. `generate`, `score` and `embed` run in the caller's thread, `stream` in the engine's own.

    The weights are a copy. `threads` is torch's number of threads and holds for the whole process; None leaves it alone.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        ref: str,
        threads: int | None = None,
        max_batch: int = 32,
        precision: str = "auto",
    ):
        if max_batch < 1 or (threads is not None and threads < 1):
            raise UserError(f"max_batch={max_batch}, threads={threads} are not allowed; use at least 1")
        if threads is not None:
            torch.set_num_threads(threads)
        self.tokenizer = tokenizer
        self._model, self._threads, self._max_batch = PackedModel(model, precision), threads, max_batch
        self._worker: Worker | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.info = EngineInfo(
            engine="native",
            model=ref,
            context_tokens=model.shape.max_tokens,
            vocab_size=model.shape.vocab_size,
            precision="bf16" if self._model.bf16 else "fp32",
            capabilities=CAPABILITIES,
        )

    @classmethod
    def load(
        cls, path: Path, *, model: str = "", threads: int | None = None, max_batch: int = 32, precision: str = "auto"
    ) -> "NativeEngine":
        """Serve a Hugging Face directory. model: the ref to state; else the artifact's own, else the directory's name."""
        ref = model or (f"models/{open_directory(path).ref}" if (path / MANIFEST).is_file() else path.name)
        return cls(load_model(path), Tokenizer.load(path), ref=ref, threads=threads, max_batch=max_batch, precision=precision)

    def generate(self, requests: Sequence[GenerationRequest]) -> Iterator[TokenEvent]:
        """Answer a batch, `max_batch` rows at a time, refilled as rows end; short prompts first."""
        self._check_open()
        check_batch(requests, self.info)
        return self._generate(requests)

    def _generate(self, requests: Sequence[GenerationRequest]) -> Iterator[TokenEvent]:
        batch = self._batch(refill_rows=max(1, self._max_batch // 4))
        for request in sorted(requests, key=lambda r: len(r.ids)):
            batch.submit(request)
        while not batch.idle:
            yield from batch.advance()

    def _batch(self, refill_rows: int) -> Batch:
        return Batch(self._model, self.tokenizer, self.info.model, self._max_batch, refill_rows)

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent, None]:
        """Answer one request among those the engine's thread is serving."""
        check_request(request, self.info.context_tokens, self.info.vocab_size)
        events = self._started_worker().stream(request)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    def _started_worker(self) -> Worker:
        with self._lock:
            self._check_open()
            self._worker = self._worker or Worker(self._batch(refill_rows=1), self._threads)
            return self._worker

    @property
    def num_requests(self) -> int:
        """Streamed requests that run or wait."""
        return self._worker.num_requests if self._worker else 0

    def score(self, ids: Sequence[Sequence[int]], mask: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities, row by row, of the tokens whose mask is 1, each given all tokens before it."""
        self._check_rows(ids)
        if [len(row) for row in ids] != [len(row) for row in mask]:
            raise UserError("score needs one mask value a token")
        if any(row[0] for row in mask):
            raise UserError("the first token of a row has nothing before it; its mask must be 0")
        found: list[list[float]] = [[] for _ in ids]
        for group in self._groups(ids):
            for i, values in zip(group, self._score([ids[i] for i in group], [mask[i] for i in group]), strict=True):
                found[i] = values
        return found

    @torch.inference_mode()
    def _score(self, ids: list[Sequence[int]], mask: list[Sequence[int]]) -> list[list[float]]:
        hidden_BTD = self._model.hidden(_padded(ids))
        places = [(b, t - 1, ids[b][t]) for b, row in enumerate(mask) for t, on in enumerate(row) if on]
        values: list[float] = []
        for start in range(0, len(places), PREFILL_TOKENS):
            rows, times, targets = (torch.tensor(column) for column in zip(*places[start : start + PREFILL_TOKENS], strict=True))
            logits_NV = self._model.logits(hidden_BTD[rows, times])
            values += (logits_NV.gather(1, targets[:, None])[:, 0] - logits_NV.logsumexp(-1)).tolist()
        stream = iter(values)
        return [[next(stream) for on in row if on] for row in mask]

    def embed(self, ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """One vector of length 1 a row: the mean of its final hidden states."""
        self._check_rows(ids)
        found: list[list[float]] = [[] for _ in ids]
        for group in self._groups(ids):
            for i, vector in zip(group, self._embed([ids[i] for i in group]), strict=True):
                found[i] = vector
        return found

    @torch.inference_mode()
    def _embed(self, ids: list[Sequence[int]]) -> list[list[float]]:
        hidden_BTD = self._model.hidden(_padded(ids))
        means_BD = torch.stack([hidden_BTD[b, : len(row)].mean(0) for b, row in enumerate(ids)])
        vectors: list[list[float]] = torch.nn.functional.normalize(means_BD, dim=-1).tolist()
        return vectors

    def _check_rows(self, ids: Sequence[Sequence[int]]) -> None:
        self._check_open()
        for row in ids:
            if not 1 <= len(row) <= self.info.context_tokens:
                raise UserError(f"a row has {len(row)} tokens; allowed are 1 to {self.info.context_tokens}, this model's context")
            if not 0 <= min(row) <= max(row) < self.info.vocab_size:
                raise UserError(f"token ids must lie in 0..{self.info.vocab_size - 1}, found {min(row)}..{max(row)}")

    def _groups(self, ids: Sequence[Sequence[int]]) -> list[list[int]]:
        """Row numbers by length, as many together as one prefill takes."""
        groups: list[list[int]] = []
        for i in sorted(range(len(ids)), key=lambda i: len(ids[i])):
            if groups and (len(groups[-1]) + 1) * len(ids[i]) <= PREFILL_TOKENS:
                groups[-1].append(i)
            else:
                groups.append([i])
        return groups

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed("the engine is closed")

    def close(self, *, drain: bool = False) -> None:
        """End the engine's thread; running streams end with EngineClosed, or first get their answers (`drain`)."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker is not None:
            worker.close(drain=drain)


def _padded(rows: list[Sequence[int]]) -> torch.Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
