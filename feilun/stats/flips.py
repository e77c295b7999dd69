"""How few people would turn a verdict: the price of an attack on it, and how far it hangs on a few."""

from collections.abc import Callable, Sequence

import numpy as np

from feilun.stats.values import Floats, floats

__all__ = ["voters_to_add", "voters_to_turn"]

Verdict = Callable[[Floats], bool]
MAX_ADDED = 1_000


def voters_to_turn(means: Sequence[float], holds: Verdict, *, worst: float = -1.0) -> int | None:
    """The least number of voters who, had they voted `worst`, would end what `holds`; None where not even all of them would.

    means: each voter's mean difference. The most favourable are turned first, which no other choice of as many beats where the
    verdict grows with every mean. 0 where it does not hold in the first place.
    """
    ordered = np.sort(floats(means))[::-1]

    def ends(count: int) -> bool:
        return not holds(np.concatenate([np.full(count, worst), ordered[count:]]))

    return least_count(ends, ordered.size)


def voters_to_add(means: Sequence[float], holds: Verdict, *, vote: float = 1.0, most: int = MAX_ADDED) -> int | None:
    """The least number of new voters of one mind who make it hold; None where `most` of them do not. 0 where it holds already."""
    given = np.asarray(means, dtype=np.float64)
    return least_count(lambda count: holds(np.concatenate([given, np.full(count, vote)])), most)


def least_count(reached: Callable[[int], bool], most: int) -> int | None:
    """The least count in 0..most at which a thing that stays reached is reached."""
    if not reached(most):
        return None
    low, high = -1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
