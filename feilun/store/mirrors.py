"""What a candidate would have said: pairs of answers to one question, and who judged them without knowing whose is whose."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.completions import chain, nodes
from feilun.store.database import Database
from feilun.store.identity import digest, subject_of
from feilun.store.rows import Arm, Conflict, NotFound
from feilun.store.schema import choices, completions, judgements, mirror_drops, mirrors

OUTCOMES = ("champion", "candidate", "tie", "both_bad")
SLOTS = (0, 1)
UNDO = "undo"


class Mirror(NamedTuple):
    """One question to both. champion, candidate: {"seconds", "chars", "finish_reason", "fault"}.

    outcome: what the judges found, "" before the first; where the two orders disagree it is a tie.
    """

    completion_id: str
    who: str
    champion: Mapping[str, Any]
    candidate: Mapping[str, Any]
    at: float
    outcome: str = ""


class BlindPair(NamedTuple):
    """What a judge sees: the question, and two answers of which nothing tells whose they are. slot: 0, or 1 for the other order."""

    completion_id: str
    slot: int
    messages: list[dict[str, Any]]
    answers: tuple[str, str]


class Shadow:
    """Each write is committed when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, rollout_id: str, about: Mirror, text: str) -> None:
        """Keep what the candidate would have said. Raises Conflict where the answer beside it is not stored."""
        self._database.write(lambda c: record(c, rollout_id, about, text))

    def count_drops(self, rollout_id: str, counts: Mapping[str, int]) -> None:
        """Questions that should have been mirrored and were not, by reason."""
        self._database.write(lambda c: count_drops(c, rollout_id, counts))

    def drops(self, rollout_id: str) -> dict[str, int]:
        return self._database.read(lambda c: drops(c, rollout_id))

    def count(self, rollout_id: str) -> int:
        return self._database.read(lambda c: count(c, rollout_id))

    def pairs(self, rollout_id: str) -> list[Mirror]:
        """Oldest first."""
        return self._database.read(lambda c: listed(c, rollout_id))

    def next_pair(self, rollout_id: str) -> BlindPair | None:
        """What waits to be judged; None when nothing does."""
        return self._database.read(lambda c: next_pair(c, rollout_id))

    def judge(self, completion_id: str, slot: int, rater: str, chosen: int | str) -> str:
        """Whose answer won: champion, candidate, tie or both_bad. Raises NotFound and Conflict."""
        return self._database.write(lambda c: judge(c, completion_id, slot, rater, chosen))


def record(connection: sa.Connection, rollout_id: str, about: Mirror, text: str) -> None:
    """Raises Conflict where the answer is not kept (any more): what the candidate said must not outlive it."""
    kept = sa.select(completions.c.id).where(completions.c.id == about.completion_id, completions.c.erased == 0)
    if not connection.execute(kept).first():
        raise Conflict(f"completion {about.completion_id!r} is not stored, so what the candidate said beside it is not either")
    values = {**about._asdict(), "rollout_id": rollout_id, "text": text}
    del values["outcome"]
    connection.execute(mirrors.insert().values(values))


def forget(connection: sa.Connection, completion_ids: sa.Select[Any]) -> None:
    connection.execute(mirrors.delete().where(mirrors.c.completion_id.in_(completion_ids)))


def count_drops(connection: sa.Connection, rollout_id: str, counts: Mapping[str, int]) -> None:
    for reason, num in counts.items():
        mine = (mirror_drops.c.rollout_id == rollout_id) & (mirror_drops.c.reason == reason)
        if connection.execute(mirror_drops.update().where(mine).values(num=mirror_drops.c.num + num)).rowcount == 0:
            connection.execute(mirror_drops.insert().values(rollout_id=rollout_id, reason=reason, num=num))


def drops(connection: sa.Connection, rollout_id: str) -> dict[str, int]:
    rows = connection.execute(mirror_drops.select().where(mirror_drops.c.rollout_id == rollout_id).order_by(mirror_drops.c.reason))
    return {row.reason: row.num for row in rows}


def count(connection: sa.Connection, rollout_id: str) -> int:
    return connection.execute(sa.select(sa.func.count()).where(mirrors.c.rollout_id == rollout_id)).scalar_one()


