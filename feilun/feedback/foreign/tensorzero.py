"""TensorZero: rows of its inference and feedback tables as JSON lines, as its own fixtures have them (docs/gateway/data-model).

A demonstration is an edit. A boolean metric is a thumb where its name is one that the caller says is good: whether a metric is to
rise or to fall stands in tensorzero.toml and not in the rows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from feilun.feedback.foreign.intake import MALFORMED, BadRecord, Intake, Record, block_text, messages_of, unpacked

__all__ = ["take"]

USER_TAGS = ("user_id", "tensorzero::api_key_public_id")
FEEDBACK = ("id", "target_id", "inference_id", "metric_name", "value", "tags", "target_type", "timestamp", "created_at", "snapshot_hash")
SIGNS = {"True": 1, "False": -1, "1": 1, "0": -1}


def take(found: Iterable[Record], intake: Intake, good: frozenset[str]) -> None:
    """Feedback rows about inference rows, in any order and from any number of files."""
    inferences: dict[str, dict[str, Any]] = {}
    feedback = []
    for place, row in found:
        if "function_name" in row and "input" in row:
            inferences[str(row.get("id"))] = row
        elif "value" in row:
            feedback.append(Record(place, row))
        else:
            intake.refuse(place, f"neither an inference nor feedback (fields {', '.join(row)})")
    for place, row in feedback:
        try:
            _take(row, inferences, intake, good)
        except MALFORMED as error:
            intake.refuse(place, error)


def _take(row: Mapping[str, Any], inferences: Mapping[str, Any], intake: Intake, good: frozenset[str]) -> None:
    intake.known(row, FEEDBACK, "feedback.")
    if "inference_id" in row:
        about = _inference(row["inference_id"], inferences)
        _add(row, about, intake, "edit", _output(row["value"]))
    elif row.get("metric_name") in good and (sign := SIGNS.get(str(row["value"]))) is not None:
        _add(row, _inference(row.get("target_id"), inferences), intake, "thumb", sign)
    else:
        intake.skipped[f"without_direction:{row.get('metric_name', 'comment')}"] += 1


def _inference(name: Any, inferences: Mapping[str, Any]) -> Mapping[str, Any]:
    if name not in inferences:
        raise BadRecord(f"inference {name!r} is not in the files (feedback on an episode names no answer)")
    found: Mapping[str, Any] = inferences[name]
    return found


def _add(row: Mapping[str, Any], about: Mapping[str, Any], intake: Intake, kind: str, value: Any) -> None:
    given = unpacked(about.get("input"))
    if not isinstance(given, Mapping):
        raise BadRecord("its inference has no input with messages")
    prompt = messages_of(given.get("messages"))
    if isinstance(system := given.get("system"), str) and system:
        prompt.insert(0, {"role": "system", "content": system})
    elif system:
        raise BadRecord("its system prompt is arguments of a template; export the rendered text")
    tags = {**(unpacked(about.get("tags")) or {}), **(unpacked(row.get("tags")) or {})}
    user = next((tags[name] for name in USER_TAGS if name in tags), None)
    answer, model = _output(about.get("output")), about.get("variant_name")
    intake.add(str(row.get("id")), user, kind, value, prompt, answer, model=model, thread=about.get("episode_id"))


def _output(value: Any) -> str:
    """The text of a chat output (blocks) or of a JSON output (its raw text)."""
    found = unpacked(value)
    if isinstance(found, Mapping) and isinstance(found.get("raw"), str):
        return str(found["raw"])
    return block_text(found)
