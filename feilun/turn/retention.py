"""How long what people say is kept: conversations and events that are older lose their content, here and in what was made of them.

Models stay: nobody asked to be forgotten. What is held out for good (it measures, and never teaches) stays too unless it is named,
because a receipt was judged by it; how much of that is past its time is always said.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from feilun.store import OWNER, OldEvent, OldThread, Store
from feilun.turn.sweep import Swept, sweep
from feilun.types import UserError, is_held_out

__all__ = ["Kept", "Overdue", "apply_retention", "keep_for", "kept_for", "overdue", "told_overdue"]

NOTE, APPLIED_NOTE = "retention", "retention_applied"
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Days that something is kept; 0 for ever. chat_days: a conversation after its last answer. event_days: what an event says.

    held_out: conversations and votes that never teach go by the same days.
    """

    chat_days: int = 0
    event_days: int = 0
    held_out: bool = False

    def __post_init__(self) -> None:
        for name in ("chat_days", "event_days"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name)}: allowed are 0 (for ever) and whole numbers of days")


class Overdue(NamedTuple):
    """What is past its time. held_back: conversations and events that are held out and therefore stay."""

    threads: tuple[OldThread, ...]
    events: tuple[OldEvent, ...]
    held_back: tuple[int, int]


def keep_for(store: Store, kept: Kept) -> None:
    store.note(NOTE, asdict(kept))


def kept_for(store: Store) -> Kept:
    return Kept(**(store.read_note(NOTE) or {}))


def overdue(store: Store, kept: Kept, now: float | None = None) -> Overdue:
    """What would go now; nothing is changed."""
    today = time.time() if now is None else now
    threads = store.old_threads(today - kept.chat_days * DAY_SECONDS) if kept.chat_days else []
    events = store.old_events(today - kept.event_days * DAY_SECONDS) if kept.event_days else []
    taught = store.edited_threads(OWNER)

    def measures(row: OldThread | OldEvent) -> bool:
        if row.principal == OWNER:
            return row.thread_id not in taught and is_held_out(row.thread_id)
        return is_held_out(row.principal)

    going = [thread for thread in threads if kept.held_out or not measures(thread)]
    # A conversation takes its events along.
    places = {(thread.principal, thread.thread_id) for thread in going}
    single = [event for event in events if (event.principal, event.thread_id) not in places]
    left = [event for event in single if kept.held_out or not measures(event)]
    return Overdue(tuple(going), tuple(left), (len(threads) - len(going), len(single) - len(left)))


def apply_retention(home: Path, store: Store, now: float | None = None) -> tuple[Overdue, Swept]:
    """Erase what is past its time, in the store and in what was made of it."""
    found = overdue(store, kept_for(store), now)
    store.expire(found.threads, [event.id for event in found.events])
    swept = sweep(home, store) if found.threads or found.events else Swept()
    store.note(APPLIED_NOTE, {"at": time.time() if now is None else now})
    return found, swept


def is_due(store: Store) -> bool:
    """Whether days are set and a day has gone by since they were last kept."""
    kept = kept_for(store)
    return bool(kept.chat_days or kept.event_days) and time.time() - (store.read_note(APPLIED_NOTE) or {}).get("at", 0.0) > DAY_SECONDS


def told_kept(kept: Kept) -> str:
    days = [f"{days} days" if days else "for ever" for days in (kept.chat_days, kept.event_days)]
    return f"conversations are kept {days[0]}, events {days[1]}; what is held out {'goes by the same days' if kept.held_out else 'is kept'}"


def told_overdue(found: Overdue, swept: Sequence[str], *, dry: bool) -> Iterator[str]:
    would = "would be emptied" if dry else "are empty now"
    yield f"{len(found.threads)} conversations and {len(found.events)} events past their time {would}"
    if any(found.held_back):
        threads, events = found.held_back
        yield f"{threads} conversations and {events} events past their time stay: they are held out, and receipts were judged by them"
        yield "to erase those too: feilun retention set --held-out"
    yield from (f"entombed: {ref}" for ref in swept)
