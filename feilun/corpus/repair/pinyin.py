"""Pinyin in brackets behind the character it reads, as sites print it by machine after every converted character."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import polars as pl

from feilun.corpus.edits import Edit
from feilun.corpus.repair.scripts import simplified

__all__ = ["annotations", "has_annotations", "readings"]

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
        if unicodedata.normalize("NFC", found[3].lower()) in readings(found[1]):
            yield Edit(found.start(2), found[2], "")


@cache
def readings(character: str) -> frozenset[str]:
    """How a character is read, alone or in its simplified form."""
    twins = {character, simplified(character)}
    return frozenset(reading for twin in twins for reading in _table().get(ord(twin), "").split(","))


@cache
def _table() -> dict[int, str]:
    """The readings of each character, "zhōng,zhòng": the one table of pypinyin, which as a whole reads its phrases for .2 seconds."""
    package = find_spec("pypinyin")
    assert package is not None
    assert package.submodule_search_locations
    place = spec_from_file_location("pinyin_dict", Path(package.submodule_search_locations[0]) / "pinyin_dict.py")
    assert place is not None
    assert place.loader is not None
    module = module_from_spec(place)
    place.loader.exec_module(module)
    table: dict[int, str] = module.pinyin_dict
    return table
