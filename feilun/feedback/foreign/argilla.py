"""Argilla 2: records as `dataset.records.to_json` writes them, fields and responses nested (argilla/src/argilla/records/_io).

Every data set names its fields and questions as it likes, so the caller says which is which: prompt and answer are fields, edit is a
text question, thumb a label question with the label that praises ("quality:good"). Suggestions are a machine's and are counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feilun.feedback.foreign.intake import MALFORMED, BadRecord, Intake, Record, messages_of
from feilun.types import UserError

__all__ = ["take"]

RECORD = ("id", "fields", "metadata", "suggestions", "responses", "status", "vectors", "_server_id", "external_id")
ROLES = ("prompt", "answer", "edit", "thumb")
ANSWERED = (None, "submitted")


def take(found: Iterable[Record], intake: Intake, names: Mapping[str, str]) -> None:
    if unknown := sorted(set(names) - set(ROLES)):
        raise UserError(f"--map {unknown[0]}: unknown; allowed: {', '.join(ROLES)}")
    if not {"prompt", "answer"} <= set(names) or not {"edit", "thumb"} & set(names):
        asked = "--map prompt=FIELD answer=FIELD and edit=QUESTION or thumb=QUESTION:LABEL"
        raise UserError(f"an Argilla data set names its own fields: say {asked}")
    for place, row in found:
        try:
            _take(row, intake, names)
        except MALFORMED as error:
            intake.refuse(place, error)


def _take(row: Mapping[str, Any], intake: Intake, names: Mapping[str, str]) -> None:
    fields = row.get("fields")
    if not isinstance(fields, Mapping):
        raise BadRecord("no fields; export with dataset.records.to_json")
    intake.known(row, RECORD)
    intake.skipped["suggestion"] += len(row.get("suggestions") or ())
    prompt, answer = (_field(fields, names[role]) for role in ("prompt", "answer"))
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else messages_of(prompt)
    if not isinstance(answer, str):
        raise BadRecord(f"field {names['answer']!r} is no text")
    given = 0
    for kind, user, value in _responses(row, names, intake):
        given += 1
        intake.add(f"{row.get('id')}/{user}/{kind}", user, kind, value, messages, answer, thread=row.get("id"))
    intake.skipped["no_response"] += not given


def _field(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise BadRecord(f"no field {name!r}; there are {', '.join(fields)}")
    return fields[name]


def _responses(row: Mapping[str, Any], names: Mapping[str, str], intake: Intake) -> Iterator[tuple[str, str, Any]]:
    responses = row.get("responses") or {}
    for kind in ("edit", "thumb"):
        question, _, praise = names.get(kind, "").partition(":")
        for response in responses.get(question) or ():
            if response.get("status") not in ANSWERED:
                intake.skipped[str(response["status"])] += 1
            elif kind == "thumb":
                yield kind, str(response.get("user_id")), 1 if response.get("value") == praise else -1
            elif isinstance(response.get("value"), str) and response["value"].strip():
                yield kind, str(response.get("user_id")), response["value"]
            else:
                raise BadRecord(f"the response to {question!r} is no text")
