"""Lessons that say the same: one question in nearly the same words with the same answer is one lesson, whoever gave it."""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from typing import TypeVar

from feilun.exam.overlap import rarest
from feilun.feedback.opinions import NORMALISED, normalise

__all__ = ["near_groups", "skeleton"]

T = TypeVar("T")

STOPS = re.compile(r"[\s.,!?;:…。、！？；：，]+")
WORD = re.compile(r"[0-9a-z]")
DIGITS = re.compile(r"[0-9]+")
SIMILAR = 0.85  # of the character trigrams of two questions: a word more or less, never another thing
GRAM = 3


@lru_cache(maxsize=NORMALISED)
def skeleton(text: str) -> str:
    """What two writings of one text share: spacing and sentence stops count only where they part two words or two numbers."""
    shown = normalise(text)
    return STOPS.sub(lambda found: _kept(found, shown), shown)


def _kept(found: re.Match[str], shown: str) -> str:
    before, after = shown[found.start() - 1 : found.start()], shown[found.end() : found.end() + 1]
    if before.isdigit() and after.isdigit():
        return found.group()  # 9.8 is not 98, and "3, 5" is not "35"
    return " " if WORD.match(before) and WORD.match(after) else ""


def near_groups(items: Iterable[T], question: Callable[[T], str], apart: Callable[[T], Hashable]) -> list[list[T]]:
    """`items` grouped: nearly the same question with equal numbers, and equal `apart`. Groups and their items keep the given order.

    An item joins the first earlier group whose first question is near enough. The search is exact, by prefix filtering (Bayardo,
    Ma and Srikant 2007): two sets with a Jaccard index of s share one of the rarest ones among (1 - s) of their grams.
    """
    buckets: dict[Hashable, list[tuple[str, T]]] = {}
    order: dict[Hashable, int] = {}
    for item in items:
        shown, digits = _dressed(question(item))
        key = (apart(item), digits)
        order.setdefault(key, len(order))
        buckets.setdefault(key, []).append((shown, item))
    return [group for key in order for group in _grouped(buckets[key])]


@lru_cache(maxsize=NORMALISED)
def _dressed(question: str) -> tuple[str, tuple[str, ...]]:
    """A question's skeleton and its numbers."""
    shown = skeleton(question)
    return shown, tuple(DIGITS.findall(shown))


def _grouped(bucket: Sequence[tuple[str, T]]) -> list[list[T]]:
    same: dict[str, list[T]] = {}
    for shown, item in bucket:
        same.setdefault(shown, []).append(item)
    if len(same) == 1:
        return list(same.values())
    grams = {shown: frozenset(shown[i : i + GRAM] for i in range(max(1, len(shown) - GRAM + 1))) for shown in same}
    rarity = Counter(gram for found in grams.values() for gram in found)
    firsts: list[str] = []
    groups: list[list[T]] = []
    by_gram: dict[str, list[int]] = {}
    for shown, items in same.items():
        prefix = rarest(grams[shown], rarity, SIMILAR)
        near = sorted({index for gram in prefix for index in by_gram.get(gram, ())})
        home = next((index for index in near if _jaccard(grams[shown], grams[firsts[index]]) >= SIMILAR), None)
        if home is not None:
            groups[home] += items
            continue
        for gram in prefix:
            by_gram.setdefault(gram, []).append(len(groups))
        firsts.append(shown)
        groups.append(list(items))
    return groups


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
