"""Plain text of any size, and text that has to be held whole to be read."""

from collections.abc import Iterator

from feilun.corpus.encodings import decode_stream, detect_encoding
from feilun.corpus.readers.rows import HEAD_CHARS, Row, Unreadable, rows_of_text
from feilun.corpus.readers.streams import content
from feilun.corpus.sources import Source

__all__ = ["encoding_of", "read_text"]


def read_text(source: Source) -> Iterator[Row]:
    encoding = encoding_of(source)
    return rows_of_text(source.name, decode_stream(content(source), encoding), encoding)


def encoding_of(source: Source) -> str:
    encoding = detect_encoding(lambda: content(source))
    if encoding is None:
        head = next(content(source), b"")[: HEAD_CHARS * 4]
        raise Unreadable("undecodable", head.decode("utf-8", errors="replace"))
    return encoding
