"""What stands: the view of current votes joined with the answers they are about. Lessons, pages and gates all read this."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store.chunks import in_chunks
from feilun.store.completions import Node, chain, nodes
from feilun.store.identity import text_of
from feilun.store.rows import CurrentVote, Sibling
from feilun.store.schema import choices, completions, events, vote_spans
from feilun.types import Consent

NARROWEST_FIRST = (Consent.SERVE, Consent.IMPROVE, Consent.PUBLISH)
# Written out, for a database takes an index of some rows only where it can read of which.
ONLY_TO_SERVE = (completions.c.consent == sa.literal_column("'serve'")) & (completions.c.erased == sa.literal_column("0"))


class Spoken(NamedTuple):
    """Where an answer stands in the tree, and which model gave it."""

    address: str
    model: str


def current(connection: sa.Connection, upto_seq: int | None, principal: str | None, after_seq: int = 0) -> list[CurrentVote]:
    """In order of seq. after_seq: only those of later events."""
    rows = connection.execute(_joined(upto_seq, principal, after_seq)).mappings().all()
    siblings = _siblings(connection, rows)
    tree = nodes(
        connection, [*(row["parent"] for row in rows), *(row["address"] for row in rows), *(spoken.address for spoken in siblings.values())]
    )
    private = asked_privately(connection, tree)
    return [_vote(row, tree, siblings, private) for row in rows]


def count(connection: sa.Connection) -> int:
    whole = _joined(None, None, 0).order_by(None).with_only_columns(sa.func.count())
    return connection.execute(whole).scalar_one()


def asked_privately(connection: sa.Connection, among: Iterable[str]) -> frozenset[str]:
    """Those of these addresses at which a question stands whose answer was only to serve: what has one before it may do no more."""
    wanted = sa.func.json_each(json.dumps(list(among))).table_valued("value")
    private = wanted.join(completions, completions.c.parent == wanted.c.value)
    return frozenset(connection.execute(sa.select(completions.c.parent).select_from(private).where(ONLY_TO_SERVE)).scalars())


def plainly(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The column as a value that no index serves.

    Of two indexes SQLite takes the first that fits: that of all a principal ever said, where that of the few answers asked about is meant.
    """
    return column.concat("")


def stands_now() -> sa.ColumnElement[bool]:
    """Nothing has come in this vote's place."""
    return vote_spans.c.replaced_seq.is_(None) & vote_spans.c.superseded_seq.is_(None)


def _joined(upto_seq: int | None, principal: str | None, after_seq: int) -> sa.Select[Any]:
    view, newest = vote_spans.c, upto_seq
    ends = (view.replaced_seq, view.superseded_seq)
    stands: list[sa.ColumnElement[bool]] = [stands_now()]
    if newest is not None:
        stands = [view.seq <= newest, *(end.is_(None) | (end > newest) for end in ends)]
    if principal is not None:
        stands.append(view.principal == principal)
    if after_seq:
        stands.append(view.seq > after_seq)
    about = completions.c
    answer = (choices.c.completion_id == view.target_id) & (choices.c.choice_index == view.target_index)
    columns = [about.thread_id, about.model, about.parent, about.consent.label("completion_consent"), choices.c.address]
    joined = vote_spans.join(completions, about.id == view.target_id).join(choices, answer)
    return sa.select(vote_spans, *columns).select_from(joined).where(*stands, about.erased == 0).order_by(view.seq)


def _siblings(connection: sa.Connection, rows: Any) -> dict[tuple[str, int], Spoken]:
    wanted = {(item["id"], item["index"]) for row in rows if row["kind"] == "choice" for item in row["value"]["over"]}
    joined = sa.select(choices, completions.c.model).join(completions, completions.c.id == choices.c.completion_id)
    found = {}
    for some in in_chunks(sorted({completion_id for completion_id, _ in wanted})):
        for choice in connection.execute(joined.where(choices.c.completion_id.in_(some))):
            found[choice.completion_id, choice.choice_index] = Spoken(choice.address, choice.model)
    return {key: found[key] for key in sorted(wanted)}


def _vote(row: sa.RowMapping, tree: Mapping[str, Node], siblings: Mapping[tuple[str, int], Spoken], private: frozenset[str]) -> CurrentVote:
    same = ("seq", "id", "at", "principal", "target_id", "target_index", "kind", "value", "thread_id", "model")
    over = [(item["id"], item["index"]) for item in row["value"]["over"]] if row["kind"] == "choice" else []
    return CurrentVote(
        **{name: row[name] for name in same},
        reason=tuple(row["reason"]),
        consent=min(Consent(row["consent"]), _consent_of(row, tree, private), key=NARROWEST_FIRST.index),
        prompt=tuple(chain(tree, row["parent"])),
        answer=text_of(tree[row["address"]].parts),
        over=tuple(_sibling(key, tree, siblings[key]) for key in over),
    )


def _consent_of(row: sa.RowMapping, tree: Mapping[str, Node], private: frozenset[str]) -> Consent:
    """Of the answer; where a message before it was said in private, no more than to serve."""
    return Consent.SERVE if said_privately(row["parent"], tree, private) else Consent(row["completion_consent"])


def said_privately(address: str, tree: Mapping[str, Node], private: frozenset[str]) -> bool:
    """Whether a message on the way to `address` was asked only to be served."""
    while private and (node := tree.get(address)) is not None:
        if address in private:
            return True
        address = node.parent
    return False


def _sibling(key: tuple[str, int], tree: Mapping[str, Node], spoken: Spoken) -> Sibling:
    return Sibling(id=key[0], index=key[1], text=text_of(tree[spoken.address].parts), model=spoken.model)


def edited_threads(connection: sa.Connection, principal: str, upto_seq: int | None) -> frozenset[str]:
    # An edit that was taken back counts: while it stood, a turn may have taught with this thread, and what once taught must never
    # come to be held out and measure. So does one that was erased when its time was over, whose own row names nobody any more: only
    # whom an answer belongs to can edit it.
    wanted = sa.select(completions.c.thread_id).distinct().join(events, events.c.target_id == completions.c.id)
    wanted = wanted.where(completions.c.principal == principal, completions.c.erased == 0, events.c.kind == "edit")
    if upto_seq is not None:
        wanted = wanted.where(events.c.seq <= upto_seq)
    return frozenset(connection.execute(wanted).scalars())
