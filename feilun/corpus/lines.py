"""A line that stood before in its document is cut out: doubled titles, page heads, a paragraph pasted twice. An edit, as every change."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import polars as pl

from feilun.corpus.edits import Edit, Edited, made_edits
from feilun.corpus.layout import INDENTS, fences

__all__ = ["RULE", "cut_repeated_lines"]

RULE = "repeated_line"


def cut_repeated_lines(texts: pl.Series, may_cut: pl.Series, min_chars: int) -> Edited:
    """Of equal lines of `min_chars` or more the later ones; fenced code, indented lines and tables are left alone.

    may_cut: which texts are looked at; in a program a line may well stand twice.
    """
    # In Python: splitting into a column of all lines and hashing that takes twice as long.
    rows = may_cut.arg_true()
    pairs = zip(rows.to_list(), texts.gather(rows).to_list(), strict=True)
    return made_edits(texts, RULE, {row: _repeated(text, again) for row, text in pairs if (again := _again(text, min_chars))})


def _again(text: str, min_chars: int) -> set[str]:
    """The long lines that stand twice or more, those of a layout left out."""
    long = [line for line in text.split("\n") if len(line) >= min_chars]
    if len(once := set(long)) == len(long):
        return set()
    counts = Counter(long)
    return {line for line in once if counts[line] > 1 and not line.startswith(("|", *INDENTS))}


def _repeated(text: str, again: Iterable[str]) -> list[Edit]:
    bounds = fences(text)
    return sorted(Edit(place - 1, "\n" + line, "") for line in again for place in _free_places(text, line, bounds)[1:])


def _free_places(text: str, line: str, bounds: Sequence[int]) -> list[int]:
    """Where the line stands whole, with as many fences opened as closed before it."""
    places = []
    place = text.find(line)
    while place >= 0:
        end = place + len(line)
        is_whole = (place == 0 or text[place - 1] == "\n") and (end == len(text) or text[end] == "\n")
        if is_whole and bisect_right(bounds, place) % 2 == 0:
            places.append(place)
        place = text.find(line, end if is_whole else place + 1)
    return places
