"""Raters who act as one: pairs whose agreement independence does not explain, joined into voices.

Honest people agree because they are right, so agreement in what most others say is no evidence; agreement in what others do not
say, or in the same text where texts differ, is (Dong, Berti-Equille and Srivastava, VLDB 2009: copied mistakes tell, copied truth
does not). Null: given what one rater said of a thing, another says the same with a probability f that comes from all others: what
they said of this very thing, drawn towards how often two of them agree, moved by `SLACK` in the pair's favour. Against it, a
mixture: with probability rho the second copies the first, and then often within `CLOSE_SECONDS`. How often two who act
independently come so close is read from pairs that contradict each other: a class that works through one sheet is close whether it
agrees or not. Each pair's likelihood ratio is an e-value; e-BH over all pairs that could have met bounds the false ones.

A voice is not an accusation. It only counts as one: in trust, in the ballot, and under the cap of rows. A minority that honestly
shares a view may be found as a voice, keeps its lessons, and loses only its numbers.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from feilun.feedback.opinions import Heard, normalise
from feilun.feedback.stuffing import shifted
from feilun.stats import e_bh

__all__ = ["find_voices"]

SLACK = 0.7
DRAWN = 2.0
COPIES = (0.3, 0.6, 0.9)
CLOSE_SECONDS = 15.0
CLOSE_WHEN_COPIED = 0.6
CLOSE_PRIOR, PRIOR_PAIRS = 0.05, 20.0
LEAST_SHARED = 3  # things in which a pair agreed against the others, before it is looked at
MOST_TOGETHER = 60  # raters who said one and the same thing: more of them are no small group, and pairs would be too many
LEAST, MOST = 0.01, 0.99
SHORTEST_TEXT = 12  # characters: two people may well write the same shorter text

Thing = tuple[str, ...]


class _Word(NamedTuple):
    """What a rater said of a thing, and when."""

    said: str
    at: float


Book = dict[Thing, dict[str, _Word]]


def find_voices(heard: Heard, alpha: float, apart: frozenset[str] = frozenset()) -> dict[str, str]:
    """rater -> voice, for raters found to act as one; a voice is named after its first rater. Those in `apart` are in none."""
    book = _book(heard)
    pairs = frozenset(pair for pair in _suspects(book) if not apart & {*pair})
    if not pairs:
        return {}
    raters = {rater for words in book.values() for rater in words}
    habits = _Habits(book)
    log_e = {pair: habits.log_e(pair, things) for pair, things in _shared(book, pairs).items()}
    # e-BH over all pairs there are: those that were not looked at hold no evidence, and count all the same.
    num_pairs = len(raters) * (len(raters) - 1) / 2
    return _joined(_standing(log_e, num_pairs, alpha))


def _book(heard: Heard) -> Book:
    """Every thing that can be said the same or otherwise: an answer (up, down), a question (the text it is edited to), a choice."""
    at = {vote.seq: vote.at for vote in heard.votes}
    book: Book = {}
    for opinion in heard.opinions:
        if opinion.by_edit:
            if len(opinion.place.text) >= SHORTEST_TEXT:
                book.setdefault(("edit", opinion.place.prompt), {})[opinion.rater] = _Word(opinion.place.text, at[opinion.seq])
        elif opinion.factual:
            book.setdefault(("answer", *opinion.place), {})[opinion.rater] = _Word("+" if opinion.sign > 0 else "-", at[opinion.seq])
    for vote in heard.votes:
        if vote.kind == "choice" and vote.value["outcome"] == "win":
            prompt, winner = heard.place(vote)
            texts = sorted({winner, *(normalise(sibling.text) for sibling in vote.over)})
            book.setdefault(("choice", prompt, *texts), {})[vote.principal] = _Word(winner, vote.at)
    return book


def _suspects(book: Book) -> frozenset[tuple[str, str]]:
    """Pairs that agreed at least LEAST_SHARED times in what is not the word of most others, or at the same moment."""
    met: Counter[tuple[str, str]] = Counter()
    for words in book.values():
        for together in _together(words).values():
            if 2 <= len(together) <= MOST_TOGETHER and 2 * (len(together) - 2) <= max(0, len(words) - 2):
                met.update(combinations(sorted(together), 2))
            else:
                met.update(_close_pairs({rater: words[rater].at for rater in together}))
    return frozenset(pair for pair, count in met.items() if count >= LEAST_SHARED)


def _close_pairs(at: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Pairs within CLOSE_SECONDS of each other; of a long queue each with the next MOST_TOGETHER alone."""
    queue = sorted(at, key=lambda rater: (at[rater], rater))
    for index, rater in enumerate(queue):
        for other in queue[index + 1 : index + 1 + MOST_TOGETHER]:
            if at[other] - at[rater] > CLOSE_SECONDS:
                break
            yield (rater, other) if rater < other else (other, rater)


