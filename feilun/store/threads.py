"""Conversations as a page shows them: one list, and each as one tree.

What is asked under an edited answer is stored under a copy of that answer with the edited text, because that is what the model saw; so
an address stays the hash of what led to it. A page shows one node for the answer and all its copies: `_shown_addresses` folds them.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store import search
from feilun.store.chunks import in_chunks
from feilun.store.identity import DESK, address_of, root_address, text_of
from feilun.store.rows import Answered, Hit, ShownMessage, Standing, Talk, Thread, ThreadRow
from feilun.store.schema import choices, completions, events, messages, vote_spans
from feilun.store.votes import NARROWEST_FIRST, plainly, stands_now
from feilun.types import Consent

TITLE_CHARS = 60
ANSWERS_A_THREAD = 8


class Spoken(NamedTuple):
    """An answer of a thread, with where it stands."""

    address: str
    finished: float
    answered: Answered


def listed(connection: sa.Connection, principal: str, limit: int, before: float | None) -> list[ThreadRow]:
    rows = _newest(connection, principal, limit, before)
    ids = [row.thread_id for row in rows]
    named, counted = titles(connection, principal, ids), _num_answers(connection, principal, ids)
    return [ThreadRow(row.thread_id, named.get(row.thread_id, ""), row.at, counted.get(row.thread_id, 0)) for row in rows]


def _newest(connection: sa.Connection, principal: str, limit: int, before: float | None) -> Sequence[sa.Row[Any]]:
    """(thread, its newest answer's end) of the newest conversations: so many answers are read, newest first, as it takes to meet them."""
    earlier = sa.true() if before is None else completions.c.finished < before
    whole = sa.select(completions.c.thread_id, completions.c.finished).where(completions.c.principal == principal, earlier)
    num_read = ANSWERS_A_THREAD * limit
    while True:
        some = whole.order_by(completions.c.finished.desc()).limit(num_read).subquery()
        at = sa.func.max(some.c.finished).label("at")
        met = sa.select(some.c.thread_id, at, sa.func.count().label("num")).group_by(some.c.thread_id).order_by(at.desc())
        rows = connection.execute(met).all()
        found = [row for row in rows if before is None or not _goes_on(connection, principal, row.thread_id, before)][:limit]
        if len(found) == limit or sum(row.num for row in rows) < num_read:
            return found
        num_read *= ANSWERS_A_THREAD


def _goes_on(connection: sa.Connection, principal: str, thread_id: str, at: float) -> bool:
    """Whether an answer of the conversation ended then or later."""
    mine = (completions.c.principal == principal) & (completions.c.thread_id == thread_id)
    return connection.execute(sa.select(completions.c.id).where(mine, completions.c.finished >= at).limit(1)).first() is not None


def talks(connection: sa.Connection) -> list[Talk]:
    """Every conversation of everybody, in an order that does not change."""
    about = completions.c
    wanted = sa.select(about.principal, about.thread_id, about.id, about.parent, about.consent).where(
        about.erased == 0, about.principal != DESK
    )
    found: dict[tuple[str, str], tuple[list[str], dict[str, Consent]]] = {}
    for row in connection.execute(wanted.order_by(about.principal, about.thread_id, about.started, about.id)):
        ids, consents = found.setdefault((row.principal, row.thread_id), ([], {}))
        ids.append(row.id)
        given = Consent(row.consent)
        consents[row.parent] = min(given, consents.get(row.parent, given), key=NARROWEST_FIRST.index)
    return [Talk(*key, tuple(ids), consents) for key, (ids, consents) in found.items()]


def titles(connection: sa.Connection, principal: str, thread_ids: Collection[str]) -> dict[str, str]:
    """The beginning of each conversation's first question: of its first answer, the topmost message of a user."""
    named, first = sa.func.json_each(json.dumps(list(thread_ids))).table_valued("value"), completions.c
    mine = (first.principal == principal) & (first.thread_id == named.c.value)
    asked = sa.select(first.parent).where(mine).order_by(first.started).limit(1).correlate(named).scalar_subquery()
    columns = (messages.c.parent, messages.c.role, messages.c.content)
    last = sa.select(named.c.value.label("thread_id"), *columns, sa.literal(0).label("up"))
    path = last.select_from(named.join(messages, messages.c.address == asked)).cte("path", recursive=True)
    above = messages.join(path, messages.c.address == path.c.parent)
    path = path.union_all(sa.select(path.c.thread_id, *columns, path.c.up + 1).select_from(above))
    rows = connection.execute(sa.select(path.c.thread_id, path.c.content).where(path.c.role == "user").order_by(path.c.up))
    return {row.thread_id: title_of(text_of(row.content)) for row in rows}


def title_of(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= TITLE_CHARS else flat[: TITLE_CHARS - 1] + "…"


def _num_answers(connection: sa.Connection, principal: str, thread_ids: Collection[str]) -> dict[str, int]:
    joined = completions.join(choices, choices.c.completion_id == completions.c.id)
    wanted = sa.select(completions.c.thread_id, sa.func.count()).select_from(joined).group_by(completions.c.thread_id)
    mine = (completions.c.principal == principal) & completions.c.thread_id.in_(list(thread_ids))
    return {row[0]: row[1] for row in connection.execute(wanted.where(mine))}


def whole(connection: sa.Connection, principal: str, thread_id: str) -> Thread | None:
    """The conversation; None unless it is one of this principal's."""
    mine = (completions.c.principal == principal) & (completions.c.thread_id == thread_id)
    asked = connection.execute(completions.select().where(mine).order_by(completions.c.started, completions.c.id)).all()
    if not asked:
        return None
    root = root_address(principal, thread_id)
    stored = _stored(connection, root)
    spoken = _spoken(connection, principal, asked)
    shown = _shown_addresses(stored, root, _edited(connection, principal, asked), {answer.address for answer in spoken})
    times = _times(stored, asked, spoken)
    newest = {row.parent: row.started for row in asked}
    tree = [
        message._replace(asked=_by_time(message.stored, newest)) for message in _messages(stored, shown, spoken, times, {root: thread_id})
    ]
    first = min((m for m in tree if m.role == "user"), key=lambda m: m.at, default=None)
    consent = Consent(max(asked, key=lambda row: row.started).consent)
    return Thread(thread_id, title_of(first.text) if first else "", consent, tuple(tree))


def _stored(connection: sa.Connection, root: str) -> dict[str, sa.Row[Any]]:
    """Every message below a root by its address, parents first."""
    below = sa.select(messages, sa.literal(0).label("depth")).where(messages.c.parent == root).cte("below", recursive=True)
    below = below.union_all(sa.select(messages, below.c.depth + 1).join(below, messages.c.parent == below.c.address))
    return {row.address: row for row in connection.execute(sa.select(below).order_by(below.c.depth))}


def _spoken(connection: sa.Connection, principal: str, asked: Iterable[sa.Row[Any]]) -> list[Spoken]:
    by_id = {row.id: row for row in asked}
    standing = _standing(connection, principal, by_id)
    found = []
    for choice in _among(connection, choices.select().order_by(choices.c.choice_index), choices.c.completion_id, by_id):
        row, key = by_id[choice.completion_id], (choice.completion_id, choice.choice_index)
        answered = Answered(
            id=choice.completion_id, index=choice.choice_index, model=row.model, engine=row.decision["engine"],
            finish_reason=choice.finish_reason, num_tokens=choice.num_tokens, seconds=row.finished - row.started,
            consent=Consent(row.consent).value, standing=standing.get(key, Standing()),
        )  # fmt: skip
        found.append(Spoken(choice.address, row.finished, answered))
    return found


def _among(connection: sa.Connection, wanted: sa.Select[Any], column: sa.ColumnElement[str], ids: Iterable[str]) -> Iterable[sa.Row[Any]]:
    for some in in_chunks(ids):
        yield from connection.execute(wanted.where(column.in_(some)))


def _standing(connection: sa.Connection, principal: str, ids: Iterable[str]) -> dict[tuple[str, int], Standing]:
    view = vote_spans.c
    now = stands_now() & view.kind.in_(("thumb", "edit")) & (plainly(view.principal) == principal)
    found: dict[tuple[str, int], Standing] = {}
    for row in _among(connection, sa.select(vote_spans).where(now).order_by(view.seq), view.target_id, ids):
        key = (row.target_id, row.target_index)
        known = found.get(key, Standing())
        if row.kind == "thumb":
            found[key] = known._replace(thumb=row.value, reason=tuple(row.reason))
        else:
            found[key] = known._replace(edit=row.value, edit_id=row.id)
    return found


def _edited(connection: sa.Connection, principal: str, asked: Iterable[sa.Row[Any]]) -> dict[tuple[str, str], str]:
    """(address of the question, text of an edit, standing or not) -> address of the answer that it corrected."""
    joined = events.join(choices, (choices.c.completion_id == events.c.target_id) & (choices.c.choice_index == events.c.target_index))
    mine = (plainly(events.c.principal) == principal) & (events.c.kind == "edit") & (events.c.retracts == 0)
    wanted = sa.select(events.c.target_id, events.c.value, choices.c.address).select_from(joined).where(mine)
    parents = {row.id: row.parent for row in asked}
    found = _among(connection, wanted.order_by(events.c.seq), events.c.target_id, parents)
    return {(parents[row.target_id], row.value): row.address for row in found}


def _shown_addresses(
    stored: Mapping[str, sa.Row[Any]], root: str, edited: Mapping[tuple[str, str], str], spoken: Collection[str]
) -> dict[str, str]:
    """Stored address -> address of the node that a page shows for it: the hash of the shown parent, role and text.

    A message nobody generated, with the text of an edit, is the answer that the edit corrected.
    """
    shown = {root: root}
    corrected: dict[tuple[str, str], str] = {}
    by_question: dict[str, list[tuple[str, str]]] = {}
    for (question, text), answer in edited.items():
        by_question.setdefault(question, []).append((text, answer))
    for address, row in stored.items():
        parent = shown[row.parent]
        shown[address] = address_of(parent, row.role, row.content)
        if row.role == "assistant" and address not in spoken:
            shown[address] = corrected.get((parent, text_of(row.content)), shown[address])
        for text, answer in by_question.get(address, ()):
            corrected[shown[address], text] = address_of(shown[address], "assistant", stored[answer].content)
    return shown


def _times(stored: Mapping[str, sa.Row[Any]], asked: Iterable[sa.Row[Any]], spoken: Iterable[Spoken]) -> dict[str, float]:
    """When each message was said: asked, answered, or else when what follows it was."""
    times: dict[str, float] = {}
    for at, address in [*((row.started, row.parent) for row in asked), *((answer.finished, answer.address) for answer in spoken)]:
        times[address] = min(at, times.get(address, at))
    said = dict(times)
    for address, row in reversed(list(stored.items())):
        if row.parent not in said and address in times:
            times[row.parent] = min(times[address], times.get(row.parent, times[address]))
    return times


def _messages(
    stored: Mapping[str, sa.Row[Any]],
    shown: Mapping[str, str],
    spoken: Iterable[Spoken],
    times: Mapping[str, float],
    root: Mapping[str, str],
) -> list[ShownMessage]:
    copies: dict[str, list[str]] = {}
    for address in stored:
        copies.setdefault(shown[address], []).append(address)
    answers: dict[str, list[Spoken]] = {}
    for answer in spoken:
        answers.setdefault(shown[answer.address], []).append(answer)
    found = []
    for address, same in copies.items():
        given = answers.get(address, ())
        # An answer's own text, where a copy of it holds a corrected one.
        row = stored[given[0].address if given else same[0]]
        parent = shown[row.parent]
        at = min(times[copy] for copy in same)
        found.append(ShownMessage(address, root.get(parent, parent), row.role, text_of(row.content), at, _answered(given), tuple(same)))
    return sorted(found, key=lambda m: (m.at, m.answer.index if m.answer else 0))


def _by_time(addresses: Iterable[str], times: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted((address for address in addresses if address in times), key=times.__getitem__))


def _answered(given: Iterable[Spoken]) -> Answered | None:
    """Of equal answers to one question, the one that its reader spoke about, else the first."""
    ranked = sorted(given, key=lambda spoken: (spoken.answered.standing == Standing(), spoken.finished))
    return ranked[0].answered if ranked else None


def search_hits(connection: sa.Connection, principal: str, query: str, limit: int) -> list[Hit]:
    found = search.find(connection, principal, query, limit)
    threads = {hit.thread_id: None for hit in found}
    named = titles(connection, principal, threads)
    rows = {row.address: row for row in _among(connection, messages.select(), messages.c.address, {hit.address for hit in found})}
    values = _standing_edits(connection, principal, [hit.event_id for hit in found if hit.event_id])
    places = _shown_in(connection, principal, threads, {hit.address for hit in found})
    hits: dict[tuple[str, str], Hit] = {}
    for hit in found:
        if hit.address not in rows or (hit.event_id and hit.event_id not in values):
            continue
        row = rows[hit.address]
        text = values[hit.event_id] if hit.event_id else text_of(row.content)
        address = places.get(hit.address, hit.address)
        given = Hit(hit.thread_id, named.get(hit.thread_id, ""), address, row.role, text, search.marks(text, query), hit.at)
        hits.setdefault((hit.thread_id, address), given)
    return list(hits.values())


def _standing_edits(connection: sa.Connection, principal: str, event_ids: Iterable[str]) -> dict[str, str]:
    view = vote_spans.c
    now = stands_now() & (plainly(view.principal) == principal)
    rows = _among(connection, sa.select(view.id, view.value).where(now), view.id, event_ids)
    return {row.id: row.value for row in rows}


def _shown_in(connection: sa.Connection, principal: str, thread_ids: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """Where a page shows the wanted messages, of those conversations in which an answer was ever edited; elsewhere at their own address."""
    edits = (plainly(events.c.principal) == principal) & (events.c.kind == "edit")
    joined = completions.join(events, events.c.target_id == completions.c.id)
    about = sa.select(completions.c.thread_id).distinct().select_from(joined).where(edits, completions.c.principal == principal)
    found: dict[str, str] = {}
    for row in list(_among(connection, about, completions.c.thread_id, thread_ids)):
        thread = whole(connection, principal, row.thread_id)
        pairs = ((copy, message.address) for message in (thread.messages if thread else ()) for copy in message.stored)
        found.update((copy, address) for copy, address in pairs if copy in wanted)
    return found
