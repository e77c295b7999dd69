"""Questions of the traffic that other people judge: two answers each, side by side, and who was shown them in which order.

The question and both answers stand once, as completions of DESK in a thread that bears the task's id, so that a judgement is an ordinary
choice between siblings. `source` is the answer whose question it is: what erases that, erases this (erasure.py).
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from feilun.store import completions as answers
from feilun.store.chunks import in_chunks
from feilun.store.completions import chain, nodes
from feilun.store.identity import DESK, digest, text_of, uuid7
from feilun.store.rows import CompletionRecord, NotFound
from feilun.store.schema import assignments, choices, completions, events, tasks, vote_spans
from feilun.store.votes import asked_privately, plainly, said_privately, stands_now
from feilun.types import Consent, Decision

TEACH = ""  # the owner's own desk, which is always open
LEASE_SECONDS = 600.0
PROMPT_CHARS = 16

Outcome = Literal["left", "right", "tie", "both_bad"]
OUTCOMES: tuple[Outcome, ...] = ("left", "right", "tie", "both_bad")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A question of the traffic that may be shown: it was asked with consent, and no message before it in private."""

    completion_id: str
    principal: str
    thread_id: str
    consent: Consent
    messages: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """left, right: (model, text) of two answers to `messages`. why: the figures by which it was chosen."""

    source: str
    consent: Consent
    messages: tuple[Mapping[str, str], ...]
    left: tuple[str, str]
    right: tuple[str, str]
    why: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as one rater sees it. swapped: the right answer was shown first. gold: the side that its owner knows to be better."""

    id: str
    desk: str
    messages: tuple[Mapping[str, str], ...]
    left_id: str
    right_id: str
    left: str
    right: str
    models: tuple[str, str]
    gold: Outcome | None
    swapped: bool
    at: float

    def side(self, shown: str) -> Outcome:
        """What "first" or "second" of the two as they were shown is; a tie and both bad are what they are."""
        first, second = OUTCOMES[:2] if not self.swapped else OUTCOMES[1::-1]
        said: dict[str, Outcome] = {"first": first, "second": second, "tie": "tie", "both_bad": "both_bad"}
        return said[shown]

    def choice(self, outcome: Outcome) -> tuple[str, dict[str, Any]]:
        """(target, value) of the event that says so: the winner, else the first shown."""
        shown = (self.right_id, self.left_id) if self.swapped else (self.left_id, self.right_id)
        if outcome in ("left", "right"):
            shown = (self.left_id, self.right_id) if outcome == "left" else (self.right_id, self.left_id)
        return shown[0], {"over": [{"id": shown[1], "index": 0}], "outcome": "win" if outcome in ("left", "right") else outcome}


# --- what may be asked


def served(connection: sa.Connection, limit: int) -> list[Served]:
    """The newest questions that were asked with consent, each with its newest answer; DESK's own are none."""
    about = completions.c
    wanted = sa.select(about.id, about.principal, about.thread_id, about.consent, about.parent)
    wanted = wanted.where(about.erased == 0, about.principal != DESK, about.consent != str(Consent.SERVE))
    rows = connection.execute(wanted.order_by(about.finished.desc(), about.id.desc()).limit(limit)).all()
    tree = nodes(connection, [row.parent for row in rows])
    private = asked_privately(connection, tree)
    newest: dict[str, Served] = {}
    for row in rows:
        if row.parent not in newest and not said_privately(row.parent, tree, private):
            found = tuple(chain(tree, row.parent))
            newest[row.parent] = Served(
                completion_id=row.id, principal=row.principal, thread_id=row.thread_id, consent=Consent(row.consent), messages=found
            )
    return list(newest.values())


def prompt_key(messages: Iterable[Mapping[str, str]]) -> str:
    """Under which a question is known to have been asked before."""
    return digest("task", [(message["role"], " ".join(message["content"].split()).casefold()) for message in messages])[:PROMPT_CHARS]


def known_prompts(connection: sa.Connection, desk: str) -> frozenset[str]:
    return frozenset(connection.execute(sa.select(tasks.c.prompt).where(tasks.c.desk == desk)).scalars())


