"""Langfuse: observations and scores of its blob export or its download of traces, snake_case or camelCase, JSON or JSON lines.

Fields: langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields. A CORRECTION is an edit. A BOOLEAN score is a
thumb where its name is one that the caller says is good; every other score has no direction that can be known, and is counted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feilun.feedback.foreign.intake import MALFORMED, BadRecord, Intake, Record, block_text, messages_of, seconds_of, unpacked

__all__ = ["take"]

CAMEL = re.compile(r"(?<=[a-z])([A-Z])")
SCORE = (
    "id", "timestamp", "trace_id", "observation_id", "name", "value", "source", "comment", "data_type", "string_value", "author_user_id",
    "user_id", "created_at", "updated_at", "project_id", "environment", "session_id", "queue_id", "config_id", "metadata",
)  # fmt: skip
BOOLEAN = {"1": 1, "1.0": 1, "True": 1, "0": -1, "0.0": -1, "False": -1}


def take(found: Iterable[Record], intake: Intake, good: frozenset[str]) -> None:
    """Scores by people about generations. good: names of BOOLEAN scores whose truth is praise."""
    generations: dict[str, dict[str, Any]] = {}
    by_trace: dict[str, list[dict[str, Any]]] = {}
    scores = []
    for place, row in _rows(found):
        if "data_type" in row and "name" in row:
            scores.append(Record(place, row))
        elif row.get("type") == "GENERATION":
            generations[str(row.get("id"))] = row
            by_trace.setdefault(str(row.get("trace_id")), []).append(row)
        else:
            intake.skipped["no_generation"] += 1
    for place, score in scores:
        try:
            _take(score, _about(score, generations, by_trace), intake, good)
        except MALFORMED as error:
            intake.refuse(place, error)


def _rows(found: Iterable[Record]) -> Iterator[Record]:
    """Each row with snake_case names; a downloaded trace gives its observations and scores, which bear its user."""
    for place, row in found:
        flat = _snake(row)
        inside = [item for name in ("observations", "scores") for item in _objects(flat.pop(name, None))]
        yield from (Record(place, {"trace_id": flat.get("id"), "user_id": flat.get("user_id"), **_snake(item)}) for item in inside)
        if not inside:
            yield Record(place, flat)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _snake(row: Mapping[str, Any]) -> dict[str, Any]:
    return {CAMEL.sub(r"_\1", name).lower(): value for name, value in row.items()}


def _about(score: Mapping[str, Any], generations: Mapping[str, Any], by_trace: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    if named := score.get("observation_id"):
        if named not in generations:
            raise BadRecord(f"generation {named!r} is not in the files")
        about: dict[str, Any] = generations[named]
        return about
    of_trace = by_trace.get(str(score.get("trace_id")), [])
    if len(of_trace) != 1:
        raise BadRecord(f"it is about a trace with {len(of_trace)} generations; which of them is meant nobody can say")
    return of_trace[0]


def _take(score: Mapping[str, Any], about: Mapping[str, Any], intake: Intake, good: frozenset[str]) -> None:
    intake.known(score, SCORE, "score.")
    kind = str(score.get("data_type")).upper()
    if str(score.get("source")).upper() == "EVAL":
        intake.skipped["said_by_a_machine"] += 1
    elif kind == "CORRECTION":
        better = score.get("string_value") or score.get("value")
        if not isinstance(better, str) or not better.strip():
            raise BadRecord("a CORRECTION without a text")
        _add(score, about, intake, "edit", better)
    elif kind == "BOOLEAN" and score.get("name") in good:
        if (sign := BOOLEAN.get(str(score.get("value")))) is None:
            raise BadRecord(f"BOOLEAN value {score.get('value')!r}; allowed are 0 and 1")
        _add(score, about, intake, "thumb", sign)
    else:
        intake.skipped[f"score_without_direction:{score.get('name')}"] += 1


def _add(score: Mapping[str, Any], about: Mapping[str, Any], intake: Intake, kind: str, value: Any) -> None:
    prompt, answer = unpacked(about.get("input")), unpacked(about.get("output"))
    prompt = prompt.get("messages") if isinstance(prompt, Mapping) and "messages" in prompt else prompt
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else messages_of(prompt)
    text = block_text(answer.get("content") if isinstance(answer, Mapping) else answer)
    user = score.get("author_user_id") or score.get("user_id") or about.get("user_id")
    model = about.get("provided_model_name") or about.get("model")
    at = seconds_of(score.get("timestamp"))
    intake.add(str(score.get("id")), user, kind, value, messages, text, model=model, thread=about.get("trace_id"), at=at)
