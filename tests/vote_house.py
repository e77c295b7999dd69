"""Votes as a test writes them, and names of people who may teach or only measure."""

from typing import Any

from feilun.store import CurrentVote
from feilun.types import Consent, is_held_out

NAMES = [f"key:app/u{i}" for i in range(300)]
RATERS = [name for name in NAMES if not is_held_out(name)]
HELD_OUT = [name for name in NAMES if is_held_out(name)]


def vote(seq: int, rater: str, kind: str, value: Any, *, prompt: str = "which?", answer: str = "red", **more: Any) -> CurrentVote:
    """A standing vote, a hundred seconds after the one before it, each in its own thread."""
    fields: dict[str, Any] = {
        "seq": seq, "id": f"e{seq}", "at": 100.0 * seq, "principal": rater, "target_id": f"c{seq}", "target_index": 0, "kind": kind,
        "value": value, "reason": (), "consent": Consent.IMPROVE, "thread_id": f"t{seq}", "model": "m",
        "prompt": ({"role": "user", "content": prompt},), "answer": answer,
    }  # fmt: skip
    return CurrentVote(**{**fields, **more})
