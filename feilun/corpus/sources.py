"""The files a user names, as a sorted list; nothing in a folder is passed over in silence."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from feilun.types import UserError

__all__ = ["SUFFIXES", "Skipped", "Source", "Sources", "find_sources", "kind_of"]

TEXT_SUFFIXES = (".txt", ".md", ".markdown")
ROW_SUFFIXES = (".jsonl", ".ndjson")
PACKED_SUFFIX = ".zst"
SUFFIXES = (*TEXT_SUFFIXES, *ROW_SUFFIXES, *(s + PACKED_SUFFIX for s in TEXT_SUFFIXES + ROW_SUFFIXES), PACKED_SUFFIX)


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One input file. `name` is its path below what the user named, so that it does not depend on where that lies."""

    name: str
    path: Path
    num_bytes: int


class Skipped(NamedTuple):
    name: str
    reason: str


class Sources(NamedTuple):
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def kind_of(name: str) -> str | None:
    """ "text", "rows", "packed" (a bare .zst, which only its content can tell), or None for a suffix we do not read."""
    lowered = name.lower()
    inner = lowered.removesuffix(PACKED_SUFFIX)
    if inner.endswith(TEXT_SUFFIXES):
        return "text"
    if inner.endswith(ROW_SUFFIXES):
        return "rows"
    return "packed" if lowered.endswith(PACKED_SUFFIX) else None


def find_sources(paths: Sequence[Path]) -> Sources:
    """Every file under `paths`, sorted by name, each once; one that is missing, unreadable or of an unknown kind is an error."""
    if not paths:
        raise UserError("no path given; name at least one file or folder of text")
    found: dict[Path, Source] = {}
    skipped: list[Skipped] = []
    for path in paths:
        for file, name in _walk(Path(path), skipped):
            found.setdefault(file.resolve(), Source(name, file, file.stat().st_size))
    if not found:
        named = ", ".join(f"{s.name} ({s.reason})" for s in skipped[:8]) or "nothing"
        raise UserError(f"no readable text in {', '.join(map(str, paths))}; found there: {named}; allowed: {', '.join(SUFFIXES)}")
    for source in found.values():
        _check_readable(source.path)
    return Sources(tuple(sorted(found.values())), tuple(sorted(set(skipped))))


def _walk(path: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    if path.is_dir():
        yield from _walk_folder(path, skipped)
        return
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    if not path.is_file():
        raise UserError(f"{path} is not a regular file; save its content to a file and name that")
    if kind_of(path.name) is None:
        raise UserError(f"{path} has suffix {path.suffix!r}; allowed: {', '.join(SUFFIXES)}; convert or rename it")
    yield path, path.name


def _walk_folder(root: Path, skipped: list[Skipped]) -> Iterator[tuple[Path, str]]:
    top = root.resolve().name
    for folder, subfolders, files in os.walk(root, onerror=_refuse):
        here = Path(folder)
        for entry in [*subfolders, *files]:
            name = (Path(top) / here.relative_to(root) / entry).as_posix()
            reason = _why_skipped(here / entry)
            if reason is not None:
                skipped.append(Skipped(name, reason))
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


def _check_readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; change its permissions or leave it out") from None
