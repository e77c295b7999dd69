"""Immutable directories: whole once `manifest.json` exists, and addressed by what is in them.

A draft is written beside its final place, every file is hashed and flushed, the manifest is written last, and one
rename publishes it. The hash covers content, parents and recipe; environment, times and counts stand outside it.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from feilun.types import UserError

__all__ = [
    "KINDS",
    "Artifact",
    "Draft",
    "draft",
    "entomb",
    "find",
    "lineage",
    "list_artifacts",
    "read_json",
    "read_rows",
    "redact",
    "verify",
    "write_json",
    "write_rows",
    "write_secret",
]

KINDS = ("corpus", "tokenizer", "tokens", "lessons", "models", "runs", "exams", "index", "scorers")
MANIFEST = "manifest.json"
SCHEMA = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """A published directory."""

    kind: str
    name: str
    hash: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.hash}"

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(self.manifest["parents"])

    @property
    def is_tombstone(self) -> bool:
        """Whether the manifest alone is left (`entomb`)."""
        return "tombstone" in self.manifest


@dataclass(slots=True)
class Draft:
    """A directory being written. Set `counts` to what should stand in the manifest; `artifact` is there after publishing."""

    path: Path
    counts: dict[str, Any] = field(default_factory=dict)
    artifact: Artifact | None = None


@contextmanager
def draft(home: Path, kind: str, name: str, *, parents: Sequence[str] = (), recipe: Mapping[str, Any] | None = None) -> Iterator[Draft]:
    """Publish a directory as `home/kind/name@hash` when the block ends without an error; leave nothing otherwise.

    parents: "kind/name@hash" of every artifact that this one was made from. Publishing what already exists (equal hash)
    keeps the old directory.
    """
    check_name(kind, name)
    root = home / kind
    root.mkdir(parents=True, exist_ok=True)
    work = Draft(Path(tempfile.mkdtemp(prefix=f".{name}.", dir=root)))
    try:
        yield work
        work.artifact = _publish(root, kind, name, work, tuple(parents), dict(recipe or {}))
    finally:
        shutil.rmtree(work.path, ignore_errors=True)


def _publish(root: Path, kind: str, name: str, work: Draft, parents: tuple[str, ...], recipe: dict[str, Any]) -> Artifact:
    files = hash_files(work.path)
    digest = content_hash(kind, files, parents, recipe)
    final = root / f"{name}@{digest}"
    if not (final / MANIFEST).exists():
        manifest = {
            "schema": SCHEMA, "kind": kind, "name": name, "hash": digest, "parents": list(parents), "recipe": recipe,
            "files": files, "counts": work.counts, "made": environment(),
        }  # fmt: skip
        write_json(work.path / MANIFEST, manifest)
        os.chmod(work.path, 0o755)
        _move(work.path, final)
        _sync_directory(root)
    return open_directory(final)


def _move(path: Path, final: Path) -> None:
    """Rename onto `final`; where another publisher was first its directory stays, one without a manifest is replaced."""
    try:
        os.replace(path, final)
    except OSError:
        if (final / MANIFEST).exists():
            return
        shutil.rmtree(final)
        os.replace(path, final)


def check_name(kind: str, name: str) -> None:
    if kind not in KINDS:
        raise UserError(f"artifact kind {kind!r} is unknown; allowed: {', '.join(KINDS)}")
    if not NAME.fullmatch(name):
        raise UserError(f"artifact name {name!r} is not allowed; use 1-64 letters, digits, '.', '_' or '-', a letter or digit first")


def content_hash(kind: str, files: Mapping[str, str], parents: Sequence[str], recipe: Mapping[str, Any]) -> str:
    body = json.dumps([kind, dict(files), list(parents), dict(recipe)], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def hash_files(path: Path) -> dict[str, str]:
    """sha256 of every file under `path` but the manifest, flushed to disk on the way."""
    found = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p != path / MANIFEST):
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
        found[file.relative_to(path).as_posix()] = digest.hexdigest()
    return found


def open_directory(path: Path) -> Artifact:
    manifest_path = path / MANIFEST
    if not manifest_path.exists():
        raise UserError(f"{path} is not an artifact: it has no {MANIFEST}; it was left unfinished, make it again")
    try:
        manifest = read_json(manifest_path)
    except ValueError as error:
        raise UserError(f"{manifest_path} is broken ({error}); put it back or delete the directory, and make it again") from None
    return Artifact(manifest["kind"], manifest["name"], manifest["hash"], path, manifest)


def list_artifacts(home: Path, kind: str) -> list[Artifact]:
    """Every whole artifact of one kind, oldest first."""
    found = [open_directory(p.parent) for p in (home / kind).glob(f"*@*/{MANIFEST}")]
    return sorted(found, key=lambda a: (a.manifest["made"]["time"], a.ref))


def find(home: Path, ref: str, kind: str | None = None, *, erased_too: bool = False) -> Artifact:
    """The artifact that `ref` names: "name@hash", "kind/name@hash", or a bare name borne by exactly one.

    One whose content was erased is an error that says so, and what is there in its place. erased_too: it is found all the same.
    """
    wanted_kind, _, rest = ref.rpartition("/")
    kinds = (wanted_kind,) if wanted_kind else (kind,) if kind else KINDS
    name, _, digest = rest.partition("@")
    matches = [a for k in kinds for a in list_artifacts(home, k) if a.name == name and (not digest or a.hash == digest)]
    if not digest and not erased_too:
        matches = [a for a in matches if not a.is_tombstone] or matches
    if len(matches) == 1:
        if not erased_too:
            check_standing(matches[0])
        return matches[0]
    if matches:
        raise UserError(
            f"{ref!r} is borne by {len(matches)} artifacts: {', '.join(f'{a.kind}/{a.ref}' for a in matches)}; name one of them"
        )
    have = [f"{a.kind}/{a.ref}" for k in kinds if k in KINDS for a in list_artifacts(home, k)]
    raise UserError(f"no artifact {ref!r} in {home}; there: {', '.join(have[-12:]) or 'nothing yet'}")


def check_standing(artifact: Artifact) -> None:
    grave = artifact.manifest.get("tombstone")
    if grave:
        instead = f"use {grave['successor']}" if "successor" in grave else "make it again, or name another"
        raise UserError(f"the content of {artifact.kind}/{artifact.ref} was erased ({grave['why']}); {instead}")


def entomb(artifact: Artifact, why: Mapping[str, Any]) -> None:
    """Leave the manifest alone of an artifact: its hash and its lineage stay, its content goes. Twice is as once.

    why: stands in the manifest as "tombstone": {"why": text, "successor"?: the ref of what is there in its place}.
    """
    if not artifact.is_tombstone:
        write_json(artifact.path / MANIFEST, {**artifact.manifest, "tombstone": {"at": time.time(), **why}})
    for path in sorted(artifact.path.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        elif path != artifact.path / MANIFEST:
            path.unlink()
    _sync_directory(artifact.path)


def redact(artifact: Artifact, files: Mapping[str, bytes], why: Mapping[str, Any]) -> None:
    """Put other content in the place of some files of an artifact. Its hash stays, and the manifest says what was changed and why."""
    changed = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    before = artifact.manifest.get("redacted", {}).get("files", {})
    write_json(artifact.path / MANIFEST, {**artifact.manifest, "redacted": {"at": time.time(), **why, "files": before | changed}})
    for name, content in files.items():
        temporary = artifact.path / f".{name}.{os.getpid()}"
        temporary.write_bytes(content)
        os.replace(temporary, artifact.path / name)
    _sync_directory(artifact.path)


def verify(artifact: Artifact) -> list[str]:
    """What differs between the manifest and the disk; an empty list when the artifact is whole."""
    if artifact.manifest.get("tombstone"):
        return []
    original, actual = artifact.manifest["files"], hash_files(artifact.path)
    stated = {**original, **artifact.manifest.get("redacted", {}).get("files", {})}
    faults = [f"{name}: missing" for name in stated if name not in actual]
    faults += [f"{name}: not in the manifest" for name in actual if name not in stated]
    faults += [f"{name}: content differs" for name, digest in stated.items() if name in actual and actual[name] != digest]
    if content_hash(artifact.kind, original, artifact.parents, artifact.manifest["recipe"]) != artifact.hash:
        faults.append(f"{MANIFEST}: hash does not follow from files, parents and recipe")
    return faults


def lineage(home: Path, artifact: Artifact) -> list[Artifact]:
    """The artifact and everything it was made from, nearest first, each once."""
    seen: dict[str, Artifact] = {}
    queue = [artifact]
    while queue:
        current = queue.pop(0)
        key = f"{current.kind}/{current.ref}"
        if key not in seen:
            seen[key] = current
            queue += [find(home, parent, erased_too=True) for parent in current.parents]
    return list(seen.values())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write atomically: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(_indented(value) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def _indented(value: Any, line: str = "\n") -> str:
    """`json.dumps(value, ensure_ascii=False, indent=1)`: its own encoder is slow with `indent`, so it gets leaves alone."""
    deeper = line + " "
    encode = _encoder("," + deeper).encode
    if not value or not isinstance(value, dict | list | tuple):
        return encode(value)
    items: Iterable[Any] = value.values() if isinstance(value, dict) else value
    if any(isinstance(item, dict | list | tuple) for item in items):
        texts = [_indented(item, deeper) for item in items]
        if isinstance(value, dict):
            texts = [f"{encode({key: 0})[1:-2]}{text}" for key, text in zip(value, texts, strict=True)]
        body = ("," + deeper).join(texts)
    else:
        body = encode(value)[1:-1]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    return f"{begin}{deeper}{body}{line}{end}"


@cache
def _encoder(item_separator: str) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, separators=(item_separator, ": "))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file that this program wrote."""
    # Not splitlines: a text may hold U+2028, which that takes for the end of a line.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines into a draft; nobody else reads the file before the draft is published."""
    with path.open("w", encoding="utf-8") as stream:
        encode = _encoder(", ").encode
        stream.writelines(encode(row) + "\n" for row in rows)


def write_secret(path: Path, secret: str) -> None:
    """A file that its owner alone can read, whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(secret + "\n")
    os.replace(temporary, path)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def environment() -> dict[str, Any]:
    return {"time": time.time(), "python": platform.python_version(), "machine": platform.machine(), "git": git_revision()}


@cache
def git_revision() -> str | None:
    """Revision of the source tree this package runs from, "+dirty" if changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "-C", here, "status", "--porcelain", "."], capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+dirty" if dirty else "")
