"""Verdicts on washed texts: for each document the reason why it is dropped, or null.

Some reasons hold for every text; the others follow the limits of its language (`feilun.config.TextLimits`). The first one counts.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from feilun.config import CorpusSettings, TextLimits
from feilun.corpus.indicators import MIN_LINES, lines_of
from feilun.corpus.letters import KINDS, Letters

__all__ = ["CODE_TAGS", "limits_of", "verdicts"]

CODE_TAGS = frozenset({
    "code", "python", "java", "javascript", "typescript", "rust", "ruby", "shell", "bash", "sql", "html", "css", "swift", "kotlin",
    "scala", "perl", "haskell", "julia", "cpp", "c", "csharp", "php", "lua", "go", "golang", "r", "js", "ts", "py", "json", "yaml", "xml",
})  # fmt: skip
# Of a shorter text a few characters decide: a row of stars under a poem is a fifth of it.
MIN_CHARS = 200

Failing = Callable[[TextLimits], pl.Expr]

REASONS: dict[str, Failing] = {
    "few_letters": lambda limits: pl.col("letters_share") < limits.min_letters,
    "repeated_runs": lambda limits: pl.col("repeated_runs") > limits.max_repeated_runs,
    "repeated_lines": lambda limits: (pl.col("num_lines") >= MIN_LINES) & (
        (pl.col("repeated_lines") > limits.max_repeated_lines) & (pl.col("repeated_line_chars") > limits.max_repeated_line_chars)
    ),
    "unended_lines": lambda limits: (pl.col("unmarked") >= MIN_LINES) & (pl.col("ended_lines") < limits.min_ended_lines),
    "bullet_lines": lambda limits: (pl.col("num_lines") >= MIN_LINES) & (pl.col("bullet_lines") > limits.max_bullet_lines),
    "ellipsis_lines": lambda limits: (pl.col("num_lines") >= MIN_LINES) & (pl.col("ellipsis_lines") > limits.max_ellipsis_lines),
    "long_lines": lambda limits: (
        (pl.col("max_line_chars") > limits.max_line_chars) | (pl.col("mean_line_chars") > limits.max_mean_line_chars)
    ),
}  # fmt: skip


def verdicts(texts: pl.Series, langs: pl.Series, letters: Letters, settings: CorpusSettings) -> pl.Series:
    """The reason for which each text is dropped, null where it stays. letters: of these texts, and by which limits they are held."""
    columns = [_empty(texts), _too_short(texts, settings.min_chars), _other_language(langs, settings), _blocked(texts, settings)]
    if settings.filters:
        columns.append(_beyond_limits(texts, letters, settings))
    return pl.select(pl.coalesce(column.alias(str(place)) for place, column in enumerate(columns))).to_series()


def _reason(failed: pl.Series, reason: str) -> pl.Series:
    return pl.select(pl.when(failed).then(pl.lit(reason))).to_series()


def _empty(texts: pl.Series) -> pl.Series:
    return _reason(~texts.str.contains(r"\S"), "empty")


def _too_short(texts: pl.Series, min_chars: int) -> pl.Series:
    """Fewer than `min_chars` characters that are not spaces."""
    head_chars = 2 * min_chars + 40
    enough = _num_dense_chars(texts.str.slice(0, head_chars)) >= min_chars
    doubtful = ~enough & (texts.str.len_chars() > head_chars)
    if doubtful.any():
        # Nearly all spaces at its start: count the whole text.
        enough = enough | (doubtful & (_num_dense_chars(texts) >= min_chars))
    return _reason(~enough, "too_short")


def _num_dense_chars(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"\s+", "").str.len_chars()


def _other_language(langs: pl.Series, settings: CorpusSettings) -> pl.Series:
    if not settings.languages:
        return pl.repeat(None, len(langs), dtype=pl.String, eager=True)
    return _reason(~langs.is_in(list(settings.languages)), "other_language")


def _blocked(texts: pl.Series, settings: CorpusSettings) -> pl.Series:
    """More than `max_blocked_words` places where a word of the blocklist stands."""
    if not settings.blocklist:
        return pl.repeat(None, len(texts), dtype=pl.String, eager=True)
    return _reason(texts.str.find_many(list(settings.blocklist)).list.len() > settings.max_blocked_words, "blocklist")


def limits_of(langs: pl.Series) -> pl.Series:
    """Which limits each text is held to: "zh", "en", "code" or "other"."""
    is_code = langs.is_in(sorted(CODE_TAGS))
    named = pl.when(langs.is_in(["zh", "en"])).then(langs).when(is_code).then(pl.lit("code")).otherwise(pl.lit("other"))
    return pl.select(named).to_series()


def _beyond_limits(texts: pl.Series, letters: Letters, settings: CorpusSettings) -> pl.Series:
    kinds, num_chars = letters.kinds, texts.str.len_chars()
    frame = pl.DataFrame({"letters_share": letters.share, "repeated_runs": letters.repeated})
    reasons = np.full(len(texts), None, dtype=object)
    for kind in KINDS:
        limits: TextLimits = getattr(settings, kind)
        chosen = (kinds == kind) & (num_chars >= MIN_CHARS)
        if chosen.any():
            lines = lines_of(_with_lines(letters.prose.filter(chosen), limits), limits)
            failing = [pl.when(fails(limits)).then(pl.lit(reason)) for reason, fails in REASONS.items()]
            columns = pl.concat([frame.filter(chosen), lines], how="horizontal")
            reasons[chosen.to_numpy()] = columns.select(pl.coalesce(failing)).to_series().to_list()
    return pl.Series(reasons.tolist(), dtype=pl.String)


def _with_lines(prose: pl.Series, limits: TextLimits) -> pl.Series:
    """Null for each text whose lines cannot be beyond a limit: there are few of them, and none can be too long."""
    longest = min(limits.max_line_chars, limits.max_mean_line_chars)
    is_asked = (prose.str.count_matches("\n", literal=True) >= MIN_LINES - 1) | (prose.str.len_chars() > longest)
    return pl.select(pl.when(is_asked).then(prose)).to_series()
