"""What texts look like, as numbers in columns: shares of characters and lines, and how much of a text stood before in it.

Repetition is counted over runs of letters, so that Chinese needs no cutting into words. Code in fences, tables and indented lines
are layout, and asked of neither: a manual may repeat its commands and a table its cells.
"""

import unicodedata
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.corpus.shingles import BMP, CodePoints, code_points, folded_letters, ngram_hashes

__all__ = ["indicators", "prose_of", "repeated_share"]

FENCED = r"(?ms)^[ \t]*(?:```|~~~).*?(?:^[ \t]*(?:```|~~~)[^\n]*$|\z)"
NOT_PROSE = r"(?m)^(?:[ \t]*\||(?: {4}|\t)).*$"
# Headings, items and the like end without a mark in good writing too.
UNENDED = r"^(?:[#>*+\-=~·•●○※◆■▪【〔\[<:!]|\d{1,3}[.、)）]|[（(]?[一二三四五六七八九十]{1,3}[、）)]|第.{1,9}[章节節条條回卷编編])"
# A line with a comma or a full stop inside is a sentence too, whatever it ends with: verse, a quotation, a formula after it.
INNER = ["。", "，", "；", "！", "？", "．", ", ", ". "]
ENDS = frozenset("。！？…；：，、．.!?;:,”’」』）)]》\"'~～*`")
BULLET = r"^(?:[*+•·●▪-]|\d{1,3}[.)])[ \t]"
ELLIPSES = ("…", "...", "展开", "展開", "更多")
LINE_COLUMNS = ("num_lines", "unmarked", "ended", "again_lines", "again_chars", "line_chars", "max_line_chars", "bullets", "ellipses")


def indicators(texts: pl.Series, run_chars: int, *, is_code: bool) -> pl.DataFrame:
    """One row a text. Shares are of the characters that are no spaces, of the lines that are not empty, and of runs of letters."""
    points = code_points(texts)
    kinds = np.take(_kinds(), points.values, mode="clip")
    dense, letters = (_sums(kinds >= least, points) for least in (1, 2))
    prose = texts if is_code else prose_of(texts)
    prose_points = points if is_code else code_points(prose)
    frame = _lines(prose).with_columns(
        letters_share=pl.Series(letters / np.maximum(dense, 1)),
        repeated_runs=pl.Series(repeated_share(folded_letters(prose_points), run_chars)),
    )
    lines, unmarked = (pl.max_horizontal(pl.col(name), pl.lit(1)) for name in ("num_lines", "unmarked"))
    return frame.with_columns(
        ended_lines=pl.col("ended") / unmarked, repeated_lines=pl.col("again_lines") / lines,
        repeated_line_chars=pl.col("again_chars") / pl.max_horizontal("line_chars", pl.lit(1)),
        bullet_lines=pl.col("bullets") / lines, ellipsis_lines=pl.col("ellipses") / lines,
        mean_line_chars=pl.col("line_chars") / lines,
    )  # fmt: skip


def prose_of(texts: pl.Series) -> pl.Series:
    """Texts without fenced code, tables and indented lines."""
    if texts.str.contains("```|~~~").any():
        texts = texts.str.replace_all(FENCED, "")
    return texts.str.replace_all(NOT_PROSE, "")


def repeated_share(points: CodePoints, run_chars: int) -> NDArray[np.float64]:
    """The share of each text's runs of so many characters that stood before in it."""
    hashes = ngram_hashes(points, run_chars)
    again = np.zeros(len(hashes.offsets) - 1)
    # One text at a time: what is sorted stays in the cache.
    for row, (start, end) in enumerate(zip(hashes.offsets[:-1].tolist(), hashes.offsets[1:].tolist(), strict=True)):
        if end > start + 1:
            piece = hashes.values[start:end]
            piece.sort()
            again[row] = np.count_nonzero(piece[1:] == piece[:-1]) / (end - start)
    return again


def _sums(chosen: NDArray[np.bool_], points: CodePoints) -> NDArray[np.int64]:
    return np.diff(np.searchsorted(np.flatnonzero(chosen), points.offsets))


@cache
def _kinds() -> NDArray[np.uint8]:
    """0 for a space, 2 for a letter, 1 for all else below U+10000; rare Han and emoji above it count as letters."""
    found = [0 if chr(code).isspace() else 2 if unicodedata.category(chr(code))[0] in "LM" else 1 for code in range(BMP - 1)]
    return np.array([*found, 2], dtype=np.uint8)


def _lines(texts: pl.Series) -> pl.DataFrame:
    rows = pl.DataFrame({"row": pl.arange(len(texts), eager=True, dtype=pl.UInt32)})
    split = rows.with_columns(line=texts.str.split("\n")).explode("line").with_columns(pl.col("line").str.strip_chars())
    line = pl.col("line")
    is_ended = line.str.tail(1).is_in(ENDS) | line.str.contains_any(INNER)
    is_cut = pl.any_horizontal(line.str.ends_with(mark) for mark in ELLIPSES)
    split = split.filter(line != "").with_columns(
        chars=line.str.len_chars(), again=~(line.hash() ^ pl.col("row").hash()).is_first_distinct(), is_marked=line.str.contains(UNENDED)
    )
    counted = split.group_by("row").agg(
        num_lines=pl.len(), unmarked=(~pl.col("is_marked")).sum(), ended=(~pl.col("is_marked") & is_ended).sum(),
        again_lines=pl.col("again").sum(), again_chars=pl.col("chars").filter("again").sum(), line_chars=pl.col("chars").sum(),
        max_line_chars=pl.col("chars").max(), bullets=line.str.contains(BULLET).sum(), ellipses=is_cut.sum(),
    )  # fmt: skip
    joined = rows.join(counted, on="row", how="left", maintain_order="left")
    return joined.select(pl.col(name).cast(pl.Int64).fill_null(0) for name in LINE_COLUMNS)
