"""Labelling desks: one open at a time, its settings as they were when it opened; what its raters said; what is known to be right."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store import tasks as questions
from feilun.store.database import Database
from feilun.store.rows import Conflict, NotFound
from feilun.store.schema import assignments, desks, tasks, vote_spans
from feilun.store.tasks import NewTask, Outcome, Served, Task, Waiting, about_task, sides_of, standing
from feilun.store.votes import plainly, stands_now


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRow:
    name: str
    settings: dict[str, Any]
    opened: float
    closed: float | None


class Label(NamedTuple):
    """One standing judgement. seconds: from the offer to the word."""

    task: str
    principal: str
    outcome: Outcome
    seconds: float
    swapped: bool
    gold: Outcome | None


class Desks:
    """Each write is committed when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, name: str, settings: Mapping[str, Any]) -> DeskRow:
        """Raises Conflict while one is open, and for a name that was used."""
        return self._database.write(lambda c: open_desk(c, name, settings))

    def close(self) -> DeskRow:
        """Nobody is shown its tasks any more; what was said stays. Raises NotFound."""
        return self._database.write(close_desk)

    def listed(self) -> list[DeskRow]:
        """Oldest first."""
        return self._database.read(listed)

    def served(self, limit: int) -> list[Served]:
        """The newest questions that were asked with consent, each once."""
        return self._database.read(lambda c: questions.served(c, limit))

    def known_prompts(self, desk: str) -> frozenset[str]:
        """Keys (`prompt_key`) of the questions that a desk has or had."""
        return self._database.read(lambda c: questions.known_prompts(c, desk))

    def add(self, desk: str, given: Sequence[NewTask]) -> int:
        """Tasks whose question the desk has not and whose source still stands; how many they were."""
        return self._database.write(lambda c: questions.add(c, desk, given))

    def assign(self, desk: str, principal: str, overlap: int = 1, gold_share: float = 0.0) -> Task | None:
        """What this rater shall judge now; None when there is nothing. A task that waits comes again, in the same order."""
        while offer := self._database.read(lambda c: questions.choose(c, desk, principal, overlap, gold_share)):
            found = self._database.write(partial(questions.show, offer=offer, principal=principal))
            if found is not None:
                return found
        return None

    def task(self, task_id: str, principal: str) -> Task:
        """Raises NotFound unless this rater was shown it."""
        return self._database.read(lambda c: questions.find(c, task_id, principal))

    def waiting(self, desk: str) -> list[Waiting]:
        """What nobody has judged yet, the most promising first."""
        return self._database.read(lambda c: questions.waiting(c, desk))

    def count_tasks(self, desk: str) -> tuple[int, int]:
        """(tasks that stand, gold among them)."""
        return self._database.read(lambda c: counts(c, desk))

    def labels(self, desk: str) -> list[Label]:
        """Every judgement of the desk that stands, in order of time."""
        return self._database.read(lambda c: labels(c, desk))

    def count_labels(self, desk: str, principal: str) -> int:
        return self._database.read(lambda c: count_labels(c, desk, principal))

    def mark_gold(self, task_id: str, gold: Outcome | None) -> None:
        """The side that is known to be better; None takes that back. Raises NotFound."""
        self._database.write(lambda c: mark_gold(c, task_id, gold))

    def gold_answers(self) -> dict[str, tuple[str, ...]]:
        """Question -> answers that an owner marked as right."""
        return self._database.read(gold_answers)


# --- desks


def open_desk(connection: sa.Connection, name: str, settings: Mapping[str, Any]) -> DeskRow:
    if now := open_now(connection):
        raise Conflict(f"the desk {now.name!r} is open; close it first: feilun desk close")
    if connection.execute(sa.select(desks.c.name).where(desks.c.name == name)).first():
        raise Conflict(f"there was a desk {name!r} already; take another name")
    row = DeskRow(name=name, settings=dict(settings), opened=time.time(), closed=None)
    connection.execute(desks.insert().values(name=row.name, settings=row.settings, opened=row.opened, closed=None))
    return row


def close_desk(connection: sa.Connection) -> DeskRow:
    now = open_now(connection)
    if now is None:
        raise NotFound("no desk is open")
    connection.execute(desks.update().where(desks.c.name == now.name).values(closed=time.time()))
    return now


def open_now(connection: sa.Connection) -> DeskRow | None:
    return next((row for row in listed(connection) if row.closed is None), None)


def listed(connection: sa.Connection) -> list[DeskRow]:
    return [DeskRow(**row) for row in connection.execute(desks.select().order_by(desks.c.opened)).mappings()]


# --- what came of it


def mark_gold(connection: sa.Connection, task: str, gold: Outcome | None) -> None:
    """Everybody is asked it from now on, and measured by it. None: no longer. Raises NotFound."""
    if not connection.execute(tasks.update().where(tasks.c.id == task).values(gold=gold)).rowcount:
        raise NotFound(f"no task {task!r}")


def labels(connection: sa.Connection, desk: str) -> list[Label]:
    """Every judgement of the desk that stands, in order of time."""
    view = vote_spans.c
    wanted = sa.select(tasks, view.principal, view.target_id, view.value, view.at.label("said"), assignments.c.swapped,
                       assignments.c.at.label("shown")).select_from(tasks).join(vote_spans, about_task(vote_spans)).join(
        assignments, (assignments.c.task == tasks.c.id) & (assignments.c.principal == view.principal))  # fmt: skip
    rows = connection.execute(wanted.where(tasks.c.desk == desk, stands_now()).order_by(view.seq))
    return [
        Label(
            task=row.id, principal=row.principal, outcome=_outcome(row), seconds=max(0.0, row.said - row.shown), swapped=bool(row.swapped),
            gold=row.gold,
        )
        for row in rows
    ]  # fmt: skip


def count_labels(connection: sa.Connection, desk: str, principal: str) -> int:
    """How many judgements of this rater stand."""
    said = about_task(vote_spans) & (plainly(vote_spans.c.principal) == principal)
    shown = assignments.join(tasks, tasks.c.id == assignments.c.task).join(vote_spans, said)
    mine = sa.select(sa.func.count()).select_from(shown).where(assignments.c.principal == principal, tasks.c.desk == desk, stands_now())
    return connection.execute(mine).scalar_one()


def _outcome(row: Any) -> Outcome:
    value = row.value if isinstance(row.value, dict) else json.loads(row.value)
    if value["outcome"] != "win":
        found: Outcome = value["outcome"]
        return found
    return "left" if row.target_id == row.left_id else "right"


def counts(connection: sa.Connection, desk: str) -> tuple[int, int]:
    """(tasks that stand, gold among them)."""
    rows = standing(connection, desk)
    return len(rows), sum(row.gold is not None for row in rows)


def gold_answers(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Question -> the answers that an owner knows to be right, of gold tasks where the question stands alone."""
    rows = connection.execute(tasks.select().where(tasks.c.gold.in_(("left", "right")))).all()
    sides = sides_of(connection, rows)
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        side = sides.get(row.left_id if row.gold == "left" else row.right_id)
        asked = [message["content"] for message in side.messages if message["role"] != "system"] if side else []
        if side and len(asked) == 1:
            found[asked[0]] = (*found.get(asked[0], ()), side.text)
    return found
