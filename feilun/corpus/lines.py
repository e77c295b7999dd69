"""A line that stood before in its document is cut out: doubled titles, page heads, a paragraph pasted twice. An edit, as every change."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterator, Sequence

import polars as pl

from feilun.corpus.edits import Edit, Edited, made_edits
from feilun.corpus.layout import INDENTS, fences

__all__ = ["RULE", "cut_repeated_lines"]

RULE = "repeated_line"


def cut_repeated_lines(texts: pl.Series, may_cut: pl.Series, min_chars: int, strings: Sequence[str] | None = None) -> Edited:
    """Of equal lines of `min_chars` or more the later ones; fenced code, indented lines and tables are left alone.

    may_cut: which texts are looked at; in a program a line may well stand twice. strings: the texts, where they are at hand.
    """
    # In Python: splitting into a column of all lines and hashing that takes twice as long.
    strings = texts.to_list() if strings is None else strings
    pairs = ((row, strings[row]) for row in may_cut.arg_true())
    return made_edits(texts, RULE, {row: [*_repeated(text, again)] for row, text in pairs if (again := _again(text, min_chars))})


def _again(text: str, min_chars: int) -> set[str]:
    """The long lines that stand twice or more, those of a layout left out."""
    long = [line for line in text.split("\n") if len(line) >= min_chars]
    if len(once := set(long)) == len(long):
        return set()
    counts = Counter(long)
    return {line for line in once if counts[line] > 1 and not line.startswith(("|", *INDENTS))}


def _repeated(text: str, again: Container[str]) -> Iterator[Edit]:
    """The line end before each later line of these and the line, where as many fences are opened as closed before it."""
    bounds = fences(text)
    seen = set()
    start = 0
    for line in text.split("\n"):
        if line in again and bisect_right(bounds, start) % 2 == 0:
            if line in seen:
                yield Edit(start - 1, "\n" + line, "")
            seen.add(line)
        start += len(line) + 1
