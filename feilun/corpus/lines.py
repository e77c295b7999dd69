"""A line that stood before in its document is cut out: doubled titles, page heads, a paragraph pasted twice. An edit, as every change."""

from collections.abc import Iterator

import polars as pl

from feilun.corpus.edits import Edit, Edited, edit_texts

__all__ = ["RULE", "cut_repeated_lines"]

RULE = "repeated_line"
FENCES = ("```", "~~~")
LAYOUT = ("|", "    ", "\t")


def cut_repeated_lines(texts: pl.Series, may_cut: pl.Series, min_chars: int) -> Edited:
    """Of equal lines of `min_chars` or more the later ones; fenced code, indented lines and tables are left alone.

    may_cut: which texts are looked at; in a program a line may well stand twice.
    """
    return edit_texts(texts, _flagged(texts, min_chars) & may_cut, RULE, lambda text: _repeated(text, min_chars))


def _flagged(texts: pl.Series, min_chars: int) -> pl.Series:
    """Where any long line stands twice; the length in bytes is a bound that costs nothing."""
    rows = pl.DataFrame({"row": pl.arange(len(texts), eager=True, dtype=pl.UInt32), "line": texts.str.split("\n")}).explode("line")
    is_layout = pl.any_horizontal(pl.col("line").str.starts_with(mark) for mark in LAYOUT)
    long = rows.filter((pl.col("line").str.len_bytes() >= min_chars) & ~is_layout)
    again = long.filter(~(pl.col("line").hash() ^ pl.col("row").hash()).is_first_distinct())["row"]
    return pl.arange(len(texts), eager=True, dtype=pl.UInt32).is_in(again.unique().implode())


def _repeated(text: str, min_chars: int) -> Iterator[Edit]:
    lines = text.split("\n")
    has_fences = any(fence in text for fence in FENCES)
    seen: set[str] = set()
    place = 0
    fenced = False
    for line in lines:
        if has_fences and line.lstrip().startswith(FENCES):
            fenced = not fenced
        elif len(line) >= min_chars and not fenced and not line.startswith(LAYOUT):
            if line in seen:
                yield Edit(place - 1, "\n" + line, "")
            seen.add(line)
        place += len(line) + 1
