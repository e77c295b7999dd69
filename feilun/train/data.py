"""Rows of tokens -> packed batches: best fit, document masks, and a state that a checkpoint can hold.

A source is a fixed list of token rows; a stream walks it in an order drawn from (seed, epoch). The packer keeps a small
buffer and fills each row of the batch with the largest waiting rows that still fit, so that nothing is padded but the
tail and nothing is cut but rows longer than a batch row, which are split.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feilun.types import UserError

__all__ = ["Batch", "Mixture", "Packer", "RowSource", "TokenRow", "pad_rows"]

BUFFER_ROWS = 256


class TokenRow(NamedTuple):
    """One document or dialogue: ids [n], and the weight of predicting each of them [n] (0 = not a target)."""

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]


class Batch(NamedTuple):
    """Shapes [B, T]: ids, targets (next ids), positions inside the document, document numbers (-1 = padding), target weights."""

    ids: Tensor
    targets: Tensor
    positions: Tensor
    documents: Tensor
    weights: Tensor


class RowSource(Protocol):
    @property
    def num_tokens(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> TokenRow: ...


@dataclass(frozen=True, slots=True)
class Mixture:
    """Sources with the share of rows (not of tokens) that each gives."""

    sources: tuple[RowSource, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sources or any(len(source) == 0 for source in self.sources):
            raise UserError("nothing to train on: a source of rows is empty; check the corpus or the lessons")
        if min(self.shares) <= 0:
            raise UserError(f"shares of the rows are {[round(s, 6) for s in self.shares]}; each must be above 0")


class Packer:
    """Iterator of batches over a mixture; `state()` / `restore()` make a resumed run see exactly what comes next."""

    def __init__(self, mixture: Mixture, *, rows: int, row_tokens: int, seed: int):
        self.mixture, self.rows, self.row_tokens, self.seed = mixture, rows, row_tokens, seed
        self.drawn = 0
        self.cursors = [0] * len(mixture.sources)
        self.buffer: list[tuple[int, int, int]] = []  # (source, row index, first token), sorted by length in `lengths`
        self.lengths: list[int] = []
        self.orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def state(self) -> dict[str, Any]:
        return {"drawn": self.drawn, "cursors": list(self.cursors), "buffer": list(self.buffer), "lengths": list(self.lengths)}

    def restore(self, state: dict[str, Any]) -> None:
        self.drawn, self.cursors = state["drawn"], list(state["cursors"])
        self.buffer, self.lengths = [tuple(item) for item in state["buffer"]], list(state["lengths"])

    def next_row(self) -> tuple[int, int]:
        """The next (source, row index): the source by a hash-free low-discrepancy rule, the row by the epoch's order."""
        shares = self.mixture.shares
        counts = self.cursors
        source = min(range(len(shares)), key=lambda i: ((counts[i] + 1) / shares[i], i))
        size = len(self.mixture.sources[source])
        epoch, place = divmod(counts[source], size)
        self.cursors[source] += 1
        self.drawn += 1
        return source, int(self.order(source, epoch, size)[place])

    def order(self, source: int, epoch: int, size: int) -> NDArray[np.int64]:
        if (source, epoch) not in self.orders:
            self.orders = {key: value for key, value in self.orders.items() if key[0] != source}
            self.orders[source, epoch] = np.random.default_rng([self.seed, source, epoch]).permutation(size)
        return self.orders[source, epoch]

    def fill(self) -> None:
        while len(self.buffer) < BUFFER_ROWS:
            source, index = self.next_row()
            num_tokens = len(self.mixture.sources[source][index].ids)
            assert num_tokens > 1, f"row {index} of source {source} has {num_tokens} tokens: nothing follows anything in it"
            for start in range(0, num_tokens - 1, self.row_tokens):
                length = min(num_tokens - start, self.row_tokens + 1)
                place = bisect.bisect(self.lengths, length)
                self.lengths.insert(place, length)
                self.buffer.insert(place, (source, index, start))

    def take(self, room: int) -> tuple[int, int, int] | None:
        """The longest waiting piece that needs at most `room` inputs (a piece of n tokens has n - 1 inputs)."""
        place = bisect.bisect(self.lengths, room + 1) - 1
        if place < 0:
            return None
        self.lengths.pop(place)
        return self.buffer.pop(place)

    def __iter__(self) -> "Packer":
        return self

    def __next__(self) -> Batch:
        shape = (self.rows, self.row_tokens)
        ids, targets, positions = (np.zeros(shape, np.int64) for _ in range(3))
        documents, weights = np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
        for row in range(self.rows):
            used = number = 0
            while (piece := self.next_piece(self.row_tokens - used)) is not None:
                size = len(piece.ids) - 1
                span = slice(used, used + size)
                ids[row, span], targets[row, span] = piece.ids[:-1], piece.ids[1:]
                weights[row, span] = piece.weights[1:]
                positions[row, span], documents[row, span] = np.arange(size), number
                used, number = used + size, number + 1
        if not weights.any():
            raise UserError("a batch holds no token to learn: the weights of all its rows are 0; check the lessons and their weights")
        return Batch(*(torch.from_numpy(a) for a in (ids, targets, positions, documents, weights)))

    def next_piece(self, room: int) -> TokenRow | None:
        """What fits best into `room` inputs, or None when nothing that waits does."""
        if room <= 0:
            return None
        self.fill()
        place = self.take(room)
        if place is None:
            return None
        source, index, start = place
        row = self.mixture.sources[source][index]
        end = start + self.row_tokens + 1
        return TokenRow(row.ids[start:end], row.weights[start:end])


def pad_rows(rows: Sequence[TokenRow], row_tokens: int) -> Batch:
    """One row a document, padded on the right: for pairs, whose log-probabilities are summed by row."""
    shape = (len(rows), row_tokens)
    ids, targets = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    documents, weights = np.full(shape, -1, np.int64), np.zeros(shape, np.float32)
    for place, row in enumerate(rows):
        size = len(row.ids) - 1
        ids[place, :size], targets[place, :size] = row.ids[:-1], row.ids[1:]
        documents[place, :size], weights[place, :size] = 0, row.weights[1:]
    positions = np.broadcast_to(np.arange(row_tokens), shape).copy()
    return Batch(*(torch.from_numpy(a) for a in (ids, targets, positions, documents, weights)))
