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


def artifacts_to_rebuild(home: Path, event_ids: Iterable[str]) -> list[Artifact]:
    """Every artifact that an event went into: the lessons that name it, and all that was made from those, lessons first."""
    wanted = set(event_ids)
    everything = [artifact for kind in KINDS for artifact in list_artifacts(home, kind)]
    found = {_ref(a): a for a in everything if a.kind == "lessons" and wanted & set(a.manifest["counts"].get("events", ()))}
    grew = True
    while grew:
        made_from = {_ref(a): a for a in everything if _ref(a) not in found and any(parent in found for parent in a.parents)}
        found |= made_from
        grew = bool(made_from)
    return list(found.values())


def _ref(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.ref}"
