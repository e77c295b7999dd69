"""Held-out users: what they said of answers, asked of the candidate, one voice a user; and how few of them would turn a verdict.

They never teach (the rule of the house, by hash), so a model cannot have learnt their votes by heart.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from feilun.config import TurnSettings
from feilun.feedback import may_teach, rater_hash
from feilun.feedback.curation import LESSON_CONSENT
from feilun.feedback.opinions import normalise, prompt_of
from feilun.feedback.owner import likes
from feilun.stats import Floats, confidence_sequence, log_e_voters, voter_means, voters_to_add, voters_to_turn, without_top
from feilun.store import OWNER, CurrentVote, Store, spread
from feilun.turn.verdict import TaskVerdict

__all__ = [
    "HELD_OUT", "MIN_VOTERS", "Asked", "carries", "flip_of", "held_out_questions", "is_worse", "judge_voters", "newest_of", "told_flip",
    "voters",
]  # fmt: skip

HELD_OUT = "held_out"
MIN_VOTERS = 5
MAX_QUESTIONS, MAX_OF_ONE = 2000, 40  # so that an exam costs no more for a long history
TOP_SHARE = 0.01
Means = Floats
Row = Mapping[str, Any]


class Asked(NamedTuple):
    """questions: {"id", "messages", "liked", "disliked", "cell"}, one row for a held-out user's question, cell the user's hash.

    left_out: how many older questions are not asked, of people of whom MAX_OF_ONE are, or since MAX_QUESTIONS are.
    """

    questions: list[dict[str, Any]]
    left_out: int

    def counts(self) -> dict[str, int]:
        """For a receipt, which holds no text that a person wrote."""
        return {"asked": len(self.questions), "left_out": self.left_out}


def held_out_questions(store: Store, upto_seq: int) -> Asked:
    """What held-out users asked and said of answers, the newest, oldest first.

    Only what they allow to be used to improve the model. Answers are normalised.
    """
    edited = store.edited_threads(OWNER, upto_seq)
    said: dict[tuple[str, str], dict[str, bool]] = {}
    first: dict[tuple[str, str], CurrentVote] = {}
    for vote in spread(vote for vote in store.folded_votes(upto_seq) if vote.consent in LESSON_CONSENT and not may_teach(vote, edited)):
        for text, liked in said_of(vote):
            key = (vote.principal, prompt_of(vote))
            first.setdefault(key, vote)
            said.setdefault(key, {})[normalise(text)] = liked
    rows = []
    for key in newest_of(said):
        answers, vote = said[key], first[key]
        rows.append({
            "id": vote.id, "messages": [dict(message) for message in vote.prompt], "cell": rater_hash(vote.principal),
            "liked": sorted(text for text, liked in answers.items() if liked),
            "disliked": sorted(text for text, liked in answers.items() if not liked),
        })  # fmt: skip
    return Asked(rows, len(said) - len(rows))


def newest_of(said: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Of (user, question), oldest first, the newest: MAX_OF_ONE of a user, MAX_QUESTIONS in all."""
    taken: Counter[str] = Counter()
    found: list[tuple[str, str]] = []
    for user, question in reversed(list(said)):
        if len(found) < MAX_QUESTIONS and taken[user] < MAX_OF_ONE:
            taken[user] += 1
            found.append((user, question))
    return found[::-1]


def said_of(vote: CurrentVote) -> list[tuple[str, bool]]:
    """(answer, whether it was liked) of one vote of any kind: a report speaks against, an edit against one answer and for another."""
    if vote.kind == "report":
        return [(vote.answer, False)]
    if vote.kind == "edit":
        return [(vote.answer, False), (vote.value, True)]
    return likes(vote)


def voters(champion: Iterable[Row], candidate: Iterable[Row]) -> Means:
    """Each user's mean difference, candidate less champion, over the questions that both were asked."""
    before = {row["id"]: row for row in champion if row["task"] == HELD_OUT}
    by_user: dict[str, list[float]] = {}
    for row in candidate:
        if row["task"] == HELD_OUT and row["id"] in before:
            by_user.setdefault(str(row["cell"]), []).append(float(row["value"]) - float(before[row["id"]]["value"]))
    return voter_means(by_user)


def carries(means: Means, level: float) -> bool:
    """Whether the users prefer the candidate at `level`, also without the most favourable of them (1 in 100, at least one)."""
    if means.size < MIN_VOTERS:
        return False
    return all(log_e_voters(some) >= math.log(1 / level) for some in (means, without_top(means, TOP_SHARE)))


def is_worse(means: Means, settings: TurnSettings) -> bool:
    """Whether the users' answers have become worse beyond chance."""
    return means.size >= MIN_VOTERS and log_e_voters(-means) >= math.log(2 / (1 - settings.confidence))


def judge_voters(champion: list[Row], candidate: list[Row], settings: TurnSettings) -> TaskVerdict | None:
    """By what held-out users said of answers; None where none of them did."""
    means = voters(champion, candidate)
    sides = [[float(row["value"]) for row in rows if row["task"] == HELD_OUT] for rows in (champion, candidate)]
    if not means.size or not all(sides):
        return None
    found, averages = confidence_sequence(list(means), confidence=settings.confidence), [sum(side) / len(side) for side in sides]
    why = f"{HELD_OUT}: {means.size} users, {len(sides[0])} questions, by their own votes {averages[0]:.3f} -> {averages[1]:.3f}"
    why += f", {found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] a user"
    passed = not is_worse(means, settings)
    if means.size < MIN_VOTERS:
        why += f"; fewer than {MIN_VOTERS} users, so this is told and not judged"
    elif not passed:
        why += "; the answers have become worse beyond chance"
    return TaskVerdict(passed=passed, why=why, n=len(sides[0]), champion=averages[0], candidate=averages[1], difference=found)


class Flip(NamedTuple):
    """turned: so few of the held-out users, voting the other way, would have turned the verdict; added: so many new ones of one mind.

    None: no number of them would. num_voters: held-out users who voted.
    """

    num_voters: int
    turned: int | None
    added: int | None


def flip_of(means: Means, promotes: Callable[[Means], bool]) -> Flip:
    """promotes: the verdict as a function of the voters' mean differences, all else as it was found."""
    if promotes(means):
        turned = voters_to_turn(list(means), promotes) if means.size else None
        return Flip(means.size, turned, voters_to_add(list(means), lambda some: not promotes(some), vote=-1.0))
    return Flip(means.size, None, voters_to_add(list(means), promotes))


def told_flip(flip: Flip) -> str:
    """The sentence in the account of a promotion."""
    added = f"{flip.added} new held-out users of one mind" if flip.added else "no number of new users"
    if not flip.num_voters:
        return f"held-out users: none voted, so no vote entered this verdict; {added} would have turned it"
    turned = f"{flip.turned} of them voting the other way" if flip.turned else "not even all of them voting the other way"
    return f"held-out users: {flip.num_voters} voted; {turned} would have turned this verdict, as {added} would"
