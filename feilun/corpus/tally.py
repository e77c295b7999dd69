"""Counts of one build: what was read, kept, repaired, dropped and why; free of times, so that it can be hashed."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from feilun.corpus.repair import rule_names

__all__ = ["Tally"]

Groups = dict[str, dict[str, int]]
VALIDATION = "validation"
MEASURES = ("documents", "bytes", "characters", "validation_documents")


@dataclass(slots=True)
class Tally:
    dropped: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=lambda: dict.fromkeys(rule_names(), 0))
    parts: Groups = field(default_factory=dict)
    languages: Groups = field(default_factory=dict)
    licenses: Groups = field(default_factory=dict)

    def add_documents(self, kept: pl.DataFrame, part: str) -> None:
        """kept: with the columns text, lang and license."""
        texts = pl.col("text").str
        is_validation = int(part == VALIDATION)
        sizes = kept.select(
            "lang", "license", part=pl.lit(part), documents=1, bytes=texts.len_bytes().cast(pl.Int64),
            characters=texts.len_chars().cast(pl.Int64), validation_documents=pl.lit(is_validation),
        )  # fmt: skip
        for column, groups in (("part", self.parts), ("lang", self.languages), ("license", self.licenses)):
            sums = sizes.group_by(column).agg(pl.col(name).sum() for name in MEASURES)
            _add_groups(groups, {row.pop(column): row for row in sums.iter_rows(named=True)})

    def add_edits(self, edits: pl.DataFrame) -> None:
        """edits: with the columns row and rule; a document counts once a rule."""
        for rule, count in edits.select("row", "rule").unique()["rule"].value_counts().iter_rows():
            self.repaired[rule] = self.repaired.get(rule, 0) + count

    def add_dropped(self, reasons: pl.Series) -> None:
        for reason, count in reasons.value_counts().iter_rows():
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def merge(self, other: "Tally") -> None:
        for mine, theirs in ((self.dropped, other.dropped), (self.repaired, other.repaired)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        for groups, more in ((self.parts, other.parts), (self.languages, other.languages), (self.licenses, other.licenses)):
            _add_groups(groups, more)

    def to_json(self) -> dict[str, Any]:
        num_kept = sum(group["documents"] for group in self.parts.values())
        num_dropped = sum(self.dropped.values())
        by_part = {part: self.parts.get(part, {}) for part in ("train", "validation")}
        documents = {"read": num_kept + num_dropped, "kept": num_kept, "dropped": num_dropped}
        return {
            "documents": documents | {part: group.get("documents", 0) for part, group in by_part.items()},
            "bytes": {part: group.get("bytes", 0) for part, group in by_part.items()},
            "characters": {part: group.get("characters", 0) for part, group in by_part.items()},
            "dropped": dict(sorted(self.dropped.items())),
            "repaired": dict(sorted(self.repaired.items())),
            "languages": dict(sorted(self.languages.items())),
            "licenses": dict(sorted(self.licenses.items())),
        }


def _add_groups(groups: Groups, more: Groups) -> None:
    for name, counts in more.items():
        total = groups.setdefault(name, dict.fromkeys(MEASURES, 0))
        for key, value in counts.items():
            total[key] += value
