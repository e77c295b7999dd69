"""Who rated and who did not: rated answers are no random sample, and a share of likes says nothing without its rate of rating."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from feilun.stats.evalues import log_e_sample_ratio
from feilun.stats.intervals import Interval, mean_interval, wilson

__all__ = ["RatingRates", "rating_rates"]


class RatingRates(NamedTuple):
    """rates: arm -> share of answers that were rated. log_e_arms: against "people fell to the arms by the shares"; None where unknown.

    log_e_rating: against "both arms are rated alike": above log(1 / alpha), the arms' ratings are of differing samples.
    """

    rates: Mapping[str, Interval]
    log_e_arms: float | None
    log_e_rating: float

    def to_json(self) -> dict[str, Any]:
        arms = None if self.log_e_arms is None else round(self.log_e_arms, 3)
        return {
            "rates": {arm: rate.to_json() for arm, rate in self.rates.items()},
            "log_e_arms": arms,
            "log_e_rating": round(self.log_e_rating, 3),
        }


def rating_rates(
    arms: Sequence[str], rated: Sequence[bool], users: Sequence[Hashable], shares: Mapping[str, float] | None = None
) -> RatingRates:
    """The rate of rating of each arm, over answers; a user's answers lean on each other, and a user with one rating counts as one rater.

    arms, rated, users: one of each for every answer that was shown. shares: by which users fall to the arms, where that is known.
    """
    found = {}
    for arm in sorted(set(arms)):
        mine = [(float(was), user) for name, was, user in zip(arms, rated, users, strict=True) if name == arm]
        values, whose = [value for value, _ in mine], [user for _, user in mine]
        found[arm] = mean_interval(values, whose) if len(set(whose)) > 1 else wilson(sum(values), len(values))
    asked = Counter(arm for arm, _ in {(arm, user) for arm, user in zip(arms, users, strict=True)})
    raters = Counter(arm for arm, _ in {(arm, user) for arm, was, user in zip(arms, rated, users, strict=True) if was})
    log_e_arms = log_e_sample_ratio([asked[arm] for arm in shares], list(shares.values())) if shares else None
    return RatingRates(found, log_e_arms, _log_e_alike(asked, raters))


def _log_e_alike(asked: Counter[str], raters: Counter[str]) -> float:
    """Raters fall to the arms as those who were asked did; exact where the number of raters is given."""
    if len(asked) < 2 or not raters.total():
        return 0.0
    arms = sorted(asked)
    return log_e_sample_ratio([raters[arm] for arm in arms], [asked[arm] / math.fsum(asked.values()) for arm in arms])
