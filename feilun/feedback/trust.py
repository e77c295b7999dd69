"""How far a rater is believed: agreement with questions whose answer is known, then with others who are believed.

A rater's acts are put on four sides: praise (what is right), blame (what is wrong), edit and choice. On each, the truth of an
answer comes from gold where the question has some, else from what believed others said of the very same answer (their
log-odds summed, as in Dawid & Skene 1979, oneself left out). Agreement is shrunk by a slightly hopeful Beta prior. Trust is the
smallest of the agreement overall and on each side: a rater who praises everything agrees often, and fails on blame alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feilun.feedback.opinions import (
    Opinion,
    Place,
    by_place,
    contains_answer,
    normalise_gold,
    opinions_of,
    prompt_of,
    question_of,
)
from feilun.store import CurrentVote

PRIOR_AGREE, PRIOR_DISAGREE = 1.5, 0.5
PEER_MASS = 0.7  # what others say of an answer counts less than gold: a crowd can share a mistake
RIVAL_MASS = 0.5  # a differing edit speaks against an edit, but two good answers may differ
RIVAL_LENGTH = 0.5  # shorter / longer: beyond it two edits differ in style, and say nothing about each other
BELIEF_CAP = 0.95
ROUNDS = 4


@dataclass(slots=True)
class Tally:
    """Agreements and disagreements of one rater by side; a peer's word counts as a fraction."""

    agree: dict[str, float] = field(default_factory=dict)
    disagree: dict[str, float] = field(default_factory=dict)

    def add(self, side: str, agrees: bool, mass: float = 1.0) -> None:
        kind = self.agree if agrees else self.disagree
        kind[side] = kind.get(side, 0.0) + mass

    def trust(self) -> float:
        sides = sorted({*self.agree, *self.disagree})
        overall = shrunken(sum(self.agree.values()), sum(self.disagree.values()))
        return min([overall, *(shrunken(self.agree.get(side, 0.0), self.disagree.get(side, 0.0)) for side in sides)])

    def copy(self) -> "Tally":
        return Tally(dict(self.agree), dict(self.disagree))


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterTrust:
    """weight in (0, 1). agree and disagree: the evidence behind it, gold and peers together."""

    weight: float
    agree: float
    disagree: float


def shrunken(agree: float, disagree: float) -> float:
    return (PRIOR_AGREE + agree) / (PRIOR_AGREE + PRIOR_DISAGREE + agree + disagree)


def rater_trust(votes: Sequence[CurrentVote], gold: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, RaterTrust]:
    """The trust of every rater among `votes`. gold: question -> accepted answers. The order of `votes` does not matter."""
    votes = sorted(votes, key=lambda vote: vote.seq)
    known = _Gold(votes, normalise_gold(gold))
    raters = sorted({vote.principal for vote in votes})
    opinions = [opinion for opinion in opinions_of(votes) if opinion.factual]
    sure = {rater: Tally() for rater in raters}
    _tally_gold(sure, votes, opinions, known)
    crowd = _Crowd([opinion for opinion in opinions if known.truth(opinion.place) is None])
    tallies = sure
    for _ in range(ROUNDS):
        belief = {rater: log_odds(tally.trust()) for rater, tally in tallies.items()}
        tallies = {rater: tally.copy() for rater, tally in sure.items()}
        crowd.tally(tallies, belief)
    return {
        rater: RaterTrust(weight=tally.trust(), agree=sum(tally.agree.values()), disagree=sum(tally.disagree.values()))
        for rater, tally in tallies.items()
    }


def log_odds(trust: float) -> float:
    """What a rater's word is worth; a distrusted rater's is worth nothing rather than the opposite."""
    belief = min(max(trust, 0.5), BELIEF_CAP)
    return math.log(belief / (1 - belief))


class _Gold:
    """Which answers are known to be right or wrong."""

    def __init__(self, votes: Iterable[CurrentVote], gold: Mapping[str, tuple[str, ...]]) -> None:
        asked = {prompt_of(vote): question_of(vote) for vote in votes}
        self._accepted = {prompt: gold[question] for prompt, question in asked.items() if question is not None and question in gold}

    def truth(self, place: Place) -> bool | None:
        accepted = self._accepted.get(place.prompt)
        return None if accepted is None else contains_answer(place.text, accepted)


def _tally_gold(tallies: Mapping[str, Tally], votes: Iterable[CurrentVote], opinions: Iterable[Opinion], known: _Gold) -> None:
    for opinion in opinions:
        truth = known.truth(opinion.place)
        if truth is not None:
            tallies[opinion.rater].add(_side(opinion, truth), truth == (opinion.sign > 0))
    for vote in votes:
        if vote.kind == "choice" and vote.value["outcome"] == "win":
            winner, losers = (known.truth(Place(prompt_of(vote), text)) for text in (vote.answer, vote.over[0].text))
            if len(vote.over) == 1 and winner is not None and winner != losers:
                tallies[vote.principal].add("choice", winner)


def _side(opinion: Opinion, truth: bool) -> str:
    if opinion.by_edit:
        return "edit"
    return "praise" if truth else "blame"


class _Crowd:
    """What raters say of answers that no gold decides."""

    def __init__(self, opinions: Sequence[Opinion]) -> None:
        self._places = by_place(opinions)
        self._edits: dict[str, list[Opinion]] = {}
        for opinion in opinions:
            if opinion.by_edit:
                self._edits.setdefault(opinion.place.prompt, []).append(opinion)

    def tally(self, tallies: Mapping[str, Tally], belief: Mapping[str, float]) -> None:
        for opinions in self._places.values():
            for opinion in opinions:
                evidence = sum(other.sign * belief[other.rater] for other in opinions if other.rater != opinion.rater)
                if opinion.by_edit:
                    evidence -= RIVAL_MASS * self._rivals(opinion, belief)
                if evidence:
                    sureness = math.tanh(abs(evidence) / 2)
                    tallies[opinion.rater].add(_side(opinion, evidence > 0), (evidence > 0) == (opinion.sign > 0), PEER_MASS * sureness)

    def _rivals(self, mine: Opinion, belief: Mapping[str, float]) -> float:
        """Belief in those who edited the same question to another text of like length."""
        others = (other for other in self._edits[mine.place.prompt] if other.rater != mine.rater and other.place != mine.place)
        return sum(belief[other.rater] for other in others if _is_like_length(mine.place.text, other.place.text))


def _is_like_length(one: str, other: str) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    return longer == 0 or shorter / longer >= RIVAL_LENGTH
