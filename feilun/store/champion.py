"""Which model answers: an append-only history whose last row is the champion, and one pointer to the candidate."""

import time

import sqlalchemy as sa

from feilun.store import notes, quarantine
from feilun.store.rows import ChampionRow, Conflict, NotFound
from feilun.store.schema import champions

CANDIDATE = "candidate"


def history(connection: sa.Connection) -> list[ChampionRow]:
    return [ChampionRow(**row) for row in connection.execute(champions.select().order_by(champions.c.epoch)).mappings()]


def current(connection: sa.Connection) -> ChampionRow | None:
    row = connection.execute(champions.select().order_by(champions.c.epoch.desc()).limit(1)).mappings().first()
    return ChampionRow(**row) if row else None


def promote(connection: sa.Connection, model: str, reason: str, expected_epoch: int | None) -> ChampionRow:
    now = current(connection)
    epoch = now.epoch if now else 0
    if why := quarantine.listed(connection).get(model):
        raise Conflict(f"{model} is set aside: {why}; promote another model")
    if expected_epoch is not None and expected_epoch != epoch:
        raise Conflict(f"the champion is at epoch {epoch}, not {expected_epoch}: somebody promoted in between; decide again")
    return _append(connection, epoch + 1, model, reason, None)


def rollback(connection: sa.Connection, reason: str) -> ChampionRow:
    now = current(connection)
    if now is None:
        raise NotFound("there is no champion to roll back from")
    target = earlier(connection)
    if target is None:
        raise NotFound(f"there is no other model before {now.model} to go back to")
    return _append(connection, now.epoch + 1, target.model, reason, target.epoch)


def earlier(connection: sa.Connection) -> ChampionRow | None:
    """The newest row of another model among those that lead to the champion, and that may still answer."""
    now = current(connection)
    if now is None:
        return None
    out = {now.model, *quarantine.listed(connection)}
    return next((row for row in reversed(_stack(history(connection))) if row.model not in out), None)


def _stack(rows: list[ChampionRow]) -> list[ChampionRow]:
    """The promotions that lead to the champion: a rollback takes off all that came after what it restored."""
    stack: list[ChampionRow] = []
    for row in rows:
        if row.restores is None:
            stack.append(row)
        else:
            stack = [kept for kept in stack if kept.epoch <= row.restores]
    return stack


def _append(connection: sa.Connection, epoch: int, model: str, reason: str, restores: int | None) -> ChampionRow:
    row = ChampionRow(epoch=epoch, model=model, reason=reason, at=time.time(), restores=restores)
    connection.execute(champions.insert().values(epoch=epoch, model=model, reason=reason, at=row.at, restores=restores))
    return row


def candidate(connection: sa.Connection) -> str | None:
    row = notes.read(connection, CANDIDATE)
    return row["model"] if row else None


def set_candidate(connection: sa.Connection, model: str | None) -> None:
    notes.write(connection, CANDIDATE, {"model": model})
