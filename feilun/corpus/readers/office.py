"""Word documents and e-books: zip files of XML, read with bounds, no entity expanded and nothing fetched."""

import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from feilun.corpus.extract import Block, page_blocks, parse_page, render
from feilun.corpus.readers.rows import Row, Unreadable, lost, rows_of_text
from feilun.corpus.readers.streams import guard_growth, read_whole, unpacked_path
from feilun.corpus.readers.web import decode_page
from feilun.corpus.sources import Source

__all__ = ["read_docx", "read_epub"]

MAX_MEMBER_BYTES = 64 << 20
MAX_TOTAL_BYTES = 512 << 20
MAX_MEMBERS = 20_000
CHUNK_BYTES = 1 << 16
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
# Inside mc:AlternateContent the same text stands twice: the choice, and a fallback for older programs.
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
OPF = "{http://www.idpf.org/2007/opf}"
MAX_HEADING = 6
ENCRYPTED_FLAG = 1


class Package:
    """A zip file whose members are read whole, within bounds on each and on all."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._num_bytes = 0
        self.names = frozenset(archive.namelist())
        if len(archive.infolist()) > MAX_MEMBERS:
            raise Unreadable("archive_bomb", f"{len(archive.infolist()):,} members in one document")

    def read(self, name: str) -> bytes:
        if name not in self.names:
            raise Unreadable("broken_document", f"{name} is missing")
        info = self._archive.getinfo(name)
        if info.flag_bits & ENCRYPTED_FLAG:
            raise Unreadable("encrypted", name)
        with self._archive.open(info) as member:
            chunks = iter(lambda: member.read(CHUNK_BYTES), b"")
            data = read_whole(guard_growth(chunks, info.compress_size), MAX_MEMBER_BYTES)
        self._num_bytes += len(data)
        if self._num_bytes > MAX_TOTAL_BYTES:
            raise Unreadable("archive_bomb", f"more than {MAX_TOTAL_BYTES >> 20} MiB in one document")
        return data

    def xml(self, name: str) -> Any:
        from lxml import etree

        bounds = {"resolve_entities": False, "load_dtd": False, "no_network": True, "huge_tree": False}
        parser = etree.XMLParser(remove_comments=True, remove_pis=True, **bounds)
        try:
            root = etree.fromstring(self.read(name), parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise Unreadable("broken_document", f"{name}: {error}") from None
        if root.getroottree().docinfo.internalDTD is not None and next(root.iter(etree.Entity), None) is not None:
            raise Unreadable("hostile_markup", f"{name} defines entities of its own")
        return root


@contextmanager
def _opened(source: Source) -> Iterator[Package]:
    with unpacked_path(source) as path:
        if path.open("rb").read(8) == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
            raise Unreadable("encrypted", "an OLE container: a document with a password, or one of Word 97 under a newer name")
        try:
            with zipfile.ZipFile(path) as archive:
                yield Package(archive)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError, ValueError) as error:
            raise Unreadable("broken_document", str(error)) from None


def read_docx(source: Source) -> Iterator[Row]:
    """One document in reading order: headings, lists and tables as Markdown has them, notes at the end."""
    with _opened(source) as package:
        text = render(list(_docx_blocks(package)))
    if not text:
        raise Unreadable("no_text", "a Word document without any text")
    yield from rows_of_text(source.name, [text])


def _docx_blocks(package: Package) -> Iterator[Block]:
    levels = _heading_levels(package)
    yield from _word_blocks(package.xml("word/document.xml"), levels)
    for part in ("word/footnotes.xml", "word/endnotes.xml"):
        if part in package.names:
            yield from _word_blocks(package.xml(part), levels)


def _heading_levels(package: Package) -> dict[str, int]:
    """Level of each style that is a heading; styles have local ids (in Chinese Word "1"), but English names."""
    if "word/styles.xml" not in package.names:
        return {}
    levels = {}
    for style in package.xml("word/styles.xml").iter(f"{W}style"):
        name = style.find(f"{W}name")
        words = (name.get(f"{W}val", "") if name is not None else "").lower().split()
        if words[:1] == ["title"]:
            levels[style.get(f"{W}styleId", "")] = 1
        elif len(words) == 2 and words[0] == "heading" and words[1].isdecimal():
            levels[style.get(f"{W}styleId", "")] = min(int(words[1]), MAX_HEADING)
    return levels


def _word_blocks(root: Any, levels: dict[str, int]) -> Iterator[Block]:
    """Paragraphs and table rows, without recursion: a stack of what is still to be read."""
    stack = [root]
    while stack:
        element = stack.pop()
        if element.tag == f"{W}p":
            yield from _paragraph(element, levels)
        elif element.tag == f"{W}tr":
            cells = (" ".join(_text_of(paragraph) for paragraph in cell.iter(f"{W}p")).strip() for cell in element.iterchildren(f"{W}tc"))
            row = " | ".join(cells)
            if row.strip(" |"):
                yield Block("tr", row, 0)
        elif element.tag != FALLBACK:
            stack += reversed(element)


def _paragraph(element: Any, levels: dict[str, int]) -> Iterator[Block]:
    text = _text_of(element).strip()
    if not text:
        return
    properties = element.find(f"{W}pPr")
    style = properties.find(f"{W}pStyle") if properties is not None else None
    level = levels.get(style.get(f"{W}val", ""), 0) if style is not None else 0
    is_item = properties is not None and properties.find(f"{W}numPr") is not None
    yield Block(f"h{level}" if level else "li" if is_item else "p", text, 0)


def _text_of(paragraph: Any) -> str:
    """What a reader sees: tabs and line breaks too, but not what a tracked change took out (its text is w:delText)."""
    marks = {f"{W}tab": "\t", f"{W}br": "\n", f"{W}cr": "\n", f"{W}noBreakHyphen": "-"}
    parts = []
    stack = [paragraph]
    while stack:
        element = stack.pop()
        if element.tag == f"{W}t":
            parts.append(element.text or "")
        elif element.tag in marks:
            parts.append(marks[element.tag])
        elif element.tag not in (FALLBACK, f"{W}tabs"):
            stack += reversed(element)
    return "".join(parts)


def read_epub(source: Source) -> Iterator[Row]:
    """One document, its chapters in the order of the book; a chapter that cannot be read is counted."""
    faults: list[Row] = []
    with _opened(source) as package:
        chapters = _chapters(package)
        locked = _locked(package)
        if locked.issuperset(chapters):
            raise Unreadable("encrypted", "every chapter is under digital rights management")
        texts = (_chapter(source.name, package, chapter, locked, faults) for chapter in chapters)
        yield from rows_of_text(source.name, (text + "\n\n" for text in texts if text))
    yield from faults


def _chapters(package: Package) -> list[str]:
    """Members in the order of the spine."""
    container = package.xml("META-INF/container.xml")
    books = [element.get("full-path", "") for element in container.iter("{*}rootfile")]
    if not books:
        raise Unreadable("broken_document", "META-INF/container.xml names no book")
    book = package.xml(books[0])
    folder = posixpath.dirname(books[0])
    place_of = {item.get("id"): item.get("href", "") for item in book.iter(f"{OPF}item")}
    hrefs = [place_of.get(entry.get("idref"), "") for entry in book.iter(f"{OPF}itemref")]
    chapters = [posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0]))) for href in hrefs if href]
    if not chapters:
        raise Unreadable("broken_document", f"{books[0]} names no chapter")
    return list(dict.fromkeys(chapters))


def _locked(package: Package) -> frozenset[str]:
    """Members that META-INF/encryption.xml names; in books without a lock these are fonts."""
    if "META-INF/encryption.xml" not in package.names:
        return frozenset()
    references = package.xml("META-INF/encryption.xml").iter("{*}CipherReference")
    return frozenset(posixpath.normpath(unquote(reference.get("URI", ""))) for reference in references)


def _chapter(name: str, package: Package, chapter: str, locked: frozenset[str], faults: list[Row]) -> str:
    try:
        if chapter in locked:
            raise Unreadable("encrypted", "under digital rights management")
        root, is_whole = parse_page(decode_page(package.read(chapter)))
        if not is_whole:
            raise Unreadable("broken_document", "nested too deep")
        return render(page_blocks(root))
    except Unreadable as fault:
        if fault.reason == "archive_bomb":
            raise
        faults.append(lost(f"{name}#{chapter}", fault.reason, f"{chapter}: {fault.detail}"))
        return ""
