"""Open WebUI: Admin > Evaluations > Feedbacks > Export (backend/open_webui/models/feedbacks.py): a thumb, with the whole chat beside it."""

from collections.abc import Iterable, Mapping
from typing import Any

from feilun.feedback.foreign.intake import MALFORMED, BadRecord, Intake, Record, block_text, seconds_of

__all__ = ["take"]

RATINGS = {"1": 1, "-1": -1}
ENTRY = ("id", "user_id", "version", "type", "data", "meta", "snapshot", "created_at", "updated_at", "user")
DATA = ("rating", "model_id", "sibling_model_ids", "reason", "comment", "tags", "details")
META = ("arena", "chat_id", "message_id", "message_index", "model_id", "tags", "base_models")


def take(found: Iterable[Record], intake: Intake) -> None:
    """A rating is a thumb on the answer it stands beside. It is no duel with the siblings, which the same person may like as well."""
    for place, row in found:
        try:
            _take(row, intake)
        except MALFORMED as error:
            intake.refuse(place, error)


def _take(row: Mapping[str, Any], intake: Intake) -> None:
    data, meta = row.get("data"), row.get("meta")
    if not isinstance(data, Mapping) or not isinstance(meta, Mapping):
        raise BadRecord("no data and meta; this is no feedback of Open WebUI")
    intake.known(row, ENTRY)
    intake.known(data, DATA, "data.")
    intake.known(meta, META, "meta.")
    rating = RATINGS.get(str(data.get("rating")))
    if row.get("type") != "rating" or rating is None:
        intake.skipped["no_rating"] += 1
        return
    path = _path(row, meta.get("message_id"))
    *prompt, answer = [{"role": str(message.get("role")), "content": block_text(message.get("content"))} for message in path]
    if answer["role"] != "assistant":
        raise BadRecord(f"the rated message is of role {answer['role']!r}")
    intake.add(
        str(row.get("id")), row.get("user_id"), "thumb", rating, prompt, answer["content"], model=data.get("model_id"),
        thread=meta.get("chat_id"), at=seconds_of(row.get("created_at")),
    )  # fmt: skip


def _path(row: Mapping[str, Any], message_id: Any) -> list[Mapping[str, Any]]:
    """From the first message of the chat to the rated one, along the branch that it is on."""
    try:
        messages = row["snapshot"]["chat"]["chat"]["history"]["messages"]
        message = messages[message_id]
    except (KeyError, TypeError):
        raise BadRecord("its snapshot does not hold the rated message; export with the chats") from None
    path = [message]
    while (parent := path[-1].get("parentId")) is not None:
        if parent not in messages or len(path) > len(messages):
            raise BadRecord(f"message {parent!r} is missing from the snapshot")
        path.append(messages[parent])
    return path[::-1]
