"""Receipts of the gate: appended, never changed, each naming the hash of the one before, so that a changed one is found."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from feilun.store.rows import ReceiptRow
from feilun.store.schema import receipts


def body_hash(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def receipt_hash(row: ReceiptRow) -> str:
    """What the row's own hash must be."""
    return body_hash([row.turn_id, row.gate, row.body, row.previous, row.at])


def append(connection: sa.Connection, turn_id: str, gate: str, body: Mapping[str, Any]) -> ReceiptRow:
    """A new receipt at the end of the chain; the same once more (a step that was killed and done again) is the one that is there."""
    kept: dict[str, Any] = json.loads(json.dumps(body))
    mine = [row for row in listed(connection, turn_id) if row.gate == gate]
    if mine and mine[-1].body == kept:
        return mine[-1]
    newest = connection.execute(sa.select(receipts.c.hash).order_by(receipts.c.seq.desc()).limit(1)).scalar() or ""
    row = ReceiptRow(turn_id=turn_id, gate=gate, body=kept, previous=newest, at=time.time(), hash="")
    values = {"turn_id": turn_id, "gate": gate, "body": kept, "previous": newest, "hash": receipt_hash(row), "at": row.at}
    connection.execute(receipts.insert().values(values))
    return listed(connection, turn_id)[-1]


def listed(connection: sa.Connection, turn_id: str | None = None) -> list[ReceiptRow]:
    wanted = receipts.select().order_by(receipts.c.seq)
    if turn_id is not None:
        wanted = wanted.where(receipts.c.turn_id == turn_id)
    names = ("turn_id", "gate", "body", "previous", "hash", "at")
    return [ReceiptRow(**{name: row[name] for name in names}) for row in connection.execute(wanted).mappings()]
