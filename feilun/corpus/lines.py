"""A line that stood before in its document is cut out: doubled titles, page heads, a paragraph pasted twice. An edit, as every change."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

import polars as pl

from feilun.corpus.edits import Edit, Edited, edit_texts

__all__ = ["RULE", "cut_repeated_lines"]

RULE = "repeated_line"
FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
LAYOUT = ("|", "    ", "\t")


def cut_repeated_lines(texts: pl.Series, may_cut: pl.Series, min_chars: int) -> Edited:
    """Of equal lines of `min_chars` or more the later ones; fenced code, indented lines and tables are left alone.

    may_cut: which texts are looked at; in a program a line may well stand twice.
    """
    # In Python: splitting into a column of all lines and hashing that takes twice as long.
    flagged = pl.Series([may and _has_again(text, min_chars) for text, may in zip(texts, may_cut, strict=True)], dtype=pl.Boolean)
    return edit_texts(texts, flagged, RULE, lambda text: _repeated(text, min_chars))


def _has_again(text: str, min_chars: int) -> bool:
    """Whether any long line stands twice."""
    long = [line for line in text.split("\n") if len(line) >= min_chars and not line.startswith(LAYOUT)]
    return len(set(long)) < len(long)


def _repeated(text: str, min_chars: int) -> list[Edit]:
    counts = Counter(line for line in text.split("\n") if len(line) >= min_chars)
    again = [line for line, count in counts.items() if count > 1 and not line.startswith(LAYOUT)]
    fences = [match.start() for match in FENCE.finditer(text)]
    return sorted(Edit(place - 1, "\n" + line, "") for line in again for place in _free_places(text, line, fences)[1:])


def _free_places(text: str, line: str, fences: Sequence[int]) -> list[int]:
    """Where the line stands whole, with as many fences opened as closed before it."""
    places = []
    place = text.find(line)
    while place >= 0:
        end = place + len(line)
        is_whole = (place == 0 or text[place - 1] == "\n") and (end == len(text) or text[end] == "\n")
        if is_whole and bisect_right(fences, place) % 2 == 0:
            places.append(place)
        place = text.find(line, end if is_whole else place + 1)
    return places
