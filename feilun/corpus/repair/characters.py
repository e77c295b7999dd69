"""What every text may need, whatever its language: line ends, controls, Unicode NFC, spaces at the ends of lines."""

import re
import unicodedata
from collections.abc import Callable, Iterator

import polars as pl

from feilun.corpus.edits import Edit, trimmed
from feilun.corpus.repair.guards import among

__all__ = ["NFC_INERT", "is_unusual"]

# NFC neither changes nor joins any of these (tests/test_corpus.py checks each), so a text made of them is left alone:
# normalising all costs four times as much as this look.
INERT_WIDE = (
    "\u2010-\u2027\u2030-\u205e\u2190-\u21ff\u2500-\u27bf\u3000-\u3029\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uff01-\uffef"
)
NFC_INERT = f"\\x00-\u02ff{INERT_WIDE}"
# A text of these alone needs no rule for single characters. Left out are what such a rule changes, and the letters that misread
# UTF-8 starts with; the lines end with \n.
USUAL = f"\\t\\n\\x20-\\x7e\u00a1-\u00ac\u00ae-\u00c1\u0400-\u052f{INERT_WIDE}\U0001f000-\U0001faff"
BYTE_ORDER_MARK = "\ufeff"
LINE_ENDS = "\r\n?|[\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]"
CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"
SPACES = " \t\u00a0\u3000"
SPACE_SET = frozenset(SPACES)
# Zero-width spaces and joiners, direction marks, soft hyphens, invisible operators.
ZERO_WIDTH = "\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
# Joiners are letters in the scripts of India and Iran, and glue in emoji; marks of direction mean something beside right-to-left text.
JOINED = re.compile("[\u0590-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff\u1800-\u18af\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]")
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
OUTER_BLANKS = re.compile(rf"\A(?:[{SPACES}]*\n)+")


def substitutions(pattern: str, after: str) -> Callable[[str], Iterator[Edit]]:
    compiled = re.compile(pattern)
    return lambda text: (Edit(found.start(), found[0], after) for found in compiled.finditer(text))


def is_unusual(texts: pl.Series) -> pl.Series:
    """Texts that a rule for single characters may change."""
    return texts.str.contains(f"[^{USUAL}]")


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
    return among(texts, texts.str.contains(f"[^{NFC_INERT}]"), _is_composed_otherwise)


def _is_composed_otherwise(texts: pl.Series) -> pl.Series:
    # Looking is ten times faster than normalising.
    return pl.Series([not unicodedata.is_normalized("NFC", text) for text in texts.to_list()], dtype=pl.Boolean)


def compositions(text: str) -> Iterator[Edit]:
    """NFC, a stretch at a time: what is inert neither changes nor joins what is left of it."""
    for found in re.finditer(f"[{NFC_INERT}]?[^{NFC_INERT}]+", text):
        composed = unicodedata.normalize("NFC", found[0])
        if composed != found[0]:
            yield trimmed(found.start(), found[0], composed)


def has_trailing_spaces(texts: pl.Series) -> pl.Series:
    return texts.str.contains(f"[{SPACES}]\n") | texts.str.contains(rf"[{SPACES}]\z")


def trailing_spaces(text: str) -> Iterator[Edit]:
    end = -1
    for line in text.split("\n"):
        end += len(line) + 1
        if line[-1:] in SPACE_SET:
            bare = len(line.rstrip(SPACES))
            yield Edit(end - len(line) + bare, line[bare:], "")


def has_outer_blanks(texts: pl.Series) -> pl.Series:
    return texts.str.contains(rf"\A[{SPACES}]*\n") | texts.str.slice(-1).str.contains(r"\s")


def outer_blanks(text: str) -> Iterator[Edit]:
    """No blank lines before the first line or after the last; the first line keeps its indent."""
    start = 0
    if found := OUTER_BLANKS.match(text):
        yield Edit(0, found[0], "")
        start = found.end()
    end = len(text.rstrip())
    if max(start, end) < len(text):
        yield Edit(max(start, end), text[max(start, end) :], "")


def has_zero_width(texts: pl.Series) -> pl.Series:
    return texts.str.contains(f"[{ZERO_WIDTH}]")


def zero_width(text: str) -> Iterator[Edit]:
    has_right_to_left = RIGHT_TO_LEFT.search(text) is not None
    for found in re.finditer(f"[{ZERO_WIDTH}]+", text):
        if _means_nothing(text, found.start(), found.end(), has_right_to_left):
            yield Edit(found.start(), found[0], "")


def _means_nothing(text: str, start: int, end: int, has_right_to_left: bool) -> bool:
    if has_right_to_left:
        return False
    beside = (text[start - 1 : start], text[end : end + 1])
    # A soft hyphen at a line's end is where print split a word.
    is_split = text[start:end] == "\u00ad" and beside[1] == "\n"
    return not is_split and not any(JOINED.match(character) for character in beside)
