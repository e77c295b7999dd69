"""One JSON object a line: a line that is at fault costs that line; a file in which all are is an error."""

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from feilun.corpus.encodings import BYTE_ORDER_MARK, LineDecoder, decode_stream, detect_encoding
from feilun.corpus.readers.rows import FIELDS, HEAD_CHARS, Row, lost
from feilun.corpus.readers.streams import content
from feilun.corpus.sources import Source
from feilun.types import UserError

__all__ = ["MAX_LINE_BYTES", "read_lines", "split_lines"]

MAX_LINE_BYTES = 64 << 20
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_lines(source: Source, column: str) -> Iterator[Row]:
    decoder = LineDecoder(lambda: content(source))
    first_fault: Row | None = None
    any_good = False
    for number, line in enumerate(split_lines(_narrow(source)), 1):
        row = _read_line(source, column, f"{source.name}:{number}", line, decoder)
        if row is None:
            continue
        any_good = any_good or row.reason is None
        if row.reason == "malformed_row" and first_fault is None:
            first_fault = row
        yield row
    if first_fault is not None and not any_good:
        raise UserError(
            f'{source.path}: no line is a row with a "{column}"; the first fault is at {first_fault.origin}: {first_fault.text[:100]!r}; '
            f'a corpus file holds one JSON object a line: {{"{column}": "...", "id", "source", "license", "lang"}}'
        )


def _narrow(source: Source) -> Iterator[bytes]:
    """Bytes whose lines end at byte 10: those of the file, but for UTF-16, which is written anew as UTF-8."""
    head = next(content(source), b"")
    if head.startswith(WIDE_MARKS) or b"\0" in head[:4]:
        encoding = detect_encoding(lambda: content(source))
        if encoding and encoding.startswith("utf-") and encoding != "utf-8":
            return (text.encode() for text in decode_stream(content(source), encoding))
    return content(source)


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Lines without their ends; None stands for one longer than `MAX_LINE_BYTES`, which is not kept."""
    held: list[bytes] = []
    num_bytes = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield None if num_bytes + len(part) > MAX_LINE_BYTES else b"".join([*held, part])
            held, num_bytes = [], 0
        num_bytes += len(rest)
        held = [*held, rest] if num_bytes <= MAX_LINE_BYTES else []
    if num_bytes:
        yield b"".join(held) if num_bytes <= MAX_LINE_BYTES else None


def _read_line(source: Source, column: str, origin: str, line: bytes | None, decoder: LineDecoder) -> Row | None:
    if line is None:
        return lost(origin, "oversized_row", f"a line of more than {MAX_LINE_BYTES >> 20} MiB")
    if not line.strip():
        return None
    decoded = decoder.decode(line)
    if decoded is None:
        return lost(origin, "undecodable", line[: HEAD_CHARS * 4].decode("utf-8", errors="replace"))
    text, encoding = decoded
    try:
        value = json.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return lost(origin, "malformed_row", text)
    return _row_of(source, column, origin, value, text, encoding)


def _row_of(source: Source, column: str, origin: str, value: Any, line: str, encoding: str) -> Row:
    if not isinstance(value, dict):
        return lost(origin, "malformed_row", line)
    if "messages" in value:
        raise UserError(
            f'{source.path}, {origin}: the row has "messages": it is a conversation, and a corpus holds plain text; '
            'make lessons of it (feilun feedback import NAME FILE), or write each conversation as one "text"'
        )
    text = value.get(column)
    if not isinstance(text, str) or not _is_encodable(text):
        return lost(origin, "malformed_row", line)
    ident, named, license, lang = (_field(value.get(key)) for key in FIELDS)
    return Row(ident or origin, text, named or source.name, license, lang, origin, encoding)


def _field(value: Any) -> str:
    if isinstance(value, str):
        return value if _is_encodable(value) else ""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _is_encodable(text: str) -> bool:
    """False where half of a surrogate pair is in it, which an escape may bring in."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
