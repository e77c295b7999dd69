"""What a demo home was told and how far it is: one JSON file, replaced atomically after every step."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.artifacts import read_json, write_json
from feilun.types import UserError

__all__ = ["DemoState", "open_state", "read_state"]

FILE = "demo.json"


@dataclass(slots=True)
class DemoState:
    """told: seed, text, recipe, control. refs: what each step made. cpu: CPU-seconds of each finished step."""

    home: Path
    told: dict[str, Any]
    refs: dict[str, Any]
    cpu: dict[str, float]
    seconds: float

    def save(self) -> None:
        body = {"told": self.told, "refs": self.refs, "cpu": self.cpu, "seconds": self.seconds}
        write_json(self.home / FILE, body)


def read_state(home: Path) -> DemoState:
    if not (home / FILE).exists():
        raise UserError(f"{home} holds no demo; begin one with `feilun demo`")
    body = read_json(home / FILE)
    return DemoState(home, body["told"], body["refs"], body["cpu"], body["seconds"])


def open_state(home: Path, *, seed: int, text: Sequence[Path], recipe: str, control: str) -> DemoState:
    """The state of a home, new or as it was left; a home made otherwise is an error that names both."""
    told = {"seed": seed, "text": [describe_text(path) for path in text], "recipe": recipe, "control": control}
    if (home / FILE).exists():
        state = read_state(home)
        differing = [key for key in told if told[key] != state.told[key]]
        if differing:
            ways = "; ".join(f"{key}: {state.told[key]!r} there, {told[key]!r} asked" for key in differing)
            raise UserError(f"{home} holds a demo that was made otherwise ({ways}); ask for the same, or give another --home")
        return state
    home.mkdir(parents=True, exist_ok=True)
    state = DemoState(home, told, {}, {}, 0.0)
    state.save()
    return state


def describe_text(path: Path) -> dict[str, Any]:
    """Path and a fingerprint of what is under it (names, sizes and times; the corpus hashes the contents)."""
    if not path.exists():
        raise UserError(f"--text {path}: there is no such file or folder")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path.parent)}|{file.stat().st_size}|{file.stat().st_mtime_ns}\n".encode())
    return {"path": str(path.resolve()), "sha256": digest.hexdigest()[:16], "bytes": sum(f.stat().st_size for f in files)}