def add(connection: sa.Connection, desk: str, given: Sequence[NewTask]) -> int:
    """Store the tasks whose question the desk has not and whose source still stands; how many they were."""
    known, added = set(known_prompts(connection, desk)), 0
    for task in given:
        key = prompt_key(task.messages)
        standing = sa.select(completions.c.id).where(completions.c.id == task.source, completions.c.erased == 0)
        if key in known or connection.execute(standing).first() is None:
            continue
        known.add(key)
        added += 1
        name, now = uuid7(), time.time()
        ids = []
        for model, text in (task.left, task.right):
            ids.append(f"chatcmpl-{uuid7()}")
            choice = {"index": 0, "text": text, "finish_reason": "stop", "num_tokens": 0}
            answers.record(
                connection,
                CompletionRecord(
                    id=ids[-1], principal=DESK, model=model, thread_id=name, messages=[dict(message) for message in task.messages],
                    choices=[choice], decision=Decision(engine="native", model=model), consent=task.consent, started=now, finished=now,
                ),
            )  # fmt: skip
        row = {"id": name, "desk": desk, "source": task.source, "prompt": key, "left_id": ids[0], "right_id": ids[1]}
        connection.execute(tasks.insert().values({**row, "why": task.why, "gold": None, "at": now}))
    return added


# --- who judges what


class Offer(NamedTuple):
    """A task that a rater may be shown. overlap: while fewer than so many judge it; None where that does not matter any more."""

    task: str
    overlap: int | None


def choose(connection: sa.Connection, desk: str, principal: str, overlap: int, gold_share: float) -> Offer | None:
    """The task that this rater shall judge now: the one that waits, else a fresh one, of which some are gold; None when there is none.

    overlap: so many raters judge a task, of whom those who were shown it lately count before they have spoken. Gold is for everybody.
    """
    mine = assignments.c.principal == principal
    standing_here = (tasks.c.desk == desk) & _stands()
    waits = sa.select(tasks.c.id).join(assignments, assignments.c.task == tasks.c.id).where(mine, standing_here, ~_judged())
    if waiting := connection.execute(waits.order_by(tasks.c.id).limit(1)).scalar():
        return Offer(waiting, None)
    shown = sa.exists().where(assignments.c.task == tasks.c.id, mine)
    fresh = sa.select(tasks.c.id).where(standing_here, ~shown)
    gold = connection.execute(fresh.where(tasks.c.gold.is_not(None)).order_by(tasks.c.id).limit(1)).scalar()
    # What somebody has begun is finished first, so that agreement is known early.
    open_now = fresh.where(tasks.c.gold.is_(None), _num_taken() < overlap).order_by(_num_taken().desc(), tasks.c.id)
    plain = connection.execute(open_now.limit(1)).scalar()
    # Which of a rater's tasks are gold follows no beat that could be learnt.
    if gold and (plain is None or secrets.randbelow(1_000_000) < gold_share * 1_000_000):
        return Offer(gold, None)
    return None if plain is None else Offer(plain, overlap)


def show(connection: sa.Connection, offer: Offer, principal: str) -> Task | None:
    """Write down that the rater is shown it; None where others were faster, or erased it."""
    taken = connection.execute(sa.select(_num_taken()).where(tasks.c.id == offer.task, _stands())).scalar()
    if taken is None:
        return None
    again = assignments.update().where(_of(offer.task, principal)).values(at=time.time())
    if connection.execute(again).rowcount == 0:
        if offer.overlap is not None and taken >= offer.overlap:
            return None
        row = {"task": offer.task, "principal": principal, "swapped": secrets.randbits(1), "at": time.time()}
        connection.execute(assignments.insert().values(row))
    return find(connection, offer.task, principal)


def _stands() -> sa.ColumnElement[bool]:
    """Of a task: its question was not erased."""
    return sa.exists().where(completions.c.id == tasks.c.left_id, completions.c.erased == 0)


def _judged() -> sa.ColumnElement[bool]:
    """Of an assignment: its rater has spoken, also where that was taken back since: nobody is asked twice."""
    return _spoken(events, events.c.erased == 0)


def _labelled() -> sa.ColumnElement[bool]:
    """Of an assignment: its rater has spoken, and that stands."""
    return _spoken(vote_spans, stands_now())


