"""Tables by name of the column: .csv and .tsv line by line, .parquet batch by batch."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from feilun.corpus.encodings import BYTE_ORDER_MARK, decode_stream
from feilun.corpus.readers.lines import MAX_LINE_BYTES, split_lines
from feilun.corpus.readers.plain import encoding_of
from feilun.corpus.readers.rows import FIELDS, Row, Unreadable, lost
from feilun.corpus.readers.streams import content, unpacked_path
from feilun.corpus.sources import Source, inner_name
from feilun.types import UserError

__all__ = ["read_parquet", "read_table"]

BATCH_ROWS = 1024


def read_table(source: Source, column: str) -> Iterator[Row]:
    """Rows of a table with a head; its text stands in `column`, and id, source, license, lang where columns are called so."""
    encoding = encoding_of(source)
    records = _records(_Lines(decode_stream(content(source), encoding)), inner_name(source.name).lower().endswith(".tsv"))
    names: list[str] | None = None
    for number, cells in enumerate(records, 1):
        origin = f"{source.name}:{number}"
        if isinstance(cells, Unreadable):
            yield lost(origin, cells.reason, cells.detail)
        elif names is None:
            names = [cell.strip().removeprefix(BYTE_ORDER_MARK) for cell in cells]
            _check_column(source, column, names)
        elif cells:
            yield _row_under(names, source, column, origin, cells, encoding)


def _row_under(names: Sequence[str], source: Source, column: str, origin: str, cells: Sequence[str], encoding: str) -> Row:
    if len(cells) != len(names):
        return lost(origin, "malformed_row", f"{len(cells)} cells under {len(names)} columns: {' | '.join(cells)[:100]}")
    return _row(source, column, origin, dict(zip(names, cells, strict=True)), encoding)


def _check_column(source: Source, column: str, names: Sequence[str]) -> None:
    if column not in names:
        there = ", ".join(names[:40]) or "none"
        raise UserError(f"{source.name} has no column {column!r}; its columns: {there[:1000]}; choose one with --set text_column=NAME")


def _row(source: Source, column: str, origin: str, cells: dict[str, str], encoding: str) -> Row:
    fields = {name: cells.get(name, "") for name in FIELDS}
    text = cells.get(column, "")
    return Row(
        fields["id"] or origin, text, fields["source"] or source.name, fields["license"], fields["lang"], origin, encoding
    )  # fmt: skip


class _Lines:
    """Lines of a text; unlike a generator, one that goes on after the fault it raises for a line over the limit."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._lines = split_lines(text.encode() for text in texts)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if line is None:
            raise Unreadable("oversized_row", f"a line of more than {MAX_LINE_BYTES >> 20} MiB")
        return line.decode() + "\n"


def _records(lines: Iterator[str], is_tsv: bool) -> Iterator[list[str] | Unreadable]:
    """Cells of each record, or the fault of one that has none."""
    previous = csv.field_size_limit(MAX_LINE_BYTES)
    records: Iterator[list[str]] = map(_tab_cells, lines) if is_tsv else csv.reader(lines)
    try:
        while True:
            try:
                yield next(records)
            except StopIteration:
                return
            except Unreadable as fault:
                yield fault
            except csv.Error as error:
                yield Unreadable("malformed_row", str(error))
    finally:
        csv.field_size_limit(previous)


def _tab_cells(line: str) -> list[str]:
    """A line is a record: text/tab-separated-values knows no quotes; those that other writers put round a cell are taken off."""
    return [_unquote(cell) for cell in line.rstrip("\r\n").split("\t")]


def _unquote(cell: str) -> str:
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell


def read_parquet(source: Source, column: str) -> Iterator[Row]:
    import polars as pl

    with unpacked_path(source) as path:
        try:
            yield from _batches(source, column, path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise Unreadable("broken_document", str(error)) from None


def _batches(source: Source, column: str, path: Path) -> Iterator[Row]:
    import polars as pl

    frame = pl.scan_parquet(path, glob=False)
    schema = frame.collect_schema()
    _check_column(source, column, list(schema))
    if schema[column] != pl.String:
        what = f"column {column!r} holds {schema[column]}, and must hold String"
        raise UserError(f"{source.name}: {what}; choose another with --set text_column=NAME")
    fields = [name for name in FIELDS if name in schema and not schema[name].is_nested() and name != column]
    wanted = frame.select(pl.col(column).alias("text"), *(pl.col(name).cast(pl.String) for name in fields))
    number = 0
    for batch in wanted.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        for cells in batch.iter_rows(named=True):
            number += 1
            yield _parquet_row(source, f"{source.name}:{number}", cells)


def _parquet_row(source: Source, origin: str, cells: dict[str, Any]) -> Row:
    if cells["text"] is None:
        return lost(origin, "malformed_row", "no text in this row")
    return _row(source, "text", origin, {name: value or "" for name, value in cells.items()}, "utf-8")
