"""The run directory of one stage: what it was told, where it stands, what it measured."""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from feilun.artifacts import read_json, write_json

__all__ = ["StageRun"]

CHECKPOINT = "checkpoint.pt"
METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"


class StageRun:
    """One directory under `runs/`, addressed by its settings; every file in it survives a kill whole."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT

    @property
    def exists(self) -> bool:
        return (self.path / "resolved.json").exists()

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """One process at a time trains here; a second one (an orphan's successor) waits, and finds what the first made."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"another process is at work in {self.path}; waiting for it")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def begin(self, settings: dict[str, Any]) -> None:
        """Write what the run was told, or make sure that a resumed run is told the same."""
        told = self.path / "resolved.json"
        if told.exists():
            assert read_json(told) == json.loads(json.dumps(settings)), f"{self.path} belongs to a run with other settings"
        else:
            write_json(told, settings)
        for leftover in self.path.glob(f".{CHECKPOINT}.*"):  # of a process killed while it saved
            leftover.unlink()

    def save(self, state: dict[str, Any]) -> None:
        temporary = self.path / f".{CHECKPOINT}.{os.getpid()}"
        with temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.checkpoint)

    def horizon(self) -> int:
        """The number of steps that a time budget was found to pay for, or 0 if that is still open."""
        path = self.path / "horizon.json"
        return int(read_json(path)["num_steps"]) if path.exists() else 0

    def save_horizon(self, num_steps: int) -> None:
        write_json(self.path / "horizon.json", {"num_steps": num_steps})

    def log(self, row: dict[str, Any]) -> None:
        append(self.path / METRICS, [row])

    def log_samples(self, step: int, texts: Iterable[tuple[str, str]]) -> None:
        append(self.path / SAMPLES, [{"step": step, "prompt": prompt, "text": text} for prompt, text in texts])

    def rewind_logs(self, step: int) -> None:
        """Drop rows after `step`, and a row cut short by a kill: they are about to be written again."""
        rewind(self.path / METRICS, step)
        # Step 0 is written at every start from there; a later step's samples stand before its checkpoint.
        rewind(self.path / SAMPLES, step or -1)


def append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def rewind(path: Path, step: int) -> None:
    if not path.exists():
        return
    # Split at "\n" alone: a sample may hold any other character that Unicode calls a line's end. A row without it was cut.
    *lines, _ = path.read_text(encoding="utf-8", errors="replace").split("\n")
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    temporary = path.with_suffix(".new")
    temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    os.replace(temporary, path)
