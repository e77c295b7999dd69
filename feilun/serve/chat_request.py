"""A chat-completions body, checked field by field: done, inert but recorded, or refused by name.

Source of the fields: OpenAI's API reference for `POST /v1/chat/completions`. A field that is null or at its no-op default
is always accepted; a field that would change the answer and is not built is a 400 that names it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feilun.serve.errors import ApiError
from feilun.types import ROLES, Consent, Conversation, Message, UserError

__all__ = ["DONE", "INERT", "NO_OP", "ChatCall", "parse_chat"]

DONE = (
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "seed", "stop", "max_tokens", "max_completion_tokens", "n",
)  # fmt: skip
INERT = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
NO_OP: Mapping[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "prediction": (),
    "presence_penalty": (0,),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
MESSAGE_NO_OP = ("name", "refusal", "audio", "tool_calls", "function_call", "tool_call_id", "annotations", "reasoning_content")
MAX_MESSAGES = 512
MAX_CHOICES = 8
MAX_STOPS = 4
MAX_METADATA = 16
MAX_NAME_CHARS = 128
SEED_BITS = 63
DEFAULT_TEMPERATURE = 1.0
SMALLEST_TOP_P = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """What one request asks for. `max_tokens` None means up to the end of the context; `recorded` is what the store keeps of it."""

    model: str
    conversation: Conversation
    n: int
    stream: bool
    include_usage: bool
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    max_tokens: int | None
    user: str | None
    thread_id: str | None
    consent: Consent
    recorded: Mapping[str, Any]


def parse_chat(body: Any) -> ChatCall:
    """The call that `body` (decoded JSON) asks for; ApiError 400 names the field at fault."""
    if not isinstance(body, dict):
        raise ApiError(400, f"the body must be a JSON object, found {type(body).__name__}")
    given = {name: value for name, value in body.items() if value is not None}
    _refuse_unsupported(given)
    stream = _boolean(given, "stream")
    metadata = _metadata(given)
    return ChatCall(
        model=model_field(given),
        conversation=_conversation(given.get("messages")),
        n=whole_field(given, "n", 1, MAX_CHOICES) or 1,
        stream=stream,
        include_usage=_include_usage(given, stream),
        temperature=number_field(given, "temperature", 0.0, 2.0, DEFAULT_TEMPERATURE),
        # Engines want top_p above 0; the limit of 0 is the most likely token alone, as it is here.
        top_p=max(number_field(given, "top_p", 0.0, 1.0, 1.0), SMALLEST_TOP_P),
        seed=whole_field(given, "seed", -(1 << SEED_BITS), (1 << SEED_BITS) - 1),
        stop=_stop(given.get("stop")),
        max_tokens=_max_tokens(given),
        user=_user(given),
        thread_id=_thread_id(metadata),
        consent=_consent(metadata),
        recorded={name: value for name, value in given.items() if name not in ("model", "messages", "stream", "stream_options")},
    )


def _refuse_unsupported(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in DONE or name in INERT:
            continue
        if name not in NO_OP:
            raise ApiError(400, f"unrecognized request argument: {name!r}", param=name, code="unknown_parameter")
        if not any(value == allowed and isinstance(value, bool) == isinstance(allowed, bool) for allowed in NO_OP[name]):
            allowed_text = " or ".join(repr(allowed) for allowed in NO_OP[name]) or "null"
            message = f"{name!r} is not supported by this server; leave it out (or set it to {allowed_text})"
            raise ApiError(400, message, param=name, code="unsupported_parameter")


def wrong_value(name: str, found: Any, allowed: str) -> ApiError:
    """ApiError 400 for a field whose value is none of those allowed."""
    shown = repr(found)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return ApiError(400, f"{name}: found {shown}; allowed: {allowed}", param=name, code="invalid_value")


def model_field(given: Mapping[str, Any]) -> str:
    """The name of a model; ApiError 400."""
    model = given.get("model")
    if not isinstance(model, str) or not model or len(model) > MAX_NAME_CHARS * 2:
        raise ApiError(400, 'you must give a model, for example "feilun"', param="model", code="missing_required_parameter")
    return model


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise wrong_value(name, value, "true or false")
    return value


def number_field(given: Mapping[str, Any], name: str, low: float, high: float, default: float) -> float:
    """The number in a field; ApiError 400."""
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise wrong_value(name, value, f"a number from {low:g} to {high:g}")
    return float(value)


def whole_field(given: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """The whole number in a field, None where it is not given; ApiError 400."""
    value = given.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
        raise wrong_value(name, value, f"a whole number from {low} to {high}")
    return value


def _max_tokens(given: Mapping[str, Any]) -> int | None:
    old, new = (whole_field(given, name, 1, 1 << 31) for name in ("max_tokens", "max_completion_tokens"))
    if old is not None and new is not None and old != new:
        raise ApiError(400, "max_tokens and max_completion_tokens differ; give one of them", param="max_tokens", code="invalid_value")
    return old if new is None else new


def _include_usage(given: Mapping[str, Any], stream: bool) -> bool:
    options = given.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise wrong_value("stream_options", options, '{"include_usage": true}')
    if not stream:
        raise ApiError(400, "stream_options is only allowed when stream is true", param="stream_options", code="invalid_value")
    for name, value in options.items():
        # Padding against traffic analysis: none is sent, which is what false asks for.
        if name != "include_usage" and not (name == "include_obfuscation" and not value):
            raise ApiError(400, f"stream_options.{name} is not supported", param=f"stream_options.{name}", code="unsupported_parameter")
    return _boolean({"stream_options.include_usage": options.get("include_usage") or False}, "stream_options.include_usage")


def _stop(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS or not all(isinstance(stop, str) and stop for stop in stops):
        raise wrong_value("stop", value, f"a non-empty string or a list of at most {MAX_STOPS} of them")
    return tuple(stops)


def _user(given: Mapping[str, Any]) -> str | None:
    user = given.get("user")
    if user is None:
        return None
    return check_name("user", user)


def check_name(name: str, value: Any, status: int = 400) -> str:
    """A short printable name such as an end user's; anything else is an ApiError of `status`."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS or not value.isprintable():
        raise ApiError(status, f"{name}: a printable name of 1 to {MAX_NAME_CHARS} characters is needed", param=name, code="invalid_value")
    return value


