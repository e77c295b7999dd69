"""Fenced code, tables and indented lines: what is layout in a text and no prose. A manual may repeat its commands and a table its cells.

In Python and by searches for bytes: one expression for a whole fence, its end included, takes three times as long.
"""

import re
from collections.abc import Sequence

import polars as pl

from feilun.corpus.edits import replaced

__all__ = ["INDENTS", "fences", "prose_of"]

FIRST_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
INDENTS = ("    ", "\t")
# Begun with the line end before it, it is a search for bytes.
FENCE = re.compile(r"\n[ \t]*+(?:```|~~~)")
LAYOUT = re.compile(r"\n(?:[ \t]*\||(?: {4}|\t))[^\n]*")
MAY_BE_LAYOUT = r"\n(?:[ \t]*(?:\||```|~~~)| {4}|\t)"
BEGINS_WITH_LAYOUT = r"\A[ \t|`~]"


def fences(text: str) -> list[int]:
    """Where the lines begin that open or close fenced code; another sign in such a line opens nothing."""
    if "```" not in text and "~~~" not in text:
        return []
    first = [0] if FIRST_FENCE.match(text) else []
    return first + [found.start() + 1 for found in FENCE.finditer(text)]


def prose_of(texts: pl.Series, may_hold: pl.Series, strings: Sequence[str] | None = None) -> pl.Series:
    """Texts without layout. may_hold: where it is looked for; a program is nothing else. strings: the texts, where they are at hand."""
    strings = texts.to_list() if strings is None else strings
    rows = (may_hold & (texts.str.contains(MAY_BE_LAYOUT) | texts.str.contains(BEGINS_WITH_LAYOUT))).arg_true().to_list()
    return replaced(texts, {row: LAYOUT.sub("", "\n" + _unfenced(strings[row]))[1:] for row in rows})


def _unfenced(text: str) -> str:
    """Without fenced code; a fence that is not closed goes to the end."""
    bounds = fences(text)
    if not bounds:
        return text
    pieces, end = [], 0
    for place, start in enumerate(bounds):
        if place % 2 == 0:
            pieces.append(text[end:start])
        end = _end_of_line(text, start)
    return "".join(pieces if len(bounds) % 2 else [*pieces, text[end:]])


def _end_of_line(text: str, place: int) -> int:
    end = text.find("\n", place)
    return len(text) if end < 0 else end
