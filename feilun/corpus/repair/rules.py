"""The rules in their order, and running them over a block."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from feilun.config import CorpusSettings
from feilun.corpus.edits import Edit, Edited, edit_texts, joined
from feilun.corpus.repair import boilerplate, characters, markup, mojibake, pinyin, punctuation, scripts, transcripts
from feilun.corpus.repair.guards import among
from feilun.types import UserError

__all__ = ["RULES", "Rule", "repair_texts", "rule_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """flag: which texts may need it, vectorised. find: the edits of one text, which may be none. langs: None for all.

    unusual: changes only texts that `characters.is_unusual` flags.
    """

    name: str
    flag: Callable[[pl.Series], pl.Series]
    find: Callable[[str], Iterable[Edit]]
    langs: tuple[str, ...] | None = None
    unusual: bool = False


CHINESE = ("zh", "cmn", "yue")
PROSE = (*CHINESE, "en", "und")

# The order matters: each works on what the one before it left.
RULES: tuple[Rule, ...] = (
    Rule(name="byte_order_mark", flag=characters.has_byte_order_mark, find=characters.byte_order_marks, unusual=True),
    # Before the controls, which are bytes of its characters.
    Rule(name="mojibake_latin", flag=mojibake.has_latin_mojibake, find=mojibake.misread_as_latin, unusual=True),
    Rule(name="mojibake_gbk", flag=mojibake.has_gbk_mojibake, find=mojibake.misread_as_gbk, langs=(*CHINESE, "und")),
    Rule(name="line_ends", flag=characters.has_line_ends, find=characters.line_ends, unusual=True),
    Rule(name="control_characters", flag=characters.has_controls, find=characters.controls, unusual=True),
    Rule(name="zero_width", flag=characters.has_zero_width, find=characters.zero_width, unusual=True),
    Rule(name="html_references", flag=markup.has_references, find=markup.references, langs=PROSE),
    Rule(name="unicode_nfc", flag=characters.is_not_composed, find=characters.compositions, unusual=True),
    Rule(name="split_words", flag=markup.has_split_words, find=markup.split_words, langs=PROSE),
    Rule(name="pinyin_annotations", flag=pinyin.has_annotations, find=pinyin.annotations, langs=CHINESE),
    Rule(name="spelled_acronyms", flag=transcripts.is_spaced, find=transcripts.spelled_acronyms, langs=CHINESE),
    Rule(name="word_spaces", flag=transcripts.is_spaced, find=transcripts.word_spaces, langs=CHINESE),
    Rule(name="folded_punctuation", flag=punctuation.has_folded_marks, find=punctuation.folded_marks, langs=CHINESE),
    # Before the scripts: a site in the other script is no reason to convert the article.
    Rule(name="boilerplate", flag=boilerplate.has_furniture, find=boilerplate.furniture, langs=PROSE),
    Rule(name="mixed_scripts", flag=scripts.has_traditional, find=scripts.mixed_scripts, langs=CHINESE),
    Rule(name="trailing_spaces", flag=characters.has_trailing_spaces, find=characters.trailing_spaces),
    Rule(name="outer_blank_lines", flag=characters.has_outer_blanks, find=characters.outer_blanks),
)


def rule_names() -> tuple[str, ...]:
    return tuple(rule.name for rule in RULES)


def repair_texts(texts: pl.Series, langs: pl.Series, settings: CorpusSettings) -> Edited:
    """Repaired texts and every change. langs: a tag a text ("zh", "en", ...; "" where unknown)."""
    # The columns that rules share, asked for once; a text that was changed counts as unusual from then on.
    unusual = characters.is_unusual(texts)
    spoken = {rule.langs: langs.is_in(rule.langs) for rule in RULES if rule.langs is not None}
    parts, last, flagged = [], None, unusual
    for rule in _rules_of(settings):
        if rule.flag is not last:
            looked_at = unusual if rule.unusual else spoken.get(rule.langs or ())
            flagged = rule.flag(texts) if looked_at is None else among(texts, looked_at, rule.flag)
            last = rule.flag
        texts, edits = edit_texts(texts, flagged, rule.name, rule.find)
        if not edits.is_empty():
            unusual = unusual.clone().scatter(edits["row"].unique(), True)
            parts.append(edits)
    return Edited(texts, joined(parts))


def _rules_of(settings: CorpusSettings) -> tuple[Rule, ...]:
    unknown = sorted(set(settings.skip_repairs) - set(rule_names()))
    if unknown:
        raise UserError(f"skip_repairs names {', '.join(unknown)}; the repairs are {', '.join(rule_names())}")
    chosen = tuple(rule for rule in RULES if rule.name not in settings.skip_repairs)
    if not settings.simplify:
        return chosen
    whole = Rule(name="mixed_scripts", flag=scripts.has_any_traditional, find=scripts.to_simplified, langs=CHINESE)
    return tuple(whole if rule.name == whole.name else rule for rule in chosen)
