"""A confidence sequence: an interval that holds at every moment at once, so that one may look as often as one likes."""

from collections.abc import Hashable, Sequence

import numpy as np

from feilun.stats.evalues import last_wealth, paired
from feilun.stats.intervals import Interval
from feilun.stats.values import Floats, check_confidence, cluster_means, codes_of

__all__ = ["confidence_sequence"]

NUM_HALVINGS = 30


def confidence_sequence(differences: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = 0.95) -> Interval:
    """The mean paired difference with bounds that hold at every number of clusters at once; each cluster is one voice.

    By betting (Waudby-Smith and Ramdas 2024): a mean stays inside until a gambler who bets against it has made 2 / (1 - confidence)
    of 1. Not asymptotic. Assumes differences in [-1, 1] and clusters that come independently with the same mean; mean and bounds
    are of the means of clusters, n is the number of differences.
    """
    check_confidence(confidence)
    x = paired(differences)
    means = cluster_means(x, codes_of(clusters, x.size))
    wanted = float(np.log(2 / (1 - confidence)))
    return Interval(float(means.mean()), _lower(means, wanted), -_lower(-means, wanted), x.size)


def _lower(means: Floats, wanted: float) -> float:
    """The largest mean that is refuted from below; wealth against a mean falls as that mean rises, so halving finds it."""
    values, counts = np.unique(means, return_counts=True)
    low, high = -1.0, min(float(means.mean()), 1 - 1e-9)
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        refuted = middle > -1 and last_wealth(values, counts.astype(np.float64), middle) >= wanted
        low, high = (middle, high) if refuted else (low, middle)
    return low
