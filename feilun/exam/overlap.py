"""Near-duplicates between what is taught and what is asked, found both ways.

Two texts are the same question in other dress when they hold the same numbers and nearly the same runs of three characters. Without the
numbers no rule could tell "27 + 58" from "27 + 68", and every question of a template would be a copy of every other.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["NEAR", "UNSEEN", "rarest", "shown_questions"]

NEAR = 0.9  # shared runs of all runs (Jaccard): one changed word in ten is no other question
NUMBER = re.compile(r"\d+(?:\.\d+)*")
RUN_CHARS = 3
SIGNS = frozenset("+-−*/×÷=<>%")
# Characters of no width: nobody sees them, so they part no word and no number (Unicode's Default_Ignorable_Code_Point).
UNSEEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    r"\U000e0000-\U000e0fff]"
)


def shown_questions(taught: Iterable[str], asked: Mapping[str, str]) -> dict[str, str]:
    """id of every question of `asked` (id -> text) that some text of `taught` holds or nearly is -> that text.

    Exact for equal sets of numbers: candidates come from the rarest runs of a question, of which a near-duplicate must share one.
    """
    texts = {text: numbers_in(text) for text in taught}
    held, of_asked = frozenset(texts.values()), {key: numbers_in(text) for key, text in asked.items()}
    runs = {key: runs_of(asked[key]) for key, numbers in of_asked.items() if numbers in held}
    common = Counter(run for mine in runs.values() for run in mine)
    index: dict[tuple[frozenset[str], str], list[str]] = {}
    for key, mine in runs.items():
        for run in rarest(mine, common, NEAR):
            index.setdefault((of_asked[key], run), []).append(key)
    found: dict[str, str] = {}
    asked_numbers = frozenset(of_asked[key] for key in runs)
    for text, numbers in texts.items():
        if numbers not in asked_numbers:
            continue
        theirs = runs_of(text)
        likely = {key for run in theirs for key in index.get((numbers, run), ())}
        found |= {key: text for key in likely if key not in found and is_near(theirs, runs[key])}
    return found


def rarest(runs: frozenset[str], common: Mapping[str, int], likeness: float) -> list[str]:
    """So many of the rarest runs that every text alike by `likeness` (Jaccard) shares one of them (Bayardo, Ma and Srikant 2007).

    common: in how many texts a run stands.
    """
    return sorted(runs, key=lambda run: (common[run], run))[: len(runs) - math.ceil(likeness * len(runs)) + 1]


def is_near(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= NEAR * len(one | other)


def numbers_in(text: str) -> frozenset[str]:
    return frozenset(NUMBER.findall(UNSEEN.sub("", unicodedata.normalize("NFKC", text))))


def runs_of(text: str) -> frozenset[str]:
    """Runs of letters, digits, Han and signs of arithmetic, without width, case, spaces and other punctuation."""
    letters = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum() or c in SIGNS)
    return frozenset(letters[i : i + RUN_CHARS] for i in range(max(1, len(letters) - RUN_CHARS + 1)))
