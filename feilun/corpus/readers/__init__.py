"""Files to rows, streaming: what is held is one piece of text, one line or one page, whatever the size of the file.

A fault that one row has costs that row (a counted drop that names file and line), a fault of the file costs what could not be
read of it; a fault that says the file is not what the user thinks it is (conversations, no such column) is an error.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from feilun.corpus.readers.guard import GUARD, GUARDED, Guard, Task
from feilun.corpus.readers.rows import HEAD_CHARS, Row, Unreadable, lost
from feilun.corpus.readers.streams import content
from feilun.corpus.remote import fetched
from feilun.corpus.sources import Kind, Source, kind_of

__all__ = ["HEAD_CHARS", "Row", "file_sha256", "read_rows"]

# How the content of a bare .gz or .zst begins, blanks and a byte order mark apart.
SIGNS: tuple[tuple[bytes, Kind], ...] = (
    (b"{", "rows"), (b"WARC/", "warc"), (b"%PDF-", "pdf"), (b"<!doctype html", "html"), (b"<html", "html"), (b"PAR1", "parquet"),
)  # fmt: skip


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_rows(source: Source, column: str = "text", guard: Guard = GUARD) -> Iterator[Row]:
    """Every document of one file, and every fault in it as a row with a reason; a file without either is "empty".

    column: where the text stands in JSON lines and tables. Raises UserError for a file that is something else than it says.
    """
    empty = True
    try:
        with fetched(source) as local:
            for row in _rows(local, column, guard):
                empty = False
                yield row
    except Unreadable as fault:
        yield lost(source.name, fault.reason, fault.detail)
    except FileNotFoundError:
        yield lost(source.name, "vanished", "")
    except OSError as error:
        yield lost(source.name, "unreadable", str(error))
    else:
        if empty:
            yield lost(source.name, "empty", "")


def _rows(source: Source, column: str, guard: Guard) -> Iterator[Row]:
    kind = kind_of(source.name)
    assert kind is not None
    kind = _kind_inside(source) if kind == "packed" else kind
    if source.path.stat().st_size == 0:
        return
    task = Task(source, kind, column)
    if kind in GUARDED:
        yield from guard.rows(task)
    else:
        yield from _read_here(task)


def _kind_inside(source: Source) -> Kind:
    start = next(content(source), b"")[:200].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for sign, kind in SIGNS if start.startswith(sign.lower())), "text")


def _read_here(task: Task) -> Iterator[Row]:
    if task.kind == "rows":
        from feilun.corpus.readers.lines import read_lines

        return read_lines(task.source, task.column)
    if task.kind == "table":
        from feilun.corpus.readers.tables import read_table

        return read_table(task.source, task.column)
    from feilun.corpus.readers.plain import read_text

    return read_text(task.source)


def read_guarded(task: Task) -> Iterator[Row]:
    """Rows of a file of one of the kinds in `GUARDED`; called in the child process."""
    from feilun.corpus.readers import office, pdf, tables, web

    if task.kind == "warc":
        return web.read_warc(task.source, task.skipped)
    if task.kind == "parquet":
        return tables.read_parquet(task.source, task.column)
    read = {"html": web.read_html, "pdf": pdf.read_pdf, "docx": office.read_docx, "epub": office.read_epub}[task.kind]
    return read(task.source)
