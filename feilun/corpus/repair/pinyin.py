"""Pinyin in brackets behind the character it reads, as sites print it by machine after every converted character."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

import polars as pl

from feilun.corpus.edits import Edit
from feilun.corpus.repair.scripts import simplified

__all__ = ["annotations", "has_annotations"]

TONED = "āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜńňǹḿ"
NOTE = re.compile(rf"([\u3400-\u9fff])([(（] ?([a-zü]{{0,6}}[{TONED}][a-zü]{{0,4}}) ?[)）])", re.IGNORECASE)
FLAG = f"[(（] ?[a-zü]*[{TONED}]"
# One note may be an author's, for a rare character; machines leave many.
MIN_NOTES = 3


def has_annotations(texts: pl.Series) -> pl.Series:
    return texts.str.count_matches(FLAG) >= MIN_NOTES


def annotations(text: str) -> Iterator[Edit]:
    """Notes whose reading is one that the character has, alone or in its simplified form; any other bracket stays."""
    for found in NOTE.finditer(text):
        if unicodedata.normalize("NFC", found[3].lower()) in _readings(found[1]):
            yield Edit(found.start(2), found[2], "")


@cache
def _readings(character: str) -> frozenset[str]:
    from pypinyin import Style, pinyin  # its table of phrases takes a quarter of a second to read

    twins = {character, simplified(character)}
    return frozenset(reading for twin in twins for word in pinyin(twin, style=Style.TONE, heteronym=True) for reading in word)