def _spoken(said: sa.FromClause, which: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    theirs = sa.select(said.c.seq).where(about_task(said), which, plainly(said.c.principal) == assignments.c.principal)
    return theirs.correlate(tasks, assignments).exists()


def about_task(said: sa.FromClause) -> sa.ColumnElement[bool]:
    """Of an event or a vote: it chooses between the two answers of a task."""
    return said.c.target_id.in_([tasks.c.left_id, tasks.c.right_id]) & (said.c.kind == "choice")


def _num_taken() -> sa.ScalarSelect[int]:
    """Of a task: how many labels of it stand, and how many were shown it lately and have not spoken."""
    busy = (assignments.c.at > time.time() - LEASE_SECONDS) & ~_judged()
    return sa.select(sa.func.count()).where(assignments.c.task == tasks.c.id, _labelled() | busy).correlate(tasks).scalar_subquery()


def find(connection: sa.Connection, task: str, principal: str) -> Task:
    """Raises NotFound for a task that this rater was not shown, or whose question was erased."""
    row = connection.execute(sa.select(tasks, assignments.c.swapped, assignments.c.at.label("shown")).join(
        assignments, assignments.c.task == tasks.c.id).where(_of(task, principal))).first()  # fmt: skip
    sides = sides_of(connection, [row]) if row is not None else {}
    if row is None or row.left_id not in sides or row.right_id not in sides:
        raise NotFound(f"no task {task!r}")
    left, right = sides[row.left_id], sides[row.right_id]
    return Task(
        id=row.id, desk=row.desk, messages=left.messages, left_id=row.left_id, right_id=row.right_id, left=left.text, right=right.text,
        models=(left.model, right.model), gold=row.gold, swapped=bool(row.swapped), at=row.shown,
    )  # fmt: skip


class Side(NamedTuple):
    model: str
    messages: tuple[Mapping[str, str], ...]
    text: str


def sides_of(connection: sa.Connection, rows: Sequence[Any]) -> dict[str, Side]:
    ids = [found for row in rows for found in (row.left_id, row.right_id)]
    wanted = sa.select(completions.c.id, completions.c.model, completions.c.parent, choices.c.address)
    wanted = wanted.join(choices, choices.c.completion_id == completions.c.id).where(completions.c.id.in_(ids), completions.c.erased == 0)
    found = connection.execute(wanted).all()
    tree = nodes(connection, [row.address for row in found])
    return {row.id: Side(row.model, tuple(chain(tree, row.parent)), text_of(tree[row.address].parts)) for row in found}


class Waiting(NamedTuple):
    """A task that nobody has judged yet."""

    id: str
    question: str
    why: dict[str, Any]


def waiting(connection: sa.Connection, desk: str) -> list[Waiting]:
    """Those that promise most first."""
    said = {task for task, _ in _said(connection, desk)}
    rows = [row for row in standing(connection, desk) if row.id not in said]
    sides = sides_of(connection, rows)
    found = [Waiting(row.id, sides[row.left_id].messages[-1]["content"], row.why) for row in rows]
    return sorted(found, key=lambda task: (-sum(task.why.values()), task.id))


def _of(task: str, principal: str) -> sa.ColumnElement[bool]:
    return (assignments.c.task == task) & (assignments.c.principal == principal)


def standing(connection: sa.Connection, desk: str) -> Sequence[Any]:
    return connection.execute(tasks.select().where(tasks.c.desk == desk, _stands()).order_by(tasks.c.id)).all()


def _said(connection: sa.Connection, desk: str) -> set[tuple[str, str]]:
    """(task, rater) of every judgement, also of those taken back: nobody is asked twice."""
    wanted = sa.select(tasks.c.id, events.c.principal).join(events, about_task(events)).where(tasks.c.desk == desk, events.c.erased == 0)
    return {(row.id, row.principal) for row in connection.execute(wanted)}


def lent(connection: sa.Connection, principal: str, thread_id: str) -> frozenset[str]:
    """The answers of the task that has this thread of DESK, if this rater was shown it."""
    wanted = sa.select(tasks.c.left_id, tasks.c.right_id).join(assignments, assignments.c.task == tasks.c.id)
    rows = connection.execute(wanted.where(_of(thread_id, principal)))
    return frozenset(found for row in rows for found in row)


# --- forgetting


def copies_of(connection: sa.Connection, completion_ids: Iterable[str]) -> list[str]:
    """The tasks whose question is that of one of these answers."""
    found: list[str] = []
    for some in in_chunks(sorted(set(completion_ids))):
        found += connection.execute(sa.select(tasks.c.id).where(tasks.c.source.in_(some))).scalars()
    return sorted(found)


def forget(connection: sa.Connection, task: str) -> None:
    """What names the question goes; that there was a task stays."""
    connection.execute(tasks.update().where(tasks.c.id == task).values(prompt=f"erased:{task}", why={}, gold=None))


def forget_rater(connection: sa.Connection, principal: str) -> None:
    connection.execute(assignments.delete().where(assignments.c.principal == principal))
