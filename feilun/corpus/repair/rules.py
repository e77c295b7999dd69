"""The rules in their order, and running them over a block."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.config import CorpusSettings
from feilun.corpus.edits import Edit, Edited, apply_to, frame_of, joined, replaced
from feilun.corpus.repair import boilerplate, characters, markup, mojibake, pinyin, punctuation, scripts, transcripts
from feilun.corpus.repair.guards import among
from feilun.types import UserError

__all__ = ["RULES", "Rule", "is_out_of_the_ordinary", "repair_texts", "rule_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """flag: which texts may need it, vectorised. find: the edits of one text, which may be none. langs: None for all.

    gate: the look in `GATES` that flags all that `flag` does, and that rules share; "" for none.
    """

    name: str
    flag: Callable[[pl.Series], pl.Series]
    find: Callable[[str], Iterable[Edit]]
    langs: tuple[str, ...] | None = None
    gate: str = ""


ODD_HAN = "".join(mojibake.GBK_SIGNS) + scripts.COMMON_TRADITIONAL


def has_odd_han(texts: pl.Series) -> pl.Series:
    """Characters that misread or traditional text has, and simplified text next to never."""
    return texts.str.contains(f"[{ODD_HAN}]")


def is_out_of_the_ordinary(texts: pl.Series) -> pl.Series:
    """All that any look in `GATES` flags: one walk over what most texts are."""
    return texts.str.contains(f"[^{characters.USUAL}--[{ODD_HAN}]]")


# Which texts are of the languages of some rules.
Spoken = dict[tuple[str, ...] | None, NDArray[np.bool_]]
CHINESE = ("zh", "cmn", "yue")
PROSE = (*CHINESE, "en", "und")

# The order matters: each works on what the one before it left.
RULES: tuple[Rule, ...] = (
    Rule(name="byte_order_mark", flag=characters.has_byte_order_mark, find=characters.byte_order_marks, gate="unusual"),
    # Before the controls, which are bytes of its characters.
    Rule(name="mojibake_latin", flag=mojibake.has_latin_mojibake, find=mojibake.misread_as_latin, gate="unusual"),
    Rule(name="mojibake_gbk", flag=mojibake.has_gbk_mojibake, find=mojibake.misread_as_gbk, langs=(*CHINESE, "und"), gate="odd_han"),
    Rule(name="line_ends", flag=characters.has_line_ends, find=characters.line_ends, gate="unusual"),
    Rule(name="control_characters", flag=characters.has_controls, find=characters.controls, gate="unusual"),
    Rule(name="zero_width", flag=characters.has_zero_width, find=characters.zero_width, gate="unusual"),
    Rule(name="html_references", flag=markup.has_references, find=markup.references, langs=PROSE),
    Rule(name="unicode_nfc", flag=characters.is_not_composed, find=characters.compositions, gate="unusual"),
    Rule(name="split_words", flag=markup.has_split_words, find=markup.split_words, langs=PROSE),
    Rule(name="pinyin_annotations", flag=pinyin.has_annotations, find=pinyin.annotations, langs=CHINESE),
    Rule(name="spelled_acronyms", flag=transcripts.is_spaced, find=transcripts.spelled_acronyms, langs=CHINESE),
    Rule(name="word_spaces", flag=transcripts.is_spaced, find=transcripts.word_spaces, langs=CHINESE),
    Rule(name="folded_punctuation", flag=punctuation.has_folded_marks, find=punctuation.folded_marks, langs=CHINESE),
    # Before the scripts: a site in the other script is no reason to convert the article.
    Rule(name="boilerplate", flag=boilerplate.has_furniture, find=boilerplate.furniture, langs=PROSE),
    Rule(name="mixed_scripts", flag=scripts.has_traditional, find=scripts.mixed_scripts, langs=CHINESE, gate="odd_han"),
    Rule(name="trailing_spaces", flag=characters.has_trailing_spaces, find=characters.trailing_spaces),
    Rule(name="outer_blank_lines", flag=characters.has_outer_blanks, find=characters.outer_blanks),
)
GATES = {"unusual": characters.is_unusual, "odd_han": has_odd_han}


def rule_names() -> tuple[str, ...]:
    return tuple(rule.name for rule in RULES)


def repair_texts(texts: pl.Series, langs: pl.Series, settings: CorpusSettings, odd: pl.Series | None = None) -> Edited:
    """Repaired texts and every change. langs: a tag a text ("zh", "en", ...; "" where unknown). odd: `is_out_of_the_ordinary`, if known."""
    rules = _rules_of(settings)
    named = {rule.langs for rule in rules if rule.langs is not None}
    spoken: Spoken = {tags: langs.is_in(tags).to_numpy() for tags in named}
    flagged_rows = _flagged_rows(texts, is_out_of_the_ordinary(texts) if odd is None else odd, spoken, rules)
    # A text that was changed is looked at anew by every later rule; all others stay as they came.
    changed: dict[int, str] = {}
    parts, last = [], None
    for step, (rule, rows) in enumerate(zip(rules, flagged_rows, strict=True)):
        if rule.flag is not last:
            flagged = [row for row in rows if row not in changed] + _flagged_anew(rule, changed, spoken)
            last = rule.flag
        found = {row: list(rule.find(changed[row] if row in changed else texts[row])) for row in flagged}
        if any(found.values()):
            parts.append(frame_of(rule.name, found).with_columns(step=pl.lit(step, pl.UInt16)))
        changed |= {row: apply_to(changed[row] if row in changed else texts[row], edits) for row, edits in found.items() if edits}
    return Edited(replaced(texts, changed), joined(parts))


def _flagged_rows(texts: pl.Series, odd: pl.Series, spoken: Spoken, rules: Sequence[Rule]) -> list[list[int]]:
    """For each rule the texts that it may change, as they came."""
    gates = {name: among(texts, odd, gate).to_numpy() for name, gate in GATES.items()}
    everywhere = np.ones(len(texts), dtype=np.bool_)
    flags: dict[Callable[[pl.Series], pl.Series], list[int]] = {}
    for rule in rules:
        if rule.flag not in flags:
            # In NumPy: to join such columns in Polars takes longer than most looks.
            rows = np.flatnonzero(gates.get(rule.gate, everywhere) & spoken.get(rule.langs, everywhere))
            flagged = rule.flag(texts.gather(rows) if len(rows) < len(texts) else texts) if len(rows) else pl.Series(dtype=pl.Boolean)
            flags[rule.flag] = rows[flagged.fill_null(False).to_numpy()].tolist()
    return [flags[rule.flag] for rule in rules]


def _flagged_anew(rule: Rule, changed: Mapping[int, str], spoken: Spoken) -> list[int]:
    rows = [row for row in changed if rule.langs is None or spoken[rule.langs][row]]
    if not rows:
        return []
    flagged = rule.flag(pl.Series([changed[row] for row in rows], dtype=pl.String))
    return [rows[place] for place in flagged.arg_true().to_list()]


def _rules_of(settings: CorpusSettings) -> tuple[Rule, ...]:
    unknown = sorted(set(settings.skip_repairs) - set(rule_names()))
    if unknown:
        raise UserError(f"skip_repairs names {', '.join(unknown)}; the repairs are {', '.join(rule_names())}")
    chosen = tuple(rule for rule in RULES if rule.name not in settings.skip_repairs)
    if not settings.simplify:
        return chosen
    whole = Rule(name="mixed_scripts", flag=scripts.has_any_traditional, find=scripts.to_simplified, langs=CHINESE)
    return tuple(whole if rule.name == whole.name else rule for rule in chosen)
