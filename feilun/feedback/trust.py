"""How far a rater is believed: agreement with questions whose answer is known, then with others who are believed.

A rater's acts are put on four sides: praise (what is right), blame (what is wrong), edit and choice. On each, the truth of an
answer comes from gold where the question has some, else from what believed others said of the very same answer (their
log-odds summed, as in Dawid & Skene 1979, oneself left out). Agreement is shrunk by a slightly hopeful Beta prior. Trust is the
smallest of the agreement overall and on each side: a rater who praises everything agrees often, and fails on blame alone.
Raters who were found to speak with one voice count as one, and do not vouch for each other.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from feilun.feedback.opinions import Heard, Opinion, Place, by_place, contains_answer, normalise, normalise_gold, question_of

PRIOR_AGREE, PRIOR_DISAGREE = 1.5, 0.5
PEER_MASS = 0.7  # what others say of an answer counts less than gold: a crowd can share a mistake
RIVAL_MASS = 0.5  # a differing edit speaks against an edit, but two good answers may differ
RIVAL_LENGTH = 0.5  # shorter / longer: beyond it two edits differ in style, and say nothing about each other
BELIEF_CAP = 0.95
ROUNDS = 4
NOTHING = 1e-9  # sums of beliefs that cancel leave rounding, which is no evidence


@dataclass(slots=True)
class Tally:
    """Agreements and disagreements of one rater by side; a peer's word counts as a fraction."""

    agree: dict[str, float] = field(default_factory=dict)
    disagree: dict[str, float] = field(default_factory=dict)

    def add(self, side: str, agrees: bool, mass: float = 1.0) -> None:
        kind = self.agree if agrees else self.disagree
        kind[side] = kind.get(side, 0.0) + mass

    def trust(self) -> float:
        overall = shrunken(sum(self.agree.values()), sum(self.disagree.values()))
        sides = self.agree.keys() | self.disagree.keys()
        if len(sides) == 1:
            return overall
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


def rater_trust(
    heard: Heard, gold: Mapping[str, tuple[str, ...]] | None = None, voices: Mapping[str, str] | None = None
) -> dict[str, RaterTrust]:
    """The trust of every rater. gold: question -> accepted answers.

    voices: rater -> the name that those who act as one share; who is not in it speaks alone.
    """
    known = Gold(heard, gold)
    raters = sorted({vote.principal for vote in heard.votes})
    opinions = [opinion for opinion in heard.opinions if opinion.factual]
    sure = {rater: Tally() for rater in raters}
    _tally_gold(sure, heard, opinions, known)
    crowd = _Crowd([opinion for opinion in opinions if known.truth(opinion.place) is None], voices or {})
    tallies = sure
    for _ in range(ROUNDS):
        belief = {rater: log_odds(tallies[rater].trust()) for rater in crowd.raters}
        tallies = sure | {rater: sure[rater].copy() for rater in crowd.raters}
        crowd.tally(tallies, belief)
    return {
        rater: RaterTrust(weight=tally.trust(), agree=sum(tally.agree.values()), disagree=sum(tally.disagree.values()))
        for rater, tally in tallies.items()
    }


def log_odds(trust: float) -> float:
    """What a rater's word is worth; a distrusted rater's is worth nothing rather than the opposite."""
    belief = min(max(trust, 0.5), BELIEF_CAP)
    return math.log(belief / (1 - belief))


class Gold:
    """Which answers are known to be right or wrong."""

    def __init__(self, heard: Heard, gold: Mapping[str, tuple[str, ...]] | None) -> None:
        accepted = normalise_gold(gold)
        asked = {heard.prompts[vote.id]: question_of(vote) for vote in heard.votes} if accepted else {}
        self._accepted = {prompt: accepted[question] for prompt, question in asked.items() if question is not None and question in accepted}

    def truth(self, place: Place) -> bool | None:
        accepted = self._accepted.get(place.prompt)
        return None if accepted is None else contains_answer(place.text, accepted)


def _tally_gold(tallies: Mapping[str, Tally], heard: Heard, opinions: Iterable[Opinion], known: Gold) -> None:
    for opinion in opinions:
        truth = known.truth(opinion.place)
        if truth is not None:
            tallies[opinion.rater].add(_side(opinion, truth), truth == (opinion.sign > 0))
    for vote in heard.votes:
        if vote.kind == "choice" and vote.value["outcome"] == "win" and len(vote.over) == 1:
            mine = heard.place(vote)
            winner, loser = known.truth(mine), known.truth(Place(mine.prompt, normalise(vote.over[0].text)))
            if winner is not None and winner != loser:
                tallies[vote.principal].add("choice", winner)