def _together(words: Mapping[str, _Word]) -> dict[str, list[str]]:
    together: dict[str, list[str]] = {}
    for rater, word in words.items():
        together.setdefault(word.said, []).append(rater)
    return together


def _shared(book: Book, pairs: frozenset[tuple[str, str]]) -> dict[tuple[str, str], list[Thing]]:
    things: dict[str, set[Thing]] = {rater: set() for pair in pairs for rater in pair}
    for thing, words in book.items():
        for rater in words:
            if rater in things:
                things[rater].add(thing)
    return {(one, other): sorted(things[one] & things[other]) for one, other in sorted(pairs)}


class _Habits:
    """How often people say the same of one thing, and how often so at the same moment, over all who meet."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._counts = {thing: Counter(word.said for word in words.values()) for thing, words in book.items()}
        agree: Counter[str] = Counter()
        meet: Counter[str] = Counter()
        close = apart = 0.0
        for thing, words in book.items():
            pairs, same = len(words) * (len(words) - 1), sum(count * (count - 1) for count in self._counts[thing].values())
            meet[thing[0]] += pairs
            agree[thing[0]] += same
            apart += (pairs - same) / 2
            if pairs > same:
                at = {rater: word.at for rater, word in words.items()}
                close += sum(words[one].said != words[other].said for one, other in _close_pairs(at))
        self._agree = {kind: (agree[kind] + 1) / (meet[kind] + 2) for kind in meet}
        self._close = min((close + CLOSE_PRIOR * PRIOR_PAIRS) / (apart + PRIOR_PAIRS), CLOSE_WHEN_COPIED)

    def log_e(self, pair: tuple[str, str], things: Iterable[Thing]) -> float:
        """Log of the pair's likelihood ratio, copied against independent."""
        wealth = [0.0 for _ in COPIES for _ in (0, 1)]
        for thing in things:
            one, other = (self._book[thing][rater] for rater in pair)
            same, f = one.said == other.said, self._expected(thing, one.said, one.said == other.said)
            timed = abs(one.at - other.at) <= CLOSE_SECONDS
            clock = math.log(CLOSE_WHEN_COPIED / self._close if timed else (1 - CLOSE_WHEN_COPIED) / (1 - self._close))
            for index, rho in enumerate(COPIES):
                factor = log_copied(f, rho, same)
                wealth[2 * index] += factor
                wealth[2 * index + 1] += factor + clock
        top = max(wealth)
        return top + math.log(math.fsum(math.exp(value - top) for value in wealth) / len(wealth))

    def _expected(self, thing: Thing, said: str, same: bool) -> float:
        """How likely a second rater says the same as the first, by all but these two."""
        counts = self._counts[thing]
        others, all_others = counts[said] - 1 - same, counts.total() - 2
        f = (others + DRAWN * self._agree[thing[0]]) / (all_others + DRAWN)
        return shifted(min(max(f, LEAST), MOST), SLACK)


def log_copied(f: float, rho: float, same: bool) -> float:
    """Log of the likelihood ratio of one thing: the second copies with probability `rho`, against saying the same with probability `f`."""
    return math.log((rho + (1 - rho) * f) / f if same else 1 - rho)


def _standing(log_e: Mapping[tuple[str, str], float], num_pairs: float, alpha: float) -> list[tuple[str, str]]:
    named = {f"{index:09d}": pair for index, pair in enumerate(sorted(log_e))}
    stands = e_bh({name: log_e[pair] for name, pair in named.items()}, alpha, num_all=num_pairs)
    return [named[name] for name in sorted(stands)]


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Connected raters, each under the first name of its group."""
    first: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for pair in pairs:
        members = sorted({member for rater in pair for member in groups.get(first.get(rater, rater), [rater])})
        for member in members:
            groups.pop(first.get(member, ""), None)
        for member in members:
            first[member] = members[0]
        groups[members[0]] = members
    return {rater: f"voice:{name}" for rater, name in first.items()}
