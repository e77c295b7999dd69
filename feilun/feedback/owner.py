"""One person's own lessons: what the owner corrected, what the model has learnt of it, and what the owner said elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from feilun.artifacts import Artifact, find, read_json, read_rows
from feilun.feedback.curation import LESSON_CONSENT, may_teach
from feilun.feedback.lessons import rater_hash
from feilun.feedback.opinions import normalise, prompt_of
from feilun.feedback.terms import allows_teaching, teaching_engines
from feilun.store import OWNER, CurrentVote, Store, TurnRow
from feilun.types import UserError

__all__ = [
    "TAUGHT",
    "Correction",
    "HeldOutOpinion",
    "OwnerLessons",
    "corrections",
    "held_out_opinions",
    "is_owner_turn",
    "learnt_events",
    "likes",
    "owner_edits",
    "owner_lessons",
    "turns_behind",
]

TAUGHT = "taught"
MAX_QUESTIONS = 200
Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A question and the answer that the owner wants, with the events that say so, oldest first."""

    messages: Messages
    wanted: str
    events: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.events[-1]

    @property
    def question(self) -> str:
        return str(self.messages[-1]["content"])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutOpinion:
    """A question of a thread that may not teach, with the answers to it that the owner liked and disliked, normalised."""

    id: str
    messages: Messages
    liked: tuple[str, ...]
    disliked: tuple[str, ...]


class OwnerLessons(NamedTuple):
    """Corrections that stand, and those of them that the champion was not yet seen to have learnt."""

    new: int
    total: int


def is_owner_turn(turn: TurnRow) -> bool:
    """Whether what had to rise in this turn were the owner's own corrections."""
    return bool(turn.plan.get("settings", {}).get("rise_task") == TAUGHT)


def owner_edits(lessons: Artifact) -> list[dict[str, Any]]:
    """The rows of a lessons artifact that are edits of the owner's, in its order."""
    owner = rater_hash(OWNER)
    return [row for row in read_rows(lessons.path / "sft.jsonl") if row.get("kind") == "edit" and row.get("rater") == owner]


def corrections(lessons: Artifact) -> list[Correction]:
    """The owner's corrections among the rows of a lessons artifact, the newest MAX_QUESTIONS, oldest first."""
    found = []
    for row in owner_edits(lessons):
        *messages, answer = row["messages"]
        found.append(Correction(messages=messages, wanted=answer["content"], events=tuple(sorted(row["events"]))))
    # Event ids are made in order of time.
    return sorted(found, key=lambda correction: correction.id)[-MAX_QUESTIONS:]


def held_out_opinions(store: Store, upto_seq: int) -> list[HeldOutOpinion]:
    """What the owner's standing thumbs and choices say in threads that may not teach; the newest MAX_QUESTIONS questions."""
    edited = store.edited_threads(OWNER, upto_seq)
    votes = [vote for vote in store.current_votes(upto_seq, OWNER) if not may_teach(vote, edited) and vote.consent in LESSON_CONSENT]
    said: dict[str, dict[str, bool]] = {}
    first: dict[str, CurrentVote] = {}
    for vote in votes:
        for text, liked in likes(vote):
            first.setdefault(prompt_of(vote), vote)
            said.setdefault(prompt_of(vote), {})[normalise(text)] = liked
    return [
        HeldOutOpinion(
            id=first[prompt].id, messages=[dict(message) for message in first[prompt].prompt],
            liked=tuple(sorted(text for text, liked in answers.items() if liked)),
            disliked=tuple(sorted(text for text, liked in answers.items() if not liked)),
        )
        for prompt, answers in list(said.items())[-MAX_QUESTIONS:]
    ]  # fmt: skip


def likes(vote: CurrentVote) -> list[tuple[str, bool]]:
    """(answer, whether it was liked) of one thumb or choice; a tie says nothing of either."""
    if vote.kind == "thumb":
        return [(vote.answer, vote.value > 0)]
    if vote.kind != "choice" or vote.value["outcome"] == "tie":
        return []
    return [*((sibling.text, False) for sibling in vote.over), (vote.answer, vote.value["outcome"] == "win")]


def owner_lessons(store: Store, home: Path) -> OwnerLessons:
    """How many corrections of the owner stand, and how many of them the champion has not learnt."""
    teaching = teaching_engines(store)
    last: dict[str, CurrentVote] = {}
    for vote in store.current_votes(principal=OWNER):
        if vote.kind == "edit" and vote.consent in LESSON_CONSENT and allows_teaching(vote.model, teaching):
            last.pop(prompt_of(vote), None)
            last[prompt_of(vote)] = vote
    known = learnt_events(store, home)
    newest = list(last.values())[-MAX_QUESTIONS:]
    return OwnerLessons(sum(vote.id not in known for vote in newest), len(last))


def learnt_events(store: Store, home: Path, model: str | None = None) -> frozenset[str]:
    """The corrections that a model (None: the champion) answered as taught when it, or what it comes from, was last examined on them."""
    champion = store.champion()
    model = model or (champion.model if champion else None)
    for turn in turns_behind(store, model) if model else ():
        receipt = turn.steps["gate"].output.get("receipt") if "gate" in turn.steps else None
        if is_owner_turn(turn) and receipt:
            return frozenset(_kept(home, receipt))
    return frozenset()


def turns_behind(store: Store, model: str) -> Iterator[TurnRow]:
    """The turns that made this model, the last one first."""
    by_candidate = {turn.steps["train"].output.get("candidate"): turn for turn in store.turns() if "train" in turn.steps}
    while model in by_candidate:
        turn = by_candidate.pop(model)
        yield turn
        model = str(turn.plan["champion"]["model"])


def _kept(home: Path, receipt: str) -> Iterable[str]:
    try:
        rows: Sequence[dict[str, Any]] = read_json(find(home, receipt).path / "receipt.json")[TAUGHT]
    except (UserError, OSError, KeyError, TypeError, ValueError):
        return []  # a receipt that is gone or torn proves nothing, so all of it counts as new
    return [event for row in rows if row["kept"] for event in row["events"]]
