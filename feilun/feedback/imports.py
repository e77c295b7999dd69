"""Dialogues from files as lessons: what a team already has, in the row format of the field."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard

from feilun.artifacts import Artifact, draft
from feilun.types import Conversation, UserError

__all__ = ["import_lessons"]

SUFFIXES = (".jsonl", ".jsonl.zst")


def import_lessons(home: Path, name: str, paths: Sequence[Path]) -> Artifact:
    """A lessons artifact from files of {"messages": [{"role", "content"}, ...], "weight"?: number} rows.

    A row that is not a dialogue is an error with file and line; one without an answer teaches nothing and is counted.
    """
    counts = {"rows": 0, "dropped_no_answer": 0}
    with draft(home, "lessons", name, recipe={"imported": [path.name for path in paths]}) as work:
        with (work.path / "sft.jsonl").open("w", encoding="utf-8") as stream:
            for path in paths:
                for row in read_dialogues(path):
                    answered = any(message["role"] == "assistant" and message["content"].strip() for message in row["messages"])
                    counts["rows" if answered else "dropped_no_answer"] += 1
                    if answered:
                        stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        if not counts["rows"]:
            raise UserError(f"{', '.join(map(str, paths))}: no row holds an assistant's answer; nothing to learn from")
        work.counts |= counts
    assert work.artifact is not None
    return work.artifact


def read_dialogues(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines_of(path), 1):
        if line.strip():
            try:
                yield dialogue_row(json.loads(line))
            except ValueError as error:
                raise UserError(f'{path}, line {number}: {error}; each line must be {{"messages": [{{"role", "content"}}, ...]}}') from None


def dialogue_row(row: Any) -> dict[str, Any]:
    """A line as a lesson; ValueError when it is none."""
    if not isinstance(row, dict) or "messages" not in row:
        raise UserError(f"no field messages in it (found {', '.join(map(str, row)) if isinstance(row, dict) else type(row).__name__})")
    weight = row.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
        raise UserError(f"weight {weight!r} is not allowed; a number of 0 or more is")
    messages = Conversation.from_json(row["messages"]).to_json()
    return {"messages": messages, "weight": weight, "kind": "imported", "source": str(row.get("source", ""))}


def lines_of(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path}: allowed are {' and '.join(SUFFIXES)}")
    with path.open("rb") as raw:
        stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) if path.suffix == ".zst" else raw
        try:
            with io.TextIOWrapper(stream, encoding="utf-8-sig") as lines:
                yield from lines
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 ({error.reason} near byte {error.start}); convert it first, as with iconv") from None
        except zstandard.ZstdError as error:
            raise UserError(f"{path} is no whole zstd file ({error}); make it again") from None
