"""The kinds of feedback and what each can teach. A new kind is a new row of SIGNALS."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from feilun.exam.overlap import UNSEEN
from feilun.feedback.opinions import normalise
from feilun.store import CurrentVote

Level = Literal["answer", "siblings"]
Direction = Literal["signed", "better", "worse", "none"]


class Rival(NamedTuple):
    chosen: str
    rejected: str


class Draft(NamedTuple):
    """What one vote would teach of itself. counted: the name under which a vote that teaches nothing is counted."""

    text: str | None = None
    pairs: tuple[Rival, ...] = ()
    share: float = 1.0
    counted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """level: what it is about. direction: signed, better (names a better answer), worse, or none.

    trust in [0, 1]: the most that a row of this kind weighs, before the rater's own trust.
    """

    name: str
    level: Level
    direction: Direction
    trust: float
    lessons: Callable[[CurrentVote], Draft]


# Praised, written or chosen: what shows nothing would teach to say nothing.
EMPTY = Draft(counted="empty_answer")


def _is_empty(text: str) -> bool:
    return not UNSEEN.sub("", text).strip()


def _from_thumb(vote: CurrentVote) -> Draft:
    if vote.value > 0 and _is_empty(vote.answer):
        return EMPTY
    return Draft(text=vote.answer) if vote.value > 0 else Draft(counted="thumb_down")


def _from_edit(vote: CurrentVote) -> Draft:
    if _is_empty(vote.value):
        return EMPTY
    if normalise(vote.value) == normalise(vote.answer):
        return Draft(text=vote.value, share=SIGNALS["thumb"].trust)
    return Draft(text=vote.value, pairs=(Rival(vote.value, vote.answer),))


def _from_choice(vote: CurrentVote) -> Draft:
    if vote.value["outcome"] != "win":
        return Draft(counted=vote.value["outcome"])
    if _is_empty(vote.answer):
        return EMPTY
    losers = [sibling.text for sibling in vote.over if normalise(sibling.text) != normalise(vote.answer)]
    if not losers:
        return Draft(counted="same_answer")
    return Draft(text=vote.answer, pairs=tuple(Rival(vote.answer, loser) for loser in losers))


def _counted(name: str) -> Callable[[CurrentVote], Draft]:
    return lambda _vote: Draft(counted=name)


SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal(name="thumb", level="answer", direction="signed", trust=0.5, lessons=_from_thumb),
        Signal(name="edit", level="answer", direction="better", trust=1.0, lessons=_from_edit),
        Signal(name="choice", level="siblings", direction="better", trust=0.5, lessons=_from_choice),
        Signal(name="comment", level="answer", direction="none", trust=0.0, lessons=_counted("comment")),
        Signal(name="report", level="answer", direction="worse", trust=0.0, lessons=_counted("report")),
        # Low trust: what people copy or abandon is measured, and never a reward by itself.
        Signal(name="implicit", level="answer", direction="none", trust=0.0, lessons=_counted("implicit")),
    )
}

# What people do without judging. trust: the most that a hint may move a lesson, once it is shown to agree with what they say (hints.py).
# copy, regenerate and abandon come over the wire as implicit; kept (asked for another answer, went on from this one) and complaint
# (the next words object) are read from the tree of messages.
HINTS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal(name="copy", level="answer", direction="better", trust=0.1, lessons=_counted("implicit")),
        Signal(name="kept", level="siblings", direction="better", trust=0.1, lessons=_counted("implicit")),
        Signal(name="regenerate", level="answer", direction="worse", trust=0.1, lessons=_counted("implicit")),
        Signal(name="complaint", level="answer", direction="worse", trust=0.1, lessons=_counted("implicit")),
        Signal(name="abandon", level="answer", direction="worse", trust=0.05, lessons=_counted("implicit")),
    )
}
