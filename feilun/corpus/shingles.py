"""Texts as code points, and the hash of every run of n characters in them: the ground of near-duplicates, repetition and scores.

Characters, not words: Chinese has no spaces, and cutting it into words costs fifty times what all this does.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CodePoints",
    "Hashes",
    "Rows",
    "code_points",
    "folded_letters",
    "hashes_everywhere",
    "ngram_hashes",
    "pieces_of",
    "run_hashes",
]

Number = TypeVar("Number", bound=np.generic)
Word = TypeVar("Word", np.uint32, np.uint64)
PRIME = np.uint64(0x9E3779B97F4A7C15)
MIX = np.uint64(0xD6E8FEB86659FD93)
MIX_SHIFT = np.uint64(32)
# A chunk and its products stay in the second-level cache: seven times faster than whole columns.
CHUNK = 1 << 14
# So do all arrays of a piece, which are made again and again in the same memory.
PIECE_CHARS = 1 << 17
BMP = 1 << 16
# Up to here products in place are faster than doubling, which makes new arrays.
MAX_PLAIN_CHARS = 8


class Rows(NamedTuple, Generic[Number]):
    """All texts of a column end to end: text i is `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[Number]
    offsets: NDArray[np.int64]

    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def row_numbers(self) -> NDArray[np.int64]:
        """The text that each value belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), self.lengths())


CodePoints = Rows[np.uint32]
Hashes = Rows[np.uint64]


def pieces_of(texts: Sequence[str]) -> Iterator[slice]:
    """The texts in stretches of about `PIECE_CHARS` characters, at least one text each."""
    ends = np.cumsum([len(text) for text in texts])
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + PIECE_CHARS)))
        yield slice(start, stop)
        start = stop


def code_points(texts: Sequence[str]) -> CodePoints:
    values = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32)
    return Rows(values, _offsets(np.array([len(text) for text in texts], dtype=np.int64)))


def folded_letters(points: CodePoints) -> CodePoints:
    """Letters and digits alone, in lower case: what stays equal when layout, punctuation and case are changed."""
    values = points.values
    folded = np.take(_letter_table(), values, mode="clip")
    if len(values) and values.max() >= BMP:
        folded = np.where(values >= BMP, values, folded)
    kept = np.flatnonzero(folded != 0)
    return Rows(folded[kept], np.searchsorted(kept, points.offsets))


def ngram_hashes(points: CodePoints, n: int) -> Hashes:
    """A 64-bit hash of each run of `n` characters that lies within one text; a shorter text has none."""
    lengths = points.lengths()
    num_places = max(len(points.values) - n + 1, 0)
    is_whole = np.ones(num_places, dtype=bool)
    ends = points.offsets[1:]
    for k in range(1, n):
        crossing = ends[lengths >= k] - k
        is_whole[crossing[crossing < num_places]] = False
    return Rows(hashes_everywhere(points.values, n)[is_whole], _offsets(np.maximum(lengths - n + 1, 0)))


def run_hashes(values: NDArray[np.uint32], n: int) -> NDArray[np.uint32]:
    """A 32-bit hash of the `n` characters from each place on, whole runs only: for telling equal runs of one text from others."""
    num_places = max(len(values) - n + 1, 0)
    hashes = np.empty(num_places, dtype=np.uint32)
    for start in range(0, num_places, CHUNK):
        end = min(start + CHUNK, num_places)
        hashes[start:end] = _polynomials(values[start : end + n - 1], n)
    return hashes


def hashes_everywhere(values: NDArray[np.uint32], n: int) -> NDArray[np.uint64]:
    """A 64-bit hash of the `n` characters from each place on, whole runs only."""
    num_places = max(len(values) - n + 1, 0)
    hashes = np.empty(num_places, dtype=np.uint64)
    for start in range(0, num_places, CHUNK):
        end = min(start + CHUNK, num_places)
        piece = values[start : end + n - 1].astype(np.uint64)
        held = hashes[start:end]
        if n > MAX_PLAIN_CHARS:
            held[:] = _polynomials(piece, n)
        else:
            held[:] = piece[: end - start]
            for k in range(1, n):
                held *= PRIME
                held += piece[k : k + end - start]
        # Without this the last character would reach the low bits alone.
        held ^= held >> MIX_SHIFT
        held *= MIX
        held ^= held >> MIX_SHIFT
    return hashes


def _polynomials(values: NDArray[Word], n: int) -> NDArray[Word]:
    """The sum of values[i + j] * PRIME**(n - 1 - j) for each i, modulo 2^32 or 2^64, by doubling: 50 terms cost seven products, not 49."""
    done, length = None, 0
    power, width = values, 1
    while True:
        if n & width:
            done = power if done is None else _joined(power, done, width, length)
            length += width
        if length == n:
            return np.asarray(done)
        power, width = _joined(power, power, width, width), 2 * width


def _joined(left: NDArray[Word], right: NDArray[Word], left_chars: int, right_chars: int) -> NDArray[Word]:
    """Polynomials of runs of `left_chars` and of the `right_chars` behind them, as those of the whole runs."""
    num = max(min(len(left), len(right) - left_chars), 0)
    factor = left.dtype.type(pow(int(PRIME), right_chars, 1 << 8 * left.itemsize))
    joined = left[:num] * factor
    joined += right[left_chars : left_chars + num]
    return joined


def _offsets(lengths: NDArray[Any]) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


@cache
def _letter_table() -> NDArray[np.uint32]:
    """Lower case of each letter or digit below U+10000, 0 for all else; what lies above is kept as it is."""
    table = np.zeros(BMP, dtype=np.uint32)
    for code in range(BMP):
        character = chr(code)
        if unicodedata.category(character)[0] in "LN":
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    return table
