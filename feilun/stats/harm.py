"""Harm between two arms to which people fall by lot: the first harm of each person is one bet on whose arm it is in.

While the candidate harms nobody sooner than the champion would have, whoever is harmed is in its arm with the probability of the lot,
however often people come, whatever they do, and however they differ. So the wealth below is at most what it would be between two
equal models, and there it is a martingale: one may look at any time and stop as soon as it is large (Ville 1939). One person is one bet
for each lot: what they say later is not independent of what they said. Where more people are to have the candidate, those who do not
have it draw again, and that lot is independent of all that went before. A safe test in the sense of Gruenwald, de Heide and Koolen
(arXiv 1906.07801), with the lot in the place of the risk set of the safe logrank test (arXiv 2011.06931).
"""

import math
from collections.abc import Mapping

import numpy as np

from feilun.stats.flips import least_count
from feilun.types import UserError

__all__ = ["HARM_RATIOS", "harm_seen", "harms_to_fire", "log_e_first_harms"]

# The odds, against those of the lot, that the bets stake on: harm 1.2 to 12 times as soon, alike on a log scale.
HARM_RATIOS = np.geomspace(1.2, 12.0, 16)
MOST_HARMS, MOST_RATIO = 100_000, 1_000.0


def log_e_first_harms(firsts: Mapping[float, tuple[float, float]]) -> float:
    """Natural log of the e-value against "the candidate harms nobody sooner than the champion".

    firsts: the chance of the candidate by the lot of those harmed -> how many were harmed first then (by champion, by candidate);
    expected numbers may be fractions.
    """
    grown = np.zeros(HARM_RATIOS.size)
    for chance, (before, after) in firsts.items():
        if min(before, after) < 0:
            raise UserError(f"how many were harmed must be counts, found {before} and {after}")
        if not 0 < chance < 1:
            raise UserError(f"the chance of the candidate must lie between 0 and 1, found {chance:g}")
        grown += after * np.log(HARM_RATIOS) - (before + after) * np.log1p(chance * (HARM_RATIOS - 1))
    most = grown.max()
    return float(most + np.log(np.exp(grown - most).mean()))


def harms_to_fire(firsts: Mapping[float, tuple[int, int]], chance: float, level: float) -> int | None:
    """How many more people harmed by the candidate, and none by the champion, would bring the log e-value to `level`; None: no number."""

    def fires(more: int) -> bool:
        before, after = firsts.get(chance, (0, 0))
        return log_e_first_harms({**firsts, chance: (before, after + more)}) >= level

    return least_count(fires, MOST_HARMS)


def harm_seen(harmed: Mapping[float, int], level: float) -> float:
    """The least ratio of harm that would have brought the log e-value to `level` five times in six; infinite where none would.

    harmed: the chance of the candidate by the lot -> how many were harmed first under it, by either.
    """

    def is_seen(ratio: float) -> bool:
        return log_e_first_harms({chance: expected(chance, num, ratio) for chance, num in harmed.items() if num}) >= level

    low, high = 1.0, MOST_RATIO
    if not is_seen(high):
        return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if is_seen(middle) else (middle, high)
    return high


def expected(chance: float, num: int, ratio: float) -> tuple[float, float]:
    """How many of those harmed had the champion and the candidate, one standard deviation less in favour of seeing it."""
    odds = chance * ratio / (1 - chance + chance * ratio)
    after = max(0.0, num * odds - math.sqrt(num * odds * (1 - odds)))
    return num - after, after