def _metadata(given: Mapping[str, Any]) -> dict[str, str]:
    metadata: Any = given.get("metadata", {})
    whole = isinstance(metadata, dict) and len(metadata) <= MAX_METADATA
    if not whole or not all(isinstance(value, str) and len(key) <= 64 and len(value) <= 512 for key, value in metadata.items()):
        raise wrong_value("metadata", metadata, f"up to {MAX_METADATA} string values of at most 512 characters")
    return dict(metadata)


def _thread_id(metadata: Mapping[str, str]) -> str | None:
    thread = metadata.get("thread_id")
    return None if thread is None else check_name("metadata.thread_id", thread)


def _consent(metadata: Mapping[str, str]) -> Consent:
    value = metadata.get("consent", Consent.IMPROVE.value)
    try:
        return Consent(value)
    except ValueError:
        raise wrong_value("metadata.consent", value, ", ".join(Consent)) from None


def _conversation(rows: Any) -> Conversation:
    if not isinstance(rows, list) or not rows or len(rows) > MAX_MESSAGES:
        raise wrong_value("messages", rows, f"a list of 1 to {MAX_MESSAGES} messages")
    messages = tuple(_message(f"messages[{i}]", row) for i, row in enumerate(rows))
    if messages[-1].role != "user":
        raise wrong_value("messages", messages[-1].role, 'a last message of role "user"')
    return Conversation(messages)


def _message(name: str, row: Any) -> Message:
    if not isinstance(row, dict):
        raise wrong_value(name, row, '{"role": "user", "content": "..."}')
    for field, value in row.items():
        if field not in ("role", "content") and value not in (None, []):
            code = "unsupported_parameter" if field in MESSAGE_NO_OP else "unknown_parameter"
            raise ApiError(400, f"{name}.{field} is not supported by this server; leave it out", param=f"{name}.{field}", code=code)
    # "developer" is OpenAI's newer word for the same place in the prompt.
    role = "system" if row.get("role") == "developer" else row.get("role")
    if not isinstance(role, str):
        raise wrong_value(f"{name}.role", role, ", ".join(ROLES))
    try:
        return Message.from_json({"role": role, "content": row.get("content")})
    except UserError as error:
        raise ApiError(400, f"{name}: {error}", param=name, code="invalid_value") from None
