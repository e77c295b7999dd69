"""Values and their clusters as arrays, checked: what every figure of this room begins with."""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from feilun.types import UserError

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def floats(values: Sequence[float]) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise UserError("statistics need at least one value in a flat list")
    if not np.all(np.isfinite(x)):
        raise UserError("statistics need finite values; found nan or infinity")
    return x


def codes_of(clusters: Sequence[Hashable] | None, size: int) -> Codes:
    """Clusters as 0..G-1 in order of first appearance; every value its own cluster when there are none."""
    if clusters is None:
        return np.arange(size)
    if len(clusters) != size:
        raise UserError(f"clusters must name every value: {len(clusters)} names for {size} values")
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(name, len(seen)) for name in clusters], dtype=np.int64)


def check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UserError(f"confidence must lie between 0 and 1, found {confidence}")


def check_counts(wins: int, losses: int) -> None:
    if min(wins, losses) < 0:
        raise UserError(f"wins and losses must be counts, found {wins} and {losses}")


def cluster_means(x: Floats, codes: Codes) -> Floats:
    """One mean a cluster, in order of first appearance: however much somebody says, it is one voice."""
    means: Floats = np.bincount(codes, weights=x) / np.bincount(codes)
    return means


def voter_means(by_voter: Mapping[str, Sequence[float]]) -> Floats:
    """The mean of each voter's differences, in the order of their names; empty where nobody voted."""
    return np.array([sum(by_voter[name]) / len(by_voter[name]) for name in sorted(by_voter)], dtype=np.float64)


def without_top(means: Floats, share: float) -> Floats:
    """The means in ascending order without the largest: `share` of them, at least one."""
    return np.sort(means)[: means.size - max(1, math.ceil(share * means.size))]
