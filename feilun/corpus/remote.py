"""Sources that are elsewhere, through fsspec: what is there, and each file here for as long as it is read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from feilun.corpus.sources import Source
from feilun.types import UserError

__all__ = ["RemoteFile", "fetched", "find_remote"]

CHUNK_BYTES = 4 << 20
TRIES = 3


class RemoteFile(NamedTuple):
    """is_named: whether the user named this very file, or a folder above it."""

    name: str
    url: str
    num_bytes: int
    is_named: bool


def find_remote(url: str) -> list[RemoteFile]:
    """The file at an address, or every file below it. Raises UserError where there is none or the way there is not installed."""
    filesystem, path = _open(url)
    try:
        found = filesystem.find(path, detail=True) if _is_folder(filesystem, path) else {path: filesystem.info(path)}
    except Exception as error:  # Each filesystem raises errors of its own libraries.
        raise _unreachable(url, error) from None
    if not found:
        raise UserError(f"{url}: there is nothing; name a file, or a folder that holds some")
    return [_entry(filesystem, path, place, entry) for place, entry in sorted(found.items())]


def _is_folder(filesystem: Any, path: str) -> bool:
    return not path.startswith(("http://", "https://")) and bool(filesystem.isdir(path))


def _entry(filesystem: Any, root: str, place: str, entry: dict[str, Any]) -> RemoteFile:
    is_named = place == root
    top = PurePosixPath(unquote(urlsplit(root).path) if is_named and "://" in root else root).name
    below = place.removeprefix(root.rstrip("/")).lstrip("/")
    return RemoteFile(top if is_named else f"{top}/{below}", filesystem.unstrip_protocol(place), int(entry.get("size") or 0), is_named)


def _open(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(url)
    except ImportError as error:
        raise UserError(f"{url}: {error}; install what reads addresses with: pip install 'feilun[remote]'") from None
    except ValueError as error:
        raise UserError(f"{url}: {error}; allowed are paths, and addresses such as https://..., s3://..., hf://datasets/...") from None
    return filesystem, path


def _unreachable(url: str, error: Exception) -> UserError:
    what = f"{type(error).__name__}: {error}"[:500]
    return UserError(f"cannot read {url}: {what}; check the address, the network and the credentials, or download it and name the file")


@contextmanager
def fetched(source: Source) -> Iterator[Source]:
    """The source as a file here. One from elsewhere is copied to a temporary folder, and gone from there when the block ends."""
    if not source.url:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="feilun-") as folder:
        path = Path(folder) / "source"
        _download(source, path)
        yield replace(source, path=path, num_bytes=path.stat().st_size, url="")


def _download(source: Source, path: Path) -> None:
    filesystem, place = _open(source.url)
    for attempt in range(1, TRIES + 1):
        try:
            _copy(filesystem, place, path)
        except Exception as error:  # Each filesystem raises errors of its own libraries.
            if attempt == TRIES:
                raise _unreachable(source.url, error) from None
            continue
        if source.num_bytes in (0, path.stat().st_size):
            return
    sizes = f"was {source.num_bytes:,} bytes long and is now {path.stat().st_size:,}"
    raise UserError(f"{source.url} {sizes}; build again when nothing writes to it")


def _copy(filesystem: Any, place: str, path: Path) -> None:
    with filesystem.open(place, "rb") as stream, path.open("wb") as copy:
        while chunk := stream.read(CHUNK_BYTES):
            copy.write(chunk)
