"""How far raters agree at all: Krippendorff's alpha over what is judged by several, with an interval over questions.

Nominal data, missing ones allowed (Krippendorff 2011, Computing Krippendorff's Alpha-Reliability): 1 is full agreement, 0 what
chance gives. The interval is a percentile bootstrap over whole questions, for answers to one question lean on each other.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from feilun.feedback.opinions import Heard

__all__ = ["Agreement", "agreement", "alpha", "alpha_bounds"]

DRAWS = 400
CONFIDENCE = 0.95


class Agreement(NamedTuple):
    """alpha with its bounds (None where fewer than two units have two raters), and how many units, questions and raters it rests on."""

    alpha: float | None
    low: float | None
    high: float | None
    units: int
    questions: int
    raters: int


class _Counts(NamedTuple):
    """Of one unit: judgements, and how many pairs of them (each way, divided by its judgements less one) disagree; values."""

    disagreeing: float
    values: Counter[str]


def agreement(heard: Heard) -> Agreement:
    """Of praise and blame on the same answers; taste aside."""
    units: dict[tuple[str, str], list[str]] = {}
    raters = set()
    for opinion in heard.opinions:
        if opinion.factual and not opinion.by_edit:
            units.setdefault(opinion.place, []).append("+" if opinion.sign > 0 else "-")
            raters.add(opinion.rater)
    paired = {unit: values for unit, values in units.items() if len(values) > 1}
    by_question: dict[str, list[Sequence[str]]] = {}
    for (prompt, _), values in sorted(paired.items()):
        by_question.setdefault(prompt, []).append(values)
    found = alpha(paired.values())
    low, high = alpha_bounds(by_question) if found is not None and len(by_question) > 1 else (None, None)
    return Agreement(found, low, high, len(paired), len(by_question), len(raters))


def alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's alpha of nominal values by unit; None where nothing could disagree."""
    return _alpha([_counted(values) for values in units if len(values) > 1])


def _counted(values: Sequence[str]) -> _Counts:
    counts, n = Counter(values), len(values)
    return _Counts((n * n - sum(count * count for count in counts.values())) / (n - 1), counts)


def _alpha(units: Sequence[_Counts]) -> float | None:
    totals: Counter[str] = Counter()
    for unit in units:
        totals.update(unit.values)
    n = totals.total()
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return None
    return 1 - (n - 1) * sum(unit.disagreeing for unit in units) / expected


def alpha_bounds(by_question: Mapping[str, Sequence[Sequence[str]]]) -> tuple[float | None, float | None]:
    """Of alpha over all units: percentile bootstrap over whole questions; None where nothing could disagree."""
    questions = [[_counted(values) for values in units] for units in by_question.values()]
    rng = random.Random(0)
    drawn = [_alpha([unit for units in rng.choices(questions, k=len(questions)) for unit in units]) for _ in range(DRAWS)]
    found = sorted(value for value in drawn if value is not None)
    if not found:
        return None, None
    cut = round((1 - CONFIDENCE) / 2 * (len(found) - 1))
    return found[cut], found[len(found) - 1 - cut]
