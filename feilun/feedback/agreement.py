"""How far raters agree at all on what is judged by several: alpha of the room of statistics, with its interval over questions."""

from collections.abc import Sequence
from typing import NamedTuple

from feilun.feedback.opinions import Heard
from feilun.stats import alpha, alpha_bounds

__all__ = ["Agreement", "agreement"]


class Agreement(NamedTuple):
    """alpha with its bounds (None where fewer than two units have two raters), and how many units, questions and raters it rests on."""

    alpha: float | None
    low: float | None
    high: float | None
    units: int
    questions: int
    raters: int


def agreement(heard: Heard) -> Agreement:
    """Of praise and blame on the same answers; taste aside."""
    units: dict[tuple[str, str], list[str]] = {}
    raters = set()
    for opinion in heard.opinions:
        if opinion.factual and not opinion.by_edit:
            units.setdefault(opinion.place, []).append("+" if opinion.sign > 0 else "-")
            raters.add(opinion.rater)
    by_question: dict[str, list[Sequence[str]]] = {}
    for (prompt, _), values in units.items():
        if len(values) > 1:
            by_question.setdefault(prompt, []).append(values)
    paired = [values for questions in by_question.values() for values in questions]
    found = alpha(paired)
    low, high = alpha_bounds(by_question) if found is not None and len(by_question) > 1 else (None, None)
    return Agreement(found, low, high, len(paired), len(by_question), len(raters))
