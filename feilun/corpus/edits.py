"""What was changed in a column of texts, so that each change can be shown, counted and undone.

An edit says: in the text of `row`, as it was before `step`, the `length` characters from `offset` on were `before` and became
`after`. The edits of one step stand in order and do not overlap. `before` is null where it must not be kept (a redaction);
its length is kept all the same, because the offsets of earlier steps count it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import polars as pl

__all__ = [
    "EDIT_FIELDS", "EDIT_LIST", "EDIT_SCHEMA", "Edit", "Edited", "Undone",
    "apply_edits", "apply_to", "by_row", "decodings", "edit_texts", "frame_of", "joined", "made_edits", "replaced", "trimmed", "undo_edits",
    "unedited", "withheld",
]  # fmt: skip

EDIT_FIELDS: dict[str, Any] = {
    "step": pl.UInt16, "rule": pl.String, "offset": pl.UInt32, "length": pl.UInt32, "before": pl.String, "after": pl.String,
}  # fmt: skip
EDIT_SCHEMA: dict[str, Any] = {"row": pl.UInt32, **EDIT_FIELDS}
EDIT_LIST = pl.List(pl.Struct(EDIT_FIELDS))
FILLER = "\u2588"


class Edit(NamedTuple):
    """One change of one text; `offset` in characters."""

    offset: int
    before: str
    after: str


class Edited(NamedTuple):
    """Texts after all steps, and the edits (`EDIT_SCHEMA`) that made them so."""

    texts: pl.Series
    edits: pl.DataFrame


class Undone(NamedTuple):
    """A text before all steps; `num_withheld` placeholders still stand in it."""

    text: str
    num_withheld: int


def unedited(texts: pl.Series) -> Edited:
    return Edited(texts, pl.DataFrame(schema=EDIT_SCHEMA))


def edit_texts(texts: pl.Series, flagged: pl.Series, rule: str, find: Callable[[str], Iterable[Edit]]) -> Edited:
    """One step: what `find` names in each flagged text is changed. A text that is not flagged never enters Python."""
    rows = flagged.fill_null(False).arg_true()
    if rows.is_empty():
        return unedited(texts)
    found = zip(rows.to_list(), texts.gather(rows).to_list(), strict=True)
    return made_edits(texts, rule, {row: list(find(text)) for row, text in found})


def made_edits(texts: pl.Series, rule: str, found: Mapping[int, Sequence[Edit]]) -> Edited:
    """One step: the edits found in each row are made."""
    changed = {row: apply_to(texts[row], edits) for row, edits in found.items() if edits}
    return Edited(replaced(texts, changed), frame_of(rule, found))


def frame_of(rule: str, found: Mapping[int, Sequence[Edit]]) -> pl.DataFrame:
    """The edits of one step as a frame (`EDIT_SCHEMA`)."""
    rows = [row for row, edits in found.items() for _ in edits]
    if not rows:
        return pl.DataFrame(schema=EDIT_SCHEMA)
    offsets, befores, afters = zip(*(edit for edits in found.values() for edit in edits), strict=True)
    columns = {
        "row": rows, "step": [0] * len(rows), "rule": [rule] * len(rows), "offset": offsets, "length": list(map(len, befores)),
        "before": befores, "after": afters,
    }  # fmt: skip
    return pl.DataFrame(columns, schema=EDIT_SCHEMA)


def apply_to(text: str, edits: Sequence[Edit]) -> str:
    pieces = []
    end = 0
    for offset, before, after in edits:
        pieces += [text[end:offset], after]
        end = offset + len(before)
    return "".join([*pieces, text[end:]])


def replaced(texts: pl.Series, changed: Mapping[int, str]) -> pl.Series:
    if not changed:
        return texts
    return texts.clone().scatter(list(changed), pl.Series(list(changed.values()), dtype=pl.String))


def joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Edits of parts done one after the other, as one frame; the steps of each row are numbered 0, 1, ... without a gap.

    An edit that touches what a later part withholds is withheld too: else the log would tell what the redaction hides.
    """
    used = [part for part in parts if not part.is_empty()]
    if not used:
        return pl.DataFrame(schema=EDIT_SCHEMA)
    numbered = [part.select(*EDIT_SCHEMA, part=pl.lit(place, pl.UInt16)) for place, part in enumerate(used)]
    frame = pl.concat(numbered).sort("row", "part", "step", "offset", maintain_order=True)
    # Where another step begins, counted from the first of each row.
    begins = pl.any_horizontal(pl.col(name) != pl.col(name).shift() for name in ("row", "part", "step")).fill_null(True).cum_sum()
    frame = frame.with_columns(begins=begins).with_columns(step=(pl.col("begins") - pl.col("begins").first().over("row")).cast(pl.UInt16))
    frame = frame.select(*EDIT_SCHEMA)
    if not frame["before"].has_nulls():
        return frame
    is_hidden = pl.col("before").is_null().any().over("row")
    hidden = [_hide_early(row) for row in frame.filter(is_hidden).partition_by("row", maintain_order=True)]
    return pl.concat([frame.filter(~is_hidden), *hidden]).sort("row", maintain_order=True)


def withheld(edits: pl.DataFrame) -> pl.DataFrame:
    """The same edits without what stood there before; its length stays."""
    return edits.with_columns(before=pl.lit(None, pl.String))


def trimmed(offset: int, before: str, after: str) -> Edit:
    """The edit without what its two sides share at their ends."""
    start, shorter = 0, min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return Edit(offset + start, before[start : len(before) - end], after[start : len(after) - end])


