"""What comes in from another program: records with their places, votes made of them, and what was not understood, counted."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from feilun.feedback.imports import lines_of
from feilun.store import CurrentVote
from feilun.types import Consent, Conversation, UserError

__all__ = ["MALFORMED", "BadRecord", "Intake", "Record", "block_text", "messages_of", "records", "seconds_of", "unpacked"]

# A record of another shape than its program writes fails where it is looked into; it is named like any bad one.
MALFORMED = (ValueError, TypeError, AttributeError, KeyError)
ROLES = {"human": "user", "ai": "assistant"}


class BadRecord(ValueError):
    """A record that cannot be taken, and why."""


class Record(NamedTuple):
    """One object of a file. place: "file, line 3" or "file, record 3"."""

    place: str
    row: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Intake:
    """votes so far; bad: {"at", "why"} of records left out; skipped: records that say nothing to learn from, by reason; unknown: fields."""

    source: str
    votes: list[CurrentVote] = field(default_factory=list)
    bad: list[dict[str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def known(self, row: Mapping[str, Any], names: Sequence[str], where: str = "") -> None:
        """Count the fields of `row` that nothing is made of."""
        self.unknown.update(f"{where}{name}" for name in row if name not in names)

    def add(
        self, name: str, user: Any, kind: str, value: Any, prompt: Sequence[Mapping[str, Any]], answer: str, *, model: Any = None,
        thread: Any = None, at: float = 0.0, reason: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """One vote. Someone without a name is one rater for the whole file: nothing tells them apart."""
        if not prompt or prompt[-1]["role"] != "user":
            raise BadRecord("no user's message stands before the answer")
        Conversation.from_json([*prompt, {"role": "assistant", "content": answer}])
        seq = len(self.votes) + 1
        principal = f"import:{self.source}/{user or 'unknown'}"
        self.votes.append(
            CurrentVote(
                seq=seq, id=f"{self.source}:{name}", at=at, principal=principal, target_id=f"{self.source}:{name}", target_index=0,
                kind=kind, value=value, reason=tuple(reason), consent=Consent.IMPROVE, thread_id=f"{self.source}:{thread or name}",
                model=f"{self.source}/{model or 'unknown'}", prompt=tuple(dict(message) for message in prompt), answer=answer,
            )
        )  # fmt: skip

    def refuse(self, place: str, why: object) -> None:
        self.bad.append({"at": place, "why": str(why) if isinstance(why, ValueError | str) else f"another shape than expected ({why})"})


def records(paths: Sequence[Path]) -> Iterator[Record]:
    """The objects of .json files (one object, or a list of them) and of .jsonl and .jsonl.zst files."""
    for path in paths:
        if path.suffix == ".json":
            yield from _of_json(path)
            continue
        for number, line in enumerate(lines_of(path), 1):
            if line.strip():
                yield Record(f"{path.name}, line {number}", _object(line, f"{path}, line {number}"))


def _of_json(path: Path) -> Iterator[Record]:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; allowed is a JSON object, a list of objects, or .jsonl with one a line") from None
    for number, row in enumerate(found if isinstance(found, list) else [found], 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, record {number}: found {type(row).__name__}; each record must be a JSON object")
        yield Record(f"{path.name}, record {number}", row)


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: {error}; each line must be a JSON object") from None
    if not isinstance(row, dict):
        raise UserError(f"{place}: found {type(row).__name__}; each line must be a JSON object")
    return row


def unpacked(value: Any) -> Any:
    """A value that may have been written as JSON inside a string; another string stands for itself."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def block_text(content: Any) -> str:
    """The text of a message's content: a string, or text parts joined. BadRecord where anything else is in it."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRecord(f"content is {type(content).__name__}, allowed are a text and a list of text parts")
    texts = []
    for part in content:
        text = part.get("text", part.get("value")) if isinstance(part, Mapping) and part.get("type") == "text" else None
        if not isinstance(text, str):
            raise BadRecord(f"content part {part!s:.60} is no text")
        texts.append(text)
    return "".join(texts)


def messages_of(rows: Any) -> list[dict[str, str]]:
    """A list of {"role", "content"} as we write it."""
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise BadRecord("no list of messages")
    return [{"role": ROLES.get(str(row.get("role")), str(row.get("role"))), "content": block_text(row.get("content"))} for row in rows]


def seconds_of(value: Any) -> float:
    """A point in time as seconds since the epoch, 0 where there is none; numbers of 13 digits are milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / 1000 if value > 1e11 else value * 1.0
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return 0.0
    return 0.0
