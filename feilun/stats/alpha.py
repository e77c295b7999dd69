"""How far people agree beyond chance: Krippendorff's alpha of nominal values, and its interval over questions.

Missing values are allowed (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability): 1 is full agreement, 0 what chance gives. The
interval is a percentile bootstrap over whole questions, for answers to one question lean on each other.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

__all__ = ["alpha", "alpha_bounds"]

DRAWS = 400
CONFIDENCE = 0.95
Unit = tuple[tuple[str, int], ...]  # how often each value was given to one thing, the values in order


def alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's alpha of nominal values by unit; None where nothing could disagree."""
    kinds = Counter(_unit(values) for values in units if len(values) > 1)
    totals: Counter[str] = Counter()
    for unit, times in kinds.items():
        totals.update({value: times * count for value, count in unit})
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return None
    return 1 - (n - 1) * math.fsum(times * _disagreeing(unit) for unit, times in kinds.items()) / expected


def _unit(values: Sequence[str]) -> Unit:
    return tuple(sorted(Counter(values).items()))


def _disagreeing(unit: Unit) -> float:
    """How many pairs of judgements of one unit (each way, divided by its judgements less one) disagree."""
    counts = [count for _, count in unit]
    n = sum(counts)
    return (n * n - sum(count * count for count in counts)) / (n - 1)


def alpha_bounds(by_question: Mapping[str, Sequence[Sequence[str]]]) -> tuple[float | None, float | None]:
    """Of alpha over all units: percentile bootstrap over whole questions; None where nothing could disagree.

    Questions that were judged alike are alike to the bootstrap, so it draws how many of each kind, and costs as much as there are kinds.
    """
    kinds = Counter(tuple(sorted(map(_unit, units))) for units in by_question.values())
    listed, total = sorted(kinds), sum(kinds.values())
    values = sorted({value for units in listed for unit in units for value, _ in unit})
    disagreeing = np.array([math.fsum(map(_disagreeing, units)) for units in listed])
    counted = [sum((Counter(dict(unit)) for unit in units), Counter[str]()) for units in listed]
    counts = np.array([[found[value] for value in values] for found in counted])
    # Its draws are frozen by numpy's promise, those of newer generators are not.
    drawn = np.random.RandomState(0).multinomial(total, [kinds[units] / total for units in listed], size=DRAWS)
    by_value = drawn @ counts
    n = by_value.sum(axis=1)
    expected = n * n - (by_value * by_value).sum(axis=1)
    some = expected > 0
    if not some.any():
        return None, None
    found = np.sort(1 - (n[some] - 1) * (drawn[some] @ disagreeing) / expected[some])
    cut = round((1 - CONFIDENCE) / 2 * (len(found) - 1))
    # The last digits of a matrix product are its library's.
    return round(found[cut].item(), 9), round(found[len(found) - 1 - cut].item(), 9)
