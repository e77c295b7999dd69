"""MinHash signatures over runs of five characters: 14 bands of 8 slots for finding candidates, a byte a slot for judging them.

Two texts whose sets of runs have Jaccard similarity J share a band with probability 1 - (1 - J^8)^14: .9996 at .9, .92 at .8,
.05 at .5. What shares one is compared over all 112 slots. The plain path of rensa is used, never its sampling `_rho` one, which
loses a text whose head alone differs.
"""

from array import array
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.corpus.shingles import CodePoints, Hashes, Rows, hashes_everywhere

__all__ = ["BANDS", "BAND_COLUMNS", "Signatures", "algorithm", "signatures", "similarity", "slots_of"]

NGRAM_CHARS = 5
BANDS = 14
BAND_SLOTS = 8
NUM_SLOTS = BANDS * BAND_SLOTS
SEED = 20_260_101
# One changed character changes five runs: in a shorter text "near" means nothing.
MIN_SHINGLES = 32
BAND_COLUMNS = tuple(f"band{number:02d}" for number in range(BANDS))
BAND_PRIME = np.uint64(0xA0761D6478BD642F)
SHIFT = np.uint64(29)


class Signatures(NamedTuple):
    """One row a text. Where `is_signed` is false the text is too short, and its bands say nothing."""

    is_signed: NDArray[np.bool_]
    bands: NDArray[np.uint64]
    sketch: NDArray[np.uint8]

    @classmethod
    def blank(cls, num_rows: int) -> "Signatures":
        return cls(
            np.zeros(num_rows, dtype=np.bool_),
            np.zeros((num_rows, BANDS), dtype=np.uint64),
            np.zeros((num_rows, NUM_SLOTS), dtype=np.uint8),
        )

    def put(self, rows: NDArray[np.int64], others: "Signatures") -> None:
        self.is_signed[rows], self.bands[rows], self.sketch[rows] = others

    def columns(self) -> list[pl.Series]:
        bands = [pl.Series(name, self.bands[:, number]) for number, name in enumerate(BAND_COLUMNS)]
        sketch = pl.Series("sketch", self.sketch, dtype=pl.Array(pl.UInt8, NUM_SLOTS))
        return [pl.Series("is_signed", self.is_signed), *bands, sketch]


def algorithm() -> dict[str, Any]:
    """What a signature depends on, for recipes: those of another version cannot be compared."""
    from rensa import RMinHash  # type: ignore[import-untyped]

    return {"ngram_chars": NGRAM_CHARS, "bands": BANDS, "band_slots": BAND_SLOTS, "seed": SEED, "rensa": RMinHash.ALGORITHM_VERSION}


def signatures(letters: CodePoints) -> Signatures:
    """Of each text, given its letters (`shingles.folded_letters`)."""
    is_signed = letters.lengths() - NGRAM_CHARS + 1 >= MIN_SHINGLES
    slots = np.where(is_signed[:, None], slots_of(_shingles(letters, is_signed)), np.uint32(0))
    return Signatures(is_signed, _bands(slots), slots.astype(np.uint8))


def _shingles(letters: CodePoints, is_signed: NDArray[np.bool_]) -> Hashes:
    """As sets what `ngram_hashes` gives of each text that is signed: to take out what crosses into the next text would copy all."""
    hashes = hashes_everywhere(letters.values, NGRAM_CHARS)
    ends = letters.offsets[1:][is_signed]
    for back in range(1, NGRAM_CHARS):
        places = ends - back
        inside = places < len(hashes)
        # A run of the same text again, which a set holds already.
        hashes[places[inside]] = hashes[ends[inside] - NGRAM_CHARS]
    return Rows(hashes, np.minimum(letters.offsets, len(hashes)))


def slots_of(shingles: Hashes) -> NDArray[np.uint32]:
    """The least of each of 112 permutations over the hashes of each text, [texts, 112]."""
    from rensa import RMinHash

    if len(shingles.offsets) < 2:
        return np.empty((0, NUM_SLOTS), dtype=np.uint32)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(shingles.values, shingles.offsets.astype(np.uint64), NUM_SLOTS, SEED)
    # Twice as fast as an array of lists.
    flat = array("I")
    for row in matrix.to_rows():
        flat.fromlist(row)
    return np.frombuffer(flat, dtype=np.uint32).reshape(-1, NUM_SLOTS)


def _bands(slots: NDArray[np.uint32]) -> NDArray[np.uint64]:
    pairs = np.ascontiguousarray(slots).view(np.uint64).reshape(len(slots), BANDS, BAND_SLOTS // 2)
    hashes = np.zeros(pairs.shape[:2], dtype=np.uint64)
    for place in range(pairs.shape[2]):
        hashes = (hashes ^ pairs[:, :, place]) * BAND_PRIME
        hashes ^= hashes >> SHIFT
    return hashes


def similarity(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of rows of two sketches; its standard error is at most .047.

    Unequal slots have an equal lowest byte once in 256 times, which is taken off.
    """
    equal: NDArray[np.float64] = (left == right).mean(axis=1, dtype=np.float64)
    estimate: NDArray[np.float64] = np.maximum((equal - 1 / 256) / (1 - 1 / 256), 0.0)
    return estimate