def by_row(edits: pl.DataFrame, num_rows: int) -> pl.Series:
    """A list of edits for each row of a block, so that they go where the row goes."""
    packed = edits.group_by("row", maintain_order=True).agg(edits=pl.struct(*EDIT_FIELDS))
    rows = pl.DataFrame({"row": pl.arange(num_rows, dtype=pl.UInt32, eager=True)})
    return rows.join(packed, on="row", how="left", maintain_order="left")["edits"]


def decodings(encodings: pl.Series) -> pl.DataFrame:
    """An edit of no character for each text that was not UTF-8: it names the encoding that `undo` needs."""
    rows = (encodings != "utf-8").arg_true().cast(pl.UInt32)
    if rows.is_empty():
        return pl.DataFrame(schema=EDIT_SCHEMA)
    nothing = pl.lit("", pl.String)
    return pl.DataFrame({"row": rows, "rule": encodings.gather(rows) + "_to_utf8"}, schema_overrides=EDIT_SCHEMA).select(
        "row", "rule", pl.lit(0, pl.UInt16).alias("step"), pl.lit(0, pl.UInt32).alias("offset"), pl.lit(0, pl.UInt32).alias("length"),
        nothing.alias("before"), nothing.alias("after"),
    ).select(*EDIT_SCHEMA)  # fmt: skip


def _hide_early(edits: pl.DataFrame) -> pl.DataFrame:
    """The edits of one row, where each that made part of a withheld stretch is withheld, what it put there included."""
    hidden: list[tuple[int, int]] = []
    steps = []
    for step in reversed(edits.partition_by("step", maintain_order=True)):
        dicts = step.to_dicts()
        hidden = _hide_step(dicts, hidden)
        steps.append(pl.DataFrame(dicts, schema=EDIT_SCHEMA))
    return pl.concat(reversed(steps))


def _hide_step(edits: list[dict[str, Any]], hidden: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Withhold what touches `hidden` (stretches after this step); the hidden stretches before it."""
    earlier = []
    moved = 0
    bounds = []
    for edit in edits:
        start = edit["offset"] + moved
        bounds.append((start, start + len(edit["after"]), edit))
        moved += len(edit["after"]) - edit["length"]
    for low, high in hidden:
        for start, end, edit in bounds:
            if start < high and end > low:
                edit.update(before=None, after=FILLER * len(edit["after"]))
        earlier.append((_before(low, bounds, 0), _before(high, bounds, 1)))
    return sorted({*earlier, *((edit["offset"], edit["offset"] + edit["length"]) for edit in edits if edit["before"] is None)})


def _before(place: int, bounds: list[tuple[int, int, dict[str, Any]]], side: int) -> int:
    """Where a place after a step was before it; inside an edit, at that edit's start (side 0) or end (side 1)."""
    moved = 0
    for start, end, edit in bounds:
        if end <= place and not (side == 0 and start == end == place):
            moved += len(edit["after"]) - edit["length"]
        elif start < place:
            return int(edit["offset"] + side * edit["length"])
    return place - moved


def apply_edits(texts: pl.Series, edits: pl.DataFrame) -> pl.Series:
    """Raw texts with every step done again."""
    changed = {}
    for row, steps in _steps_of_rows(edits):
        text = texts[row]
        for step in steps:
            text = apply_to(text, [Edit(edit["offset"], "x" * edit["length"], edit["after"]) for edit in step])
        changed[row] = text
    return replaced(texts, changed)


def undo_edits(texts: pl.Series, edits: pl.DataFrame) -> list[Undone]:
    """Each text as it was before its first step. Where `before` is withheld, the placeholder stays and is counted."""
    undone = [Undone(text, 0) for text in texts]
    for row, steps in _steps_of_rows(edits):
        undone[row] = _undo(texts[row], steps)
    return undone


def _steps_of_rows(edits: pl.DataFrame) -> Iterator[tuple[int, list[list[dict[str, Any]]]]]:
    dicts = edits.sort("row", "step", "offset", maintain_order=True).iter_rows(named=True)
    for row, of_row in groupby(dicts, key=itemgetter("row")):
        yield row, [list(step) for _, step in groupby(of_row, key=itemgetter("step"))]


def _undo(text: str, steps: list[list[dict[str, Any]]]) -> Undone:
    if any(edit["before"] is None for step in steps for edit in step):
        return _undo_around(text, steps)
    for step in reversed(steps):
        moved, back = 0, []
        for edit in step:
            back.append(Edit(edit["offset"] + moved, edit["after"], edit["before"]))
            moved += len(edit["after"]) - edit["length"]
        text = apply_to(text, back)
    return Undone(text, 0)


def _undo_around(text: str, steps: list[list[dict[str, Any]]]) -> Undone:
    # A cell is a character of the text as it was then, behind an empty one. A withheld stretch is what stands there now, in its
    # first cell, and empty cells.
    cells: list[str] = ["", *text]
    num_withheld = 0
    for step in reversed(steps):
        pieces: list[str] = []
        end, moved = 0, 1
        for edit in step:
            start, stop = edit["offset"] + moved, edit["offset"] + moved + len(edit["after"])
            pieces += cells[end:start]
            pieces += _cells_of(edit, "".join(cells[start:stop]))
            if edit["before"] is None:
                num_withheld += 1
                if not edit["length"]:
                    pieces[-1] += "".join(cells[start:stop])
            end = stop
            moved += len(edit["after"]) - edit["length"]
        cells = pieces + cells[end:]
    return Undone("".join(cells), num_withheld)


def _cells_of(edit: dict[str, Any], standing: str) -> list[str]:
    if edit["before"] is not None:
        return [*edit["before"]]
    return [standing, *[""] * (edit["length"] - 1)] if edit["length"] else []
