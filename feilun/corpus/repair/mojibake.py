"""UTF-8 that somebody read as Latin-1, Windows-1252 or GBK, once or more; only where every byte of a character is still there."""

import re
from collections.abc import Iterator

import polars as pl

from feilun.corpus.edits import Edit, trimmed
from feilun.corpus.repair.guards import HAN

__all__ = ["has_gbk_mojibake", "has_latin_mojibake", "misread_as_gbk", "misread_as_latin"]

# What Windows-1252 shows for the bytes 80 to 9f; for the five it has no character for, the control stays.
WINDOWS = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
AS_BYTES = str.maketrans(
    WINDOWS, "\x80\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8e\x91\x92\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9e\x9f"
)
LATIN_FLAG = f"[\xc2-\xf4][\\x80-\\xbf{WINDOWS}]"
# Well-formed UTF-8, a byte a character.
THREE = (
    "\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    "|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
LATIN_RUN = re.compile(f"(?:{THREE}|[\xc2-\xdf][\x80-\xbf])+")
# One pair alone stands in real text too ("É»"), but hardly with one of these first.
LONE_LEADS = "\xc2\xc3"
# E7 9A 84 is 的, and EF BC, E3 80 and E2 80 lead the punctuation: read as GBK, they become these, which are next to unknown.
GBK_SIGNS = ["锛", "銆", "鈥", "鐨"]
WIDE_RUN = re.compile("[^\x00-\x7f]{2,}")
CHINESE = re.compile(f"[{HAN}\u3001-\u301f\uff01-\uff60]")
MAX_TIMES = 3


def has_latin_mojibake(texts: pl.Series) -> pl.Series:
    return texts.str.contains(LATIN_FLAG)


def has_gbk_mojibake(texts: pl.Series) -> pl.Series:
    return texts.str.contains_any(GBK_SIGNS)


def misread_as_latin(text: str) -> Iterator[Edit]:
    for found in LATIN_RUN.finditer(text.translate(AS_BYTES)):
        if len(found[0]) > 2 or found[0][0] in LONE_LEADS:
            yield Edit(found.start(), text[found.start() : found.end()], _decoded(found[0]))


def _decoded(run: str) -> str:
    """Again and again: what was encoded twice looks the same after the first time."""
    for _ in range(MAX_TIMES):
        pieces, end = [], 0
        for found in LATIN_RUN.finditer(run.translate(AS_BYTES)):
            pieces += [run[end : found.start()], found[0].encode("latin-1").decode()]
            end = found.end()
        if not end:
            break
        run = "".join([*pieces, run[end:]])
    return run


def misread_as_gbk(text: str) -> Iterator[Edit]:
    for found in WIDE_RUN.finditer(text):
        edit = _stretch(found.start(), found[0])
        if edit is not None:
            yield edit


def _stretch(start: int, run: str) -> Edit | None:
    """The longest head of a run that is whole UTF-8; what is behind it has lost a byte."""
    while True:
        data = run.encode("gb18030", "replace")
        try:
            decoded = data.decode("utf-8")
            break
        except UnicodeDecodeError as error:
            head = _chars_of(run, error.start)
            if head < 2 or head == len(run):
                return None
            run = run[:head]
    is_chinese = sum(1 for character in decoded if CHINESE.match(character)) * 2 > len(decoded)
    return trimmed(start, run, decoded) if is_chinese else None


def _chars_of(run: str, num_bytes: int) -> int:
    """How many whole characters of a run have at most so many bytes in GB18030."""
    for place, character in enumerate(run):
        num_bytes -= len(character.encode("gb18030"))
        if num_bytes < 0:
            return place
    return len(run)
