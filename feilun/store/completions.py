"""Completions and the message tree they hang in: a repeated question is the same row, its answers are siblings."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store import exposures, search
from feilun.store.chunks import in_chunks
from feilun.store.graves import check_not_forgotten
from feilun.store.identity import address_of, parts_of, root_address, text_of
from feilun.store.rows import CompletionRecord, Conflict
from feilun.store.schema import choices, completions, drafts, messages
from feilun.types import Consent, Decision

SAME = ("id", "principal", "end_user", "model", "thread_id", "params", "prompt_tokens", "completion_tokens", "started", "finished")


class Node(NamedTuple):
    parent: str
    role: str
    parts: list[dict[str, Any]]


class Said(NamedTuple):
    """A message at its place in the tree."""

    address: str
    parent: str
    role: str
    parts: list[dict[str, Any]]


def record(connection: sa.Connection, given: CompletionRecord) -> None:
    if connection.execute(sa.select(completions.c.id).where(completions.c.id == given.id)).first():
        raise Conflict(f"completion {given.id!r} is already stored; ids are new for every answer")
    check_not_forgotten(connection, given.principal, given.thread_id, given.started)
    asked = _placed(root_address(given.principal, given.thread_id), given.messages)
    parent = asked[-1].address if asked else root_address(given.principal, given.thread_id)
    answers = [_said(parent, "assistant", choice["text"]) for choice in given.choices]
    fresh = _put(connection, given.principal, [*asked, *answers])
    _index(connection, given, asked[given.num_quoted :], answers, fresh)
    rows = [
        {
            "completion_id": given.id, "choice_index": choice["index"], "address": answer.address,
            "finish_reason": str(choice["finish_reason"]), "num_tokens": choice.get("num_tokens", 0),
        }
        for choice, answer in zip(given.choices, answers, strict=True)
    ]  # fmt: skip
    if rows:
        connection.execute(choices.insert(), rows)
    row = {name: getattr(given, name) for name in SAME}
    row |= {"decision": dataclasses.asdict(given.decision), "parent": parent, "consent": str(given.consent), "erased": 0}
    connection.execute(completions.insert().values(row))
    exposures.record(connection, given)
    connection.execute(drafts.delete().where(drafts.c.id == given.id))


def _placed(parent: str, given: Iterable[Mapping[str, Any]]) -> list[Said]:
    said: list[Said] = []
    for message in given:
        said.append(_said(parent, message["role"], message["content"]))
        parent = said[-1].address
    return said


def _said(parent: str, role: str, content: Any) -> Said:
    parts = parts_of(content)
    return Said(address_of(parent, role, parts), parent, role, parts)


def _put(connection: sa.Connection, principal: str, said: Iterable[Said]) -> set[str]:
    """Store the messages that are not yet there; the addresses of these."""
    given = {message.address: message for message in said}
    there: set[str] = set()
    for some in in_chunks(given):
        found = sa.select(messages.c.address).where(messages.c.address.in_(some))
        there.update(connection.execute(found).scalars())
    rows = [
        {"address": m.address, "parent": m.parent, "principal": principal, "role": m.role, "content": m.parts}
        for m in given.values()
        if m.address not in there
    ]
    if rows:
        connection.execute(messages.insert(), rows)
    return given.keys() - there


def _index(connection: sa.Connection, given: CompletionRecord, asked: Iterable[Said], answers: Iterable[Said], fresh: set[str]) -> None:
    timed = [*((said, given.started) for said in asked if said.role != "system"), *((said, given.finished) for said in answers)]
    passages = {
        said.address: search.Passage(said.address, given.thread_id, text_of(said.parts), at) for said, at in timed if said.address in fresh
    }
    search.add(connection, given.principal, passages.values())


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
    return CompletionRecord(
        **{name: row[name] for name in SAME},
        decision=Decision(**{**row["decision"], "candidates": tuple(row["decision"]["candidates"])}),
        messages=chain(tree, row["parent"]),
        choices=answers,
        consent=Consent(row["consent"]),
    )


def of_principal(connection: sa.Connection, principal: str) -> list[CompletionRecord]:
    mine = sa.select(completions.c.id).where(completions.c.principal == principal, completions.c.erased == 0)
    ids = list(connection.execute(mine.order_by(completions.c.started, completions.c.id)).scalars())
    return [found for completion_id in ids if (found := by_id(connection, completion_id)) is not None]


def nodes(connection: sa.Connection, addresses: Iterable[str]) -> dict[str, Node]:
    """The named messages and all their ancestors."""
    found: dict[str, Node] = {}
    for some in in_chunks(sorted(set(addresses))):
        named = sa.select(messages.c.address, messages.c.parent).where(messages.c.address.in_(some))
        path = named.cte("path", recursive=True)
        # UNION, not UNION ALL: where two paths meet, the way up is walked once.
        path = path.union(sa.select(messages.c.address, messages.c.parent).join(path, messages.c.address == path.c.parent))
        rows = connection.execute(messages.select().where(messages.c.address.in_(sa.select(path.c.address))))
        found.update((row.address, Node(row.parent, row.role, row.content)) for row in rows)
    return found


def chain(tree: Mapping[str, Node], address: str) -> list[dict[str, Any]]:
    """Messages from the thread's first to `address`. A thread's root has no row: there the walk ends."""
    path = []
    while (node := tree.get(address)) is not None:
        path.append({"role": node.role, "content": text_of(node.parts)})
        address = node.parent
    return path[::-1]
