"""What a home's artifacts and runs say, read when asked and kept: an artifact never changes, a growing file is read when it grew.

Names come from requests, notes and manifests alike, and none of them is joined into a path before it is known to be a name.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, open_directory
from feilun.types import UserError

__all__ = ["artifact_of", "exams_of", "grown", "json_of", "rows_of", "run_log", "run_told"]

REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}@[0-9a-f]{16}")
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
MANIFEST = "manifest.json"
Rows = list[dict[str, Any]]


def artifact_of(home: Path, ref: object, kind: str) -> Artifact | None:
    """The artifact "name@hash" or "kind/name@hash" of this kind; None where there is none, where it was erased, and for anything else."""
    name = str(ref).removeprefix(f"{kind}/")
    if not REF.fullmatch(name):
        return None
    found = opened(home / kind / name)
    return None if found is None or found.manifest.get("tombstone") else found


def opened(path: Path) -> Artifact | None:
    try:
        stamp = (path / MANIFEST).stat().st_mtime_ns
        return opened_at(path, stamp)
    except (OSError, UserError, KeyError):
        return None


@lru_cache(maxsize=1024)
def opened_at(path: Path, _stamp: int) -> Artifact:
    return open_directory(path)


def exams_of(home: Path) -> dict[str, dict[str, Artifact]]:
    """{model ref: {split: its newest exam}} of every whole exam of primer tasks."""
    found: dict[str, dict[str, Artifact]] = {}
    folder = home / "exams"
    taken = [exam for path in (sorted(folder.iterdir()) if folder.is_dir() else []) if (exam := artifact_of(home, path.name, "exams"))]
    for exam in sorted(taken, key=lambda exam: (exam.manifest["made"]["time"], exam.ref)):
        split = exam.manifest["recipe"].get("split")
        if split and len(exam.parents) == 1 and "summary.json" in exam.manifest["files"]:
            found.setdefault(exam.parents[0], {})[split] = exam
    return found


def json_of(path: Path) -> Any:
    """The content of a JSON file; None where it is not there or cannot be read."""
    with suppress(OSError, ValueError):
        return parsed_at(path, path.stat().st_mtime_ns, False)
    return None


def rows_of(path: Path) -> Rows:
    """The rows of a JSON Lines file; none where it is not there."""
    with suppress(OSError, ValueError):
        return list(parsed_at(path, path.stat().st_mtime_ns, True))
    return []


@lru_cache(maxsize=512)
def parsed_at(path: Path, _stamp: int, lines: bool) -> Any:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line] if lines else json.loads(text)


def run_path(home: Path, name: object) -> Path | None:
    """The folder of a run by its name, if there is one."""
    path = home / "runs" / str(name)
    return path if RUN.fullmatch(str(name)) and path.is_dir() else None


def run_told(home: Path, name: object) -> dict[str, Any]:
    """{"stage", "name", "settings"} of a run; empty where there is none."""
    path = run_path(home, name)
    told = None if path is None else json_of(path / "resolved.json")
    return told if isinstance(told, dict) else {}


def run_log(home: Path, name: object, file: str) -> Rows:
    """The whole rows of a log that may be growing now."""
    path = run_path(home, name)
    if path is None or not (path / file).is_file():
        return []
    stat = (path / file).stat()
    return list(logged_at(path / file, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=16)
def logged_at(path: Path, _stamp: int, _num_bytes: int) -> Rows:
    return list(whole_rows(path.read_bytes()))


def whole_rows(data: bytes) -> Iterator[dict[str, Any]]:
    """Every row that ends with a line end and is JSON; one that is being written comes with the next look."""
    for line in data.split(b"\n")[:-1]:
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield row


def grown(home: Path, name: object) -> tuple[int, ...]:
    """Sizes of a run's logs: they differ when there is something new."""
    path = run_path(home, name)
    files = [] if path is None else [path / "metrics.jsonl", path / "samples.jsonl"]
    return tuple(file.stat().st_size if file.is_file() else 0 for file in files)
