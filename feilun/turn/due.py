"""When the wheel turns by itself: enough would change, the budget allows it, and it is the hour for it. Pure; clocks and costs come in.

The budget is counted from what turns did cost: the CPU-seconds in the rows of their steps, each at the time when it ended.
"""

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from feilun.config import DAYS, WatchSettings
from feilun.store import TurnRow

__all__ = ["Cost", "Due", "budget_hindrance", "costs_of", "decide_due", "hour_hindrance", "next_hour", "usual_cost"]

DAY_SECONDS, HOUR_SECONDS = 86_400.0, 3_600.0
LOOKED_BACK = 3


class Cost(NamedTuple):
    """CPU-seconds of a step, and when it ended, in seconds since the epoch."""

    at: float
    cpu_seconds: float


class Due(NamedTuple):
    """Whether to turn now, and why or why not: a sentence each."""

    now: bool
    why: tuple[str, ...]


def decide_due(
    settings: WatchSettings, worth: str, short: str, costs: Sequence[Cost], usual: float, now: float, others: Iterable[str] = ()
) -> Due:
    """worth: why a turn is worth it, "" where it is not; short: what is missing then. others: hindrances from elsewhere, "" for none.

    Everything that hinders is told, not the first thing alone.
    """
    found = ["" if worth else short, budget_hindrance(settings, costs, usual, now), hour_hindrance(settings, now), *others]
    against = tuple(why for why in found if why)
    return Due(False, against) if against else Due(True, (worth,))


def costs_of(turns: Iterable[TurnRow]) -> list[Cost]:
    """Of every step that told what it cost."""
    rows = (row for turn in turns for row in turn.steps.values())
    return [Cost(row.heartbeat, float(row.output["cpu_seconds"])) for row in rows if "cpu_seconds" in row.output]


def usual_cost(turns: Sequence[TurnRow]) -> float:
    """What the next turn may cost: as much as the dearest of the last few that trained; 0 before the first."""
    trained = [turn for turn in turns if "cpu_seconds" in (turn.steps["train"].output if "train" in turn.steps else {})]
    return max((sum(cost.cpu_seconds for cost in costs_of([turn])) for turn in trained[-LOOKED_BACK:]), default=0.0)


def budget_hindrance(settings: WatchSettings, costs: Iterable[Cost], usual: float, now: float) -> str:
    """Why the next turn does not fit into what was granted for the last day or week; "" where it does."""
    costs = list(costs)
    for name, days, granted in (("day", 1, settings.cpu_seconds_per_day), ("week", 7, settings.cpu_seconds_per_week)):
        recent = sorted(cost for cost in costs if cost.at > now - days * DAY_SECONDS)
        spent = sum(cost.cpu_seconds for cost in recent)
        if granted and usual > granted:
            return f"a turn takes about {usual:.0f} CPU-seconds, and {granted} a {name} are granted: it never fits; grant more"
        if granted and spent + usual > granted:
            free = _free_at(recent, spent + usual - granted, days)
            told = f"turns took {spent:.0f} of the {granted} CPU-seconds granted a {name}, and the next takes about {usual:.0f}"
            return f"{told}; it fits from {_clock(free)} on"
    return ""


def _free_at(recent: Iterable[Cost], over: float, days: int) -> float:
    """When so much of the oldest cost is out of the window."""
    for cost in recent:
        over -= cost.cpu_seconds
        if over <= 0:
            return cost.at + days * DAY_SECONDS
    raise AssertionError("what is over the budget was spent in the window")


def hour_hindrance(settings: WatchSettings, now: float) -> str:
    """Why this is not the hour, by the local clock; "" where it is."""
    if _is_hour(settings, now):
        return ""
    told = " ".join(part for part in (",".join(settings.days), settings.hours) if part)
    return f"turns are allowed {told} only (local time); the next such hour begins {_clock(next_hour(settings, now))}"


def next_hour(settings: WatchSettings, now: float) -> float:
    """The beginning of the next full hour that is allowed; the clock may be put forward or back meanwhile."""
    moment = now - now % HOUR_SECONDS
    for _ in range(8 * 24 * 2):
        moment += HOUR_SECONDS / 2  # some clocks stand half an hour beside the full one
        if time.localtime(moment).tm_min == 0 and _is_hour(settings, moment):
            return moment
    raise AssertionError("some hour of a week is allowed")


def _is_hour(settings: WatchSettings, moment: float) -> bool:
    """hours "22-6" begin in the evening of an allowed day and end in the morning after it."""
    local = time.localtime(moment)
    first, last = settings.first_and_last_hour
    after_midnight = first > last and local.tm_hour < last
    day = DAYS[(local.tm_wday - after_midnight) % 7]
    inside = first == last or (first <= local.tm_hour < last if first < last else local.tm_hour >= first or after_midnight)
    return inside and (not settings.days or day in settings.days)


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
