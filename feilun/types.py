"""The nouns of the ring; frozen, and free of every heavy import.

Each noun that crosses a file or a wire has `to_json` / `from_json`; everything else is plain fields.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

__all__ = [
    "Consent",
    "Conversation",
    "Decision",
    "Document",
    "FeedbackEvent",
    "FinishReason",
    "GenerationRequest",
    "Message",
    "Pair",
    "Part",
    "Reply",
    "Sample",
    "Score",
    "TokenEvent",
    "UserError",
    "is_held_out",
]

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class UserError(ValueError):
    """Bad input from a person: says what was found, what is allowed, what to do. The CLI prints it without a traceback."""


@lru_cache(maxsize=100_000)  # asked for every event, of far fewer people
def is_held_out(principal: str) -> bool:
    """Whether what this principal says may only measure, never teach: one in five, fixed by hash for ever."""
    digest = hashlib.blake2b(principal.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 5 == 0


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


class Consent(StrEnum):
    """What a person allows with an event: only to be served, to improve the model, to be published."""

    SERVE = "serve"
    IMPROVE = "improve"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text of a corpus. `lang` is a BCP-47 primary tag such as "zh", "en", or "und"."""

    id: str
    text: str
    source: str = ""
    license: str = ""
    lang: str = "und"


@dataclass(frozen=True, slots=True)
class Part:
    """A typed piece of a message; `type` is "text" today."""

    text: str
    type: str = "text"

    def to_json(self) -> dict[str, str]:
        return {"type": self.type, "text": self.text}


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> "Message":
        return cls(role, (Part(text),))

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.content)

    def to_json(self) -> dict[str, Any]:
        return {"role": self.role, "content": self.text}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Message":
        if not isinstance(row, Mapping):
            raise UserError(f"a message must be an object with role and content, found {type(row).__name__}")
        role, content = row.get("role"), row.get("content")
        if role not in ROLES:
            raise UserError(f"message role {role!r} is unknown; allowed: {', '.join(ROLES)}")
        if isinstance(content, str):
            return cls.of(role, content)
        if not isinstance(content, list) or not content:
            raise UserError(f"message content must be a string or a non-empty list of parts, found {type(content).__name__}")
        return cls(role, tuple(_part(item) for item in content))


def _part(item: Any) -> Part:
    if not isinstance(item, Mapping) or item.get("type") != "text" or not isinstance(item.get("text"), str):
        kind = item.get("type") if isinstance(item, Mapping) else type(item).__name__
        raise UserError(f'content part {kind!r} is not supported; allowed: {{"type": "text", "text": "..."}}')
    return Part(item["text"])


@dataclass(frozen=True, slots=True)
class Conversation:
    messages: tuple[Message, ...]

    @classmethod
    def of(cls, *texts: str) -> "Conversation":
        """Alternating user and assistant texts, the user first."""
        roles: tuple[Role, Role] = ("user", "assistant")
        return cls(tuple(Message.of(roles[i % 2], text) for i, text in enumerate(texts)))

    def then(self, role: Role, text: str) -> "Conversation":
        return Conversation((*self.messages, Message.of(role, text)))

    def to_json(self) -> list[dict[str, Any]]:
        return [message.to_json() for message in self.messages]

    @classmethod
    def from_json(cls, rows: Any) -> "Conversation":
        if not isinstance(rows, list) or not rows:
            raise UserError("messages must be a non-empty list")
        return cls(tuple(Message.from_json(row) for row in rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One exam question. `cell` names a slice that is reported on its own, for example "2-3" decimals."""

    id: str
    task: str
    prompt: Conversation
    reference: Mapping[str, Any]
    cell: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    text: str
    finish_reason: FinishReason
    num_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """`value` in [0, 1]; `reason` names the outcome (right, wrong, garbled, ...)."""

    value: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A preference: `chosen` over `rejected` as the answer to `prompt`."""

    prompt: Conversation
    chosen: str
    rejected: str
    weight: float = 1.0
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEvent:
    """One act of one rater. Append-only; a later event may supersede it."""

    id: str
    at: float
    rater: str
    kind: Literal["thumb", "edit", "choice", "comment", "report", "implicit"]
    target_id: str
    target_index: int
    value: Any
    reason: tuple[str, ...] = ()
    consent: Consent = Consent.IMPROVE
    supersedes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Which engine and model answered a request, and why."""

    engine: str
    model: str
    policy: str = "single"
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """Tokens in. temperature 0 is greedy; `seed` makes a sampled answer repeatable."""

    id: str
    ids: tuple[int, ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvent:
    """Tokens out: one sampled token of one request. `log_prob` is under the sampling-free model distribution."""

    request_id: str
    token_id: int
    log_prob: float
    token_bytes: bytes
    finish_reason: FinishReason | None = None
    model: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
