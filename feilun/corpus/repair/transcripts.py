"""Machine transcripts of Chinese speech: a space between words, acronyms spelled letter by letter."""

import re
from collections.abc import Iterator

import polars as pl

from feilun.corpus.edits import Edit
from feilun.corpus.repair.guards import HAN, among

__all__ = ["is_spaced", "spelled_acronyms", "word_spaces"]

# Spaces between Han per Han, counted without overlap: a transcript has .34, verse in columns of five .2, other text under .1.
MIN_SPACE_SHARE = 0.22
# Runs of one or two Han among all runs: a transcript .89, verse and lists next to none.
MIN_SHORT_RUNS = 0.5
# A transcript is one from its start to its end: most texts are known to be none by three short looks.
WINDOW_CHARS = 250
SPACED_HAN = "[\u4e00-\u9fff] [\u4e00-\u9fff]"
CLOSING = ",.:;?!、，。：；？！”’」』）》…"
CHINESE = f"{HAN}、，。：；？！“”‘’「」『』（）《》…—"
WORD_SPACE = re.compile(
    f"(?<=[{CHINESE}]) +(?=[{CHINESE}])|(?<=[{HAN}][{CLOSING}]) +(?=[^ \n])"
    f"|(?<=[A-Za-z0-9][,?!;:]) +(?=[{HAN}])|(?<=[、，。；？！]) +(?=[^ \n])"
)
HAN_RUN = re.compile(f"[{HAN}]+")
SPELLED = re.compile(r"(?<![A-Za-z])[A-Z](?: [A-Z])+(?![A-Za-z])")


def is_spaced(texts: pl.Series) -> pl.Series:
    num_chars = texts.str.len_chars()
    seen = texts.str.slice(0, WINDOW_CHARS)
    for place in (num_chars // 3, num_chars * 2 // 3):
        seen = seen + texts.str.slice(place, WINDOW_CHARS)
    return among(texts, seen.str.count_matches(SPACED_HAN) * 12 > seen.str.len_chars(), _is_spaced_throughout)


def _is_spaced_throughout(texts: pl.Series) -> pl.Series:
    return texts.str.count_matches(SPACED_HAN) > texts.str.count_matches("[\u4e00-\u9fff]") * MIN_SPACE_SHARE


def _is_transcript(text: str) -> bool:
    runs = HAN_RUN.findall(text)
    return sum(1 for run in runs if len(run) <= 2) >= MIN_SHORT_RUNS * len(runs)


def word_spaces(text: str) -> Iterator[Edit]:
    """Spaces in Chinese go; those between Chinese and Latin letters or digits stay."""
    if _is_transcript(text):
        yield from (Edit(found.start(), found[0], "") for found in WORD_SPACE.finditer(text))


def spelled_acronyms(text: str) -> Iterator[Edit]:
    """ "P H D" is PhD's letters in one word; a word said twice ("A I A I") stays two words."""
    if not _is_transcript(text):
        return
    for found in SPELLED.finditer(text):
        letters = found[0].replace(" ", "")
        half = len(letters) // 2
        twice = half > 1 and letters[:half] == letters[half:]
        yield Edit(found.start(), found[0], f"{letters[:half]} {letters[half:]}" if twice else letters)
