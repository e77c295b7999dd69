"""Who votes whatever the answer is: an e-process for every rater, and for raters who speak with one voice.

The null: an honest rater praises an answer about as often as others praise this very answer, within `SLACK` in log-odds either
way, for people are lenient or strict. How often that is, few others tell only roughly: it lies anywhere between the share of them who did
and that share drawn towards one half, so who says what all others say gives no evidence (two colleagues who correct the same bad answers).
What nobody else judged is no evidence: who only ever complains may only have had bad answers.
In a choice nobody chooses what to judge, so there the duels of the two models speak too. Against the null stands a mixture of ways
to stuff: always up, always down, always against the others, as often against as with them, always for one model.

Each act multiplies the wealth of a way by q(act) / (the most that any honest rater gives the act). Over the composite null that
factor has a mean of at most 1, so the mixture is an e-process (Ville), one may stop it at any act, and e-values of many raters go
through e-BH (Wang and Ramdas 2022): of those who are named, at most a share `alpha` is expected to be honest, whatever their
dependence. What others said is taken as known; where most of them are bought, so is the null.
FastChat's `outlier_detect` (monitor/elo_analysis.py) has the factor 1 / (2p), whose mean over a uniform p is infinite: no e-value.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from feilun.feedback.opinions import Heard, Opinion, Place, normalise
from feilun.feedback.trust import Gold
from feilun.store import CurrentVote

__all__ = ["log_e_values", "shifted"]

SLACK = 0.7  # log-odds: at an even answer an honest rater praises between 33 % and 67 %
DRAWN = 2.0  # what is expected of an unseen answer counts as so many raters
SURE = 0.97  # how surely a stuffer does what stuffers do
GOLD_SURE = 0.9
LEAST_DUELS = 20  # of two models, by others, before their balance says something of one more
LEAST = 0.02
LIKELIHOODS = 10_000  # remembered: a likelihood is a share of a few votes, so there are not many


class Act(NamedTuple):
    """One thing that a rater did. yes: praised an answer of `model`, or chose it over one of `rival`.

    p: how likely others make a yes, drawn towards one half; said: the share of them who said it.
    """

    seq: int
    yes: bool
    p: float
    said: float
    model: str
    rival: str | None = None


class _Counts(NamedTuple):
    yes: float = 0.0
    all: float = 0.0

    def plus(self, yes: float, total: float) -> "_Counts":
        return _Counts(self.yes + yes, self.all + total)

    def drawn_to(self, p: float) -> float:
        return (self.yes + DRAWN * p) / (self.all + DRAWN)


Ledger = dict[tuple[str, ...], dict[str, _Counts]]


def log_e_values(heard: Heard, gold: Mapping[str, tuple[str, ...]] | None, voices: Mapping[str, str]) -> dict[str, float]:
    """Natural log of the e-value of every rater, and of every voice that `voices` (rater -> voice) gives to several raters.

    A rater's acts are held against what raters of other voices said; a voice has one act an answer, that of most of its raters.
    """
    known = Gold(heard, gold)
    said = _comparable(_judged(heard), known)
    shared = {rater: voice for rater, voice in voices.items() if voice != rater}
    found = {rater: _log_e(acts) for rater, acts in _acts(said, known, voices, lambda rater: rater).items()}
    if shared:
        many = [item for item in said if item.rater in shared]
        found |= {voice: _log_e(acts) for voice, acts in _acts(many, known, voices, lambda rater: voices[rater], among=said).items()}
    return found


class _Said(NamedTuple):
    """What one rater says of one thing. keys: the thing itself first, then what it is expected from."""

    seq: int
    rater: str
    yes: bool
    keys: tuple[tuple[str, ...], ...]
    model: str
    rival: str | None = None
    place: Place | None = None


def _judged(heard: Heard) -> list[_Said]:
    models = {heard.place(vote): vote.model for vote in heard.votes}
    thumbs = [_of_answer(said, models[said.place]) for said in heard.opinions if said.factual and not said.by_edit]
    wins = [vote for vote in heard.votes if vote.kind == "choice" and vote.value["outcome"] == "win"]
    choices = [item for vote in wins for item in _of_choice(vote, heard.place(vote))]
    latest = {(item.rater, item.keys[0]): item for item in sorted([*thumbs, *choices], key=lambda item: item.seq)}
    return sorted(latest.values(), key=lambda item: item.seq)


def _comparable(said: Sequence[_Said], known: Gold) -> list[_Said]:
    """Without what one rater alone spoke of and nothing else tells what to expect: it makes no act and is in nobody's expectation."""
    times = Counter(item.keys[0] for item in said)
    return [item for item in said if times[item.keys[0]] > 1 or len(item.keys) > 1 or (item.place and known.truth(item.place) is not None)]


