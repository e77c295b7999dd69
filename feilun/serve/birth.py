"""How the first generation was made, or is being made now: its text, its loss, and what it wrote on the way."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feilun.serve.archive import artifact_of, grown, json_of, run_log, run_told
from feilun.store import Store

__all__ = ["Run", "birth", "growth_version"]

STAGES = ("pretrain", "sft")
MAX_GENERATIONS = 1000
Run = dict[str, Any]
Note = Mapping[str, Any]


def birth(home: Path, note: Note, model: str) -> dict[str, Any]:
    """{"making": stage or null, "corpus": facts or null, "runs": [...], "samples": [{"step", "prompt", "text"}]}."""
    runs = runs_of(home, note, model)
    told = next((run_told(home, run["name"]) for run in runs if run["stage"] == "pretrain"), {})
    samples = [row for run in runs if run["stage"] == "pretrain" for row in run_log(home, run["name"], "samples.jsonl")]
    corpus = note.get("corpus") or told.get("settings", {}).get("corpus", "")
    return {
        "making": note.get("stage") if note.get("stage") not in (None, "done") and not model else None,
        "corpus": corpus_facts(home, corpus), "runs": runs, "samples": [row for row in samples if is_sample(row)],
    }  # fmt: skip


def runs_of(home: Path, note: Note, model: str) -> list[Run]:
    """Pretrain and sft behind the note's run, else behind `model`: {"stage", "name", "num_steps", "curve": [(step, loss)], "seconds"}."""
    names = list(walk(home, note.get("run") or run_of(home, model)))
    found = [(name, run_told(home, name)) for name in reversed(names)]
    return [describe(home, name, told) for name, told in found if told["stage"] in STAGES]


def walk(home: Path, name: str) -> Iterator[str]:
    """A run, then the run that made what it began with, and so on."""
    for _ in range(MAX_GENERATIONS):
        told = run_told(home, name) if name else {}
        if not told:
            return
        yield name
        name = run_of(home, told.get("settings", {}).get("base", ""))


def run_of(home: Path, model: str) -> str:
    found = artifact_of(home, model, "models")
    return "" if found is None else str(found.manifest["counts"].get("run", ""))


def describe(home: Path, name: str, told: Mapping[str, Any]) -> Run:
    rows = run_log(home, name, "metrics.jsonl")
    horizon = json_of(home / "runs" / name / "horizon.json") or {}
    return {
        "stage": told["stage"], "name": name, "num_steps": told["settings"].get("num_steps") or horizon.get("num_steps", 0),
        "curve": [(row["step"], row["nll"]) for row in rows if "nll" in row], "seconds": rows[-1].get("seconds", 0.0) if rows else 0.0,
    }  # fmt: skip


def corpus_facts(home: Path, ref: str) -> dict[str, Any] | None:
    """What was read, kept, dropped and repaired."""
    found = artifact_of(home, ref, "corpus")
    stats = None if found is None else json_of(found.path / "stats.json")
    if found is None or not stats:
        return None
    return {
        "ref": f"corpus/{found.ref}", "documents": stats["documents"], "bytes": sum(stats["bytes"].values()),
        "dropped": stats["dropped"], "repaired": {kind: count for kind, count in stats["repaired"].items() if count},
        "languages": {lang: {"documents": part["documents"], "bytes": part["bytes"]} for lang, part in stats["languages"].items()},
    }  # fmt: skip


def is_sample(row: Mapping[str, Any]) -> bool:
    return isinstance(row.get("step"), int) and isinstance(row.get("prompt"), str) and isinstance(row.get("text"), str)


def growth_version(home: Path, store: Store, note: Note | None) -> str:
    """A word that changes whenever the view would; cheap, for it stands in the status that is asked every two seconds or oftener."""
    champion, turn, told = store.champion(), store.unfinished_turn(), note or {}
    run = told.get("run", "")
    parts = [champion and champion.epoch, turn and turn.id, store.candidate(), told.get("stage"), told.get("corpus"), run]
    rollout = store.rollout()
    parts += [len(told.get("table", ())), *grown(home, run), rollout and [rollout.id, rollout.version]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
