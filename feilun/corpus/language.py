"""Language by share of scripts: a cheap default for rows that name none, not an identifier of languages."""

import polars as pl

__all__ = ["language_of", "primary_tag"]

SAMPLE_CHARS = 2000
MIN_HAN_SHARE = 0.2
MAX_KANA_SHARE = 0.05
MIN_ASCII_SHARE = 0.8
# Accented Latin counts here: French has about 3.5 %, German and Spanish 1.5-2 %.
MAX_OTHER_SHARE = 0.01
SCRIPTS = {"han": (r"\p{Han}+", 3), "kana": (r"[\p{Hiragana}\p{Katakana}]+", 3), "ascii": ("[A-Za-z]+", 1)}


def primary_tag(lang: pl.Expr) -> pl.Expr:
    """BCP-47 primary tag, lower case; "" for none and for "und"."""
    tag = lang.str.strip_chars().str.to_lowercase().str.replace(r"[-_].*$", "")
    return pl.when(tag == "und").then(pl.lit("")).otherwise(tag)


def language_of(texts: pl.Series) -> pl.Series:
    """ "zh", "en" or "und" for each text, from its first 2,000 characters.

    A Latin-script language written almost without diacritics also reads as "en"; a row's own `lang` always wins.
    """
    head = texts.str.slice(0, SAMPLE_CHARS)
    counts = {}
    rest = head
    for script, (pattern, bytes_each) in SCRIPTS.items():
        without = rest.str.replace_all(pattern, "")
        counts[script] = (rest.str.len_bytes() - without.str.len_bytes()).cast(pl.Float64) / bytes_each
        rest = without
    other = rest.str.replace_all(r"[^\p{L}]+", "").str.len_chars().cast(pl.Float64)
    frame = pl.DataFrame({**counts, "other": other})
    letters = pl.sum_horizontal("han", "kana", "ascii", "other")
    zh = (pl.col("han") > MIN_HAN_SHARE * letters) & (pl.col("kana") <= MAX_KANA_SHARE * pl.col("han"))
    en = (letters > 0) & (pl.col("ascii") >= MIN_ASCII_SHARE * letters) & (pl.col("other") <= MAX_OTHER_SHARE * letters)
    verdict = pl.when(zh).then(pl.lit("zh")).when(en).then(pl.lit("en")).otherwise(pl.lit("und"))
    return frame.select(verdict.alias("lang")).to_series()
