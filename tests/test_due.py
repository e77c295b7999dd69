"""When the wheel turns by itself: what was granted, the hours of it, and all that hinders told at once."""

import dataclasses
import re
import time
from pathlib import Path

import pytest

from feilun.config import WatchSettings
from feilun.store import StepRow, TurnRow
from feilun.turn.due import Cost, budget_hindrance, costs_of, decide_due, hour_hindrance, next_hour, usual_cost
from feilun.types import UserError

NOON = time.mktime((2026, 11, 25, 12, 0, 0, 0, 0, -1))  # a Wednesday
HOUR, DAY = 3600.0, 86_400.0


def turn(number: int, **cpu_seconds: float) -> TurnRow:
    steps = {name: StepRow(step=name, status="done", heartbeat=NOON, output={"cpu_seconds": cpu}) for name, cpu in cpu_seconds.items()}
    return TurnRow(id=f"t{number}", state="promoted", plan={}, steps=steps, why="", started=NOON)


def test_a_turn_fits_where_the_last_day_and_week_leave_room_for_one():
    settings = WatchSettings(cpu_seconds_per_day=100, cpu_seconds_per_week=300)
    spent = [Cost(NOON - HOUR, 40.0), Cost(NOON - 30 * HOUR, 90.0)]
    assert budget_hindrance(settings, spent, 60.0, NOON) == ""
    why = budget_hindrance(settings, spent, 61.0, NOON)
    assert "40 of the 100 CPU-seconds granted a day" in why
    assert why.endswith("fits from 2026-11-26 11:00 on")
    assert budget_hindrance(settings, spent, 61.0, NOON - HOUR + DAY) == ""
    week = [Cost(NOON - days * DAY - HOUR, 60.0) for days in range(1, 6)]
    assert "300 of the 300 CPU-seconds granted a week" in budget_hindrance(settings, week, 50.0, NOON)
    assert "it never fits" in budget_hindrance(settings, [], 101.0, NOON)
    assert budget_hindrance(WatchSettings(), spent, 1e9, NOON) == ""


def test_what_a_turn_may_cost_is_what_the_last_ones_took():
    nothing, dear, cheap = turn(1, collect=1.0, curate=2.0), turn(2, curate=5.0, train=50.0), turn(3, curate=5.0, train=20.0)
    assert usual_cost([nothing]) == 0.0
    assert usual_cost([dear, cheap, nothing]) == 55.0
    assert usual_cost([dear, cheap, cheap, cheap]) == 25.0
    assert sum(cost.cpu_seconds for cost in costs_of([dear, nothing])) == 58.0


@pytest.mark.parametrize(
    ("hours", "days", "allowed"),
    [
        ("", (), {0, 6, 12, 23}), ("9-13", (), {12}), ("22-6", (), {0, 23}), ("12-12", (), {0, 6, 12, 23}), ("0-24", (), {0, 6, 12, 23}),
        ("22-6", ("tue",), {0}), ("22-6", ("wed",), {23}), ("", ("thu",), set()),
    ],
)  # fmt: skip
def test_hours_begin_on_their_day(hours: str, days: tuple[str, ...], allowed: set[int]):
    settings = WatchSettings(hours=hours, days=days)
    assert {hour for hour in (0, 6, 12, 23) if not hour_hindrance(settings, NOON + (hour - 12) * HOUR)} == allowed


def test_the_next_hour_is_told():
    settings = WatchSettings(hours="22-6", days=("fri",))
    assert time.strftime("%a %H:%M", time.localtime(next_hour(settings, NOON))) == "Fri 22:00"
    assert "fri 22-6 only" in hour_hindrance(settings, NOON)


def test_all_that_hinders_is_told():
    settings = WatchSettings(cpu_seconds_per_day=100, hours="1-2")
    due = decide_due(settings, "", "too little", [Cost(NOON, 80.0)], 30.0, NOON, ["", "a turn runs"])
    assert (due.now, len(due.why), due.why[0], due.why[-1]) == (False, 4, "too little", "a turn runs")
    assert decide_due(WatchSettings(), "much would change", "too little", [], 30.0, NOON) == (True, ("much would change",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": "9"}, {"hours": "9-25"}, {"hours": "9:30-12"}, {"days": ("monday",)}, {"cpu_seconds_per_day": -1}, {"least_change": 0.0},
        {"webhook": "http://example.org/x"}, {"webhook": "ftp://example.org"}, {"webhook": "https://me:secret@example.org"},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]):
    with pytest.raises(UserError):
        WatchSettings(**wrong)


def test_the_page_of_settings_has_all_of_them():
    page = (Path(__file__).parent.parent / "docs" / "watch.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [field.name for field in dataclasses.fields(WatchSettings)]
