"""The row that every reader yields, the fault that ends a file, and long texts in pieces."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["FIELDS", "HEAD_CHARS", "PIECE_CHARS", "Row", "Unreadable", "lost", "pieces", "rows_of_text"]

HEAD_CHARS = 200
PIECE_CHARS = 4 << 20
FIELDS = ("id", "source", "license", "lang")


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


class Unreadable(Exception):
    """The rest of a file cannot be read: the reason under which it is counted, and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def lost(origin: str, reason: str, head: str) -> Row:
    """A row that is counted and not kept; what of its head UTF-8 cannot hold becomes a question mark."""
    return Row(origin, head[:HEAD_CHARS].encode(errors="replace").decode(), "", "", "", origin, reason=reason)


def rows_of_text(name: str, texts: Iterable[str], encoding: str = "utf-8") -> Iterator[Row]:
    """One document, or where it is longer than a piece one for each piece: "name", "name#2", ..."""
    for index, piece in enumerate(pieces(texts)):
        origin = f"{name}#{index + 1}" if index else name
        yield Row(origin, piece, name, "", "", origin, encoding)


def pieces(texts: Iterable[str]) -> Iterator[str]:
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
