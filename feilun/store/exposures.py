"""What a canary has seen: who answered whom, and what spoke against an answer first."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.rows import Arm, CompletionRecord
from feilun.store.schema import choices, completions, events, exposures

SIGNALS = ("complaint", "regenerate", "error", "slow")
LOT = (exposures.c.who, exposures.c.step, exposures.c.arm, exposures.c.lot)
Found = sa.Select[Any] | sa.CompoundSelect[Any]


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
    answers = sa.select(*LOT, exposures.c.at).where(about)
    harms: dict[str, Found] = {"error": answers.where(exposures.c.fault != "")}
    if slow_seconds is not None:
        harms["slow"] = answers.where(exposures.c.seconds > slow_seconds)
    said = sa.select(*LOT, events.c.at).join(events, exposures.c.completion_id == events.c.target_id).where(about)
    harms["complaint"] = said.where(_complains())
    harms["regenerate"] = sa.union_all(said.where(_asks_again()), _asked_again(about))
    return [Harm(signal, *row) for signal, found in harms.items() for row in connection.execute(_first_of_each(found))]


def _complains() -> sa.ColumnElement[bool]:
    value = sa.type_coerce(events.c.value, sa.Text)
    return ((events.c.kind == "report") & (value != "null")) | ((events.c.kind == "thumb") & (value == "-1"))


def _asks_again() -> sa.ColumnElement[bool]:
    return sa.and_(events.c.kind == "implicit", events.c.value["name"].as_string() == "regenerate")


def _asked_again(about: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Answers beside which another one was asked for: siblings by different calls, of which the first was not good enough."""
    beside: dict[str, Any] = {"partition_by": completions.c.parent, "order_by": (exposures.c.at, exposures.c.completion_id)}
    place, then = sa.func.row_number().over(**beside), sa.func.lead(exposures.c.at).over(**beside)
    answer = (completions.c.id == exposures.c.completion_id) & (completions.c.erased == 0)
    asked = sa.select(*LOT, then.label("at"), place.label("place")).join(completions, answer).where(about).subquery()
    return sa.select(*(asked.c[column.name] for column in LOT), asked.c.at).where(asked.c.place == 1, asked.c.at.is_not(None))


def _first_of_each(found: Found) -> sa.Select[Any]:
    """One row a person and step, who have one arm and one lot."""
    all_of_them = found.subquery()
    lot = [all_of_them.c[column.name] for column in LOT]
    return sa.select(*lot, sa.func.min(all_of_them.c.at)).group_by(*lot)


def seconds_of(connection: sa.Connection, model: str, limit: int) -> list[float]:
    """How long the newest whole answers of a model took."""
    about = completions.c
    whole = sa.select(choices.c.completion_id).where(choices.c.completion_id == about.id, choices.c.finish_reason != "abort").exists()
    wanted = sa.select(about.started, about.finished).where(about.model == model, about.erased == 0, about.started > 0, whole)
    rows = connection.execute(wanted.order_by(about.finished.desc()).limit(limit))
    return [finished - started for started, finished in rows]
