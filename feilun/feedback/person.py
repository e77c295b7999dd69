"""Everything about one person, for that person: what they asked and were answered, what they said of it, and what it went into."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from feilun.artifacts import list_artifacts
from feilun.feedback.export import artifacts_to_rebuild, ids_named_by
from feilun.feedback.lessons import rater_hash
from feilun.store import Store

__all__ = ["export_person"]


def export_person(store: Store, home: Path, principals: Iterable[str], path: Path) -> Counter[str]:
    """JSON lines of {"type": "completion" | "draft" | "event" | "artifact", ...}; how many there are of each.

    A completion holds the messages that led to it and its answers; a draft is one that is being written, or that a killed server left. An
    artifact names which of the events stand in it: none, where it was made from one that names them.
    """
    counts: Counter[str] = Counter()
    with path.open("w", encoding="utf-8") as stream:
        for principal in principals:
            for row in _rows(store, home, principal):
                counts[row["type"]] += 1
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return counts


def _rows(store: Store, home: Path, principal: str) -> Iterator[dict[str, Any]]:
    # In this order: what ends meanwhile is whole.
    unfinished, whole = store.drafts.of(principal), store.completions_of(principal)
    ended = {record.id for record in whole}
    for record in (*whole, *(draft for draft in unfinished if draft.id not in ended)):
        yield {
            "type": "completion" if record.id in ended else "draft", "id": record.id, "principal": principal, "end_user": record.end_user,
            "thread": record.thread_id, "model": record.model, "messages": record.messages, "answers": record.choices,
            "params": record.params, "consent": str(record.consent), "started": record.started, "finished": record.finished,
        }  # fmt: skip
    mine = store.events(principal=principal)
    for event in mine:
        yield {
            "type": "event", "id": event.id, "at": event.at, "principal": principal, "rater": rater_hash(principal),
            "target": {"id": event.target_id, "index": event.target_index}, "kind": event.kind, "value": event.value,
            "reason": list(event.reason), "consent": str(event.consent), "supersedes": event.supersedes,
        }  # fmt: skip
    ids = {event.id for event in mine}
    named = {f"lessons/{a.ref}": sorted(ids.intersection(a.manifest["counts"].get("events", ()))) for a in list_artifacts(home, "lessons")}
    ids |= ended
    roots = {
        f"{a.kind}/{a.ref}" for kind in ("lessons", "corpus") for a in list_artifacts(home, kind) if not ids.isdisjoint(ids_named_by(a))
    }
    for artifact in artifacts_to_rebuild(home, ids) if ids else ():
        ref = f"{artifact.kind}/{artifact.ref}"
        if ref in roots or not roots.isdisjoint(artifact.parents):
            roots.add(ref)
            yield {"type": "artifact", "ref": ref, "events": named.get(ref, []), "erased": artifact.is_tombstone}
