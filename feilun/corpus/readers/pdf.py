"""The text that a PDF holds, page by page; a picture of text is counted, not guessed at."""

from collections.abc import Iterator
from typing import Any

from feilun.corpus.readers.rows import Row, Unreadable, lost, rows_of_text
from feilun.corpus.readers.streams import unpacked_path
from feilun.corpus.sources import Source

__all__ = ["read_pdf"]

MAX_PAGES = 50_000


def read_pdf(source: Source) -> Iterator[Row]:
    """One document, its pages apart by a blank line; pages without text are one counted fault. Raises Unreadable."""
    import pypdfium2

    faults: list[Row] = []
    with unpacked_path(source) as path:
        try:
            document = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            reason = "encrypted" if "password" in str(error).lower() else "broken_document"
            raise Unreadable(reason, str(error)) from None
        try:
            yield from rows_of_text(source.name, _pages(source.name, document, faults))
        finally:
            document.close()
    yield from faults


def _pages(name: str, document: Any, faults: list[Row]) -> Iterator[str]:
    """Texts of the pages; what is wrong with some goes into `faults`."""
    import pypdfium2

    num_pages = len(document)
    blank = []
    for number in range(1, min(num_pages, MAX_PAGES) + 1):
        try:
            text = _page_text(document, number - 1)
        except pypdfium2.PdfiumError as error:
            faults.append(lost(f"{name}#page={number}", "broken_page", str(error)))
            continue
        if text:
            yield text + "\n\n"
        else:
            blank.append(number)
    if blank:
        advice = "where they are scans, an OCR program has to read them first"
        faults.append(lost(f"{name}#page={blank[0]}", "no_text", f"{len(blank)} of {num_pages} pages hold no text; {advice}"))
    if num_pages > MAX_PAGES:
        faults.append(lost(f"{name}#page={MAX_PAGES + 1}", "oversized_document", f"{num_pages:,} pages; read are the first {MAX_PAGES:,}"))


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        textpage = page.get_textpage()
        try:
            text: str = textpage.get_text_range()
        finally:
            textpage.close()
    finally:
        page.close()
    # PDFium ends lines as Windows does, and marks a hyphen at a line's end with U+FFFE.
    return text.replace("\r\n", "\n").replace("\ufffe", "-\n").encode("utf-8", "replace").decode().strip()
