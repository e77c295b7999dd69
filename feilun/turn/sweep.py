"""What an erasure leaves to do outside the store: artifacts that hold what went are entombed, receipts blanked, models set aside.

It follows the ids of erased events and answers from the lessons and corpora that name them through all that was made from those, so it
can be done again at any time, and whoever dies in the middle of it leaves nothing that the next sweep does not find.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from feilun.artifacts import Artifact, draft, entomb, list_artifacts, read_json, read_rows, redact, write_rows
from feilun.feedback import artifacts_to_rebuild, rater_hash
from feilun.store import EXPIRED, Store

__all__ = ["LEARNED", "Swept", "prune_imported", "ref_of", "sweep", "sweep_if_owed"]

LEARNED = "it learned from what was erased since"
SWEPT_NOTE = "swept"
HOLD_WORDS = ("lessons", "corpus", "tokens")
# Shorter texts are said by anybody, and lead to nobody.
LEAST_BYTES = 16


class Swept(NamedTuple):
    """Refs. entombed, blanked: by this sweep; models: all that learned from what was erased, so that they are to be made again."""

    entombed: tuple[str, ...] = ()
    blanked: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def ref_of(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.ref}"


def sweep_if_owed(home: Path, store: Store) -> Swept:
    """A sweep, if there was an erasure since the last one."""
    epoch = store.erasure_epoch()
    return sweep(home, store) if epoch != (store.read_note(SWEPT_NOTE) or {}).get("epoch", 0) else Swept()


def sweep(home: Path, store: Store) -> Swept:
    """Take out of the home's artifacts what was erased in the store; models stay, but only the champion may still answer."""
    epoch = store.erasure_epoch()
    erasures = store.erasures()
    erased = frozenset(name for erasure in erasures for name in (*erasure.event_ids, *erasure.completion_ids))
    asked = frozenset(name for e in erasures if e.subject != EXPIRED for name in (*e.event_ids, *e.completion_ids))
    entombed, blanked, models = [], [], []
    unlearn = {ref_of(artifact) for artifact in artifacts_to_rebuild(home, asked)}
    touched = artifacts_to_rebuild(home, erased)
    for artifact in touched:
        ref, is_grave = ref_of(artifact), artifact.is_tombstone
        if artifact.kind == "models":
            models += [ref] if ref in unlearn and not is_grave else []
        elif is_grave or artifact.kind in HOLD_WORDS or _asks_lessons(artifact):
            entomb(artifact, {"why": "it held what was erased"} if ref in unlearn else {"why": "its time is over", "expired": True})
            entombed += [] if is_grave else [ref]
        elif artifact.kind == "runs" and _blank(artifact, erased):
            blanked.append(ref)
    _clear_runs(home, [artifact.ref for artifact in touched])
    champion = store.champion()
    store.quarantine([ref for ref in models if champion is None or ref != champion.model], LEARNED)
    if store.candidate() in models:
        store.set_candidate(None)
    store.note(SWEPT_NOTE, {"epoch": epoch})
    return Swept(tuple(entombed), tuple(blanked), tuple(models))


def _asks_lessons(artifact: Artifact) -> bool:
    """An exam whose questions people asked."""
    return artifact.kind == "exams" and any(parent.startswith("lessons/") for parent in artifact.parents)


def _blank(artifact: Artifact, erased: frozenset[str]) -> bool:
    """Empty the texts of a receipt's rows that name an erased event; its figures stay. False where there were none."""
    changed = {}
    for path in sorted(artifact.path.glob("*.json")):
        if path.name != "manifest.json":
            before = read_json(path)
            after = _blanked(before, erased)
            if after != before:
                changed[path.name] = json.dumps(after, ensure_ascii=False, indent=1).encode() + b"\n"
    if changed:
        redact(artifact, changed, {"why": "it held what was erased"})
    return bool(changed)


def _blanked(value: Any, erased: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_blanked(item, erased) for item in value]
    if not isinstance(value, dict):
        return value
    events = value.get("events")
    if isinstance(events, list) and any(event in erased for event in events):
        return {key: item if key == "events" else _emptied(item) for key, item in value.items()} | {"erased": True}
    return {key: _blanked(item, erased) for key, item in value.items()}


def _emptied(value: Any) -> Any:
    if isinstance(value, str):
        return ""
    if isinstance(value, list):
        return [_emptied(item) for item in value]
    return {key: _emptied(item) for key, item in value.items()} if isinstance(value, dict) else value


def _clear_runs(home: Path, refs: Iterable[str]) -> None:
    """Of training runs that were told one of these refs: samples and checkpoints go, and all of a run that came to no end."""
    wanted = set(refs)
    for told in sorted((home / "runs").glob("*/resolved.json")):
        if not _texts_in(read_json(told)).isdisjoint(wanted):
            folder = told.parent
            if not (folder / "done.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for name in ("samples.jsonl", "checkpoint.pt", ".checkpoint.pt.*"):
                for path in folder.glob(name):
                    path.unlink(missing_ok=True)


def _texts_in(value: Any) -> set[str]:
    """Every text of a JSON value; of a full ref also without its kind."""
    if isinstance(value, str):
        return {value, value.rpartition("/")[2]}
    items: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {text for item in items for text in _texts_in(item)}


def prune_imported(home: Path, words: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Imported lessons without the rows that hold one of these texts as a whole message, or that these people gave: {old ref: new ref}.

    What a file brought names no event, so it is found by its words. The old artifact is entombed and names the new one.
    names: what the other program may have called them.
    """
    wanted = {text.strip() for text in words if len(text.strip().encode()) >= LEAST_BYTES}
    replaced = {}
    for artifact in list_artifacts(home, "lessons"):
        if "imported" in artifact.manifest["recipe"] and not artifact.is_tombstone:
            files = {path.name: read_rows(path) for path in sorted(artifact.path.glob("*.jsonl"))}
            source = artifact.manifest["recipe"].get("from", "")
            raters = {rater_hash(f"import:{source}/{name}") for name in names}
            kept = {name: [row for row in rows if not _is_theirs(row, wanted, raters)] for name, rows in files.items()}
            if kept != files:
                replaced[ref_of(artifact)] = _replace(home, artifact, files, kept)
    return replaced


def _is_theirs(row: Mapping[str, Any], wanted: set[str], raters: Collection[str]) -> bool:
    return row.get("rater") in raters or any(text.strip() in wanted for text in _texts_in(row))


def _replace(home: Path, old: Artifact, files: Mapping[str, list[Any]], kept: Mapping[str, list[Any]]) -> str:
    num_left_out = sum(map(len, files.values())) - sum(map(len, kept.values()))
    with draft(home, "lessons", old.name, recipe={**old.manifest["recipe"], "without_erased": num_left_out}) as work:
        for name, rows in kept.items():
            write_rows(work.path / name, rows)
        work.counts |= {**old.manifest["counts"], "rows": len(kept.get("sft.jsonl", ())), "erased": num_left_out}
    assert work.artifact is not None
    entomb(old, {"why": "it held what was erased", "successor": ref_of(work.artifact)})
    return ref_of(work.artifact)