def listed(connection: sa.Connection, rollout_id: str) -> list[Mirror]:
    """Every pair, oldest first."""
    mine, judged = mirrors.c.rollout_id == rollout_id, dict[str, list[str]]()
    of_pair = judgements.c.completion_id == mirrors.c.completion_id
    for row in connection.execute(sa.select(judgements).select_from(mirrors.join(judgements, of_pair)).where(mine)):
        judged.setdefault(row.completion_id, []).append(row.outcome)
    columns = [column for column in mirrors.c if column.name != "text"]
    rows = connection.execute(sa.select(*columns).where(mine).order_by(mirrors.c.at, mirrors.c.completion_id))
    return [Mirror(r.completion_id, r.who, r.champion, r.candidate, r.at, _joined(judged.get(r.completion_id, []))) for r in rows]


def _joined(outcomes: list[str]) -> str:
    if not outcomes:
        return ""
    return outcomes[0] if len(set(outcomes)) == 1 else "tie"


def first_shown(completion_id: str, slot: int) -> Arm:
    """Whose answer stands first: drawn for the one order, the other way round for the other."""
    drawn = int(digest("shown", completion_id)[:8], 16) % 2
    return "champion" if (drawn + slot) % 2 else "candidate"


def next_pair(connection: sa.Connection, rollout_id: str) -> BlindPair | None:
    """The oldest pair that nobody judged in the one order; once there is none, in the other order. What failed is judged by rules."""
    whole = sa.and_(*(side["fault"].as_string() == "" for side in (mirrors.c.champion, mirrors.c.candidate)))
    rows = sa.select(mirrors).where(mirrors.c.rollout_id == rollout_id, whole).order_by(mirrors.c.at)
    for slot in SLOTS:
        done = sa.exists().where(judgements.c.completion_id == mirrors.c.completion_id, judgements.c.slot == slot)
        waiting = (_pair(connection, row, slot) for row in connection.execute(rows.where(~done)))
        if pair := next(filter(None, waiting), None):
            return pair
    return None


def _pair(connection: sa.Connection, row: sa.Row[Any], slot: int) -> BlindPair | None:
    answer = (choices.c.completion_id == row.completion_id) & (choices.c.choice_index == 0)
    address = connection.execute(sa.select(choices.c.address).where(answer)).scalar()
    if not address:
        return None
    *asked, said = chain(nodes(connection, [address]), address)
    texts = {"champion": str(said["content"]), "candidate": str(row.text)}
    first = first_shown(row.completion_id, slot)
    return BlindPair(row.completion_id, slot, asked, (texts[first], texts[other(first)]))


def other(arm: Arm) -> Arm:
    return "candidate" if arm == "champion" else "champion"


def judge(connection: sa.Connection, completion_id: str, slot: int, rater: str, chosen: int | str) -> str:
    """chosen: 0 or 1, the better of the two as they were shown; "tie" or "both_bad"; "undo" takes an own judgement back.

    Raises NotFound; Conflict where it is judged.
    """
    if slot not in SLOTS or not connection.execute(sa.select(mirrors.c.at).where(mirrors.c.completion_id == completion_id)).first():
        raise NotFound(f"no pair {completion_id!r} in order {slot}")
    if chosen == UNDO:
        return _undo(connection, completion_id, slot, rater)
    first = first_shown(completion_id, slot)
    outcome = chosen if isinstance(chosen, str) else first if chosen == 0 else other(first)
    if outcome not in OUTCOMES:
        raise Conflict(f"chosen={chosen!r}: allowed are 0, 1, tie and both_bad")
    mine = (judgements.c.completion_id == completion_id) & (judgements.c.slot == slot)
    if connection.execute(sa.select(judgements.c.at).where(mine)).first():
        raise Conflict(f"pair {completion_id!r} was judged in this order already; ask for the next one")
    values = {"completion_id": completion_id, "slot": slot, "rater": subject_of(rater), "outcome": outcome, "at": time.time()}
    connection.execute(judgements.insert().values(values))
    return outcome


def _undo(connection: sa.Connection, completion_id: str, slot: int, rater: str) -> str:
    by_me = (judgements.c.completion_id == completion_id) & (judgements.c.slot == slot) & (judgements.c.rater == subject_of(rater))
    if connection.execute(judgements.delete().where(by_me)).rowcount == 0:
        raise NotFound(f"pair {completion_id!r} was not judged by you in order {slot}")
    return UNDO
