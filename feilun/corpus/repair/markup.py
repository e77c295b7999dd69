"""Leftovers of pages and of print: character references, and words that a line end has split."""

import html
import re
from collections import Counter
from collections.abc import Iterator

import polars as pl

from feilun.corpus.edits import Edit
from feilun.corpus.repair.guards import TAG, prose_of

__all__ = ["has_references", "has_split_words", "references", "split_words"]

REFERENCE = re.compile(r"&(?:amp;)*(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
MARKUP = re.compile(TAG)
SPLIT = re.compile(r"(?<![A-Za-z-])([A-Za-z]*[a-z])(?:-|\u2010|\u00ad|¬)\n[ \t]*([a-z]+)(?![A-Za-z-])")
WORD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")


def has_references(texts: pl.Series) -> pl.Series:
    return texts.str.contains("&#?[0-9A-Za-z]+;")


def references(text: str) -> Iterator[Edit]:
    """Where a text has tags of its own it is markup, and references are how markup writes these characters."""
    if MARKUP.search(text):
        return
    is_prose = prose_of(text)
    for found in REFERENCE.finditer(text):
        meant = _character(found[0])
        if meant is not None and is_prose(found.start()):
            yield Edit(found.start(), found[0], meant)


def _character(reference: str) -> str | None:
    """What a reference stands for, however often its & was escaped; None for no character or a control."""
    meant = html.unescape("&" + reference.rpartition("amp;")[2].lstrip("&")) if reference != "&amp;" else "&"
    if meant.startswith("&") and len(meant) > 1:
        return None
    meant = meant.replace("\u00a0", " ")
    return meant if meant.isprintable() and meant != "\ufffd" else None


def has_split_words(texts: pl.Series) -> pl.Series:
    return texts.str.contains("[a-z][-\u2010\u00ad¬]\n[ \t]*[a-z]")


def split_words(text: str) -> Iterator[Edit]:
    """Joined where the text has the whole word elsewhere, or does not know the pieces as words; a compound keeps its hyphen and line."""
    words = Counter(word.lower() for word in WORD.findall(text))
    is_prose = prose_of(text)
    for found in SPLIT.finditer(text):
        head, tail = found[1].lower(), found[2].lower()
        is_word = words[head + tail] or not (words[f"{head}-{tail}"] or (words[head] > 1 and words[tail] > 1))
        if is_word and is_prose(found.start()):
            yield Edit(found.end(1), text[found.end(1) : found.start(2)], "")
