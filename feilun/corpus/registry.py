"""Where texts come from: a TOML file beside the data says of each source its address, licence and checksums.

[[source]]
name = "wikipedia-zh"
files = ["wiki/*.jsonl.zst"]          # names below the folder that is given to `feilun corpus build`
url = "https://dumps.wikimedia.org/zhwiki/"
license = "CC-BY-SA-4.0"              # an SPDX expression; a row's own `license` counts before it
upstream = ["zh.wikipedia.org"]
gated = false
retrieved = 2026-11-01
sha256 = { "wiki/00.jsonl.zst" = "..." }
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from feilun.types import UserError

__all__ = ["FILE_NAME", "Registry", "SourceEntry", "find_registry", "load_registry"]

FILE_NAME = "sources.toml"
NEEDED = ("name", "files", "url", "license")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """What is known of one source. gated: its owner asks for an agreement before the download."""

    name: str
    files: tuple[str, ...]
    url: str
    license: str
    upstream: tuple[str, ...] = ()
    gated: bool = False
    retrieved: date | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "files": list(self.files), "url": self.url, "license": self.license, "upstream": list(self.upstream),
            "gated": self.gated, "retrieved": self.retrieved and self.retrieved.isoformat(), "sha256": dict(self.sha256),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registry:
    """The entries of one file, in its order; the first whose pattern fits a file is the file's."""

    entries: tuple[SourceEntry, ...] = ()

    def entry_of(self, file_name: str) -> SourceEntry | None:
        """The entry of an input file; names may begin with the folder that was given, or below it."""
        below = file_name.partition("/")[2]
        return next((e for e in self.entries if any(fnmatchcase(n, p) for p in e.files for n in (file_name, below) if n)), None)

    def licence_of(self, file_name: str) -> str:
        """ "" for a file without an entry."""
        entry = self.entry_of(file_name)
        return entry.license if entry else ""

    def check(self, checksums: Mapping[str, str]) -> None:
        """Compare input files (name -> sha256) with what the entries say; raises UserError for the first that differs."""
        for file_name, actual in checksums.items():
            entry = self.entry_of(file_name)
            stated = {} if entry is None else entry.sha256
            wanted = stated.get(file_name) or stated.get(file_name.partition("/")[2])
            if entry is not None and wanted and wanted.lower() != actual:
                raise UserError(
                    f"{file_name} is not the file that source {entry.name!r} names: sha256 {actual}, stated {wanted}; "
                    "fetch it again, or correct the registry if the source has a new version"
                )

    def used(self, file_names: Iterable[str]) -> list[dict[str, Any]]:
        """The entries of these files, for the manifest."""
        found = [self.entry_of(name) for name in file_names]
        return [entry.to_json() for entry in self.entries if entry in found]


def find_registry(paths: Iterable[Path | str]) -> Registry:
    """All `sources.toml` that stand in the given folders; an empty registry where there is none."""
    files = [path / FILE_NAME for path in paths if isinstance(path, Path) and (path / FILE_NAME).is_file()]
    return Registry(tuple(entry for file in files for entry in load_registry(file).entries))


def load_registry(path: Path) -> Registry:
    """Read and check one file. Raises UserError that says where it is wrong and what is allowed."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the source registry {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from None
    tables = content.pop("source", None)
    if content or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UserError(f"{path}: a source registry holds [[source]] tables and nothing else; found: {', '.join(content) or 'none'}")
    entries = tuple(_entry(table, f"{path}, source {place + 1}") for place, table in enumerate(tables))
    names = [entry.name for entry in entries]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}: two sources bear the name {twice!r}; give each its own")
    return Registry(entries)


def _entry(table: dict[str, Any], where: str) -> SourceEntry:
    known = [f.name for f in fields(SourceEntry)]
    if unknown := next((key for key in table if key not in known), None):
        raise UserError(f"{where}: unknown key {unknown!r}; allowed: {', '.join(known)}")
    if missing := [key for key in NEEDED if not table.get(key)]:
        raise UserError(f"{where}: {', '.join(missing)} is missing; needed are {', '.join(NEEDED)}")
    for key, value in table.items():
        if not _fits(key, value):
            raise UserError(f"{where}: {key} = {value!r} is not {EXPECTED[key][1]}")
    lists: dict[str, Any] = {key: tuple(table[key]) for key in ("files", "upstream") if key in table}
    return SourceEntry(**(table | lists))


def _fits(key: str, value: Any) -> bool:
    kind = EXPECTED[key][0]
    inner = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else []
    is_sum = key != "sha256" or (isinstance(value, dict) and all(isinstance(v, str) and len(v) == 64 for v in value.values()))
    return isinstance(value, kind) and all(isinstance(item, str) for item in inner) and is_sum


EXPECTED: dict[str, tuple[type, str]] = {
    "name": (str, "a text"), "files": (list, 'a list of names or patterns, as ["wiki/*.jsonl"]'),
    "url": (str, "a text"), "license": (str, "an SPDX expression"),
    "upstream": (list, "a list of texts"), "gated": (bool, "true or false"), "retrieved": (date, "a date, as 2026-11-01"),
    "sha256": (dict, 'a table from file name to 64 hexadecimal digits, as { "a.jsonl" = "..." }'),
}  # fmt: skip
