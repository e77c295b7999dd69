"""What lessons say of one thing, in however many wordings: one claim, which weighs as one lesson.

Lessons that say the same are joined by their wording (`feilun.feedback.duplicates`); who changes the wording teaches the same thing
again, and nobody contradicts a wording that nobody else used. So lessons are also held against each other by what they name and what
they add: two are one claim where the question that names less names nothing that the other does not, and the answers add the same.
Where an answer only repeats words of its question (the larger number), it has to be the same answer, and under "yes" the questions
have to name the same. Under a short answer neither names more than three times what the other does; a long one, given to two questions
by no chance, forgives one word. More voices make a claim surer, more wordings do not make it heavier.

Words are all that is seen: a synonym, an invented name or another language makes another claim. How often that errs stands in LOG.md.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from feilun.exam.overlap import UNSEEN
from feilun.feedback.asking import ASKING, PLAIN
from feilun.feedback.duplicates import skeleton
from feilun.feedback.spread import HAN
from feilun.feedback.subject import content_words, stem_of
from feilun.feedback.voices import SHORTEST_TEXT

__all__ = ["Claim", "claim_of", "same_claims"]

NUMBER = re.compile(r"[0-9]+(?:[.,:/-][0-9]+)*")
PIECE = re.compile(rf"[a-z]+(?:'[a-z]+)?|[{HAN}]")
OTHER_SCRIPT = re.compile(rf"[^\W\d_a-z{HAN}]+")
WORD = re.compile(r"\w+")
WIDE = re.compile(r"[^\W\x00-\x7f]+")
AROUND = frozenset(word for words in (*ASKING.values(), *PLAIN.values()) for word in words)
SAME_SHARE = 0.8  # of what the answer that adds less adds
LEAST_NAMED = 4  # things, of which one may be forgiven
MOST_NAMED = 3  # times as many things as the other question names, under a short answer
# Answers to any question at all: what they are given to has to name the very same.
FITS_ALL = frozenset((
    "yes", "no", "true", "false", "right", "wrong", "correct", "ok", "okay", "none", "nothing", "是", "否", "对", "错", "有", "没有",
    "可以", "不可以", "能", "不能", "会", "不会", "行", "不行", "好", "不", "是的", "不是", "对的", "不对",
))  # fmt: skip
REMEMBERED = 20_000


class Claim(NamedTuple):
    """named: numbers, stems of Latin words and single Han of the question, without words of asking. added: what the answer has beside it.

    said: the answer's skeleton.
    """

    named: frozenset[str]
    added: frozenset[str]
    said: str

    @property
    def is_long(self) -> bool:
        """Whether two people who give this answer are hardly asked two things."""
        return len(self.said) >= SHORTEST_TEXT

    @property
    def forgiven(self) -> int:
        """How many of the things named a question with the same answer may leave out."""
        return 1 if self.is_long and len(self.named) >= LEAST_NAMED else 0


def claim_of(prompt: Sequence[Mapping[str, Any]], answer: str) -> Claim:
    """Of the last question; where that is only words of asking ("What is it called?"), of the one before; else of all its words."""
    asked = [_plain(str(message["content"])) for message in prompt if message["role"] == "user"][-2:]
    named = next((found for text in asked[::-1] if (found := _named(text))), None)
    said = frozenset(WORD.findall(asked[-1])) if named is None and asked else named
    return Claim(said or frozenset(), _pieces(_plain(answer)) - _pieces("\n".join(asked)) - AROUND, skeleton(answer))


def _plain(text: str) -> str:
    """In lower case, letters and figures of one width, without what nobody sees; a wide comma still parts two numbers."""
    if text.isascii():
        return text.lower()
    seen = UNSEEN.sub("", text).replace("．", ".")
    return WIDE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), seen).lower()


@lru_cache(maxsize=REMEMBERED)
def _named(text: str) -> frozenset[str]:
    words = " ".join(content_words(NUMBER.sub(" ", text)))
    return frozenset((*NUMBER.findall(text), *OTHER_SCRIPT.findall(text), *(stem_of(piece) for piece in PIECE.findall(words))))


@lru_cache(maxsize=REMEMBERED)
def _pieces(text: str) -> frozenset[str]:
    return frozenset((*NUMBER.findall(text), *OTHER_SCRIPT.findall(text), *PIECE.findall(text.replace("’", "'"))))


def same_claims(claims: Sequence[Claim]) -> list[list[int]]:
    """Places of `claims`, grouped; the group's first names least. A claim joins the first group whose first it repeats.

    Exact, and not quadratic: what repeats another names the rarest thing that this names, or gives the same long answer.
    """
    rarity = Counter(thing for claim in claims for thing in claim.named)
    order = sorted(range(len(claims)), key=lambda place: (len(claims[place].named), place))
    groups: list[list[int]] = []
    by_thing: dict[str, list[int]] = {}
    by_said: dict[str, list[int]] = {}
    for place in order:
        claim = claims[place]
        named = {group for thing in claim.named for group in by_thing.get(thing, ())}
        near = sorted(named.union(by_said.get(claim.said, ())))
        home = next((group for group in near if _repeats(claim, claims[groups[group][0]])), None)
        if home is not None:
            groups[home].append(place)
            continue
        if claim.named:
            by_thing.setdefault(min(claim.named, key=lambda thing: (rarity[thing], thing)), []).append(len(groups))
        if claim.forgiven:
            by_said.setdefault(claim.said, []).append(len(groups))
        groups.append([place])
    return groups


def _repeats(claim: Claim, first: Claim) -> bool:
    """Whether `claim`, which names as much or more, says of the same thing what `first` does."""
    missing = first.named - claim.named
    if not first.named or (not first.is_long and MOST_NAMED * len(first.named) < len(claim.named)):
        return False
    if claim.said in FITS_ALL:
        return claim.said == first.said and claim.named == first.named
    if claim.said == first.said:
        return len(missing) <= first.forgiven and not any(map(NUMBER.match, missing))
    less = min(len(claim.added), len(first.added))
    return not missing and less > 0 and len(claim.added & first.added) >= SAME_SHARE * less
