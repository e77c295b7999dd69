"""Verdicts on washed texts: for each document the reason why it is dropped, or null.

A filter is a function (texts, settings) -> column of reasons; the first reason in the order of `FILTERS` counts.
"""

from collections.abc import Callable

import polars as pl

from feilun.config import CorpusSettings

__all__ = ["FILTERS", "verdicts"]

Filter = Callable[[pl.Series, CorpusSettings], pl.Series]


def _reason(failed: pl.Series, reason: str) -> pl.Series:
    return pl.select(pl.when(failed).then(pl.lit(reason))).to_series()


def empty(texts: pl.Series, settings: CorpusSettings) -> pl.Series:
    return _reason(~texts.str.contains(r"\S"), "empty")


def too_short(texts: pl.Series, settings: CorpusSettings) -> pl.Series:
    """Fewer than `min_chars` characters that are not spaces."""
    head_chars = 8 * settings.min_chars + 256
    enough = _num_dense_chars(texts.str.slice(0, head_chars)) >= settings.min_chars
    doubtful = ~enough & (texts.str.len_chars() > head_chars)
    if doubtful.any():
        # Nearly all spaces at its start: count the whole text.
        enough = enough | (doubtful & (_num_dense_chars(texts) >= settings.min_chars))
    return _reason(~enough, "too_short")


def _num_dense_chars(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"\s+", "").str.len_chars()


FILTERS: tuple[Filter, ...] = (empty, too_short)


def verdicts(texts: pl.Series, settings: CorpusSettings) -> pl.Series:
    columns = [check(texts, settings).alias(str(place)) for place, check in enumerate(FILTERS)]
    return pl.select(pl.coalesce(columns)).to_series()
