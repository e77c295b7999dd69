"""Numbers as strings: number order, version order, and the pairs that no lesson may show.

A pair of decimals is reserved by hash for ever: no document, example, prompt or lesson of the primer holds both members,
in any context. Exams on splits "gate" and "final" are made of reserved pairs only, so a right answer there was never shown.
"""

import hashlib
import random
import re
from itertools import combinations
from typing import NamedTuple

__all__ = [
    "HARD_CELLS", "NEAR_CELLS", "NumberPair", "draw_far", "draw_hard", "draw_near", "holds_reserved_pair", "is_reserved",
    "larger", "later_version", "pair_split", "reserved_reason", "version_key",
]  # fmt: skip

RESERVED_ONE_IN = 16
DECIMAL = re.compile(r"(?<![\d.])\d+\.\d+(?![\d]|\.\d)")
HARD_CELLS = ("1-2", "1-3", "2-3")
NEAR_CELLS = ("longer", "shorter", "equal")
MAX_DECIMALS = 3


class NumberPair(NamedTuple):
    """Two different decimals; `cell` names the slice of the exam that the pair belongs to."""

    first: str
    second: str
    cell: str


def pair_hash(a: str, b: str) -> int:
    low, high = sorted((a, b))
    return int.from_bytes(hashlib.blake2b(f"{low}|{high}".encode(), digest_size=8).digest(), "big")


def is_reserved(a: str, b: str) -> bool:
    return a != b and pair_hash(a, b) % RESERVED_ONE_IN == 0


def pair_split(a: str, b: str) -> str:
    """ "open" for what may be shown, else "gate" or "final"."""
    value = pair_hash(a, b)
    if value % RESERVED_ONE_IN:
        return "open"
    return "gate" if value // RESERVED_ONE_IN % 2 else "final"


def holds_reserved_pair(text: str) -> bool:
    found = sorted(set(DECIMAL.findall(text)))
    return any(is_reserved(a, b) for a, b in combinations(found, 2))


def reserved_reason(text: str) -> str | None:
    """The reason why a text must not be shown to the model, or None."""
    return "reserved_pair" if holds_reserved_pair(text) else None


def larger(a: str, b: str) -> str:
    """The larger of two unequal plain decimals, compared exactly (no floats)."""
    return max(a, b, key=number_key)


def number_key(text: str) -> tuple[int, str]:
    whole, _, fraction = text.partition(".")
    return int(whole), fraction.rstrip("0")


def later_version(a: str, b: str) -> str:
    return max(a, b, key=version_key)


def version_key(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def fraction(rng: random.Random, num_digits: int) -> str:
    return "".join(rng.choices("0123456789", k=num_digits))


def whole_part(rng: random.Random) -> int:
    """Small wholes more often than large ones."""
    return rng.randrange(0, 20) if rng.random() < 0.7 else rng.randrange(20, 100)


def draw_hard(rng: random.Random, cell: str | None = None) -> NumberPair:
    """Equal whole parts; number order and version order disagree (so the shorter is the larger number)."""
    cell = cell or rng.choice(HARD_CELLS)
    short, long = int(cell[0]), int(cell[2])
    while True:
        whole = whole_part(rng)
        a, b = f"{whole}.{fraction(rng, short)}", f"{whole}.{fraction(rng, long)}"
        if number_key(a) > number_key(b) and version_key(a) < version_key(b):
            return shuffled(rng, a, b, cell)


def draw_near(rng: random.Random, cell: str | None = None) -> NumberPair:
    """Equal whole parts; number order and version order agree. Cells: the longer, the shorter, or neither by length wins."""
    cell = cell or rng.choice(NEAR_CELLS)
    while True:
        whole = whole_part(rng)
        short, long = sorted(rng.sample((1, 2, 3), 2))
        if cell == "equal":
            short = long = rng.randint(1, MAX_DECIMALS)
        # The shorter can win in both orders only against leading zeros: 9.8 and 9.05.
        tail = "0" + fraction(rng, long - 1) if cell == "shorter" else fraction(rng, long)
        a, b = f"{whole}.{fraction(rng, short)}", f"{whole}.{tail}"
        if number_key(a) == number_key(b) or version_key(a) == version_key(b):
            continue
        if larger(a, b) == later_version(a, b) and (cell == "equal" or larger(a, b) == (b if cell == "longer" else a)):
            return shuffled(rng, a, b, cell)


def draw_far(rng: random.Random) -> NumberPair:
    """Different whole parts, any number of decimals from one to three."""
    while True:
        first, second = whole_part(rng), whole_part(rng)
        if first != second:
            a, b = (f"{whole}.{fraction(rng, rng.randint(1, MAX_DECIMALS))}" for whole in (first, second))
            return NumberPair(a, b, "")


def shuffled(rng: random.Random, a: str, b: str, cell: str) -> NumberPair:
    return NumberPair(a, b, cell) if rng.random() < 0.5 else NumberPair(b, a, cell)