def _side(opinion: Opinion, truth: bool) -> str:
    if opinion.by_edit:
        return "edit"
    return "praise" if truth else "blame"


def by_voice(opinions: Collection[Opinion], belief: Mapping[str, float], voices: Mapping[str, str]) -> dict[str, float]:
    """What each voice says of one answer: the mean of its raters' signed beliefs, so that many accounts weigh as one."""
    if len(opinions) == 1:
        (opinion,) = opinions
        return {voices.get(opinion.rater, opinion.rater): opinion.sign * belief[opinion.rater]}
    said: dict[str, list[float]] = {}
    for opinion in opinions:
        said.setdefault(voices.get(opinion.rater, opinion.rater), []).append(opinion.sign * belief[opinion.rater])
    return {voice: math.fsum(signed) / len(signed) for voice, signed in said.items()}


class _Crowd:
    """What raters say of answers that no gold decides. One round is linear in the opinions, but for the sorting of edits by length."""

    def __init__(self, opinions: Sequence[Opinion], voices: Mapping[str, str]) -> None:
        self._voices = voices
        self._edits: dict[str, dict[Place, list[Opinion]]] = {}
        for opinion in opinions:
            if opinion.by_edit:
                self._edits.setdefault(opinion.place.prompt, {}).setdefault(opinion.place, []).append(opinion)
        named = ((place, said, [voices.get(one.rater, one.rater) for one in said]) for place, said in by_place(opinions).items())
        # Where one voice speaks alone and unrivalled nobody else's word is evidence, whatever is believed: most places of a long history.
        self._judged = [item for item in named if len(self._edits.get(item[0].prompt, ())) > 1 or len({*item[2]}) > 1]
        self.raters = {opinion.rater for _, said, _ in self._judged for opinion in said}

    def tally(self, tallies: Mapping[str, Tally], belief: Mapping[str, float]) -> None:
        rivals = {prompt: _Rivals(edits, belief, self._voices) for prompt, edits in self._edits.items() if len(edits) > 1}
        for place, opinions, names in self._judged:
            if len({*names}) == len(names):  # each speaks for itself: what by_voice would say, without its detours
                own = [opinion.sign * belief[opinion.rater] for opinion in opinions]
                total = math.fsum(own)
            else:
                said = by_voice(opinions, belief, self._voices)
                own, total = [said[name] for name in names], math.fsum(said.values())
            for opinion, voice, mine in zip(opinions, names, own, strict=True):
                evidence = total - mine
                if opinion.by_edit and place.prompt in rivals:
                    evidence -= RIVAL_MASS * rivals[place.prompt].against(place, voice)
                if abs(evidence) > NOTHING:
                    sureness = math.tanh(abs(evidence) / 2)
                    tallies[opinion.rater].add(_side(opinion, evidence > 0), (evidence > 0) == (opinion.sign > 0), PEER_MASS * sureness)


class _Rivals:
    """Belief in those who edited one question to another text of like length."""

    def __init__(self, edits: Mapping[Place, list[Opinion]], belief: Mapping[str, float], voices: Mapping[str, str]) -> None:
        said = [(place, by_voice(opinions, belief, voices)) for place, opinions in edits.items()]
        self._said = sorted(said, key=lambda item: (len(item[0].text), item[0]))
        self._lengths = [len(place.text) for place, _ in self._said]
        self._sums = [0.0, *accumulate(math.fsum(by.values()) for _, by in self._said)]
        self._own: dict[str, list[tuple[Place, float]]] = {}
        for place, by in said:
            for voice, weight in by.items():
                self._own.setdefault(voice, []).append((place, weight))
        self._total = {place: math.fsum(by.values()) for place, by in said}

    def against(self, mine: Place, voice: str) -> float:
        length = len(mine.text)
        first = bisect_left(self._lengths, length * RIVAL_LENGTH)
        last = bisect_right(self._lengths, length / RIVAL_LENGTH)
        own = (weight for place, weight in self._own[voice] if place != mine and _is_like_length(mine.text, place.text))
        return self._sums[last] - self._sums[first] - self._total[mine] - math.fsum(own)


def _is_like_length(one: str, other: str) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    return longer == 0 or shorter / longer >= RIVAL_LENGTH
