"""Counts of one build: what was read, kept, repaired, dropped and why; free of times, so that it can be hashed."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from feilun.corpus.repair import rule_names

__all__ = ["Tally"]

Groups = dict[str, dict[str, int]]


@dataclass(slots=True)
class Tally:
    dropped: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=lambda: dict.fromkeys(rule_names(), 0))
    parts: Groups = field(default_factory=dict)
    languages: Groups = field(default_factory=dict)
    licenses: Groups = field(default_factory=dict)

    def add(self, kept: pl.DataFrame, dropped: pl.DataFrame) -> None:
        for reason, count in dropped.group_by("reason").len().iter_rows():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        rules = kept["edits"].drop_nulls().list.eval(pl.element().struct.field("rule").unique()).explode()
        for rule, count in rules.value_counts().iter_rows():
            self.repaired[rule] = self.repaired.get(rule, 0) + count
        for column, groups in (("part", self.parts), ("lang", self.languages), ("license", self.licenses)):
            _add_groups(groups, kept, column)

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


def _add_groups(groups: Groups, kept: pl.DataFrame, column: str) -> None:
    texts = pl.col("text").str
    sums = kept.group_by(column).agg(
        documents=pl.len(), bytes=texts.len_bytes().sum(), characters=texts.len_chars().sum(),
        validation_documents=(pl.col("part") == "validation").sum(),
    )  # fmt: skip
    for row in sums.iter_rows(named=True):
        total = groups.setdefault(row.pop(column), dict.fromkeys(row, 0))
        for key, value in row.items():
            total[key] += value
