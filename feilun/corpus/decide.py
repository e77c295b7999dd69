"""What stays of a build, decided in one place over the marks of all blocks: copies, what is protected, near copies."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.config import CorpusSettings
from feilun.corpus.dedup import exact_copies, near_copies

__all__ = ["Decisions", "Protect", "decide"]

Protect = Callable[[str], str | None]


@dataclass(slots=True)
class Decisions:
    """One entry a document: the number of its reason in `reasons` (0 = it stays), and how many documents it stands for.

    starts: where each block begins, and the end of the last. digests, num_bytes: of the texts.
    """

    codes: NDArray[np.int16]
    cluster_size: NDArray[np.int64]
    reasons: list[str | None]
    starts: NDArray[np.int64]
    digests: pl.Series
    num_bytes: NDArray[np.int64]

    def code(self, reason: str | None) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)

    def drop(self, where: NDArray[np.bool_], reason: str) -> None:
        self.codes[where] = self.code(reason)

    def is_kept(self) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = self.codes == 0
        return kept

    def of_block(self, block: pl.DataFrame, number: int) -> pl.DataFrame:
        """The block with what was decided for its reasons."""
        codes = self.codes[self.starts[number] : self.starts[number + 1]]
        return block.with_columns(reason=pl.Series(self.reasons, dtype=pl.String).gather(codes.astype(np.int64)))

    def take(self, block: pl.DataFrame, number: int) -> None:
        """The reasons, digests and sizes of a block that was changed after washing."""
        piece = slice(self.starts[number], self.starts[number + 1])
        self.codes[piece] = [self.code(reason) for reason in block["reason"]]
        self.num_bytes[piece] = block["text"].str.len_bytes().to_numpy()
        self.digests = self.digests.scatter(np.arange(piece.start, piece.stop), block["digest"])


def decide(texts: Sequence[Path], marks: Sequence[Path], settings: CorpusSettings, protect: Protect | None) -> Decisions:
    """In this order: what washing dropped, exact copies, what `protect` names, near copies of what is left."""
    frames = [pl.read_ipc(path, columns=["reason", "digest", "quality", "num_chars", "num_bytes", "is_signed"]) for path in marks]
    table = pl.concat(frames) if frames else pl.DataFrame(schema={"reason": pl.String, "digest": pl.Binary, "num_bytes": pl.Int64})
    starts = np.cumsum([0, *map(len, frames)])
    made = _washed(table, starts)
    if not len(table):
        return made
    copies = exact_copies(table["digest"], made.is_kept())
    made.cluster_size = copies.cluster_size
    made.drop(copies.kept_by != np.arange(len(table)), "exact_duplicate")
    if protect is not None:
        _protect(made, texts, protect)
    if settings.near_duplicates:
        _drop_near(made, marks, table, settings)
    return made


def _washed(table: pl.DataFrame, starts: NDArray[np.int64]) -> Decisions:
    """What washing decided."""
    names: list[str | None] = [None, *sorted(table["reason"].drop_nulls().unique().to_list())]
    coded = table["reason"].replace_strict(names[1:], list(range(1, len(names))), default=0, return_dtype=pl.Int16)
    num_bytes = table["num_bytes"].to_numpy().astype(np.int64)
    return Decisions(coded.to_numpy().copy(), np.ones(len(table), dtype=np.int64), names, starts, table["digest"], num_bytes)


def _protect(made: Decisions, texts: Sequence[Path], protect: Protect) -> None:
    for place, text in _kept_texts(made.is_kept(), texts):
        reason = protect(text)
        if reason is not None:
            made.codes[place] = made.code(reason)


def _kept_texts(is_kept: NDArray[np.bool_], texts: Sequence[Path]) -> Iterator[tuple[int, str]]:
    start = 0
    for path in texts:
        column = pl.read_ipc(path, columns=["text"]).to_series()
        places = np.flatnonzero(is_kept[start : start + len(column)])
        yield from zip((places + start).tolist(), column.gather(places), strict=True)
        start += len(column)


def _drop_near(made: Decisions, marks: Sequence[Path], table: pl.DataFrame, settings: CorpusSettings) -> None:
    is_candidate = made.is_kept() & table["is_signed"].to_numpy()
    quality, num_chars = table["quality"].to_numpy(), table["num_chars"].to_numpy().astype(np.int64)
    copies = near_copies(marks, is_candidate, quality, num_chars, settings.min_similarity)
    made.drop(copies.kept_by != np.arange(len(table)), "near_duplicate")
    # What an exact copy was dropped for is counted with its first already, and it stands for none itself.
    made.cluster_size = np.bincount(copies.kept_by, weights=made.cluster_size, minlength=len(table)).astype(np.int64)
