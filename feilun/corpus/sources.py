"""The files and addresses a user names, as a sorted list; nothing in a folder is passed over in silence."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from feilun.types import UserError

__all__ = ["PACKED_SUFFIXES", "SUFFIXES", "Kind", "Skipped", "Source", "Sources", "find_sources", "inner_name", "is_packed", "kind_of"]

Kind = Literal["text", "rows", "table", "parquet", "html", "pdf", "docx", "epub", "warc", "packed"]
SUFFIXES_OF: dict[Kind, tuple[str, ...]] = {
    "text": (".txt", ".md", ".markdown"), "rows": (".jsonl", ".ndjson"), "table": (".csv", ".tsv"), "parquet": (".parquet",),
    "html": (".html", ".htm", ".xhtml"), "pdf": (".pdf",), "docx": (".docx",), "epub": (".epub",), "warc": (".warc", ".wet"),
}  # fmt: skip
PACKED_SUFFIXES = (".gz", ".zst")
SUFFIXES = (*(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes), *PACKED_SUFFIXES)
ALLOWED = f"{', '.join(SUFFIXES)}, and each of the former followed by {' or '.join(PACKED_SUFFIXES)}"


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One input file. `name` is its path below what the user named, so that it does not depend on where that lies.

    `url` is set for one that is elsewhere: `path` is then where it will lie while it is read (`readers.fetched`). `license` is
    that of its rows which name none.
    """

    name: str
    path: Path
    num_bytes: int
    url: str = ""
    license: str = ""


class Skipped(NamedTuple):
    name: str
    reason: str


class Sources(NamedTuple):
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def is_packed(name: str) -> bool:
    return name.lower().endswith(PACKED_SUFFIXES)


def inner_name(name: str) -> str:
    """The name without the suffix of its packing."""
    return name.rsplit(".", 1)[0] if is_packed(name) else name


def kind_of(name: str) -> Kind | None:
    """How a file is read; "packed" is a bare .gz or .zst, which only its content can tell; None is a suffix we do not read."""
    inner = inner_name(name).lower()
    for kind, suffixes in SUFFIXES_OF.items():
        if inner.endswith(suffixes):
            return kind
    return "packed" if is_packed(name) else None


def find_sources(paths: Sequence[Path | str]) -> Sources:
    """Every file under `paths`, sorted by name, each once; one that is missing, unreadable or of an unknown kind is an error.

    paths: files, folders, and addresses that fsspec knows ("https://...", "s3://bucket/folder", "hf://datasets/...").
    """
    if not paths:
        raise UserError("no path given; name at least one file or folder of text")
    found: dict[Path | str, Source] = {}
    skipped: list[Skipped] = []
    for path in paths:
        if isinstance(path, str) and "://" in path:
            _add_remote(path, found, skipped)
        else:
            _add_local(Path(path), found, skipped)
    if not found:
        named = ", ".join(f"{s.name} ({s.reason})" for s in skipped[:8]) or "nothing"
        raise UserError(f"no readable text in {', '.join(map(str, paths))}; found there: {named}; allowed: {ALLOWED}")
    for source in found.values():
        _check_readable(source)
    return Sources(tuple(sorted(found.values())), tuple(sorted(set(skipped))))


def _add_remote(url: str, found: dict[Path | str, Source], skipped: list[Skipped]) -> None:
    from feilun.corpus.remote import find_remote

    for entry in find_remote(url):
        name = _printable(entry.name)
        if kind_of(entry.name) is not None:
            found.setdefault(entry.url, Source(name, Path(), entry.num_bytes, entry.url))
        elif entry.is_named:
            raise UserError(f"{url}: its name {entry.name!r} does not say what it is; allowed: {ALLOWED}; save it under such a name")
        else:
            skipped.append(Skipped(name, f"suffix {PurePosixPath(entry.name).suffix!r}"))


def _add_local(path: Path, found: dict[Path | str, Source], skipped: list[Skipped]) -> None:
    for file, name in _walk(path, skipped):
        try:
            num_bytes = file.stat().st_size
        except FileNotFoundError:
            skipped.append(Skipped(_printable(name), "vanished"))
        else:
            found.setdefault(file.resolve(), Source(_printable(name), file, num_bytes))


def _printable(name: str) -> str:
    """A name that a table, a log line and a file of UTF-8 can hold: a byte that is no UTF-8, a line end and the like are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def _walk(path: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    if path.is_dir():
        yield from _walk_folder(path, skipped)
        return
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file; save its content to a file and name that")
    if kind_of(path.name) is None:
        raise UserError(f"{path} has suffix {path.suffix!r}; allowed: {ALLOWED}; convert or rename it")
    yield path, path.name


def _walk_folder(root: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    top = root.resolve().name
    for folder, subfolders, files in os.walk(root, onerror=_refuse):
        here = Path(folder)
        for entry in [*subfolders, *files]:
            name = (Path(top) / here.relative_to(root) / entry).as_posix()
            reason = _why_skipped(here / entry)
            if reason is not None:
                skipped.append(Skipped(_printable(name), reason))
            elif entry in files:
                yield here / entry, name
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]


def _why_skipped(path: Path) -> str | None:
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return "linked folder" if path.is_symlink() else None
    if not path.is_file():
        return "not a regular file"
    return None if kind_of(path.name) else f"suffix {path.suffix!r}"


def _refuse(error: OSError) -> None:
    raise UserError(f"cannot read folder {error.filename}: {error.strerror}; change its permissions or leave it out")


def _check_readable(source: Source) -> None:
    if source.url:
        return
    try:
        source.path.open("rb").close()
    except FileNotFoundError:
        pass  # The reader counts a file that vanished.
    except OSError as error:
        raise UserError(f"cannot read {source.path}: {error.strerror}; change its permissions or leave it out") from None
