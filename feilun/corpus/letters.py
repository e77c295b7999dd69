"""What the letters of a block tell, in one walk over each text: their share, how much stood before, and the signature.

Texts are taken by the limits they are held to, because these say how long a run is, and in pieces that stay in the cache.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.config import CorpusSettings, TextLimits
from feilun.corpus.layout import prose_of
from feilun.corpus.minhash import Signatures, signatures
from feilun.corpus.shingles import BMP, CodePoints, code_points, folded_letters, pieces_of, run_hashes

__all__ = ["KINDS", "Letters", "letters_of", "repeated_share"]

KINDS = ("zh", "en", "code", "other")
SPACE, SIGN, LETTER = 0, 1, 2
# Of a text's runs, all different, a sixteenth or so share one of so many slots for each.
SLOTS_EACH = 8
# A table of more is no quicker than sorting.
MAX_SLOTS = 1 << 21

Shares = NDArray[np.float64]
Places = NDArray[np.int64]


class Letters(NamedTuple):
    """One entry a text. share: letters among the characters that are no spaces. repeated: runs of letters that stood before.

    prose: the text without its layout, of which the repeated runs are. The signatures are of all letters. kinds: as asked.
    """

    prose: pl.Series
    share: NDArray[np.float64]
    repeated: NDArray[np.float64]
    signatures: Signatures
    kinds: pl.Series


def letters_of(texts: pl.Series, kinds: pl.Series, settings: CorpusSettings, strings: Sequence[str] | None = None) -> Letters:
    """kinds: which limits each text is held to, one of `KINDS`. What the settings do not ask for is zero, and all is prose.

    strings: the texts, where they are at hand.
    """
    strings = texts.to_list() if strings is None else strings
    prose = prose_of(texts, kinds != "code", strings) if settings.filters else texts
    made = Letters(prose, np.zeros(len(texts)), np.zeros(len(texts)), Signatures.blank(len(texts)), kinds)
    # Layout is only ever taken out.
    is_prose = (prose.str.len_bytes() == texts.str.len_bytes()).to_numpy()
    for kind in KINDS:
        limits: TextLimits = getattr(settings, kind)
        of_kind = (kinds == kind).to_numpy()
        whole, cut = np.flatnonzero(of_kind), np.flatnonzero(of_kind & ~is_prose)
        for rows, piece in _pieces(whole, [strings[row] for row in whole.tolist()]):
            points = code_points(piece)
            letters = folded_letters(points)
            if settings.filters:
                made.share[rows] = letters_share(points)
                made.repeated[rows] = repeated_share(letters, limits.run_chars, limits.max_repeated_runs, is_prose[rows])
            if settings.near_duplicates:
                made.signatures.put(rows, signatures(letters))
        for rows, piece in _pieces(cut, prose.gather(cut).to_list()):
            made.repeated[rows] = repeated_share(folded_letters(code_points(piece)), limits.run_chars, limits.max_repeated_runs)
    return made


def _pieces(rows: Places, strings: Sequence[str]) -> Iterator[tuple[Places, Sequence[str]]]:
    """Texts and their rows, in stretches that stay in the cache."""
    for piece in pieces_of(strings):
        yield rows[piece], strings[piece]


def letters_share(points: CodePoints) -> Shares:
    kinds = np.take(_kinds(), points.values, mode="clip")
    is_dense, is_letter = kinds != SPACE, kinds == LETTER
    bounds = points.offsets.tolist()
    dense, letters = (
        np.array([np.count_nonzero(chosen[start:end]) for start, end in pairwise(bounds)]) for chosen in (is_dense, is_letter)
    )
    shares: Shares = letters / np.maximum(dense, 1)
    return shares


def repeated_share(letters: CodePoints, run_chars: int, limit: float = -1.0, is_asked: NDArray[np.bool_] | None = None) -> Shares:
    """The share of each text's runs of so many characters that stood before in it; 0 where it is not asked for.

    limit: where the share is not beyond it, what is said may be more, up to the limit; a text that is clearly below takes a third
    of the time. Equal hashes of 32 bits are taken for equal runs: of a million different ones that makes .0001.
    """
    hashes = run_hashes(letters.values, run_chars)
    again = np.zeros(len(letters.offsets) - 1)
    bounds = letters.offsets.tolist()
    # One text at a time: what is sorted, and the table, stay in the cache.
    for row in range(len(again)):
        piece = hashes[bounds[row] : max(bounds[row], bounds[row + 1] - run_chars + 1)]
        if len(piece) > 1 and (is_asked is None or is_asked[row]):
            share = _most_repeated(piece) if limit >= 0 else 1.0
            again[row] = share if share <= limit else _repeated(piece)
    return again


def _most_repeated(hashes: NDArray[np.uint32]) -> float:
    """What the share of the repeated is not beyond: those of two slots differ."""
    num_slots = 1 << (SLOTS_EACH * len(hashes) - 1).bit_length()
    if num_slots > MAX_SLOTS:
        return 1.0
    used = np.zeros(num_slots, dtype=np.bool_)
    used[(hashes & np.uint32(num_slots - 1)).astype(np.intp)] = True
    return 1 - np.count_nonzero(used) / len(hashes)


def _repeated(hashes: NDArray[np.uint32]) -> float:
    hashes.sort()
    return float(np.count_nonzero(hashes[1:] == hashes[:-1]) / len(hashes))


@cache
def _kinds() -> NDArray[np.uint8]:
    """Of each character below U+10000; rare Han and emoji above it count as letters."""
    found = [SPACE if chr(code).isspace() else LETTER if unicodedata.category(chr(code))[0] in "LM" else SIGN for code in range(BMP - 1)]
    return np.array([*found, LETTER], dtype=np.uint8)
