"""What a canary has seen: who answered whom, and what spoke against an answer first."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.rows import Arm, CompletionRecord
from feilun.store.schema import choices, completions, events, exposures

SIGNALS = ("complaint", "regenerate", "error", "slow")


class Crowd(NamedTuple):
    """Of one arm at one step. drawn: those of its people whose lot this step drew; the others had the candidate before."""

    users: int
    answers: int
    drawn: int


class Harm(NamedTuple):
    """The first time at a step that a signal spoke against an answer to this person; lot: the chance by which the candidate gave it."""

    signal: str
    who: str
    step: int
    arm: Arm
    lot: float
    at: float


def record(connection: sa.Connection, given: CompletionRecord) -> None:
    """Beside the answer, in its transaction."""
    if given.exposure is not None:
        spent = {"seconds": given.finished - given.started, "at": given.finished}
        connection.execute(exposures.insert().values(completion_id=given.id, **given.exposure._asdict(), **spent))


def crowds(connection: sa.Connection, rollout_id: str, phase: str, step: int) -> dict[Arm, Crowd]:
    about = (exposures.c.rollout_id == rollout_id) & (exposures.c.phase == phase) & (exposures.c.step == step)
    drawn = sa.func.count(sa.distinct(sa.case((exposures.c.lot < 1, exposures.c.who))))
    counts = (sa.func.count(sa.distinct(exposures.c.who)), sa.func.count(), drawn)
    rows = connection.execute(sa.select(exposures.c.arm, *counts).where(about).group_by(exposures.c.arm)).all()
    found: dict[Arm, Crowd] = {"champion": Crowd(0, 0, 0), "candidate": Crowd(0, 0, 0)}
    return found | {row[0]: Crowd(*row[1:]) for row in rows}


def first_harms(connection: sa.Connection, rollout_id: str, phase: str, slow_seconds: float | None) -> list[Harm]:
    """The first harm by each signal of each person whose lot a step of this phase drew, at that step; in no order."""
    about = (exposures.c.rollout_id == rollout_id) & (exposures.c.phase == phase) & (exposures.c.lot < 1)
    lot = (exposures.c.who, exposures.c.step, exposures.c.arm, exposures.c.lot)
    found = [Harm("error", *row) for row in connection.execute(sa.select(*lot, exposures.c.at).where(about, exposures.c.fault != ""))]
    if slow_seconds is not None:
        slow = sa.select(*lot, exposures.c.at).where(about, exposures.c.seconds > slow_seconds)
        found += [Harm("slow", *row) for row in connection.execute(slow)]
    said = sa.select(events.c.kind, events.c.value, *lot, events.c.at).join(exposures, exposures.c.completion_id == events.c.target_id)
    for kind, value, who, step, arm, chance, at in connection.execute(
        said.where(about, events.c.kind.in_(("thumb", "report", "implicit")))
    ):
        if signal := _speaks_against(kind, value):
            found.append(Harm(signal, who, step, arm, chance, at))
    found += _asked_again(connection, about)
    return _first_of_each(found)


def _speaks_against(kind: str, value: Any) -> str:
    if kind == "implicit":
        return "regenerate" if isinstance(value, dict) and value.get("name") == "regenerate" else ""
    return "complaint" if value is not None and (kind == "report" or value == -1) else ""


def _asked_again(connection: sa.Connection, about: sa.ColumnElement[bool]) -> list[Harm]:
    """Answers beside which another one was asked for: siblings by different calls, of which the first was not good enough."""
    joined = exposures.join(completions, completions.c.id == exposures.c.completion_id)
    asked = (about, completions.c.erased == 0)
    repeated = sa.select(completions.c.parent).select_from(joined).where(*asked).group_by(completions.c.parent).having(sa.func.count() > 1)
    columns = (completions.c.parent, exposures.c.who, exposures.c.step, exposures.c.arm, exposures.c.lot, exposures.c.at)
    wanted = sa.select(*columns).select_from(joined).where(*asked, completions.c.parent.in_(repeated)).order_by(exposures.c.at)
    first: dict[str, tuple[str, int, Arm, float]] = {}
    again: dict[str, Harm] = {}
    for parent, who, step, arm, lot, at in connection.execute(wanted):
        if parent not in first:
            first[parent] = (who, step, arm, lot)
        elif parent not in again:
            again[parent] = Harm("regenerate", *first[parent], at)
    return list(again.values())


def _first_of_each(found: Iterable[Harm]) -> list[Harm]:
    first: dict[tuple[str, str, int], Harm] = {}
    for harm in sorted(found, key=lambda harm: harm.at):
        first.setdefault((harm.signal, harm.who, harm.step), harm)
    return list(first.values())


def seconds_of(connection: sa.Connection, model: str, limit: int) -> list[float]:
    """How long the newest whole answers of a model took."""
    about = completions.c
    whole = sa.select(choices.c.completion_id).where(choices.c.completion_id == about.id, choices.c.finish_reason != "abort").exists()
    wanted = sa.select(about.started, about.finished).where(about.model == model, about.erased == 0, about.started > 0, whole)
    rows = connection.execute(wanted.order_by(about.finished.desc()).limit(limit))
    return [finished - started for started, finished in rows]
