"""Damage that no rule can repair, as columns: what is gone is scored, so that a filter may drop or down-weight, never closed up."""

import polars as pl

__all__ = ["damage_scores"]

HAN = "\u4e00-\u9fff"
# A space where Chinese has none, with Han or Chinese punctuation on both its sides: a word in Latin letters stood there.
SLOT = f"[{HAN}、，。：；「（(] [{HAN}，。、：；」）)]|[、，。；「] (?:[{HAN}]|[.] ?[a-z])|[(（] ?[)）]|[(（] ?[,，、]|^ [{HAN}]"
LOST_WORDS = "\ufffd|锟斤拷|烫烫烫|屯屯屯"
LOST = f"{LOST_WORDS}|[\ue000-\uf8ff]"


def damage_scores(texts: pl.Series, odd: pl.Series | None = None) -> pl.DataFrame:
    """Of each repaired text, per 1,000 characters: `orphan_slots` (places of deleted words) and `lost_characters`.

    odd: where a character may be that has no meaning to others; None for everywhere. To look for these is a walk over all.
    """
    thousands = texts.str.len_chars().clip(lower_bound=1) / 1000
    slots = texts.str.count_matches(f"(?m){SLOT}")
    lost = pl.zeros(len(texts), dtype=pl.UInt32, eager=True)
    rows = (texts.str.contains(LOST_WORDS) | (odd if odd is not None else True)).arg_true()
    lost = lost.scatter(rows, texts.gather(rows).str.count_matches(LOST))
    return pl.DataFrame({"orphan_slots": slots / thousands, "lost_characters": lost / thousands})
