"""The rules in their order, and running them over a block."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from feilun.config import CorpusSettings
from feilun.corpus.edits import Edit, Edited, edit_texts, joined
from feilun.corpus.repair import characters

__all__ = ["RULES", "Rule", "repair_texts", "rule_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """flag: which texts may need it, vectorised. find: the edits of one text, which may be none."""

    name: str
    flag: Callable[[pl.Series], pl.Series]
    find: Callable[[str], Iterable[Edit]]


# The order matters: each works on what the one before it left.
RULES: tuple[Rule, ...] = (
    Rule(name="byte_order_mark", flag=characters.has_byte_order_mark, find=characters.byte_order_marks),
    Rule(name="line_ends", flag=characters.has_line_ends, find=characters.line_ends),
    Rule(name="control_characters", flag=characters.has_controls, find=characters.controls),
    Rule(name="unicode_nfc", flag=characters.is_not_composed, find=characters.compositions),
    Rule(name="trailing_spaces", flag=characters.has_trailing_spaces, find=characters.trailing_spaces),
    Rule(name="outer_blank_lines", flag=characters.has_outer_blanks, find=characters.outer_blanks),
)


def rule_names() -> tuple[str, ...]:
    return tuple(rule.name for rule in RULES)


def repair_texts(texts: pl.Series, langs: pl.Series, settings: CorpusSettings) -> Edited:
    """Repaired texts and every change. langs: a tag a text ("zh", "en", ...; "" where unknown)."""
    parts = []
    for rule in RULES:
        texts, edits = edit_texts(texts, rule.flag(texts), rule.name, rule.find)
        parts.append(edits)
    return Edited(texts, joined(parts))
