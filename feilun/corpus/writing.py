"""What stays of a build, written: every file is a job of its own, so that whichever process is free may do it.

Where a shard begins is known before any is written, from the sizes in the marks; a job reads of the washed blocks only its rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.config import CorpusSettings
from feilun.corpus.decide import Decisions
from feilun.corpus.dedup import in_validation
from feilun.corpus.readers import HEAD_CHARS
from feilun.corpus.shards import (
    DOCUMENT_COLUMNS,
    DOCUMENT_SCHEMA,
    DROPPED,
    DROPPED_COLUMNS,
    EDITS,
    EDITS_SCHEMA,
    PARTS,
    ShardWriter,
    compact,
    write_shard,
)  # fmt: skip
from feilun.corpus.tally import Tally

__all__ = ["Job", "done", "plan_writing"]


class Piece(NamedTuple):
    """Rows of one block. values: what was decided of each (how many documents it stands for; the number of its reason)."""

    block: Path
    rows: NDArray[np.uint32]
    values: NDArray[np.uint32]

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        block = pl.read_ipc(self.block, columns=list(columns))
        rows = block[self.rows]
        # A few rows of a block go on holding all of its text.
        return rows if 2 * len(rows) > len(block) else compact(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """num: of the shard, where the job is one shard. reasons: names of the numbers of reasons."""

    write: Callable[["Job"], Tally]
    folder: Path
    prefix: str
    pieces: tuple[Piece, ...]
    shard_bytes: int
    num: int = 0
    reasons: tuple[str | None, ...] = ()


def done(job: Job) -> Tally:
    """Do one job; what was written, counted."""
    return job.write(job)


def plan_writing(folder: Path, blocks: Sequence[Path], decisions: Decisions, settings: CorpusSettings) -> list[Job]:
    """The jobs of a build; the long ones first. blocks: the texts, as `decisions` counts them."""
    is_kept = decisions.is_kept()
    is_validation = in_validation(decisions.digests, settings.validation_fraction).to_numpy()

    def job(write: Callable[[Job], Tally], prefix: str, rows: NDArray[np.int64], values: NDArray[Any], num: int = 0) -> Job:
        pieces = tuple(_pieces(blocks, decisions.starts, rows, values))
        return Job(write=write, folder=folder, prefix=prefix, pieces=pieces, shard_bytes=settings.shard_bytes, num=num)

    jobs = []
    for part, chosen in zip(PARTS, (is_kept & ~is_validation, is_kept & is_validation), strict=True):
        shards = _shards(np.flatnonzero(chosen), decisions.num_bytes, settings.shard_bytes)
        jobs += [job(_documents, part, rows, decisions.cluster_size, num) for num, rows in enumerate(shards)]
    jobs.append(job(_edits, EDITS, np.flatnonzero(is_kept), decisions.cluster_size))
    dropped = job(_dropped, DROPPED, np.flatnonzero(~is_kept), decisions.codes)
    return [*jobs, replace(dropped, reasons=tuple(decisions.reasons))]


def _shards(rows: NDArray[np.int64], num_bytes: NDArray[np.int64], shard_bytes: int) -> list[NDArray[np.int64]]:
    """The rows of each shard, one at least; a shard ends with the document that reaches `shard_bytes`."""
    sizes = num_bytes[rows]
    slots = (np.cumsum(sizes) - sizes) // shard_bytes
    return np.split(rows, np.flatnonzero(np.diff(slots)) + 1)


def _pieces(blocks: Sequence[Path], starts: NDArray[np.int64], rows: NDArray[np.int64], values: NDArray[Any]) -> Iterator[Piece]:
    bounds = np.searchsorted(rows, starts)
    for block, start, low, high in zip(blocks, starts, bounds, bounds[1:], strict=False):
        if high > low:
            yield Piece(block, (rows[low:high] - start).astype(np.uint32), values[rows[low:high]].astype(np.uint32))


def _documents(job: Job) -> Tally:
    tally, frames = Tally(), []
    for piece in job.pieces:
        frame = piece.read([*DOCUMENT_COLUMNS, "quality"])
        frames.append(frame.with_columns(cluster_size=pl.Series(piece.values)).select(*DOCUMENT_SCHEMA))
        tally.add_documents(frames[-1], job.prefix)
    write_shard(job.folder, job.prefix, job.num, frames, DOCUMENT_SCHEMA)
    return tally


def _edits(job: Job) -> Tally:
    tally = Tally()
    writer = ShardWriter(job.folder, job.prefix, EDITS_SCHEMA, ("id", "rule", "encoding", "before", "after"), job.shard_bytes)
    for piece in job.pieces:
        of_row = piece.read(["id", "digest", "encoding", "edits"]).with_row_index("row").drop_nulls("edits")
        edits = of_row.explode("edits").unnest("edits")
        tally.add_edits(edits)
        writer.add(edits)
    writer.close()
    return tally


def _dropped(job: Job) -> Tally:
    tally = Tally()
    schema = dict.fromkeys(DROPPED_COLUMNS, pl.String())
    writer = ShardWriter(job.folder, job.prefix, schema, ("head",), job.shard_bytes)
    names = pl.Series(job.reasons, dtype=pl.String)
    for piece in job.pieces:
        rows = piece.read(["id", "source", "origin", "text"])
        writer.add(rows.with_columns(reason=names.gather(piece.values), head=pl.col("text").str.slice(0, HEAD_CHARS)))
        tally.add_dropped(names.gather(piece.values))
    writer.close()
    return tally
