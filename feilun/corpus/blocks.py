"""Rows to washed blocks: the pure part of a build, the same in this process, in a pool, or on a cluster.

A block is a frame of at most a few MB of text with the columns of `BLOCK_SCHEMA`; `reason` is null for what may stay.
On disk it is two files: the texts, and the marks, which are all that has to be seen of every document at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from feilun.config import CorpusSettings
from feilun.corpus.dedup import text_digests
from feilun.corpus.edits import EDIT_LIST, by_row, decodings, joined
from feilun.corpus.filters import limits_of, verdicts
from feilun.corpus.language import language_of, primary_tag
from feilun.corpus.letters import letters_of
from feilun.corpus.licences import licence_reasons, named_policy
from feilun.corpus.lines import cut_repeated_lines
from feilun.corpus.minhash import Signatures
from feilun.corpus.readers import HEAD_CHARS, Row
from feilun.corpus.redact import RedactionSettings, redact_texts
from feilun.corpus.repair import damage_scores, is_out_of_the_ordinary, repair_texts
from feilun.corpus.scorer import Scorer

__all__ = ["BLOCK_BYTES", "BLOCK_SCHEMA", "Washed", "marks_of", "texts_of", "wash", "washed_blocks", "write_block"]

BLOCK_BYTES = 8 << 20
BLOCK_ROWS = 20_000
BLOCK_SCHEMA = {
    "id": pl.String, "text": pl.String, "source": pl.String, "license": pl.String, "lang": pl.String,
    "origin": pl.String, "reason": pl.String, "digest": pl.Binary,
    "encoding": pl.String, "edits": EDIT_LIST, "quality": pl.Float32,
}  # fmt: skip
ROW_SCHEMA = dict.fromkeys(Row._fields, pl.String)


class Washed(NamedTuple):
    """Texts: `BLOCK_SCHEMA`. Marks, row for row: reason, digest, size, quality and the signature."""

    texts: pl.DataFrame
    marks: pl.DataFrame


def wash(rows: Sequence[Row], settings: CorpusSettings, scorer: Scorer | None = None) -> Washed:
    """One block: repaired and redacted texts, their language, hash and verdict. A dropped row keeps only the head of its text."""
    frame = pl.DataFrame(dict(zip(ROW_SCHEMA, zip(*rows, strict=True), strict=True)), schema=ROW_SCHEMA)
    langs = _guess_languages(frame["text"], frame.select(tag=primary_tag(pl.col("lang"))).to_series())
    odd = is_out_of_the_ordinary(frame["text"])
    kinds = limits_of(langs)
    texts, strings, edits = _edited(frame["text"], [row.text for row in rows], odd, langs, kinds, settings)
    listed = by_row(joined([decodings(frame["encoding"]), *edits]), len(frame))
    refused = licence_reasons(frame["license"], named_policy(settings.licence_policy))
    letters = letters_of(texts, kinds, settings, strings)
    quality = _quality(texts, langs, odd | listed.is_not_null(), scorer)
    poor = pl.select(pl.when(quality < settings.min_quality).then(pl.lit("low_quality"))).to_series()
    reason = pl.coalesce(pl.col("reason"), refused, verdicts(texts, langs, letters, settings), poor)
    washed = frame.with_columns(
        text=texts, edits=listed, lang=langs, reason=reason, digest=text_digests(texts), quality=quality
    ).select(*BLOCK_SCHEMA)  # fmt: skip
    head = pl.col("text").str.slice(0, HEAD_CHARS)
    kept = washed.with_columns(text=pl.when(pl.col("reason").is_null()).then(pl.col("text")).otherwise(head))
    return Washed(kept, _marks(kept, letters.signatures if settings.near_duplicates else None))


def _edited(
    texts: pl.Series, strings: list[str], odd: pl.Series, langs: pl.Series, kinds: pl.Series, settings: CorpusSettings
) -> tuple[pl.Series, list[str], list[pl.DataFrame]]:
    """The texts after all that changes them, as a column and as strings, and the edits of each part in order."""
    texts, repairs = repair_texts(texts, langs, settings, odd)
    edits, strings = [repairs], _renewed(strings, texts, repairs)
    if settings.repeated_line_chars:
        texts, cut = cut_repeated_lines(texts, kinds != "code", settings.repeated_line_chars, strings)
        edits.append(cut)
    texts, redactions = redact_texts(texts, RedactionSettings(kinds=settings.redact))
    edits.append(redactions)
    return texts, _renewed(strings, texts, *edits[1:]), edits


def _renewed(strings: Sequence[str], texts: pl.Series, *edits: pl.DataFrame) -> list[str]:
    """The texts as strings: those that were not edited are there, and to make them again from the column costs a walk over all."""
    rows = sorted({row for part in edits for row in part["row"].unique()})
    made = list(strings)
    for row, text in zip(rows, texts.gather(rows), strict=True):
        made[row] = text
    return made


def _quality(texts: pl.Series, langs: pl.Series, odd: pl.Series, scorer: Scorer | None) -> pl.Series:
    """What the scorer says (1 without one), less for damage that no repair undoes: halved at one deleted word in 1,000 characters.

    odd: where a character may be that is out of the ordinary.
    """
    # Only these can be damaged so, and to look is not free.
    doubtful = (langs == "zh") | texts.str.contains("\ufffd", literal=True)
    damage = np.zeros(len(texts))
    damage[doubtful.to_numpy()] = damage_scores(texts.filter(doubtful), odd.filter(doubtful)).sum_horizontal().to_numpy()
    scores = np.ones(len(texts)) if scorer is None else scorer.score(texts)
    return pl.Series(scores / (1 + damage), dtype=pl.Float32)


def _marks(block: pl.DataFrame, signatures: Signatures | None) -> pl.DataFrame:
    marks = block.select("reason", "digest", "quality", num_chars=pl.col("text").str.len_chars(), num_bytes=pl.col("text").str.len_bytes())
    return marks.with_columns(signatures.columns() if signatures else pl.lit(False).alias("is_signed"))


def _guess_languages(texts: pl.Series, tags: pl.Series) -> pl.Series:
    unnamed = tags == ""
    if not unnamed.any():
        return tags
    # Where a row names its language, the sample is empty: nothing is counted for it.
    sample = pl.select(pl.when(unnamed).then(texts.str.slice(0, 1 << 14)).otherwise(pl.lit(""))).to_series()
    return pl.select(pl.when(unnamed).then(language_of(sample)).otherwise(tags)).to_series()


def washed_blocks(rows: Iterable[Row], settings: CorpusSettings, scorer: Scorer | None = None) -> Iterator[Washed]:
    held: list[Row] = []
    num_chars = 0
    for row in rows:
        held.append(row)
        num_chars += len(row.text)
        if 2 * num_chars >= BLOCK_BYTES or len(held) >= BLOCK_ROWS:
            yield wash(held, settings, scorer)
            held, num_chars = [], 0
    if held:
        yield wash(held, settings, scorer)


def write_block(block: Washed, path: Path) -> None:
    """`path` is the place of the block without a suffix."""
    # Uncompressed: it is read again soon, and not kept.
    block.texts.write_ipc(texts_of(path), compression="uncompressed")
    block.marks.write_ipc(marks_of(path), compression="uncompressed")


def texts_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.texts.ipc")


def marks_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.marks.ipc")
