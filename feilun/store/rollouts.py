"""How a candidate comes to answer people: one row a rollout, moved in one transaction with its receipt and with the champion.

stage: "shadow", "canary" (step: which of the plan's shares), "holdback"; at its end "closed", "rolled_back" or "aborted".
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from feilun.store import champion, quarantine, receipts
from feilun.store.identity import digest, uuid7
from feilun.store.rows import Conflict, NotFound
from feilun.store.schema import rollouts, turns, withheld

Stage = Literal["shadow", "canary", "holdback", "closed", "rolled_back", "aborted"]
END_STAGES = ("closed", "rolled_back", "aborted")
LOAD_FAILURE_NOTE = "rollout_failure"  # by a server: {"rollout", "stage", "model", "error", "at"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRow:
    """epoch: of the champion it began beside. since: when this step began. slow_seconds: an answer that took longer counts as slow."""

    id: str
    turn_id: str
    candidate: str
    champion: str
    epoch: int
    plan: dict[str, Any]
    stage: Stage
    step: int
    held: bool
    version: int
    started: float
    since: float
    finished: float | None
    why: str
    slow_seconds: float | None

    @property
    def share(self) -> float:
        """Of the people, who have the candidate now."""
        if self.stage == "canary":
            return float(self.plan["shares"][self.step])
        return 1.0 - float(self.plan["holdback"]["share"]) if self.stage == "holdback" else 0.0

    @property
    def share_before(self) -> float:
        """Of the people, who had the candidate already at the step before."""
        if self.stage == "holdback":
            return float(self.plan["shares"][-1])
        return float(self.plan["shares"][self.step - 1]) if self.stage == "canary" and self.step else 0.0

    @property
    def lot(self) -> float:
        """The chance of the candidate at this step for somebody who did not have it before."""
        return (self.share - self.share_before) / (1 - self.share_before)

    def number_of(self, principal: str) -> float:
        """In [0, 1), the same for ever in this rollout: who has less than the share has the candidate."""
        return lot_number(self.plan["salt"], principal)

    def who(self, principal: str) -> str:
        """A name that is only of this rollout, and leads back to nobody."""
        return digest("who", self.plan["salt"], principal)[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutMove:
    """What one transition writes. gate, body: its receipt. promote: the candidate becomes the champion; back: the champion before returns.

    set_aside: why the candidate may not answer any more. withhold: events that teach no more. turn_state: how the turn stands from now on.
    """

    stage: Stage
    step: int = 0
    gate: str
    body: Mapping[str, Any]
    why: str = ""
    promote: bool = False
    back: bool = False
    set_aside: str = ""
    withhold: tuple[str, ...] = ()
    turn_state: Literal["", "promoted", "refused"] = ""
    slow_seconds: float | None = None


def lot_number(salt: str, name: str) -> float:
    """In [0, 1), alike for all names."""
    return int(digest("lot", salt, name)[:13], 16) / 16**13


def start(connection: sa.Connection, turn_id: str, candidate: str, epoch: int, plan: Mapping[str, Any]) -> RolloutRow:
    mine = connection.execute(rollouts.select().where(rollouts.c.turn_id == turn_id)).mappings().first()
    if mine is not None:
        return _row(mine)
    now = champion.current(connection)
    if now is None or now.epoch != epoch:
        raise Conflict(f"the champion is at epoch {now.epoch if now else 0}, not {epoch}: somebody promoted in between; decide again")
    if (other := current(connection)) is not None:
        raise Conflict(f"the rollout of {other.candidate} is not finished ({other.stage}); one runs at a time")
    began = time.time()
    values = {
        "id": uuid7(), "turn_id": turn_id, "candidate": candidate, "champion": now.model, "epoch": epoch, "plan": dict(plan),
        "stage": "shadow", "step": 0, "held": 0, "version": 1, "started": began, "since": began, "why": "",
        "slow_seconds": plan.get("slow_seconds"),
    }  # fmt: skip
    connection.execute(rollouts.insert().values(values))
    about = {"rollout": values["id"], "champion": now.model, "candidate": candidate, "rule": receipts.body_hash(dict(plan))}
    receipts.append(
        connection, turn_id, "rollout", {"plan": _plan_hash(connection, turn_id), "inputs": about, "figures": {}, "verdict": "begun"}
    )
    return by_id(connection, str(values["id"]))


def by_id(connection: sa.Connection, rollout_id: str) -> RolloutRow:
    found = connection.execute(rollouts.select().where(rollouts.c.id == rollout_id)).mappings().first()
    if found is None:
        raise NotFound(f"no rollout {rollout_id!r}")
    return _row(found)


def listed(connection: sa.Connection) -> list[RolloutRow]:
    return [_row(row) for row in connection.execute(rollouts.select().order_by(rollouts.c.started, rollouts.c.id)).mappings()]


def current(connection: sa.Connection) -> RolloutRow | None:
    found = connection.execute(rollouts.select().where(rollouts.c.finished.is_(None))).mappings().first()
    return _row(found) if found is not None else None


def _row(found: sa.RowMapping) -> RolloutRow:
    return RolloutRow(**{**found, "held": bool(found["held"])})


def hold(connection: sa.Connection, rollout_id: str, held: bool) -> RolloutRow:
    row = by_id(connection, rollout_id)
    _change(connection, row, {"held": int(held)})
    return by_id(connection, rollout_id)


def move(connection: sa.Connection, row: RolloutRow, to: RolloutMove) -> RolloutRow:
    now = time.time()
    values: dict[str, Any] = {"stage": to.stage, "step": to.step, "since": now, "held": 0, "why": to.why}
    values |= {"finished": now, "step": row.step} if to.stage in END_STAGES else {}
    values |= {"slow_seconds": to.slow_seconds} if to.slow_seconds is not None else {}
    _change(connection, row, values)
    if to.set_aside:
        quarantine.add(connection, [row.candidate], to.set_aside)
    if to.promote:
        champion.promote(connection, row.candidate, f"rollout {row.id}: every step of the canary was passed", row.epoch)
    if to.back:
        champion.rollback(connection, to.why)
    _withhold(connection, row.id, to.withhold, now)
    if to.turn_state:
        mine = (turns.c.id == row.turn_id) & (turns.c.state == "rolling_out")
        connection.execute(turns.update().where(mine).values(state=to.turn_state, why=turns.c.why + "\n" + to.why))
    receipts.append(connection, row.turn_id, to.gate, {"plan": _plan_hash(connection, row.turn_id), **to.body})
    return by_id(connection, row.id)


def _change(connection: sa.Connection, row: RolloutRow, values: Mapping[str, Any]) -> None:
    """The row as its reader knew it, or nothing: of two who decide at once, one has decided."""
    known = (rollouts.c.id == row.id) & (rollouts.c.version == row.version) & rollouts.c.finished.is_(None)
    if connection.execute(rollouts.update().where(known).values({**values, "version": row.version + 1})).rowcount != 1:
        raise Conflict(f"rollout {row.id} has moved on meanwhile; look again")


def _plan_hash(connection: sa.Connection, turn_id: str) -> str:
    return receipts.body_hash(connection.execute(sa.select(turns.c.plan).where(turns.c.id == turn_id)).scalar_one())


def _withhold(connection: sa.Connection, rollout_id: str, event_ids: tuple[str, ...], now: float) -> None:
    there = set(connection.execute(sa.select(withheld.c.event_id)).scalars()) if event_ids else set[str]()
    again = [event_id for event_id in event_ids if event_id in there]
    fresh = [{"event_id": event_id, "rollout_id": rollout_id, "at": now} for event_id in event_ids if event_id not in there]
    if fresh:
        connection.execute(withheld.insert(), fresh)
    for event_id in again:
        values = {"rollout_id": rollout_id, "at": now, "released": None}
        connection.execute(withheld.update().where(withheld.c.event_id == event_id).values(values))


def withheld_events(connection: sa.Connection, rollout_id: str | None = None) -> dict[str, str]:
    """event -> the rollout that took it away, while the owner has not released it."""
    mine = sa.true() if rollout_id is None else withheld.c.rollout_id == rollout_id
    return {row.event_id: row.rollout_id for row in connection.execute(withheld.select().where(withheld.c.released.is_(None), mine))}


def released_after(connection: sa.Connection, moment: float) -> frozenset[str]:
    """Events that a rollout had taken away and the owner let teach again later than that."""
    return frozenset(connection.execute(sa.select(withheld.c.event_id).where(withheld.c.released > moment)).scalars())


def last_withheld(connection: sa.Connection) -> tuple[float, float]:
    """When a rollout last took events away, and when the owner last let some teach again; 0.0: never."""
    taken, released = connection.execute(sa.select(sa.func.max(withheld.c.at), sa.func.max(withheld.c.released))).one()
    return taken or 0.0, released or 0.0


def release(connection: sa.Connection, rollout_id: str) -> int:
    by_id(connection, rollout_id)
    mine = (withheld.c.rollout_id == rollout_id) & withheld.c.released.is_(None)
    return connection.execute(withheld.update().where(mine).values(released=time.time())).rowcount
