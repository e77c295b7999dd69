"""Files to rows, streaming: what is held is one piece of text or one line, whatever the size of the file.

A fault that one row has costs that row (a counted drop that names file and line); a fault that says the whole file is
not what the user thinks it is (conversations, no text in any row) is an error.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from feilun.corpus.encodings import BYTE_ORDER_MARK, LineDecoder, decode_stream, detect_encoding
from feilun.corpus.sources import PACKED_SUFFIX, Source, kind_of
from feilun.types import UserError

__all__ = ["Row", "file_sha256", "read_rows"]

CHUNK_BYTES = 1 << 20
# Zstandard can unfold 4 bytes into 128 KiB; small bites keep a bomb's burst at 256 MiB.
PACKED_CHUNK_BYTES = 8 << 10
MAX_LINE_BYTES = 64 << 20
PIECE_CHARS = 4 << 20
HEAD_CHARS = 200


class Row(NamedTuple):
    """One document before washing. `reason` is set when it is already lost; `origin` is where it stood, as "file:line"."""

    id: str
    text: str
    source: str
    license: str
    lang: str
    origin: str
    encoding: str = "utf-8"
    reason: str | None = None


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_rows(source: Source) -> Iterator[Row]:
    """Every document of one file. A broken or truncated .zst yields what stands before the break, then a "broken_archive" drop."""
    rows = _read_lines(source) if _holds_rows(source) else _read_text(source)
    empty = True
    try:
        for row in rows:
            empty = False
            yield row
    except (zstandard.ZstdError, EOFError) as error:
        yield _lost(source.name, "broken_archive", str(error))
        return
    if empty:
        yield _lost(source.name, "empty", "")


def _lost(origin: str, reason: str, head: str) -> Row:
    return Row(origin, head[:HEAD_CHARS], "", "", "", origin, reason=reason)


def _holds_rows(source: Source) -> bool:
    kind = kind_of(source.name)
    if kind != "packed":
        return kind == "rows"
    try:
        start = next(_content(source), b"")
    except (zstandard.ZstdError, EOFError):
        return False
    return start.removeprefix(BYTE_ORDER_MARK.encode()).lstrip().startswith(b"{")


def _content(source: Source) -> Iterator[bytes]:
    packed = source.name.lower().endswith(PACKED_SUFFIX)
    chunks = _chunks(source.path, PACKED_CHUNK_BYTES if packed else CHUNK_BYTES)
    return _unpack(chunks) if packed else chunks


def _chunks(path: Path, num_bytes: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(num_bytes):
            yield chunk


def _unpack(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """All frames of a Zstandard stream; unlike the library's stream reader, a truncated one is an error, not an early end."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    frame = None
    for chunk in chunks:
        while chunk:
            frame = frame or decompressor.decompressobj()
            if unpacked := frame.decompress(chunk):
                yield unpacked
            chunk = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the archive is truncated: its last frame has no end")


def _read_text(source: Source) -> Iterator[Row]:
    encoding = detect_encoding(lambda: _content(source))
    if encoding is None:
        head = next(_content(source), b"")[: HEAD_CHARS * 4]
        yield _lost(source.name, "undecodable", head.decode("utf-8", errors="replace"))
        return
    for index, piece in enumerate(_pieces(decode_stream(_content(source), encoding))):
        origin = f"{source.name}#{index + 1}" if index else source.name
        yield Row(origin, piece, source.name, "", "", origin, encoding)


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """The text in pieces of at most `PIECE_CHARS` characters, cut after a blank line, else a line, else a space, else anywhere."""
    held: list[str] = []
    num_chars = 0
    for text in texts:
        held.append(text)
        num_chars += len(text)
        if num_chars > PIECE_CHARS:
            whole = "".join(held)
            while len(whole) > PIECE_CHARS:
                cut = _cut(whole)
                yield whole[:cut]
                whole = whole[cut:]
            held, num_chars = [whole], len(whole)
    if num_chars:
        yield "".join(held)


def _cut(text: str) -> int:
    for mark in ("\n\n", "\n", " "):
        place = text.rfind(mark, PIECE_CHARS // 2, PIECE_CHARS)
        if place > 0:
            return place + len(mark)
    return PIECE_CHARS


def _read_lines(source: Source) -> Iterator[Row]:
    decoder = LineDecoder(lambda: _content(source))
    first_fault: Row | None = None
    any_good = False
    for number, line in enumerate(_lines(_content(source)), 1):
        row = _read_line(source, f"{source.name}:{number}", line, decoder)
        if row is None:
            continue
        any_good = any_good or row.reason is None
        if row.reason == "malformed_row" and first_fault is None:
            first_fault = row
        yield row
    if first_fault is not None and not any_good:
        raise UserError(
            f'{source.path}: no line is a row with a "text"; the first fault is at {first_fault.origin}: {first_fault.text[:100]!r}; '
            'a corpus file holds one JSON object a line: {"text": "...", "id", "source", "license", "lang"}'
        )


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
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


def _read_line(source: Source, origin: str, line: bytes | None, decoder: LineDecoder) -> Row | None:
    if line is None:
        return _lost(origin, "oversized_row", f"a line of more than {MAX_LINE_BYTES >> 20} MiB")
    if not line.strip():
        return None
    decoded = decoder.decode(line)
    if decoded is None:
        return _lost(origin, "undecodable", line[: HEAD_CHARS * 4].decode("utf-8", errors="replace"))
    text, encoding = decoded
    try:
        value = json.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        return _lost(origin, "malformed_row", text)
    return _row_of(source, origin, value, text, encoding)


def _row_of(source: Source, origin: str, value: Any, line: str, encoding: str) -> Row:
    if not isinstance(value, dict):
        return _lost(origin, "malformed_row", line)
    if "messages" in value:
        raise UserError(
            f'{source.path}, {origin}: the row has "messages": it is a conversation, and a corpus holds plain text; '
            'make lessons of it (feilun feedback import NAME FILE), or write each conversation as one "text"'
        )
    text = value.get("text")
    if not isinstance(text, str) or not _is_encodable(text, line):
        return _lost(origin, "malformed_row", line)
    fields = {key: _field(value.get(key), line) for key in ("id", "source", "license", "lang")}
    return Row(
        fields["id"] or origin, text, fields["source"] or source.name, fields["license"], fields["lang"], origin, encoding
    )  # fmt: skip


def _field(value: Any, line: str) -> str:
    if isinstance(value, str):
        return value if _is_encodable(value, line) else ""
    return str(value) if isinstance(value, int | float) else ""


def _is_encodable(text: str, line: str) -> bool:
    """False for half of a surrogate pair, which only an escape can bring in."""
    if "\\u" not in line:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
