"""LibreChat: conversations exported as JSON, or its messages (packages/data-schemas/src/types/message.ts), one a line."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feilun.feedback.foreign.intake import MALFORMED, BadRecord, Intake, Record, block_text, seconds_of

__all__ = ["take"]

RATINGS = {"thumbsUp": 1, "thumbsDown": -1}
REASONS = {"inaccurate": "wrong", "bad_style": "style"}
ROOT = "00000000-0000-0000-0000-000000000000"
CONVERSATION = ("conversationId", "title", "messages", "endpoint", "exportAt", "branches", "recursive", "options", "user")
MESSAGE = (
    "messageId", "conversationId", "parentMessageId", "isCreatedByUser", "text", "content", "feedback", "model", "user", "createdAt",
    "updatedAt", "sender", "children", "endpoint", "tokenCount", "_id", "__v", "unfinished", "error", "finish_reason",
)  # fmt: skip


def take(found: Iterable[Record], intake: Intake) -> None:
    """A message's feedback is a thumb on it, its tag a reason; the words beside it are not learnt from."""
    messages: dict[str, Record] = {}
    for place, row in found:
        if "messages" in row:
            intake.known(row, CONVERSATION)
        for message in _flat(row.get("messages", [row])):
            if isinstance(message.get("messageId"), str):
                messages[message["messageId"]] = Record(place, message)
            else:
                intake.refuse(place, "a message without messageId")
    for place, message in messages.values():
        try:
            _take(message, messages, intake)
        except MALFORMED as error:
            intake.refuse(place, error)


def _flat(messages: Any) -> Iterator[dict[str, Any]]:
    """Messages of a list or of a tree."""
    queue = list(messages) if isinstance(messages, list) else []
    while queue:
        message = queue.pop(0)
        if isinstance(message, dict):
            yield message
            queue += [child for child in message.get("children") or () if isinstance(child, dict)]


def _take(message: Mapping[str, Any], messages: Mapping[str, Record], intake: Intake) -> None:
    intake.known(message, MESSAGE, "message.")
    feedback = message.get("feedback")
    if not isinstance(feedback, Mapping):
        intake.skipped["no_feedback"] += 1
        return
    rating = RATINGS.get(str(feedback.get("rating")))
    if rating is None:
        raise BadRecord(f"feedback rating {feedback.get('rating')!r}; allowed are {' and '.join(RATINGS)}")
    tag = feedback.get("tag")
    tag = tag.get("key") if isinstance(tag, Mapping) else tag
    path = [message]
    while (parent := path[-1].get("parentMessageId")) not in (None, "", ROOT):
        if parent not in messages or len(path) > len(messages):
            raise BadRecord(f"message {parent!r} before it is missing from the export")
        path.append(messages[parent].row)
    prompt = [_said(row) for row in path[:0:-1]]
    intake.add(
        message["messageId"], message.get("user"), "thumb", rating, prompt, _said(message)["content"], model=message.get("model"),
        thread=message.get("conversationId"), at=seconds_of(message.get("createdAt")),
        reason=[REASONS.get(str(tag), "other")] if tag and rating < 0 else [],
    )  # fmt: skip


def _said(message: Mapping[str, Any]) -> dict[str, str]:
    parts = message.get("content")
    if not message.get("text") and isinstance(parts, list):
        # Thoughts and calls of tools stand beside the text; a reader saw the text.
        parts = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    return {"role": "user" if message.get("isCreatedByUser") else "assistant", "content": message.get("text") or block_text(parts)}
