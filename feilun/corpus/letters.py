"""What the letters of a block tell, in one walk over each text: their share, how much stood before, and the signature.

Texts are taken by the limits they are held to, because these say how long a run is, and in pieces that stay in the cache.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.config import CorpusSettings
from feilun.corpus.layout import prose_of
from feilun.corpus.minhash import Signatures, signatures
from feilun.corpus.shingles import BMP, CodePoints, code_points, folded_letters, pieces_of, run_hashes

__all__ = ["KINDS", "Letters", "letters_of", "repeated_share"]

KINDS = ("zh", "en", "code", "other")
SPACE, SIGN, LETTER = 0, 1, 2


class Letters(NamedTuple):
    """One entry a text. share: letters among the characters that are no spaces. repeated: runs of letters that stood before.

    prose: the text without its layout, of which the repeated runs are. The signatures are of all letters.
    """

    prose: pl.Series
    share: NDArray[np.float64]
    repeated: NDArray[np.float64]
    signatures: Signatures


def letters_of(texts: pl.Series, kinds: pl.Series, settings: CorpusSettings) -> Letters:
    """kinds: which limits each text is held to, one of `KINDS`. What the settings do not ask for is zero, and all is prose."""
    prose = prose_of(texts, kinds != "code") if settings.filters else texts
    made = Letters(prose, np.zeros(len(texts)), np.zeros(len(texts)), Signatures.blank(len(texts)))
    # Layout is only ever taken out.
    is_prose = (prose.str.len_bytes() == texts.str.len_bytes()).to_numpy()
    for kind in KINDS:
        run_chars = getattr(settings, kind).run_chars
        of_kind = (kinds == kind).to_numpy()
        for rows, piece in _pieces(texts, of_kind):
            points = code_points(piece)
            letters = folded_letters(points)
            if settings.filters:
                made.share[rows] = letters_share(points)
                made.repeated[rows] = repeated_share(letters, run_chars, is_prose[rows])
            if settings.near_duplicates:
                made.signatures.put(rows, signatures(letters))
        for rows, piece in _pieces(prose, of_kind & ~is_prose):
            made.repeated[rows] = repeated_share(folded_letters(code_points(piece)), run_chars)
    return made


def _pieces(texts: pl.Series, chosen: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], list[str]]]:
    """The chosen texts and their rows, in stretches that stay in the cache."""
    rows = np.flatnonzero(chosen)
    strings = texts.gather(rows).to_list()
    for piece in pieces_of(strings):
        yield rows[piece], strings[piece]


def letters_share(points: CodePoints) -> NDArray[np.float64]:
    kinds = np.take(_kinds(), points.values, mode="clip")
    is_dense, is_letter = kinds != SPACE, kinds == LETTER
    bounds = points.offsets.tolist()
    dense, letters = (
        np.array([np.count_nonzero(chosen[start:end]) for start, end in pairwise(bounds)]) for chosen in (is_dense, is_letter)
    )
    shares: NDArray[np.float64] = letters / np.maximum(dense, 1)
    return shares


def repeated_share(letters: CodePoints, run_chars: int, is_asked: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The share of each text's runs of so many characters that stood before in it; 0 where it is not asked for.

    Equal hashes of 32 bits are taken for equal runs: of a million different ones that makes .0001.
    """
    hashes = run_hashes(letters.values, run_chars)
    again = np.zeros(len(letters.offsets) - 1)
    bounds = letters.offsets.tolist()
    # One text at a time: what is sorted stays in the cache.
    for row in range(len(again)):
        piece = hashes[bounds[row] : max(bounds[row], bounds[row + 1] - run_chars + 1)]
        if len(piece) > 1 and (is_asked is None or is_asked[row]):
            piece.sort()
            again[row] = np.count_nonzero(piece[1:] == piece[:-1]) / len(piece)
    return again


@cache
def _kinds() -> NDArray[np.uint8]:
    """Of each character below U+10000; rare Han and emoji above it count as letters."""
    found = [SPACE if chr(code).isspace() else LETTER if unicodedata.category(chr(code))[0] in "LM" else SIGN for code in range(BMP - 1)]
    return np.array([*found, LETTER], dtype=np.uint8)
