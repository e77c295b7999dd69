"""Exactly once: what was about to be said is written down before it is said.

An event's feedback body names a completion, and a completion asked again has a new id. So the whole body is journalled
before the first try to send it, and a rerun sends that body under that Idempotency-Key again: the server answers
"duplicate" if it had it. A kill before the journal line leaves an answer nobody judged, which teaches nothing. Should the
journal itself be lost, the server knows the key and refuses another body (409): the event is there, once.
"""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from feilun.types import UserError

__all__ = ["Journal"]


class Journal:
    """JSON lines: the plan, then {"i", "body"} before a send and {"i", "status"} after its answer."""

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        self.bodies: dict[int, dict[str, Any]] = {}
        self.statuses: dict[int, str] = {}
        rows = _whole_lines(path)
        if rows and rows[0] != {"plan": plan}:
            raise UserError(
                f"{path} belongs to other visits: {json.dumps(rows[0])}, asked for: {json.dumps({'plan': plan})}; use another --journal"
            )
        for row in rows[1:]:
            if "body" in row:
                self.bodies[row["i"]] = row["body"]
            else:
                self.statuses[row["i"]] = row["status"]
        self._stream = path.open("a", encoding="utf-8")
        if not rows:
            self._write({"plan": plan})

    def ready(self, index: int, body: dict[str, Any]) -> None:
        self.bodies[index] = body
        self._write({"i": index, "body": body})

    def done(self, index: int, status: str) -> None:
        self.statuses[index] = status
        self._write({"i": index, "status": status})

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def _write(self, row: dict[str, Any]) -> None:
        # One write a line: a kill leaves whole lines and at most one torn one at the end.
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._stream.flush()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The rows on disk; a torn last line, never acknowledged, is cut off."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.decode().split("\n") if line]
