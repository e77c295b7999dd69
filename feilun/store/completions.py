"""Completions and the message tree they hang in: a repeated question is the same row, its answers are siblings."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.identity import address_of, parts_of, root_address, text_of
from feilun.store.rows import CompletionRecord, Conflict
from feilun.store.schema import choices, completions, messages
from feilun.types import Consent, Decision

IN_CHUNK = 500


class Node(NamedTuple):
    parent: str
    role: str
    parts: list[dict[str, Any]]


def record(connection: sa.Connection, given: CompletionRecord) -> None:
    if connection.execute(sa.select(completions.c.id).where(completions.c.id == given.id)).first():
        raise Conflict(f"completion {given.id!r} is already stored; ids are new for every answer")
    parent = root_address(given.principal, given.thread_id)
    for message in given.messages:
        parent = _put(connection, given.principal, parent, message["role"], parts_of(message["content"]))
    for choice in given.choices:
        address = _put(connection, given.principal, parent, "assistant", parts_of(choice["text"]))
        row = {
            "completion_id": given.id, "choice_index": choice["index"], "address": address,
            "finish_reason": str(choice["finish_reason"]), "num_tokens": choice.get("num_tokens", 0),
        }  # fmt: skip
        connection.execute(choices.insert().values(row))
    same = ("id", "principal", "end_user", "model", "thread_id", "params", "prompt_tokens", "completion_tokens", "started", "finished")
    row = {name: getattr(given, name) for name in same}
    row |= {"decision": dataclasses.asdict(given.decision), "parent": parent, "consent": str(given.consent), "erased": 0}
    connection.execute(completions.insert().values(row))


def _put(connection: sa.Connection, principal: str, parent: str, role: str, parts: list[dict[str, Any]]) -> str:
    address = address_of(parent, role, parts)
    if not connection.execute(sa.select(messages.c.address).where(messages.c.address == address)).first():
        row = {"address": address, "parent": parent, "principal": principal, "role": role, "content": parts}
        connection.execute(messages.insert().values(row))
    return address


def by_id(connection: sa.Connection, completion_id: str) -> CompletionRecord | None:
    found = connection.execute(completions.select().where(completions.c.id == completion_id, completions.c.erased == 0)).first()
    if not found:
        return None
    row = found._mapping
    rows = connection.execute(choices.select().where(choices.c.completion_id == completion_id).order_by(choices.c.choice_index)).all()
    tree = nodes(connection, [row["parent"], *(choice.address for choice in rows)])
    answers = [
        {"index": c.choice_index, "text": text_of(tree[c.address].parts), "finish_reason": c.finish_reason, "num_tokens": c.num_tokens}
        for c in rows
    ]
    same = ("id", "principal", "end_user", "model", "thread_id", "params", "prompt_tokens", "completion_tokens", "started", "finished")
    return CompletionRecord(
        **{name: row[name] for name in same},
        decision=Decision(**{**row["decision"], "candidates": tuple(row["decision"]["candidates"])}),
        messages=chain(tree, row["parent"]),
        choices=answers,
        consent=Consent(row["consent"]),
    )


def nodes(connection: sa.Connection, addresses: Iterable[str]) -> dict[str, Node]:
    """The named messages and all their ancestors."""
    found: dict[str, Node] = {}
    wanted = sorted(set(addresses))
    while wanted:
        for start in range(0, len(wanted), IN_CHUNK):
            rows = connection.execute(messages.select().where(messages.c.address.in_(wanted[start : start + IN_CHUNK])))
            found.update((row.address, Node(row.parent, row.role, row.content)) for row in rows)
        parents = {found[address].parent for address in wanted if address in found}
        wanted = sorted(parents - found.keys())
    return found


def chain(tree: Mapping[str, Node], address: str) -> list[dict[str, Any]]:
    """Messages from the thread's first to `address`. A thread's root has no row: there the walk ends."""
    path = []
    while (node := tree.get(address)) is not None:
        path.append({"role": node.role, "content": text_of(node.parts)})
        address = node.parent
    return path[::-1]
