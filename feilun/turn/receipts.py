"""The paper behind a turn: the plan before anything, then what each gate saw and said; and what does not fit together.

The chain finds what was changed by hand or by accident. Who can write the whole file could write a chain of their own: keep the
newest hash somewhere else (the account of a promotion names it) to be safe from that too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feilun.artifacts import find
from feilun.store import ReceiptRow, Store, TurnRow, body_hash, receipt_hash
from feilun.types import UserError

__all__ = ["leave", "receipt_faults"]

GATES = {"curate": "g0", "gate": "g1"}


def leave(store: Store, turn: TurnRow, gate: str, inputs: Mapping[str, Any], figures: Mapping[str, Any], verdict: str) -> ReceiptRow:
    """Write what a gate saw and said; inputs: names -> references (or lists of them) and numbers. It holds no text that a person wrote."""
    body = {"plan": body_hash(turn.plan), "inputs": dict(inputs), "figures": dict(figures), "verdict": verdict}
    return store.add_receipt(turn.id, gate, body)


def receipt_faults(home: Path, store: Store) -> list[str]:
    """What does not fit: a changed receipt, a broken chain, a changed plan, an input that is gone, a promotion without a receipt."""
    chain, turns = store.receipts(), {turn.id: turn for turn in store.turns()}
    return [*chain_faults(chain), *(fault for row in chain for fault in row_faults(home, row, turns)), *turn_faults(chain, turns)]


def chain_faults(chain: list[ReceiptRow]) -> Iterator[str]:
    before = ""
    for row in chain:
        if receipt_hash(row) != row.hash:
            yield f"receipt {row.gate} of turn {row.turn_id}: changed since it was written"
        if row.previous != before:
            yield f"receipt {row.gate} of turn {row.turn_id}: the receipt before it is not the one that it names"
        before = row.hash


def row_faults(home: Path, row: ReceiptRow, turns: Mapping[str, TurnRow]) -> Iterator[str]:
    turn = turns.get(row.turn_id)
    if turn is None:
        yield f"receipt {row.gate} of turn {row.turn_id}: there is no such turn"
    elif body_hash(turn.plan) != row.body["plan"]:
        yield f"receipt {row.gate} of turn {row.turn_id}: the plan was changed since"
    for ref in refs_in(row.body.get("inputs", {})):
        try:
            find(home, ref)
        except UserError:
            yield f"receipt {row.gate} of turn {row.turn_id}: its input {ref} is gone"


def refs_in(inputs: Any) -> Iterator[str]:
    if isinstance(inputs, str) and "@" in inputs:
        yield inputs
    elif isinstance(inputs, Mapping | list):
        for item in inputs.values() if isinstance(inputs, Mapping) else inputs:
            yield from refs_in(item)


def turn_faults(chain: list[ReceiptRow], turns: Mapping[str, TurnRow]) -> Iterator[str]:
    """Every receipt that a step names is there, and every promotion has one; turns from before there were receipts have none."""
    written = {row.hash: row for row in chain}
    planned = {row.turn_id for row in chain if row.gate == "plan"}
    for turn in turns.values():
        for step, gate in GATES.items():
            named = turn.steps[step].output.get("receipt_hash") if step in turn.steps else None
            row = written.get(named) if named else None
            if named and (row is None or (row.turn_id, row.gate) != (turn.id, gate)):
                yield f"turn {turn.id}: receipt {gate} is gone"
            if gate == "g1" and turn.state == "promoted" and turn.id in planned and (row is None or row.body["verdict"] != "promoted"):
                yield f"turn {turn.id}: promoted without a receipt that says so"
