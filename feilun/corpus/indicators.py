"""What the lines of texts look like, as numbers in columns."""

import polars as pl

from feilun.config import TextLimits

__all__ = ["MIN_LINES", "lines_of"]

# Of fewer lines no share is a habit: a title page, a short poem, a notice.
MIN_LINES = 8
# Headings, items and the like end without a mark in good writing too.
UNENDED = r"^(?:[#>*+\-=~·•●○※◆■▪【〔\[<:!]|\d{1,3}[.、)）]|[（(]?[一二三四五六七八九十]{1,3}[、）)]|第.{1,9}[章节節条條回卷编編])"
# A line with a comma or a full stop inside is a sentence too, whatever it ends with: verse, a quotation, a formula after it.
INNER = ["。", "，", "；", "！", "？", "．", ", ", ". "]
ENDS = frozenset("。！？…；：，、．.!?;:,”’」』）)》]\"'~～*`")
# Every such line is one of UNENDED too.
BULLET = r"^(?:[*+•·●▪-]|\d{1,3}[.)])[ \t]"
ELLIPSES = ("…", "...", "展开", "展開", "更多")


def lines_of(prose: pl.Series, limits: TextLimits) -> pl.DataFrame:
    """One row a text; shares are of the lines that are not empty, or of their characters.

    Which lines are ended or items is looked at as far as the limits need: `ended_lines` is at least what it says, and
    `bullet_lines` is 0 where it cannot be beyond.
    """
    rows = pl.DataFrame({"row": pl.arange(len(prose), eager=True, dtype=pl.UInt32)})
    lines = rows.with_columns(line=prose.str.split("\n")).explode("line").with_columns(pl.col("line").str.strip_chars())
    lines = lines.filter(pl.col("line") != "").with_columns(
        chars=pl.col("line").str.len_chars(), is_marked=pl.col("line").str.contains(UNENDED)
    )
    counts = _joined(rows, _counts(lines)).with_columns(_shares())
    is_doubtful = (pl.col("num_lines") >= MIN_LINES) & (
        (pl.col("ended_lines") < limits.min_ended_lines)
        | (pl.col("num_lines") - pl.col("unmarked") > limits.max_bullet_lines * pl.col("num_lines"))
    )
    doubtful = counts.filter(is_doubtful).select("row")
    if doubtful.is_empty():
        return counts
    exact = _joined(rows, _exact_counts(lines.join(doubtful, on="row", how="semi", maintain_order="left")))
    chosen = {name: pl.when(is_doubtful).then(exact[name]).otherwise(pl.col(name)) for name in ("ended", "bullets")}
    return counts.with_columns(**chosen).with_columns(_shares())


def _counts(lines: pl.DataFrame) -> pl.DataFrame:
    line, unmarked = pl.col("line"), ~pl.col("is_marked")
    is_cut = pl.any_horizontal(line.str.ends_with(mark) for mark in ELLIPSES)
    seen = lines.with_columns(again=~(line.hash() ^ pl.col("row").hash()).is_first_distinct())
    return seen.group_by("row").agg(
        num_lines=pl.len(), unmarked=unmarked.sum(), ended=(unmarked & line.str.tail(1).is_in(ENDS)).sum(),
        again_lines=pl.col("again").sum(), again_chars=pl.col("chars").filter("again").sum(), line_chars=pl.col("chars").sum(),
        max_line_chars=pl.col("chars").max(), ellipses=is_cut.sum(), bullets=pl.lit(0),
    )  # fmt: skip


def _exact_counts(lines: pl.DataFrame) -> pl.DataFrame:
    line = pl.col("line")
    is_ended = line.str.tail(1).is_in(ENDS) | line.str.contains_any(INNER)
    return lines.group_by("row").agg(ended=(~pl.col("is_marked") & is_ended).sum(), bullets=line.str.contains(BULLET).sum())


def _joined(rows: pl.DataFrame, counted: pl.DataFrame) -> pl.DataFrame:
    joined = rows.join(counted, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.col(name).cast(pl.Int64).fill_null(0) for name in counted.columns if name != "row")


def _shares() -> list[pl.Expr]:
    lines, unmarked, chars = (pl.max_horizontal(pl.col(name), pl.lit(1)) for name in ("num_lines", "unmarked", "line_chars"))
    shares = {
        "ended_lines": pl.col("ended") / unmarked, "repeated_lines": pl.col("again_lines") / lines,
        "repeated_line_chars": pl.col("again_chars") / chars, "bullet_lines": pl.col("bullets") / lines,
        "ellipsis_lines": pl.col("ellipses") / lines, "mean_line_chars": pl.col("line_chars") / lines,
    }  # fmt: skip
    return [share.alias(name) for name, share in shares.items()]
