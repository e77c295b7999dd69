"""Events out, and the way from a forgotten person to what must be made again."""

import json
from collections.abc import Iterable
from pathlib import Path

from feilun.artifacts import KINDS, Artifact, list_artifacts
from feilun.feedback.lessons import rater_hash
from feilun.store import Store


def export_events(store: Store, path: Path) -> int:
    """Write every event as one JSON object a line, raters by hash, erased ones with an empty payload; the number written."""
    events = store.events()
    with path.open("w", encoding="utf-8") as stream:
        for event in events:
            row = {
                "seq": event.seq, "id": event.id, "at": event.at, "rater": rater_hash(event.principal),
                "target": {"id": event.target_id, "index": event.target_index}, "kind": event.kind, "value": event.value,
                "reason": list(event.reason), "consent": str(event.consent), "supersedes": event.supersedes, "erased": event.erased,
            }  # fmt: skip
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return len(events)


def artifacts_to_rebuild(home: Path, ids: Iterable[str]) -> list[Artifact]:
    """Every artifact that an event or an answer went into: what names it, whatever was erased before, and all that was made from those."""
    wanted = set(ids)
    everything = [artifact for kind in KINDS for artifact in list_artifacts(home, kind)]
    roots = (a for a in everything if _is_grave(a) or not wanted.isdisjoint(ids_named_by(a)))
    found = {_ref(a): a for a in roots}
    grew = bool(found)
    while grew:
        made_from = {_ref(a): a for a in everything if _ref(a) not in found and not found.keys().isdisjoint(a.parents)}
        found |= made_from
        grew = bool(made_from)
    return list(found.values())


def ids_named_by(artifact: Artifact) -> list[str]:
    """Events and completions that its manifest says went straight into it."""
    if artifact.kind not in ("lessons", "corpus"):
        return []
    counts = artifact.manifest["counts"]
    return [*counts.get("events", ()), *counts.get("completions", ())]


def _is_grave(artifact: Artifact) -> bool:
    """Erased because somebody asked for it; what only grew too old is to be unlearned by nobody."""
    grave = artifact.manifest.get("tombstone")
    return grave is not None and not grave.get("expired")


def _ref(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.ref}"
