"""Rows to washed blocks: the pure part of a build, the same in this process, in a pool, or on a cluster.

A block is a frame of at most a few MB of text with the columns of `BLOCK_SCHEMA`; `reason` is null for what may stay.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from feilun.config import CorpusSettings
from feilun.corpus.dedup import text_digests
from feilun.corpus.edits import EDIT_LIST, by_row, decodings, joined
from feilun.corpus.filters import verdicts
from feilun.corpus.language import language_of, primary_tag
from feilun.corpus.readers import HEAD_CHARS, Row, file_sha256, read_rows
from feilun.corpus.repair import repair_texts
from feilun.corpus.sources import Source

__all__ = ["BLOCK_BYTES", "BLOCK_SCHEMA", "WashedGroup", "WashedSource", "wash", "wash_group", "washed_blocks"]

BLOCK_BYTES = 8 << 20
BLOCK_ROWS = 20_000
BLOCK_SCHEMA = {
    "id": pl.String, "text": pl.String, "source": pl.String, "license": pl.String, "lang": pl.String,
    "origin": pl.String, "reason": pl.String, "digest": pl.Binary,
    "encoding": pl.String, "edits": EDIT_LIST,
}  # fmt: skip
ROW_SCHEMA = dict.fromkeys(Row._fields, pl.String)


class WashedSource(NamedTuple):
    source: Source
    sha256: str
    num_rows: int


class WashedGroup(NamedTuple):
    sources: tuple[WashedSource, ...]
    blocks: tuple[Path, ...]


def wash(rows: Sequence[Row], settings: CorpusSettings) -> pl.DataFrame:
    """One block: repaired texts, their language, hash and verdict. A dropped row keeps only the head of its text."""
    frame = pl.DataFrame(rows, schema=ROW_SCHEMA, orient="row")
    guessed = _guess_languages(frame["text"], frame.select(tag=primary_tag(pl.col("lang"))).to_series())
    texts, edits = repair_texts(frame["text"], guessed, settings)
    listed = by_row(joined([decodings(frame["encoding"]), edits]), len(frame))
    reason = pl.coalesce(pl.col("reason"), verdicts(texts, settings))
    washed = frame.with_columns(
        text=texts, edits=listed, lang=guessed, reason=reason, digest=text_digests(texts)
    ).select(*BLOCK_SCHEMA)  # fmt: skip
    head = pl.col("text").str.slice(0, HEAD_CHARS)
    return washed.with_columns(text=pl.when(pl.col("reason").is_null()).then(pl.col("text")).otherwise(head))


def _guess_languages(texts: pl.Series, tags: pl.Series) -> pl.Series:
    unnamed = tags == ""
    if not unnamed.any():
        return tags
    # Where a row names its language, the sample is empty: nothing is counted for it.
    sample = pl.select(pl.when(unnamed).then(texts.str.slice(0, 1 << 14)).otherwise(pl.lit(""))).to_series()
    return pl.select(pl.when(unnamed).then(language_of(sample)).otherwise(tags)).to_series()


def washed_blocks(rows: Iterable[Row], settings: CorpusSettings) -> Iterator[pl.DataFrame]:
    held: list[Row] = []
    num_chars = 0
    for row in rows:
        held.append(row)
        num_chars += len(row.text)
        if 2 * num_chars >= BLOCK_BYTES or len(held) >= BLOCK_ROWS:
            yield wash(held, settings)
            held, num_chars = [], 0
    if held:
        yield wash(held, settings)


def wash_group(sources: Sequence[Source], settings: CorpusSettings, folder: Path, number: int) -> WashedGroup:
    """Wash some files into block files under `folder`; a pure function of the files and the settings."""
    done: list[WashedSource] = []
    blocks = []
    for place, block in enumerate(washed_blocks(_rows_of(sources, done), settings)):
        path = folder / f"{number:06d}-{place:06d}.ipc"
        block.write_ipc(path, compression="lz4")
        blocks.append(path)
    return WashedGroup(tuple(done), tuple(blocks))


def _rows_of(sources: Sequence[Source], done: list[WashedSource]) -> Iterator[Row]:
    for source in sources:
        num_rows = 0
        for row in read_rows(source):
            num_rows += 1
            yield row
        done.append(WashedSource(source, file_sha256(source.path), num_rows))
