"""Feedback events: checked, appended, never changed (but emptied by an erasure)."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from feilun.store import search, tasks
from feilun.store.identity import DESK, credential_of, digest, uuid7
from feilun.store.rows import (
    KINDS,
    REASONS,
    EventCounts,
    EventRow,
    FeedbackRequest,
    FeedbackResult,
    Giver,
    InvalidFeedback,
    KeyConflict,
    NotFound,
    NotYours,
)
from feilun.store.schema import choices, completions
from feilun.store.schema import events as events_table
from feilun.types import Consent

OUTCOMES = ("win", "tie", "both_bad")
IMPLICIT = ("copy", "regenerate", "abandon")
MAX_CHARACTERS = 100_000
MAX_KEY_CHARACTERS = 255
WHOLE = -1  # the place of a completion itself beside those of its answers


def check(request: FeedbackRequest) -> None:
    """Everything about a request that needs no table. Raises InvalidFeedback."""
    if request.kind not in KINDS:
        raise InvalidFeedback(f"kind {request.kind!r} is unknown; allowed: {', '.join(KINDS)}")
    if unknown := [reason for reason in request.reason if reason not in REASONS]:
        raise InvalidFeedback(f"reason {unknown[0]!r} is unknown; allowed: {', '.join(REASONS)}")
    if request.idempotency_key is not None and not 0 < len(request.idempotency_key) <= MAX_KEY_CHARACTERS:
        raise InvalidFeedback(f"Idempotency-Key must have 1 to {MAX_KEY_CHARACTERS} characters, found {len(request.idempotency_key)}")
    if "\0" in (request.idempotency_key or ""):
        raise InvalidFeedback("Idempotency-Key must not hold the character NUL")
    if request.value is None and request.supersedes is not None:
        return  # it takes an earlier event back
    checks = {"thumb": _check_thumb, "choice": _check_choice, "implicit": _check_implicit}
    checks.get(request.kind, _check_text)(request.value)


def _check_thumb(value: Any) -> None:
    if type(value) is not int or value not in (1, -1, 0):
        raise InvalidFeedback(f"thumb value must be 1, -1 or 0 (retract), found {value!r}")


def _check_text(value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidFeedback(f"value must be a text that is not empty, found {type(value).__name__}")
    if len(value) > MAX_CHARACTERS:
        raise InvalidFeedback(f"value has {len(value)} characters, allowed are {MAX_CHARACTERS}")


def _check_choice(value: Any) -> None:
    if not isinstance(value, Mapping) or set(value) != {"over", "outcome"} or value["outcome"] not in OUTCOMES:
        raise InvalidFeedback(f'choice value must be {{"over": [{{"id", "index"}}], "outcome": "{"|".join(OUTCOMES)}"}}')
    over = value["over"]
    if not isinstance(over, list) or not over or not all(_is_target(item) for item in over):
        raise InvalidFeedback('choice "over" must be a list of {"id": text, "index": whole number}, at least one')


def _is_target(item: Any) -> bool:
    return isinstance(item, Mapping) and set(item) == {"id", "index"} and isinstance(item["id"], str) and type(item["index"]) is int


def _check_implicit(value: Any) -> None:
    known = isinstance(value, Mapping) and set(value) == {"name", "n"} and value["name"] in IMPLICIT
    if not known or type(value["n"]) is not int or value["n"] < 1:
        raise InvalidFeedback(f'implicit value must be {{"name": "{"|".join(IMPLICIT)}", "n": 1 or more}}')


class About(NamedTuple):
    """An answer that feedback may be about; `address` of what was said, `parent` of what it replies to."""

    principal: str
    thread_id: str
    parent: str
    address: str | None


Target = tuple[str, int]


def record(connection: sa.Connection, requests: Sequence[FeedbackRequest]) -> list[FeedbackResult]:
    """Append one event a request, in their order. What one is refused for is raised, and then none of them is to be kept.

    All that is asked of the tables is asked once for all: a statement costs as much for thirty rows as for one.
    """
    answers, keyed = _answers(connection, requests), _keyed(connection, requests)
    rows: list[dict[str, Any]] = []
    results = []
    for request in requests:
        hashed, key = body_hash(request), (request.principal, request.idempotency_key)
        if key in keyed:
            results.append(_again(request, hashed, *keyed[key]))
            continue
        lent = _lent(connection, request, answers)
        about = _own(request, (request.target_id, request.target_index), answers, lent)
        if request.kind == "choice" and request.value is not None:
            _check_siblings(request, about.parent, answers, lent)
        if request.supersedes is not None:
            _append(connection, rows)  # it may be one of these
            _check_superseded(connection, request, request.supersedes)
        rows.append(_row_of(request, hashed))
        if request.kind == "edit" and request.value is not None:
            _index(connection, request, about, rows[-1])
        if request.idempotency_key is not None:
            keyed[key] = (rows[-1]["id"], hashed)
        results.append(FeedbackResult(rows[-1]["id"], "recorded" if request.supersedes is None else "superseded"))
    _append(connection, rows)
    return results


def _answers(connection: sa.Connection, requests: Iterable[FeedbackRequest]) -> dict[Target, About]:
    """Every answer of the completions that the requests name."""
    ids = {request.target_id for request in requests}
    over = (request.value["over"] for request in requests if request.kind == "choice" and request.value is not None)
    ids |= {item["id"] for items in over for item in items}
    joined = completions.outerjoin(choices, choices.c.completion_id == completions.c.id)
    about = (
        completions.c.id,
        completions.c.principal,
        completions.c.thread_id,
        completions.c.parent,
        choices.c.choice_index,
        choices.c.address,
    )
    wanted = sa.select(*about).select_from(joined).where(completions.c.id.in_(sorted(ids)), completions.c.erased == 0)
    found: dict[Target, About] = {}
    for completion_id, principal, thread_id, parent, index, address in connection.execute(wanted):
        found[completion_id, WHOLE] = About(principal, thread_id, parent, None)
        if index is not None:
            found[completion_id, index] = About(principal, thread_id, parent, address)
    return found


def _keyed(connection: sa.Connection, requests: Iterable[FeedbackRequest]) -> dict[tuple[str, str | None], tuple[str, str]]:
    """(id, hash of the body) of the events that bear the keys of these requests."""
    keys = [(request.principal, request.idempotency_key) for request in requests if request.idempotency_key is not None]
    if not keys:
        return {}
    # Joined, for SQLite reads the whole table where pairs of columns stand IN a list of pairs.
    wanted, row = sa.func.json_each(json.dumps(keys)).table_valued("value"), events_table.c
    principal, key = (sa.func.json_extract(wanted.c.value, f"$[{place}]") for place in (0, 1))
    same_key = sa.and_(row.principal == principal, row.idempotency_key == key)
    found = sa.select(row.principal, row.idempotency_key, row.id, row.body_hash).select_from(wanted).join(events_table, same_key)
    return {(known[0], known[1]): (known[2], known[3]) for known in connection.execute(found)}


def _again(request: FeedbackRequest, hashed: str, event_id: str, known_hash: str) -> FeedbackResult:
    if known_hash != hashed:
        raise KeyConflict(f"Idempotency-Key {request.idempotency_key!r} was used with another body (event {event_id}); use a new key")
    return FeedbackResult(event_id, "duplicate")


def _row_of(request: FeedbackRequest, hashed: str) -> dict[str, Any]:
    event_id = uuid7()
    return {
        "id": event_id, "at": time.time(), "principal": request.principal, "target_id": request.target_id,
        "target_index": request.target_index, "kind": request.kind, "value": request.value, "reason": list(request.reason),
        "consent": str(request.consent), "slot": slot(request, event_id), "supersedes": request.supersedes,
        "retracts": int(request.value is None or (request.kind == "thumb" and request.value == 0)),
        "idempotency_key": request.idempotency_key, "body_hash": hashed, "erased": 0,
    }  # fmt: skip


def _append(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(events_table.insert(), rows)
        rows.clear()


def slot(request: FeedbackRequest, event_id: str) -> str:
    """The place a vote fills: a rater has one thumb and one edit for an answer, one choice for a set of siblings."""
    target = (request.target_id, request.target_index)
    if request.value is None:
        # An event taken back is superseded, and what it had replaced stays replaced. A retraction in its own slot would also put out
        # whatever came after it: a late "undo" of the first edit must leave the second one alone.
        return event_id
    if request.kind in ("thumb", "edit"):
        return digest(request.kind, target)
    if request.kind == "choice":
        return digest(request.kind, sorted([target, *((item["id"], item["index"]) for item in request.value["over"])]))
    return event_id


def body_hash(request: FeedbackRequest) -> str:
    return digest(
        request.target_id, request.target_index, request.kind, request.value, request.reason, str(request.consent), request.supersedes
    )


def _lent(connection: sa.Connection, request: FeedbackRequest, answers: Mapping[Target, About]) -> frozenset[str]:
    """Answers of a labelling task that this rater was shown: they may be compared, and nothing else."""
    whole = answers.get((request.target_id, WHOLE))
    if whole is None or whole.principal != DESK or request.kind != "choice":
        return frozenset()
    return tasks.lent(connection, request.principal, whole.thread_id)


def _own(request: FeedbackRequest, target: Target, answers: Mapping[Target, About], lent: frozenset[str] = frozenset()) -> About:
    """The answer; the one place that decides whose it is. lent: answers that the rater was shown to judge."""
    completion_id, index = target
    whole = answers.get((completion_id, WHOLE))
    if whole is None or (completion_id not in lent and _is_strangers(whole.principal, request.principal)):
        raise NotFound(f"no completion {completion_id!r}; the target is the id of an answer from this server")
    if whole.principal != request.principal and completion_id not in lent:
        raise NotYours(f"completion {completion_id!r} belongs to another user; feedback is given with the credential that asked")
    if index < 0 or target not in answers:
        raise NotFound(f"completion {completion_id!r} has no choice with index {index}")
    return answers[target]


def _is_strangers(principal: str, speaker: str) -> bool:
    """Of another credential. Nobody learns from us that such a thing exists; whose of its own users a thing is, a credential may know."""
    return credential_of(principal) != credential_of(speaker)


def _check_siblings(request: FeedbackRequest, parent: str, answers: Mapping[Target, About], lent: frozenset[str]) -> None:
    seen = {(request.target_id, request.target_index)}
    for item in request.value["over"]:
        other = (item["id"], item["index"])
        if other in seen:
            raise InvalidFeedback(f"choice names {other[0]!r} index {other[1]} twice; each answer stands once, the winner only in target")
        seen.add(other)
        if _own(request, other, answers, lent).parent != parent:
            raise InvalidFeedback(f"choice compares answers to different messages ({other[0]!r}); only siblings can be compared")


def _check_superseded(connection: sa.Connection, request: FeedbackRequest, event_id: str) -> None:
    row = events_table.c
    wanted = sa.select(row.principal, row.kind, row.target_id, row.target_index, row.retracts).where(row.id == event_id)
    found = connection.execute(wanted).first()
    if not found or _is_strangers(found.principal, request.principal):
        raise NotFound(f"no event {event_id!r} to supersede")
    if found.principal != request.principal:
        raise NotYours(f"event {event_id!r} belongs to another user; only an own event can be superseded")
    if request.value is None:
        if (found.kind, found.target_id, found.target_index) != (request.kind, request.target_id, request.target_index):
            message = f"event {event_id!r} is of kind {found.kind} on {found.target_id!r} index {found.target_index}"
            raise InvalidFeedback(f"{message}; to take it back, name this kind and this target")
        if found.retracts:
            raise InvalidFeedback(f"event {event_id!r} itself took something back; give the feedback again instead")


def _index(connection: sa.Connection, request: FeedbackRequest, about: About, row: Mapping[str, Any]) -> None:
    """What an answer was corrected to can be searched as if it had been said."""
    assert about.address is not None
    search.add(connection, request.principal, [search.Passage(about.address, about.thread_id, request.value, row["at"], row["id"])])


def last_seq(connection: sa.Connection, principal: str | None) -> int:
    mine = sa.true() if principal is None else events_table.c.principal == principal
    return connection.execute(sa.select(sa.func.max(events_table.c.seq)).where(mine)).scalar() or 0


def events(connection: sa.Connection, after_seq: int, limit: int | None, principal: str | None) -> list[EventRow]:
    wanted = events_table.select().where(events_table.c.seq > after_seq).order_by(events_table.c.seq).limit(limit)
    mine = wanted if principal is None else wanted.where(events_table.c.principal == principal)
    return [_row(found) for found in connection.execute(mine)]


def givers(connection: sa.Connection, upto_seq: int) -> list[Giver]:
    row = events_table.c
    about = (sa.case((row.erased == 1, ""), else_=row.principal).label("principal"), row.consent, row.erased)
    # One row a person instead of one an event; an id holds no space.
    wanted = sa.select(*about, sa.func.aggregate_strings(row.id, " ")).where(row.seq <= upto_seq).group_by(*about)
    return [Giver(principal, consent, erased, ids.split(" ")) for principal, consent, erased, ids in connection.execute(wanted)]


def counts(connection: sa.Connection, upto_seq: int) -> EventCounts:
    row = events_table.c
    retracting = sa.case(((row.erased == 0) & (row.retracts == 1), 1), else_=0)
    found = sa.select(sa.func.count(), *(sa.func.coalesce(sa.func.sum(column), 0) for column in (row.erased, retracting)))
    return EventCounts(*connection.execute(found.where(row.seq <= upto_seq)).one())


def _row(found: sa.Row[Any]) -> EventRow:
    row = found._mapping
    same = ("seq", "id", "at", "principal", "target_id", "target_index", "kind", "value", "supersedes")
    return EventRow(
        **{name: row[name] for name in same}, reason=tuple(row["reason"]), consent=Consent(row["consent"]), erased=bool(row["erased"])
    )
