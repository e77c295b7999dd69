"""Web pages: .html files, and the responses (.warc) or texts (.wet) of a crawl."""

import codecs
import re
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

from feilun.corpus.encodings import BYTE_ORDER_MARK, MARKS, detect_encoding
from feilun.corpus.extract import extract_article, parse_page
from feilun.corpus.readers.rows import Row, Unreadable, lost, rows_of_text
from feilun.corpus.readers.streams import buffered, content, read_whole
from feilun.corpus.sources import Source

__all__ = ["decode_page", "read_html", "read_warc"]

MAX_PAGE_BYTES = 32 << 20
DECLARED_IN_BYTES = 4096
DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE)
PAGE_CODEC = re.compile(r"ascii|utf-8|cp\d+|iso8859-\d+|koi8-[rtu]|gb\w+|big5\w*|euc_\w+|shift_jis\w*|iso2022_\w+|tis-620|hz")
# What browsers read these names as: the larger set, so that one newer character does not spoil a page.
LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "ascii": "utf-8", "iso8859-1": "cp1252"}
# A crawl cuts pages at its size limit and pages hold stray bytes; one in a thousand characters lost is still the page.
MAX_LOST_SHARE = 0.001
PAGE_TYPES = ("text/html", "application/xhtml+xml")
TEXT_TYPES = ("text/plain", "text/markdown")
WARC_SIGN = b"WARC/"
RECORD_TYPES = ("response", "resource", "conversion")


def read_html(source: Source) -> Iterator[Row]:
    """One document: the article. Raises Unreadable: oversized_document, undecodable, no_text."""
    yield from _page_rows(source.name, source.name, read_whole(content(source), MAX_PAGE_BYTES), None)


def _page_rows(name: str, origin: str, data: bytes, charset: str | None) -> Iterator[Row]:
    html = decode_page(data, charset)
    root, is_whole = parse_page(html)
    text = extract_article(root).text if root is not None else ""
    if not text:
        raise Unreadable("no_text" if is_whole else "broken_document", html[:1000])
    yield from _named(name, origin, text)
    if not is_whole:
        yield lost(f"{origin}#rest", "broken_document", "the page is nested too deep; what stands below is lost")


def _named(name: str, origin: str, text: str) -> Iterator[Row]:
    for row in rows_of_text(origin, [text]):
        yield row._replace(source=name)


def decode_page(data: bytes, charset: str | None = None) -> str:
    """The page as text: by what the bytes can only be, else what the server or the page declares, else what they look like."""
    declared = DECLARED.search(data[:DECLARED_IN_BYTES])
    # Pages in UTF-8 that declare GB2312 are many; the reverse never happens by chance.
    certain = "utf-8" if not data.isascii() and detect_encoding(lambda: [data]) == "utf-8" else _marked(data)
    for encoding in (certain, _known(charset), _known(declared.group(1).decode() if declared else None)):
        text = _decoded(data, encoding) if encoding else None
        if text is not None:
            return text.removeprefix(BYTE_ORDER_MARK)
    encoding = detect_encoding(lambda: [data])
    text = data.decode(encoding) if encoding else _decoded(data, "utf-8")
    if text is None:
        raise Unreadable("undecodable", data[:800].decode("utf-8", "replace"))
    return text


def _marked(data: bytes) -> str | None:
    return next((encoding for mark, encoding in MARKS if data.startswith(mark)), None)


def _known(name: str | None) -> str | None:
    """The codec of a declared name, where it is one that pages are written in."""
    try:
        codec = codecs.lookup(name or "").name
    except (LookupError, ValueError):
        return None
    return LARGER.get(codec, codec) if PAGE_CODEC.fullmatch(codec) else None


def _decoded(data: bytes, encoding: str) -> str | None:
    text = data.decode(encoding, "replace")
    return text if text.count("\ufffd") <= MAX_LOST_SHARE * len(text) else None


def read_warc(source: Source, skipped: frozenset[int] = frozenset()) -> Iterator[Row]:
    """Pages of a crawl, a document each, from "response", "resource" and "conversion" records; the other kinds hold no text.

    skipped: numbers of records on which a parser died before; they are counted and not parsed.
    """
    number = 0
    for record in _records(source):
        if record.rec_type not in RECORD_TYPES:
            continue
        number += 1
        origin = f"{source.name}:{number}"
        address = record.rec_headers.get_header("WARC-Target-URI") or ""
        try:
            if number in skipped:
                raise Unreadable("parser_died", address)
            for row in _record_rows(source.name, origin, address, record):
                yield row._replace(id=address or row.id) if row.reason is None and row.id == origin else row
        except Unreadable as fault:
            yield lost(origin, fault.reason, fault.detail)
    if not number:
        raise Unreadable("broken_document", "no response, resource or conversion record in this file")


def _records(source: Source) -> Iterator[Any]:
    from warcio.archiveiterator import ArchiveIterator

    stream = buffered(content(source))
    # Without a line end warcio looks for one in all that was read so far, again and again.
    if not stream.peek(len(WARC_SIGN)).lstrip().startswith(WARC_SIGN):
        raise Unreadable("broken_document", "this is no crawl: a file of the WARC kind begins with WARC/")
    archive = ArchiveIterator(stream)
    records = iter(archive)
    while True:
        try:
            with redirect_stderr(StringIO()):
                record = next(records)
        except StopIteration:
            break
        except Unreadable:
            raise
        except Exception as error:  # A broken head makes warcio fail in any place.
            raise Unreadable("broken_archive", f"{type(error).__name__}: {error}") from None
        yield record
    # What warcio writes to the standard error is a record whose length is wrong; what follows it is lost.
    if archive.err_count:
        raise Unreadable("broken_archive", f"{archive.err_count} records end elsewhere than they say; some text is lost")


def _record_rows(name: str, origin: str, address: str, record: Any) -> Iterator[Row]:
    http = record.http_headers
    status = http.get_statuscode() if http else "200"
    if status != "200":
        raise Unreadable("http_status", f"{status} {address}")
    media = (http or record.rec_headers).get_header("Content-Type") or ""
    kind = media.partition(";")[0].strip().lower()
    if kind not in (*PAGE_TYPES, *TEXT_TYPES):
        raise Unreadable("not_text", f"{kind or 'no type'} {address}")
    data = _body(record)
    if len(data) > MAX_PAGE_BYTES:
        raise Unreadable("oversized_document", f"a page of more than {MAX_PAGE_BYTES >> 20} MiB: {address}")
    if kind in TEXT_TYPES:
        return _plain_rows(name, origin, data)
    declared = DECLARED.search(media.encode())
    return _page_rows(name, origin, data, declared.group(1).decode() if declared else None)


def _body(record: Any) -> bytes:
    try:
        data: bytes = record.content_stream().read(MAX_PAGE_BYTES + 1)
        is_cut = len(data) <= MAX_PAGE_BYTES and record.raw_stream.limit > 0 and not record.raw_stream.read(1)
    except Unreadable:
        raise
    except Exception as error:  # Each transfer coding has a library, and errors, of its own.
        raise Unreadable("broken_page", f"{type(error).__name__}: {error}") from None
    if is_cut:
        raise Unreadable("broken_archive", "the file ends inside this record")
    return data


def _plain_rows(name: str, origin: str, data: bytes) -> Iterator[Row]:
    text = decode_page(data)
    if not text.strip():
        raise Unreadable("empty", "")
    return _named(name, origin, text)
