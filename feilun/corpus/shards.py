"""The files of a corpus: numbered Parquet shards for the train and validation parts and for what was dropped."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from feilun.artifacts import Artifact
from feilun.corpus.edits import EDIT_FIELDS
from feilun.types import Document, UserError

__all__ = [
    "DOCUMENT_COLUMNS", "DOCUMENT_SCHEMA", "DROPPED_COLUMNS", "PARTS", "Part", "ShardWriter", "compact", "read_document_frames",
    "read_documents",
    "read_dropped", "read_edits", "write_shard",
]  # fmt: skip

Part = Literal["train", "validation"]
PARTS: tuple[Part, ...] = ("train", "validation")
DROPPED = "dropped"
DOCUMENT_COLUMNS = ("id", "text", "source", "license", "lang")
# How many documents of the input each stands for, and how good it is: what a mix may weigh by.
WEIGHT_COLUMNS = {"cluster_size": pl.UInt32, "quality": pl.Float32}
DOCUMENT_SCHEMA = dict.fromkeys(DOCUMENT_COLUMNS, pl.String) | WEIGHT_COLUMNS
DROPPED_COLUMNS = ("reason", "id", "source", "origin", "head")
EDITS = "edits"
# The digest is of the text as written: two documents may share an id, never a text.
EDITS_SCHEMA = {"id": pl.String, "digest": pl.Binary, "encoding": pl.String} | EDIT_FIELDS
ROW_GROUP_ROWS = 16_384


class ShardWriter:
    """Appends frames to `folder/prefix-00000.parquet`, ...; a shard closes after `shard_bytes` of the texts in `sized_by`.

    Where a shard ends depends only on the rows, not on how they came in frames, so equal rows give equal files.
    """

    def __init__(self, folder: Path, prefix: str, schema: Mapping[str, Any], sized_by: Sequence[str], shard_bytes: int) -> None:
        self.folder, self.prefix, self.schema = folder, prefix, schema
        self.sized_by, self.shard_bytes = sized_by, shard_bytes
        self.num_bytes = 0
        self.num_shards = 0
        self._held: list[pl.DataFrame] = []
        self._slot = 0

    def add(self, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        lengths = [pl.col(name).str.len_bytes().cast(pl.Int64).fill_null(0) for name in self.sized_by]
        sizes = frame.select(sizes=pl.sum_horizontal(lengths)).to_series()
        slots = (sizes.cum_sum() - sizes + self.num_bytes) // self.shard_bytes
        self.num_bytes += int(sizes.sum())
        for piece in frame.select(*self.schema).with_columns(slots.alias("_slot")).partition_by("_slot", maintain_order=True):
            slot = int(piece["_slot"][0])
            if slot != self._slot and self._held:
                self._flush()
            self._slot = slot
            self._held.append(compact(piece.drop("_slot")))

    def close(self) -> None:
        """Write what is held; a part without a row still gets one, empty shard."""
        if self._held or not self.num_shards:
            self._flush()

    def _flush(self) -> None:
        write_shard(self.folder, self.prefix, self.num_shards, self._held, self.schema)
        self.num_shards += 1
        self._held = []


def write_shard(folder: Path, prefix: str, number: int, frames: Sequence[pl.DataFrame], schema: Mapping[str, Any]) -> None:
    """One shard; equal rows give equal bytes, however they come in frames."""
    frame = pl.concat(frames) if frames else pl.DataFrame(schema=schema)
    path = folder / f"{prefix}-{number:05d}.parquet"
    frame.rechunk().write_parquet(path, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS)


def compact(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame in buffers of its own: what is filtered out of a block goes on holding all of its text, to the end of the build."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compat_level=pl.CompatLevel.oldest())
    buffer.seek(0)
    return pl.read_ipc(buffer)


def read_documents(artifact: Artifact, part: Part = "train") -> Iterator[Document]:
    """Documents of one part in their order; one shard is in memory at a time."""
    for frame in read_document_frames(artifact, part):
        for row in frame.select(DOCUMENT_COLUMNS).iter_rows():
            yield Document(**dict(zip(DOCUMENT_COLUMNS, row, strict=True)))


def read_document_frames(artifact: Artifact, part: Part) -> Iterator[pl.DataFrame]:
    """The shards of one part as frames."""
    if part not in PARTS:
        raise UserError(f"part {part!r} of a corpus is unknown; allowed: {', '.join(PARTS)}")
    return _frames(artifact, part)


def read_dropped(artifact: Artifact) -> Iterator[dict[str, str]]:
    """What was dropped: reason, id, source, origin ("file:line") and the first 200 characters of each."""
    for frame in _frames(artifact, DROPPED):
        yield from frame.iter_rows(named=True)


def read_edits(artifact: Artifact) -> Iterator[pl.DataFrame]:
    """The edits of all kept documents, a shard at a time, in the order of the documents."""
    return _frames(artifact, EDITS)


def scan(artifact: Artifact, prefix: str) -> pl.LazyFrame:
    """All shards of one part (or of the dropped, or the edits) as one table, of which only what is asked for is read."""
    return pl.scan_parquet(_paths(artifact, prefix))


def _frames(artifact: Artifact, prefix: str) -> Iterator[pl.DataFrame]:
    for path in _paths(artifact, prefix):
        yield pl.read_parquet(path)


def _paths(artifact: Artifact, prefix: str) -> list[Path]:
    if artifact.kind != "corpus":
        raise UserError(f"{artifact.kind}/{artifact.ref} is not a corpus; name one that `feilun corpus build` made")
    return sorted(artifact.path.glob(f"{prefix}-*.parquet"))
