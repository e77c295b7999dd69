"""Feedback kept by other programs: their exports become votes, and votes become lessons by the same rules as our own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, draft
from feilun.feedback.curation import LessonRules, curate
from feilun.feedback.foreign import argilla, langfuse, librechat, openwebui, tensorzero
from feilun.feedback.foreign.intake import Intake, records
from feilun.feedback.lessons import lessons_report, write_lessons
from feilun.feedback.privacy import without_personal_data
from feilun.types import UserError

__all__ = ["FORMATS", "import_feedback", "read_feedback"]

FORMATS = ("openwebui", "librechat", "langfuse", "tensorzero", "argilla")
SHOWN_BAD = 100


def read_feedback(source: str, paths: Sequence[Path], *, good: Sequence[str] = (), names: Mapping[str, str] | None = None) -> Intake:
    """The votes in exports of one program. good: metrics or scores whose truth is praise. names: what an Argilla data set calls things."""
    intake, found, praised = Intake(source=source), records(paths), frozenset(good)
    if source == "openwebui":
        openwebui.take(found, intake)
    elif source == "librechat":
        librechat.take(found, intake)
    elif source == "langfuse":
        langfuse.take(found, intake, praised)
    elif source == "tensorzero":
        tensorzero.take(found, intake, praised)
    elif source == "argilla":
        argilla.take(found, intake, names or {})
    else:
        raise UserError(f"--from {source!r} is unknown; allowed: {', '.join(FORMATS)}")
    return intake


def import_feedback(
    home: Path, name: str, source: str, paths: Sequence[Path], *, good: Sequence[str] = (), names: Mapping[str, str] | None = None
) -> Artifact:
    """A lessons artifact from another program's feedback: its people are raters, held out, weighed and capped as ours are.

    report.json also names bad records by file and line (the first SHOWN_BAD), and counts what was skipped and every unknown field.
    """
    intake = read_feedback(source, paths, good=good, names=names)
    if not intake.votes:
        seen = [f"{len(intake.bad)} bad records", *(f"{count} {reason}" for reason, count in intake.skipped.most_common(5))]
        first = f"; {intake.bad[0]['at']}: {intake.bad[0]['why']}" if intake.bad else ""
        raise UserError(f"no feedback of {source} in {', '.join(map(str, paths))} ({', '.join(seen)}){first}")
    # The answers are those of engines elsewhere, and who imports them says that their terms allow it, as with every file of dialogues.
    curated = curate(intake.votes, None, LessonRules())
    lessons, redacted = without_personal_data(curated.lessons, also_owner=True)
    report = lessons_report(curated) | {"redacted": dict(sorted(redacted.items())), "imported": _imported(intake)}
    recipe = {"imported": [path.name for path in paths], "from": source, "good": sorted(good), "names": dict(names or {})}
    with draft(home, "lessons", name, recipe=recipe) as work:
        write_lessons(work, lessons, report)
        work.counts["imported"] = {key: report["imported"][key] for key in ("votes", "num_bad", "skipped", "unknown_fields")}
    assert work.artifact is not None
    return work.artifact


def _imported(intake: Intake) -> dict[str, Any]:
    return {
        "votes": len(intake.votes), "num_bad": len(intake.bad), "bad": intake.bad[:SHOWN_BAD],
        "skipped": dict(sorted((+intake.skipped).items())), "unknown_fields": dict(sorted(intake.unknown.items())),
    }  # fmt: skip
