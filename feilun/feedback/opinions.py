"""Who says what about which answer to which question: the common ground of trust and of lessons.

Texts are compared as texts. Nothing here knows what a number is, let alone which of two is larger.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from feilun.exam.overlap import UNSEEN
from feilun.store import CurrentVote

EDGE = " \t\r\n.,!?;:…'\"()[]。、！？；：，“”‘’（）「」『』"
TASTE = frozenset({"language", "too_long", "too_short", "style"})
NORMALISED = 100_000  # texts remembered: people's questions and answers come again and again, and each is looked at several times
ASCII_WORD = re.compile(r"[0-9A-Za-z]")
DIGITS = "0123456789"
IN_WORD = DIGITS + "abcdefghijklmnopqrstuvwxyz"
JOINS = ".,:/-"
HAN_NUMERALS = "零〇一二三四五六七八九十百千万亿两"
HAN_NOT = "不没非未无别勿"  # what a word becomes the opposite by, without a space before it


class Place(NamedTuple):
    """An answer to a question, both normalised: equal places are the same answer, whoever got it from whichever completion."""

    prompt: str
    text: str


class Opinion(NamedTuple):
    """One rater's latest word on an answer. sign: +1 or -1. factual: it is about truth, not only about taste."""

    seq: int
    rater: str
    place: Place
    sign: int
    factual: bool
    by_edit: bool


@lru_cache(maxsize=NORMALISED)
def normalise(text: str) -> str:
    """What near-identical texts share: width, case, spacing, the punctuation around them and what nobody sees do not count."""
    return " ".join(UNSEEN.sub("", unicodedata.normalize("NFKC", text)).casefold().split()).strip(EDGE)


def prompt_of(vote: CurrentVote) -> str:
    """The whole conversation before the answer, as one key."""
    return "\n".join(f"{message['role']}: {normalise(message['content'])}" for message in vote.prompt)


def question_of(vote: CurrentVote) -> str | None:
    """The question, where it stands alone (system messages aside); an answer inside a longer talk has no gold."""
    said = [message["content"] for message in vote.prompt if message["role"] != "system"]
    return normalise(said[0]) if len(said) == 1 else None


def is_about_taste(reason: Iterable[str]) -> bool:
    """Whether every reason given is one of taste; no reason given is a word about truth."""
    given = set(reason)
    return bool(given) and given <= TASTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Votes in order of seq, each text normalised once. prompts, answers: by vote id. opinions: each rater's latest on each answer."""

    votes: tuple[CurrentVote, ...]
    prompts: Mapping[str, str]
    answers: Mapping[str, str]
    opinions: tuple[Opinion, ...]

    def place(self, vote: CurrentVote) -> Place:
        return Place(self.prompts[vote.id], self.answers[vote.id])

    def without(self, raters: Collection[str]) -> "Heard":
        """What is left when these raters have said nothing."""
        if not raters:
            return self
        votes = tuple(vote for vote in self.votes if vote.principal not in raters)
        return replace(self, votes=votes, opinions=tuple(opinion for opinion in self.opinions if opinion.rater not in raters))


def hear(votes: Iterable[CurrentVote]) -> Heard:
    """All that `votes` say, in whatever order they come."""
    in_order = tuple(sorted(votes, key=lambda vote: vote.seq))
    once: dict[int, str] = {}  # votes on one question share the messages before it, where they were read together
    prompts = {vote.id: once.get(id(vote.prompt)) or once.setdefault(id(vote.prompt), prompt_of(vote)) for vote in in_order}
    answers = {vote.id: normalise(vote.answer) for vote in in_order}
    latest: dict[tuple[str, Place], Opinion] = {}
    for vote in in_order:
        for opinion in _said(vote, Place(prompts[vote.id], answers[vote.id])):
            latest[opinion.rater, opinion.place] = opinion
    opinions = tuple(sorted(latest.values(), key=lambda opinion: opinion.seq))
    return Heard(votes=in_order, prompts=prompts, answers=answers, opinions=opinions)


def _said(vote: CurrentVote, answer: Place) -> Sequence[Opinion]:
    """The opinions in one vote."""
    if vote.kind == "thumb":
        return (Opinion(vote.seq, vote.principal, answer, vote.value, vote.value > 0 or not is_about_taste(vote.reason), False),)
    if vote.kind == "report":
        return (Opinion(vote.seq, vote.principal, answer, -1, False, False),)
    if vote.kind != "edit":
        return ()
    better = Opinion(vote.seq, vote.principal, Place(answer.prompt, normalise(vote.value)), 1, True, True)
    if better.place == answer:
        return (better,)
    return (Opinion(vote.seq, vote.principal, answer, -1, not is_about_taste(vote.reason), False), better)


def by_place(opinions: Iterable[Opinion]) -> dict[Place, list[Opinion]]:
    grouped: dict[Place, list[Opinion]] = {}
    for opinion in opinions:
        grouped.setdefault(opinion.place, []).append(opinion)
    return grouped


def contains_answer(text: str, accepted: Iterable[str]) -> bool:
    """Whether an accepted answer stands in `text` as a whole token: not inside a longer word or a longer number."""
    shown = normalise(text)
    return any(_stands_in(normalise(answer), shown) for answer in accepted)


@lru_cache(maxsize=NORMALISED)
def _stands_in(answer: str, text: str) -> bool:
    """Looked for by hand: to compile an expression for each of many answers costs thirty times the search."""
    start = text.find(answer) if answer else -1
    while start >= 0:
        end = start + len(answer)
        if not (_goes_on_before(answer[0], text[max(0, start - 2) : start]) or _goes_on_after(answer[-1], text[end : end + 2])):
            return True
        start = text.find(answer, start + 1)
    return False


def _goes_on_before(first: str, before: str) -> bool:
    """Whether the word or number that begins with `first` began earlier, or is denied by what stands before it ("不是")."""
    if before and not first.isascii():
        return before[-1] in HAN_NOT or (first in HAN_NUMERALS and before[-1] in HAN_NUMERALS)
    if not before or not ASCII_WORD.match(first):
        return False
    last = before[-1]
    return last in IN_WORD or last in "-−" or (last in JOINS and before[0] in DIGITS and len(before) > 1)


def _goes_on_after(last: str, after: str) -> bool:
    if after and last in HAN_NUMERALS:
        return after[0] in HAN_NUMERALS
    if not after or not ASCII_WORD.match(last):
        return False
    return after[0] in IN_WORD or (after[0] in JOINS and after[1:] in DIGITS and len(after) > 1)


def normalise_gold(gold: Mapping[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]]:
    return {normalise(question): tuple(accepted) for question, accepted in (gold or {}).items()}
