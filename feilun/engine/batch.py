"""Continuous batching: requests join and leave a running batch between steps. No threads here.

Live rows are rows 0..n-1 of the cache, without gaps, so that a step touches nothing else and copies nothing.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from feilun.engine.packed import KEY_MULTIPLE, Cache, PackedModel, round_up
from feilun.engine.sampling import Picked, Sampler, pick
from feilun.tokenizer import Tokenizer
from feilun.types import FinishReason, GenerationRequest, TokenEvent

__all__ = ["Batch"]

# Larger prefills fall out of a core's second-level cache, smaller ones pay more calls (measured: 256, 512, 1024, 2048).
PREFILL_TOKENS = 1024
NO_EXTRA: dict[str, object] = {}


@dataclass(slots=True)
class Row:
    """One request being answered: `last_id` is sampled but not yet fed, at position `num_keys`."""

    request: GenerationRequest
    sampler: Sampler
    stop_ids: frozenset[int]
    num_keys: int
    num_left: int
    last_id: int = -1


@dataclass(slots=True)
class Batch:
    """At most `max_rows` requests at once over one model; `advance` until `idle`.

    refill_rows: how many places must be free before waiting requests are let in while others run (1 is best for
    latency, more for throughput).
    """

    model: PackedModel
    tokenizer: Tokenizer
    model_ref: str
    max_rows: int
    refill_rows: int = 1
    rows: list[Row] = field(default_factory=list)
    waiting: deque[GenerationRequest] = field(default_factory=deque)
    cache: Cache | None = None

    @property
    def idle(self) -> bool:
        return not self.rows and not self.waiting

    def submit(self, request: GenerationRequest) -> None:
        self.waiting.append(request)

    def cancel(self, request_ids: frozenset[str]) -> None:
        """Forget requests; their places are free at once."""
        self.waiting = deque(request for request in self.waiting if request.id not in request_ids)
        self._drop([i for i, row in enumerate(self.rows) if row.request.id in request_ids])
        self._rest()

    @torch.inference_mode()
    def advance(self) -> list[TokenEvent]:
        """Let waiting requests in, then one token for every live row."""
        events: list[TokenEvent] = []
        free = self.max_rows - len(self.rows)
        if self.waiting and (not self.rows or free >= self.refill_rows):
            admitted = [self.waiting.popleft() for _ in range(min(free, len(self.waiting)))]
            self.cache = self.cache or Cache(self.model.shape)
            self.cache.reserve(len(self.rows) + len(admitted), max(len(request.ids) for request in admitted) + 1)
            for group in self._groups(admitted):
                events += self._prefill(group)
        elif self.rows:
            events = self._step()
        self._rest()
        return events

    def _rest(self) -> None:
        if self.idle:
            self.cache = None

    def _groups(self, requests: Sequence[GenerationRequest]) -> list[list[GenerationRequest]]:
        """Requests of like length together, so that little is padding."""
        groups: list[list[GenerationRequest]] = []
        for request in sorted(requests, key=lambda r: len(r.ids)):
            length = len(request.ids)
            if groups and (len(groups[-1]) + 1) * length <= max(PREFILL_TOKENS, length) and length <= len(groups[-1][0].ids) + KEY_MULTIPLE:
                groups[-1].append(request)
            else:
                groups.append([request])
        return groups

    def _prefill(self, group: list[GenerationRequest]) -> list[TokenEvent]:
        lengths = [len(request.ids) for request in group]
        longest, first_row = max(lengths), len(self.rows)
        assert self.cache is not None
        ids_BT = torch.tensor([[*request.ids, *[0] * (longest - len(request.ids))] for request in group])
        logits_BV = self.model.prefill(ids_BT, torch.tensor(lengths), self.cache, first_row)
        self.rows += [self._row(request) for request in group]
        return self._accept(pick(logits_BV, [row.sampler for row in self.rows[first_row:]]), first_row)

    def _row(self, request: GenerationRequest) -> Row:
        room = self.model.shape.max_tokens - len(request.ids)
        return Row(request, Sampler(request), frozenset(request.stop_ids), len(request.ids), min(request.max_tokens, room))

    def _step(self) -> list[TokenEvent]:
        assert self.cache is not None
        ids_N, positions_N, num_keys = self._inputs()
        self.cache.reserve(len(self.rows), num_keys)
        logits_NV = self.model.step(ids_N, positions_N, self.cache, num_keys)
        for row in self.rows:
            row.num_keys += 1
        return self._accept(pick(logits_NV, [row.sampler for row in self.rows]), 0)

    def _inputs(self) -> tuple[Tensor, Tensor, int]:
        ids_N = torch.tensor([row.last_id for row in self.rows])
        positions = [row.num_keys for row in self.rows]
        return ids_N, torch.tensor(positions), round_up(max(positions) + 1, KEY_MULTIPLE)

    def _accept(self, picked: Picked, first_row: int) -> list[TokenEvent]:
        events, finished = [], []
        for i, (token_id, log_prob) in enumerate(zip(*picked, strict=True), first_row):
            row = self.rows[i]
            row.last_id = token_id
            row.num_left -= 1
            reason = FinishReason.STOP if token_id in row.stop_ids else FinishReason.LENGTH if row.num_left == 0 else None
            if reason is not None:
                finished.append(i)
            events.append(
                TokenEvent(
                    request_id=row.request.id, token_id=token_id, log_prob=log_prob, token_bytes=self.tokenizer.token_bytes(token_id),
                    finish_reason=reason, model=self.model_ref, extra=NO_EXTRA,
                )
            )  # fmt: skip
        self._drop(finished)
        return events

    def _drop(self, gone: list[int]) -> None:
        """Close the gaps with the last rows."""
        if not gone:
            return
        lost, left = set(gone), len(self.rows) - len(gone)
        targets = [i for i in gone if i < left]
        sources = [i for i in range(left, len(self.rows)) if i not in lost]
        if targets:
            assert self.cache is not None
            with torch.inference_mode():
                self.cache.move(sources, targets, max(self.rows[i].num_keys for i in sources))
        for source, target in zip(sources, targets, strict=True):
            self.rows[target] = self.rows[source]
        del self.rows[left:]
