"""A corpus as a table for people."""

from collections.abc import Iterable, Mapping
from typing import Any

from feilun.artifacts import Artifact, read_json
from feilun.types import UserError

__all__ = ["report"]

MAX_NAMES = 20


def report(artifact: Artifact) -> str:
    """Documents, MB, languages, licences, drops by reason, repairs, and every file that was passed over."""
    if artifact.kind != "corpus":
        raise UserError(f"{artifact.kind}/{artifact.ref} is not a corpus; name one that `feilun corpus build` made")
    stats = read_json(artifact.path / "stats.json")
    documents = stats["documents"]
    head = f"corpus {artifact.ref}: {documents['read']:,} documents read, {documents['kept']:,} kept, {documents['dropped']:,} dropped"
    sections = [
        _section("part", _part_rows(stats), ("documents", "MB", "characters")),
        _section("language", _group_rows(stats["languages"]), ("documents", "MB", "characters", "in validation")),
        _section("licence", _group_rows(stats["licenses"]), ("documents", "MB", "characters", "in validation")),
        _section("dropped because", _count_rows(stats["dropped"]), ("documents",)),
        _section("repaired", _count_rows(stats["repaired"]), ("documents",)),
        _passed_over(stats["skipped"]),
    ]
    return "\n\n".join([head, *_warnings(stats), *filter(None, sections)]) + "\n"


def _warnings(stats: Mapping[str, Any]) -> Iterable[str]:
    if not stats["documents"]["validation"]:
        yield "The validation part is empty: too few documents for validation_fraction; raise it, or training has nothing to measure on."


def _part_rows(stats: Mapping[str, Any]) -> list[tuple[str, ...]]:
    parts = stats["bytes"]
    return [(part, f"{stats['documents'][part]:,}", _mb(parts[part]), f"{stats['characters'][part]:,}") for part in parts]


def _group_rows(groups: Mapping[str, Mapping[str, int]]) -> list[tuple[str, ...]]:
    largest_first = sorted(groups.items(), key=lambda item: (-item[1]["bytes"], item[0]))
    return [
        (name or "(none)", f"{g['documents']:,}", _mb(g["bytes"]), f"{g['characters']:,}", f"{g['validation_documents']:,}")
        for name, g in largest_first
    ]


def _count_rows(counts: Mapping[str, int]) -> list[tuple[str, ...]]:
    return [(name, f"{count:,}") for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count]


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.2f}"


def _section(title: str, rows: list[tuple[str, ...]], columns: tuple[str, ...]) -> str:
    if not rows:
        return f"{title}: none"
    table = [(title, *columns), *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return "\n".join(
        "  ".join(_cell(text, width, place) for place, (text, width) in enumerate(zip(row, widths, strict=True))) for row in table
    )


def _cell(text: str, width: int, place: int) -> str:
    return text.rjust(width) if place else text.ljust(width)


def _passed_over(skipped: list[Mapping[str, str]]) -> str:
    if not skipped:
        return ""
    by_reason: dict[str, list[str]] = {}
    for entry in skipped:
        by_reason.setdefault(entry["reason"], []).append(entry["name"])
    lines = [f"files passed over: {len(skipped)} (all are named in stats.json)"]
    for reason, names in sorted(by_reason.items()):
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        lines.append(f"  {reason}: {len(names)}: {', '.join(names[:MAX_NAMES])}{more}")
    return "\n".join(lines)
