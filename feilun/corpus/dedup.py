"""Which documents of a build are copies: equal texts are one document, and of texts that are nearly equal the best one stays.

Memory is some tens of bytes a document, because of many documents one column at a time is looked at; nothing depends on the order in which
blocks were washed, nor on the number of workers.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.corpus.minhash import BAND_COLUMNS, similarity

__all__ = ["DIGEST_BYTES", "Copies", "exact_copies", "first_of_equal", "in_validation", "near_copies", "text_digests"]

DIGEST_BYTES = 16
PAIRS_AT_ONCE = 1 << 16
READ_BYTES = 64 << 20
# Every text of a bucket is compared with the first and with the next ones: one stranger in front hides no pair behind it.
NEIGHBOURS = 3

Places = NDArray[np.int64]


class Copies(NamedTuple):
    """For each document the place of the one that stands for it, itself where it stays; and how many each stands for."""

    kept_by: Places
    cluster_size: NDArray[np.int64]


def text_digests(texts: pl.Series) -> pl.Series:
    """blake2b of each UTF-8 text, 16 bytes."""
    blake2b = hashlib.blake2b
    return pl.Series([blake2b(text, digest_size=DIGEST_BYTES).digest() for text in texts.cast(pl.Binary)], dtype=pl.Binary)


def in_validation(digests: pl.Series, fraction: float) -> pl.Series:
    """Whether each text is in the validation part: by its own hash alone, so never by order or by what else is there."""
    heads = digests.bin.slice(0, 8).bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return heads < pl.Series([math.ceil(fraction * 2.0**64)], dtype=pl.UInt64)


def exact_copies(digests: pl.Series, is_candidate: NDArray[np.bool_]) -> Copies:
    """Equal texts among the candidates; the first of them stays."""
    kept_by = np.arange(len(digests))
    places = np.flatnonzero(is_candidate)
    kept_by[places] = places[first_of_equal(digests.gather(places))]
    return Copies(kept_by, np.bincount(kept_by, minlength=len(digests)))


def first_of_equal(values: pl.Series) -> Places:
    """For each value the place of the first that equals it."""
    frame = pl.DataFrame({"value": values}).with_row_index("place")
    return frame.select(pl.col("place").min().over("value")).to_series().to_numpy().astype(np.int64)


def near_copies(
    marks: Sequence[Path], is_candidate: NDArray[np.bool_], quality: NDArray[np.float32], num_chars: Places, min_similarity: float
) -> Copies:
    """Nearly equal texts among the candidates, as connected groups; the best of a group stays: by quality, then length, then order."""
    pairs = _candidate_pairs(marks, is_candidate)
    if len(pairs):
        pairs = pairs[_similar(marks, pairs, min_similarity)]
    kept_by = np.arange(len(is_candidate))
    if len(pairs):
        members, groups = _groups(pairs)
        order = np.lexsort((members, -num_chars[members], -quality[members], groups))
        _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
        kept_by[members[order]] = np.repeat(members[order][starts], sizes)
    return Copies(kept_by, np.bincount(kept_by, minlength=len(is_candidate)))


def _candidate_pairs(marks: Sequence[Path], is_candidate: NDArray[np.bool_]) -> Places:
    """Pairs of documents that share a band, [pairs, 2], each once."""
    places, num = np.flatnonzero(is_candidate), np.int64(len(is_candidate))
    # A pair as one number: a row of two is sorted forty times more slowly.
    found: Places = np.empty(0, dtype=np.int64)
    for hashes in _bands(marks, len(is_candidate)):
        order = places[np.argsort(hashes[places], kind="stable")]
        pairs = _pairs_of_runs(hashes[order], order)
        found = np.unique(np.concatenate([found, pairs[:, 0] * num + pairs[:, 1]]))
    return np.stack([found // num, found % num], axis=1)


def _bands(marks: Sequence[Path], num: int) -> Iterator[NDArray[np.uint64]]:
    """The hashes of one band after the other; as many are read at once as `READ_BYTES` hold, for each opening of a file costs."""
    at_once = max(1, READ_BYTES // (8 * max(num, 1)))
    for start in range(0, len(BAND_COLUMNS), at_once):
        columns = BAND_COLUMNS[start : start + at_once]
        frames = [pl.read_ipc(path, columns=list(columns)) for path in marks]
        for column in columns:
            yield np.concatenate([frame[column].to_numpy() for frame in frames])


def _pairs_of_runs(ordered: NDArray[np.uint64], places: Places) -> Places:
    """Within each run of equal hashes, each place with the first of its run and with the ones next to it."""
    is_start = np.ones(len(ordered), dtype=bool)
    is_start[1:] = ordered[1:] != ordered[:-1]
    starts = np.maximum.accumulate(np.where(is_start, np.arange(len(ordered)), 0))
    later = np.flatnonzero(~is_start)
    partners = [np.stack([places[starts[later]], places[later]], axis=1)]
    for gap in range(1, NEIGHBOURS + 1):
        inside = later[later - gap >= starts[later]]
        partners.append(np.stack([places[inside - gap], places[inside]], axis=1))
    return np.concatenate(partners)


def _similar(marks: Sequence[Path], pairs: Places, min_similarity: float) -> NDArray[np.bool_]:
    members = np.unique(pairs)
    sketch = np.concatenate(list(_sketches(marks, members)))
    left, right = np.searchsorted(members, pairs[:, 0]), np.searchsorted(members, pairs[:, 1])
    pieces = [slice(start, start + PAIRS_AT_ONCE) for start in range(0, len(pairs), PAIRS_AT_ONCE)]
    return np.concatenate([similarity(sketch[left[piece]], sketch[right[piece]]) >= min_similarity for piece in pieces])


def _sketches(marks: Sequence[Path], members: Places) -> Iterator[NDArray[np.uint8]]:
    start = 0
    for path in marks:
        column = pl.read_ipc(path, columns=["sketch"]).to_series()
        first, last = np.searchsorted(members, [start, start + len(column)])
        if last > first:
            yield column.gather(members[first:last] - start).to_numpy()
        start += len(column)


def _groups(pairs: Places) -> tuple[Places, Places]:
    """(documents that are in a pair, the number of the connected group of each)."""
    members, numbered = np.unique(pairs, return_inverse=True)
    left, right = numbered.reshape(pairs.shape).T
    # Each document takes the least number among those it is like, and the number of that one, until none changes.
    groups = np.arange(len(members))
    while not np.array_equal(groups[left], groups[right]):
        least = np.minimum(groups[left], groups[right])
        np.minimum.at(groups, groups[left], least)
        np.minimum.at(groups, groups[right], least)
        groups = groups[groups]
    return members, groups
