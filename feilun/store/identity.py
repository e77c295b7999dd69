"""Names that need no table: ids, principals, threads, addresses of messages."""

import hashlib
import json
import secrets
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

OWNER = "owner"
DESK = "desk"  # under whom questions stand that others judge; no credential bears this name

_clock_lock = threading.Lock()
_last_tick = 0


def uuid7() -> str:
    """A UUIDv7 (RFC 9562, method 3): 48 bits of milliseconds, 12 bits of their fraction, 62 random bits; rising within a process."""
    global _last_tick
    with _clock_lock:
        _last_tick = max(_last_tick + 1, (time.time_ns() << 12) // 1_000_000)
        tick = _last_tick
    milliseconds, fraction = tick >> 12, tick & 0xFFF
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def principal_of(key_name: str | None = None, end_user: str | None = None) -> str:
    """The one string a rater is known by: "owner", "key:<name>" or "key:<name>/<end user>"."""
    if key_name is None:
        return OWNER
    return f"key:{key_name}/{end_user}" if end_user else f"key:{key_name}"


def credential_of(principal: str) -> str:
    """Whose key or session a principal speaks by: "key:<name>" of "key:<name>/<end user>"."""
    return principal.partition("/")[0]


def thread_of(principal: str, messages: Sequence[Mapping[str, Any]], given: str | None = None) -> str:
    """Thread of a call: `given` (metadata.thread_id), else a hash of principal and first user message, so that a repeat is a sibling."""
    if given:
        return given
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    return digest(principal, parts_of(first))[:32]


def parts_of(content: Any) -> list[dict[str, Any]]:
    """Message content as typed parts, whichever of the two wire forms it came in."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else [dict(part) for part in content]


def text_of(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(str(part.get("text", "")) for part in parts)


def root_address(principal: str, thread_id: str) -> str:
    """Parent of a thread's first message. The principal is in it: a thread id chosen by a client must not join two people."""
    return digest("thread", principal, thread_id)


def address_of(parent: str, role: str, parts: Sequence[Mapping[str, Any]]) -> str:
    return digest(parent, role, list(parts))


def subject_of(principal: str) -> str:
    """Under which an erasure is found again, by those who know whom it was about."""
    return digest("subject", principal)


def thread_hash(principal: str, thread_id: str) -> str:
    """The same of one conversation."""
    return digest("erased thread", principal, thread_id)


def digest(*values: Any) -> str:
    body = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(body.encode()).hexdigest()
