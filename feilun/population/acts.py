"""What a person does about a reply. Everything is drawn from (seed, turn, event), so a rerun does the same."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feilun.population.people import Judgement, Person, Prompt, judge, own_words, rank

__all__ = ["CONTROLS", "Act", "Control", "Draw", "Event", "choose", "plan_events", "react"]

Control = Literal["none", "no_number", "shuffled", "inverted"]
CONTROLS: tuple[Control, ...] = ("none", "no_number", "shuffled", "inverted")
CHOICE_SHARE = 0.08
DRAFTS_SHARE = 0.25  # of the events with a brief: three drafts are asked for
STREAM_SHARE = 0.25
EDIT_SHARE = 0.6
POPULAR_SHARE = 0.5
NUM_POPULAR = 30  # prompts of each kind that many people ask: raters can only agree on what several of them saw


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The dice of one event, thrown before anything is asked."""

    mistaken: bool
    edits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One visit: who asks what, how many answers to choose from, the dice, and for a control another prompt of the kind."""

    turn: int
    index: int
    key: str
    thread_id: str
    person: Person
    prompt: Prompt
    num_answers: int
    streams: bool
    draw: Draw
    stranger: Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A feedback body without its target: `winner` is the position of the target among the answers asked for."""

    kind: Literal["thumb", "edit", "choice"]
    value: Any
    reason: tuple[str, ...] = ()
    winner: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    seed: int
    turn: int
    noise: float
    number_share: float
    copy_share: float = 0.0


def plan_events(people: Sequence[Person], prompts: Sequence[Prompt], habits: Habits, num_events: int) -> list[Event]:
    """The events of a turn, in order. Event i is the same however many follow it; held-out people are in none."""
    teachers = [p for p in people if not p.held_out]
    pools = {kind: _Pool([p for p in prompts if _kind(p) == kind], kind, habits) for kind in KINDS}
    return [_event(i, teachers, pools, habits) for i in range(num_events)]


KINDS = ("numbers", "briefs", "others")


def _kind(prompt: Prompt) -> str:
    return "numbers" if prompt.about_numbers else "others" if prompt.brief is None else "briefs"


class _Pool:
    """The prompts of one kind, and the popular ones of this turn among them."""

    def __init__(self, prompts: Sequence[Prompt], kind: str, habits: Habits) -> None:
        self.all = list(prompts)
        rng = random.Random(f"popular/{habits.seed}/{habits.turn}/{kind}")
        self.popular = rng.sample(self.all, min(NUM_POPULAR, len(self.all)))
        self._popular_share = 0.0 if kind == "briefs" else POPULAR_SHARE  # two good ads differ: nobody can be judged by another's
        self._taste: dict[tuple[str, bool], tuple[list[Prompt], list[float]]] = {}

    def draw(self, rng: random.Random, person: Person) -> Prompt:
        popular = rng.random() < self._popular_share
        if (person.name, popular) not in self._taste:
            self._taste[person.name, popular] = self._weigh(person, self.popular if popular else self.all)
        prompts, weights = self._taste[person.name, popular]
        return rng.choices(prompts, cum_weights=weights)[0]

    def _weigh(self, person: Person, pool: list[Prompt]) -> tuple[list[Prompt], list[float]]:
        """What a person may ask in a language of theirs (anything, where nothing is), with cumulative interest."""
        pool = [p for p in pool if p.lang in person.languages] or pool
        interest = {task: person.interest(task) for task in {p.task for p in pool}}
        return pool, list(itertools.accumulate(interest[p.task] for p in pool))


def _event(index: int, teachers: Sequence[Person], pools: dict[str, _Pool], habits: Habits) -> Event:
    name = f"{habits.seed}-{habits.turn}-{index}"
    rng = random.Random(f"event/{name}")
    person = rng.choice(teachers)
    roll = rng.random()
    kind = "numbers" if roll < habits.number_share else "briefs" if roll < habits.number_share + habits.copy_share else "others"
    pool = next(pool for pool in (pools[kind], pools["others"], pools["numbers"], pools["briefs"]) if pool.all)
    prompt = pool.draw(rng, person)
    choosy, drafts = (CHOICE_SHARE, 2) if prompt.brief is None else (DRAFTS_SHARE, 3)
    return Event(
        turn=habits.turn, index=index, key=f"population-{name}", thread_id=f"visit-{name}", person=person, prompt=prompt,
        num_answers=drafts if rng.random() < choosy else 1, streams=rng.random() < STREAM_SHARE,
        draw=Draw(mistaken=rng.random() < habits.noise, edits=rng.random() < EDIT_SHARE),
        stranger=rng.choice(pool.all),
    )  # fmt: skip


def react(event: Event, reply: str, control: Control = "none") -> Act | None:
    """What this person does about one reply; None: nothing. A hostile person does the opposite, a mistake does too.

    Control "shuffled": an edit about number order is the right edit of another number prompt. The rest stays right, so
    that raters stay believed and these edits really are learnt from.
    """
    if control == "no_number" and event.prompt.about_numbers:
        return None
    thought = judge(event.person, event.prompt, reply)
    if _is_inverted(event, control):
        return _oppose(event, thought)
    if thought.pleases:
        return Act(kind="thumb", value=1)
    if not event.draw.edits:
        return Act(kind="thumb", value=-1, reason=thought.faults)
    corrected = event.stranger if control == "shuffled" and event.prompt.about_numbers else event.prompt
    return Act(kind="edit", value=own_words(event.person, corrected), reason=thought.faults)


def _is_inverted(event: Event, control: Control) -> bool:
    return (event.person.hostile or control == "inverted") != event.draw.mistaken


def _oppose(event: Event, thought: Judgement) -> Act:
    if not thought.pleases:
        return Act(kind="thumb", value=1)
    if event.draw.edits:
        return Act(kind="edit", value=own_words(event.person, event.prompt, wrong=True), reason=("wrong",))
    return Act(kind="thumb", value=-1, reason=("wrong",))


def choose(event: Event, replies: Sequence[str], control: Control = "none") -> Act | None:
    """Which of several replies this person prefers; `value` still lacks the losers' addresses, which the wire adds."""
    if control == "no_number" and event.prompt.about_numbers:
        return None
    thoughts = [judge(event.person, event.prompt, reply) for reply in replies]
    ranks = [rank(thought) for thought in thoughts]
    if min(ranks) == max(ranks):
        return Act(kind="choice", value={"outcome": "tie" if thoughts[0].pleases else "both_bad"})
    return Act(kind="choice", value={"outcome": "win"}, winner=ranks.index(min(ranks) if _is_inverted(event, control) else max(ranks)))
