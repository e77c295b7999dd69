"""The wheel by itself: is a turn due now, by what people said, what turns have cost, and the clock; then it is asked for like any other."""

import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from feilun.config import WatchSettings
from feilun.feedback.owner import TAUGHT, owner_lessons
from feilun.feedback.worth import Worth, WorthRule, basis, newest_word, worth_now
from feilun.store import Conflict, Store
from feilun.turn.due import Due, costs_of, decide_due, usual_cost
from feilun.turn.rolling import under_way
from feilun.turn.settings import owner_settings

__all__ = ["ITSELF", "TRIED_NOTE", "ask_if_due", "due_now"]

ITSELF = "itself"  # in whose name a turn is asked for
TRIED_NOTE = "turn_by_itself"


def due_now(home: Path, store: Store, settings: WatchSettings, now: float | None = None) -> Due:
    """Whether the wheel would turn now, and why or why not."""
    turns = store.turns()
    rule = WorthRule(least_change=settings.least_change, least_weight=settings.least_weight)
    found = _worth(home, store, rule, basis(store))
    told = f"a turn would change {found.change:.1%} of the taught answers, and {settings.least_change:.1%} are asked for"
    missing = f"; {found.more} more choices like the last ones would do" if found.more else ""
    moment = time.time() if now is None else now
    return decide_due(
        settings, told if found.is_worth_it else "", told + missing, costs_of(turns), usual_cost(turns), moment, hindrances(home, store)
    )


def _may_turn(home: Path, store: Store, settings: WatchSettings) -> bool:
    """Whether the wheel would turn now if it were worth it."""
    turns = store.turns()
    return decide_due(settings, "it is worth it", "", costs_of(turns), usual_cost(turns), time.time(), hindrances(home, store)).now


@lru_cache(maxsize=1)
def _worth(home: Path, store: Store, rule: WorthRule, _known: tuple[object, ...]) -> Worth:
    """Read anew only where something has happened."""
    return worth_now(home, store, rule)


def hindrances(home: Path, store: Store) -> Iterator[str]:
    """What stands in the way whatever people said."""
    if store.champion() is None:
        yield "there is no champion that could learn; promote a model first"
        return
    if (running := store.unfinished_turn()) is not None:
        yield f"{running.plan.get('name', running.id)} is not finished"
    elif store.asked_turn() is not None:
        yield "a turn is asked for already"
    if (rollout := under_way(store)) is not None:
        yield f"a rollout of {rollout.candidate} is under way"
    if store.read_note(TRIED_NOTE) == newest_word(store):
        yield "it turned or tried to when the newest feedback came; nothing new was said since"
    if owner_settings(home, store).rise_task == TAUGHT and not owner_lessons(store, home).new:
        yield "this home's turn is the owner's, and no correction of the owner's is new"


def ask_if_due(home: Path, store: Store, settings: WatchSettings) -> bool:
    """Ask for a turn where one is due; whoever watches takes it as one that the page asked for. Feedback is tried once.

    What was said is weighed last, where nothing else stands in the way: it is read from the beginning.
    """
    newest = newest_word(store)
    if not settings.by_itself or not _may_turn(home, store, settings) or not due_now(home, store, settings).now:
        return False
    try:
        store.ask_turn(ITSELF)
    except Conflict:
        return False
    store.note(TRIED_NOTE, newest)
    return True
