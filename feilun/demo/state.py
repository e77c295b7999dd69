"""What a demo home was told and how far it is: one JSON file, replaced atomically after every step."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.artifacts import read_json, write_json
from feilun.types import UserError

__all__ = ["DemoState", "held", "open_state", "read_state"]

FILE = "demo.json"
LOCK = "demo.lock"


@dataclass(slots=True)
class DemoState:
    """told: seed, text, recipe, control. refs: what each step made. cpu: CPU-seconds of each finished step.

    starts: how often the work was begun or taken up again; what a killed attempt spent on its unfinished step is in no figure.
    """

    home: Path
    told: dict[str, Any]
    refs: dict[str, Any]
    cpu: dict[str, float]
    seconds: float
    starts: int = 0

    def save(self) -> None:
        body = {"told": self.told, "refs": self.refs, "cpu": self.cpu, "seconds": self.seconds, "starts": self.starts}
        write_json(self.home / FILE, body)


def read_state(home: Path) -> DemoState:
    if not (home / FILE).exists():
        raise UserError(f"{home} holds no demo; begin one with `feilun demo`")
    try:
        body = read_json(home / FILE)
        return DemoState(home, body["told"], body["refs"], body["cpu"], body["seconds"], body.get("starts", 1))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{home / FILE} cannot be read ({type(error).__name__}: {error}); put it back, or give another --home") from None


def open_state(home: Path, *, seed: int, text: Sequence[Path], recipe: str, control: str) -> DemoState:
    """The state of a home, new or as it was left; a home made otherwise is an error that names both."""
    recipe = str(Path(recipe).resolve()) if recipe.endswith(".py") else recipe
    told = {"seed": seed, "text": [describe_text(path) for path in text], "recipe": recipe, "control": control}
    if (home / FILE).exists():
        state = read_state(home)
        differing = [key for key in told if told[key] != state.told[key]]
        if differing:
            ways = "; ".join(f"{key}: {shown(state.told[key])} there, {shown(told[key])} asked" for key in differing)
            raise UserError(f"{home} holds a demo that was made otherwise ({ways}); ask for the same, or give another --home")
        return state
    home.mkdir(parents=True, exist_ok=True)
    state = DemoState(home, told, {}, {}, 0.0)
    state.save()
    return state


def shown(value: Any) -> str:
    """A thing told, for a person; texts by path, size and fingerprint."""
    if isinstance(value, list):
        return " + ".join(f"{item['path']} ({item['bytes']:,} bytes, {item['sha256'][:8]})" for item in value) or "no text"
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def held(home: Path) -> Iterator[None]:
    """One demo a home; the system lets go of it when the process ends in any way."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"another demo is at work in {home} (process {lock.read().strip()}); wait for it, stop it, or give another --home"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def describe_text(path: Path) -> dict[str, Any]:
    """Path, a fingerprint of the names and contents under it, and the bytes."""
    if not path.exists():
        raise UserError(f"--text {path}: there is no such file or folder")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    if not sum(file.stat().st_size for file in files):
        raise UserError(f"--text {path}: there is nothing in it; give a file or folder that holds text")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path.parent)}\n".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return {"path": str(path.resolve()), "sha256": digest.hexdigest()[:16], "bytes": sum(f.stat().st_size for f in files)}
