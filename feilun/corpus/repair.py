"""Repairs that every document may need. Detection is vectorised; what is not flagged is not touched.

Never NFKC, never folding: full-width punctuation is how Chinese is written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

__all__ = ["ENCODING_BIT", "REPAIRS", "Repair", "repair_kinds", "repair_texts"]

# NFC neither changes nor joins any of these (tests/test_corpus.py checks each), so a text made of them is left alone:
# normalising all costs four times as much as this look.
NFC_INERT = (
    "\\x00-\u02ff\u2010-\u2027\u2030-\u205e\u2190-\u21ff\u2500-\u27bf"
    "\u3000-\u3029\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uff01-\uffef"
)
LINE_ENDS = "\r\n?|[\\x0b\\x0c\\x1c-\\x1e\\x85\u2028\u2029]"
CONTROLS = "[\\x00-\\x08\\x0e-\\x1f\\x7f-\\x9f]"
TRAILING_SPACES = "(?m)[ \t\u00a0\u3000]+$"


@dataclass(frozen=True, slots=True)
class Repair:
    """A named change of a column of texts; what it leaves alone must stay byte-equal."""

    kind: str
    apply: Callable[[pl.Series], pl.Series]


def normalise(texts: pl.Series) -> pl.Series:
    """Unicode NFC."""
    flagged = texts.str.contains(f"[^{NFC_INERT}]").to_numpy()
    if not flagged.any():
        return texts
    changed = texts.filter(pl.Series(flagged)).str.normalize("NFC")
    places = np.arange(len(texts))
    places[flagged] = len(texts) + np.arange(len(changed))
    return pl.concat([texts, changed]).gather(places)


def strip_edges(texts: pl.Series) -> pl.Series:
    """No blank lines before the first line or after the last; the first line keeps its indent."""
    return texts.str.strip_chars_end().str.replace(r"\A(?:[ \t\x{a0}\x{3000}]*\n)+", "")


# The order matters: each works on what the one before it left, and a second pass over all changes nothing.
REPAIRS: tuple[Repair, ...] = (
    Repair("byte_order_mark", lambda texts: texts.str.replace_all("\ufeff", "", literal=True)),
    Repair("line_ends", lambda texts: texts.str.replace_all(LINE_ENDS, "\n")),
    Repair("control_characters", lambda texts: texts.str.replace_all(CONTROLS, "")),
    Repair("unicode_nfc", normalise),
    Repair("trailing_spaces", lambda texts: texts.str.replace_all(TRAILING_SPACES, "")),
    Repair("outer_blank_lines", strip_edges),
)
ENCODING_BIT = len(REPAIRS)


@cache
def repair_kinds() -> tuple[str, ...]:
    """Name of each bit of the mask that `repair_texts` returns; the last is set by the reader."""
    return (*(repair.kind for repair in REPAIRS), "gb18030_to_utf8")


def repair_texts(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(repaired texts, bit mask of the kinds of repair each one had)."""
    mask = pl.zeros(len(texts), dtype=pl.Int64, eager=True)
    for bit, repair in enumerate(REPAIRS):
        repaired = repair.apply(texts)
        mask = mask + (repaired != texts).cast(pl.Int64) * (1 << bit)
        texts = repaired
    return texts, mask