def _of_answer(opinion: Opinion, model: str) -> _Said:
    keys = (("answer", *opinion.place),)
    return _Said(seq=opinion.seq, rater=opinion.rater, yes=opinion.sign > 0, keys=keys, model=model, place=opinion.place)


def _of_choice(vote: CurrentVote, won: Place) -> Iterator[_Said]:
    """As words about the alphabetically first of two answers, so that both orders are one thing."""
    winner = (won.text, vote.model)
    for loser in sorted({(normalise(sibling.text), sibling.model) for sibling in vote.over} - {winner}):
        first, second = sorted([winner, loser])
        keys = (("choice", won.prompt, *first, *second), ("duel", first[1], second[1]))
        yield _Said(seq=vote.seq, rater=vote.principal, yes=first == winner, keys=keys, model=first[1], rival=second[1])


def _acts(
    said: Iterable[_Said], known: Gold, voices: Mapping[str, str], name: Callable[[str], str], *, among: Iterable[_Said] | None = None
) -> dict[str, list[Act]]:
    """The acts of every name, in order; where a name stands for several raters, one act a thing."""
    said = list(said)
    ledger = _ledger(said if among is None else among, voices)
    word: dict[tuple[str, tuple[str, ...]], list[_Said]] = {}
    for item in said:
        word.setdefault((name(item.rater), item.keys[0]), []).append(item)
    acts: dict[str, list[Act]] = {}
    for (who, _), items in word.items():
        last, lean = items[-1], sum(1 if item.yes else -1 for item in items)
        expected = _expected(last, known, ledger, voices.get(last.rater, last.rater))
        if lean and expected is not None:
            acts.setdefault(who, []).append(Act(last.seq, lean > 0, *expected, last.model, last.rival))
    return acts


def _ledger(said: Iterable[_Said], voices: Mapping[str, str]) -> Ledger:
    """For every key: what each voice said, and under "" what all said together."""
    ledger: Ledger = {}
    for item in said:
        for key in item.keys:
            book = ledger.setdefault(key, {})
            for who in (voices.get(item.rater, item.rater), ""):
                book[who] = book.get(who, _Counts()).plus(item.yes, 1.0)
    return ledger


class _Expected(NamedTuple):
    """Of a yes, as in `Act`."""

    p: float
    said: float


def _expected(item: _Said, known: Gold, ledger: Ledger, voice: str) -> _Expected | None:
    """How likely a rater of another voice says yes, and the share of those who spoke that did; None where too little is known."""
    truth = known.truth(item.place) if item.place else None
    if truth is not None:
        sure = GOLD_SURE if truth else 1 - GOLD_SURE
        return _Expected(sure, sure)
    p, share, least = None, 0.5, (1, LEAST_DUELS)
    for key, enough in reversed(list(zip(item.keys, least, strict=False))):
        everyone, own = ledger[key][""], ledger[key].get(voice, _Counts())
        if everyone.all - own.all >= enough:
            others = _Counts(everyone.yes - own.yes, everyone.all - own.all)
            p, share = others.drawn_to(0.5 if p is None else p), others.yes / others.all
    return None if p is None else _Expected(_inside(p), _inside(share))


def _inside(p: float) -> float:
    return min(max(p, LEAST), 1 - LEAST)


def _log_e(acts: Sequence[Act]) -> float:
    """Log of the mixture's wealth after all acts: of each way to stuff, and for each model once more."""
    models = sorted({name for act in acts for name in (act.model, act.rival) if name is not None})
    ways: list[Callable[[Act], float | None]] = [
        lambda act: SURE if act.rival is None else None,
        lambda act: 1 - SURE if act.rival is None else None,
        lambda act: 1 - act.p,
        lambda _act: 0.5,
        *(partial(_for_model, model) for model in models),
    ]
    wealth = [math.fsum(log_factor(act, q) for act in acts if (q := way(act)) is not None) for way in ways]
    top = max(wealth)
    return top + math.log(math.fsum(math.exp(value - top) for value in wealth) / len(wealth))


def _for_model(model: str, act: Act) -> float | None:
    """Always for `model`; None where an act says nothing of it."""
    if act.model == act.rival or model not in (act.model, act.rival):
        return None
    return SURE if model == act.model else 1 - SURE


def log_factor(act: Act, q: float) -> float:
    """Log of what one act multiplies the wealth by; its mean is at most 1 for every honest p between `p` and `said`, and within SLACK."""
    likely = max(act.p, act.said) if act.yes else 1 - min(act.p, act.said)
    return _log_factor(q if act.yes else 1 - q, likely)


@lru_cache(maxsize=LIKELIHOODS)
def _log_factor(q: float, likely: float) -> float:
    return math.log(q / shifted(likely, SLACK))


def shifted(p: float, by: float) -> float:
    """A probability moved by so much in log-odds."""
    return 1 / (1 + math.exp(-math.log(p / (1 - p)) - by))
