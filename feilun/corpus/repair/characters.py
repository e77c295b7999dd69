"""What every text may need, whatever its language: line ends, controls, Unicode NFC, spaces at the ends of lines."""

import re
import unicodedata
from collections.abc import Callable, Iterator

import polars as pl

from feilun.corpus.edits import Edit, trimmed

__all__ = ["NFC_INERT"]

# NFC neither changes nor joins any of these (tests/test_corpus.py checks each), so a text made of them is left alone:
# normalising all costs four times as much as this look.
NFC_INERT = (
    "\\x00-\u02ff\u2010-\u2027\u2030-\u205e\u2190-\u21ff\u2500-\u27bf"
    "\u3000-\u3029\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uff01-\uffef"
)
BYTE_ORDER_MARK = "\ufeff"
LINE_ENDS = "\r\n?|[\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]"
CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"
SPACES = " \t\u00a0\u3000"
# The look behind keeps a long run of spaces linear.
TRAILING_SPACES = re.compile(f"(?m)(?<![{SPACES}])[{SPACES}]+$")
OUTER_BLANKS = re.compile(rf"\A(?:[{SPACES}]*\n)+")


def substitutions(pattern: str, after: str) -> Callable[[str], Iterator[Edit]]:
    compiled = re.compile(pattern)
    return lambda text: (Edit(found.start(), found[0], after) for found in compiled.finditer(text))


def has_byte_order_mark(texts: pl.Series) -> pl.Series:
    return texts.str.contains(BYTE_ORDER_MARK, literal=True)


byte_order_marks = substitutions(BYTE_ORDER_MARK, "")


def has_line_ends(texts: pl.Series) -> pl.Series:
    return texts.str.contains(LINE_ENDS)


line_ends = substitutions(LINE_ENDS, "\n")


def has_controls(texts: pl.Series) -> pl.Series:
    return texts.str.contains(CONTROLS)


controls = substitutions(CONTROLS, "")


def is_not_composed(texts: pl.Series) -> pl.Series:
    flagged = texts.str.contains(f"[^{NFC_INERT}]")
    if not flagged.any():
        return flagged
    looked_at = texts.filter(flagged)
    changed = looked_at.str.normalize("NFC") != looked_at
    return flagged.scatter(flagged.arg_true(), changed)


def compositions(text: str) -> Iterator[Edit]:
    """NFC, a stretch at a time: what is inert neither changes nor joins what is left of it."""
    for found in re.finditer(f"[{NFC_INERT}]?[^{NFC_INERT}]+", text):
        composed = unicodedata.normalize("NFC", found[0])
        if composed != found[0]:
            yield trimmed(found.start(), found[0], composed)


def has_trailing_spaces(texts: pl.Series) -> pl.Series:
    return texts.str.contains(f"(?m)[{SPACES}]$")


def trailing_spaces(text: str) -> Iterator[Edit]:
    return (Edit(found.start(), found[0], "") for found in TRAILING_SPACES.finditer(text))


def has_outer_blanks(texts: pl.Series) -> pl.Series:
    return texts.str.contains(rf"\A[{SPACES}]*\n|\s\z")


def outer_blanks(text: str) -> Iterator[Edit]:
    """No blank lines before the first line or after the last; the first line keeps its indent."""
    start = 0
    if found := OUTER_BLANKS.match(text):
        yield Edit(0, found[0], "")
        start = found.end()
    end = len(text.rstrip())
    if max(start, end) < len(text):
        yield Edit(max(start, end), text[max(start, end) :], "")
