"""Intervals at a fixed number of values.

Intervals are two-sided at `confidence`. `clusters` names, value by value, the person or question a value belongs to; values
of one cluster may lean on each other, so the number of clusters, not of values, sets the width.
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special  # type: ignore[import-untyped]  # scipy.stats costs a second at import: every child pays

from feilun.stats.values import Codes, Floats, check_confidence, codes_of, floats
from feilun.types import UserError

__all__ = ["Interval", "bootstrap_interval", "mean_interval", "paired_difference", "wilson"]


class Interval(NamedTuple):
    """A mean, the bounds around it, and how many values it rests on."""

    mean: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "n": self.n}


def wilson(k: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share: `k` successes of `n`. Source: Wilson 1927."""
    check_confidence(confidence)
    if n <= 0 or not 0 <= k <= n:
        raise UserError(f"a share needs n > 0 and 0 <= k <= n, found k={k}, n={n}")
    low, high = _score_bounds(k / n, n, float(special.ndtri(0.5 + confidence / 2)))
    return Interval(k / n, low, high, int(n))


def mean_interval(values: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95) -> Interval:
    """The mean and its interval: Wilson for 0/1 values, Student's t otherwise.

    With clusters the variance is the cluster-robust one with Student's t on (clusters - 1) degrees, and 0/1 values use
    Wilson's form at the effective number of values (Franco et al. 2019), so that 100 % is never certain.
    """
    check_confidence(confidence)
    x = floats(values)
    shares = bool(np.all((x == 0) | (x == 1)))
    if clusters is None and shares:
        return wilson(float(x.sum()), x.size, confidence)
    spread = _spread(x, codes_of(clusters, x.size))
    mean, quantile = float(x.mean()), _t_quantile(spread.num_clusters, confidence)
    if not shares:
        return Interval(mean, mean - quantile * spread.error, mean + quantile * spread.error, x.size)
    effective = min(float(x.size), mean * (1 - mean) / spread.error**2) if spread.error > 0 else float(spread.num_clusters)
    low, high = _score_bounds(mean, effective, quantile)
    return Interval(mean, low, high, x.size)


def paired_difference(
    a: Sequence[float], b: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95
) -> Interval:
    """The mean of b - a over pairs, values in [0, 1], with the interval of Bonett and Price (2012).

    One pair won and one lost are added before the variance is taken, so that a handful of equal pairs proves nothing;
    with clusters each added pair is a cluster of its own and the variance is cluster-robust.
    """
    check_confidence(confidence)
    x, y = floats(a), floats(b)
    if x.size != y.size:
        raise UserError(f"paired values must be equally many, found {x.size} and {y.size}")
    if min(x.min(), y.min()) < 0 or max(x.max(), y.max()) > 1:
        raise UserError("paired values must lie in [0, 1]")
    d = y - x
    padded = np.concatenate([d, [1.0, -1.0]])
    if clusters is None:
        error, quantile = math.sqrt(float(padded.var()) / padded.size), float(special.ndtri(0.5 + confidence / 2))
    else:
        codes = codes_of(clusters, d.size)
        num = int(codes.max()) + 1
        error = _spread(padded, np.concatenate([codes, [num, num + 1]])).error
        quantile = _t_quantile(num, confidence)
    centre = float(padded.mean())
    return Interval(float(d.mean()), max(-1.0, centre - quantile * error), min(1.0, centre + quantile * error), d.size)


def bootstrap_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    *,
    num_draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean with a percentile bootstrap over whole clusters; equal seeds give equal bounds."""
    check_confidence(confidence)
    x = floats(values)
    codes = codes_of(clusters, x.size)
    sums, sizes = np.bincount(codes, weights=x), np.bincount(codes)
    draws = np.random.default_rng(seed).multinomial(sums.size, np.full(sums.size, 1 / sums.size), size=num_draws)
    means = (draws @ sums) / (draws @ sizes)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(float(x.mean()), float(low), float(high), x.size)


class _Spread(NamedTuple):
    error: float
    num_clusters: int


def _spread(x: Floats, codes: Codes) -> _Spread:
    """Cluster-robust standard error of the mean, with the usual G / (G - 1) for few clusters."""
    residuals = np.bincount(codes, weights=x - x.mean())
    num = residuals.size
    if num < 2:
        raise UserError(f"an interval needs at least two independent values, found {num}")
    return _Spread(math.sqrt(float(residuals @ residuals) * num / (num - 1)) / x.size, num)


def _score_bounds(mean: float, n: float, quantile: float) -> tuple[float, float]:
    square = quantile * quantile
    centre = (mean + square / (2 * n)) / (1 + square / n)
    half = quantile / (1 + square / n) * math.sqrt(mean * (1 - mean) / n + square / (4 * n * n))
    return (0.0 if mean == 0 else max(0.0, centre - half), 1.0 if mean == 1 else min(1.0, centre + half))


def _t_quantile(num_clusters: int, confidence: float) -> float:
    return float(special.stdtrit(max(1, num_clusters - 1), 0.5 + confidence / 2))
