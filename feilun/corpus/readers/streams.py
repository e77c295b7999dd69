"""A file as a stream of bytes, unpacked on the way, with a bound on how much little may become."""

import io
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import zstandard

from feilun.corpus.readers.rows import Unreadable
from feilun.corpus.sources import Source, is_packed

__all__ = ["buffered", "content", "guard_growth", "read_whole", "unpacked_path"]

CHUNK_BYTES = 1 << 20
# Zstandard can unfold 4 bytes into 128 KiB; small bites keep a bomb's burst at 256 MiB.
PACKED_CHUNK_BYTES = 8 << 10
GZIP_WINDOW = 31
# Text packs 3 to 20 times, logs and tables up to 100 or so; a gzip bomb reaches 1,030, one of Zstandard 30,000.
MAX_GROWTH = 500
FREE_GROWTH_BYTES = 64 << 20


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes) -> bytes: ...


def content(source: Source) -> Iterator[bytes]:
    """The bytes of a file, those inside where it is packed. Raises Unreadable: broken_archive, archive_bomb."""
    if not is_packed(source.name):
        return _chunks(source.path, CHUNK_BYTES)
    is_zstd = source.name.lower().endswith(".zst")
    return guard_growth(_unpack(_chunks(source.path, PACKED_CHUNK_BYTES), is_zstd), source.num_bytes)


def _chunks(path: Path, num_bytes: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(num_bytes):
            yield chunk


def _unpack(chunks: Iterable[bytes], is_zstd: bool) -> Iterator[bytes]:
    """All frames of a packed stream; unlike the libraries' stream readers, a truncated one is an error, not an early end."""
    unpacker: _Unpacker | None = None
    zstd = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    try:
        for chunk in chunks:
            while chunk:
                unpacker = unpacker or (zstd.decompressobj() if is_zstd else zlib.decompressobj(GZIP_WINDOW))
                if unpacked := unpacker.decompress(chunk):
                    yield unpacked
                chunk = unpacker.unused_data if unpacker.eof else b""
                unpacker = None if unpacker.eof else unpacker
                # Tapes and some writers fill up the last block of a gzip file with zeros.
                chunk = chunk.lstrip(b"\0") if unpacker is None and not is_zstd else chunk
    except (zstandard.ZstdError, zlib.error) as error:
        raise Unreadable("broken_archive", str(error)) from None
    if unpacker is not None:
        raise Unreadable("broken_archive", "the archive is truncated: its last frame has no end")


def guard_growth(chunks: Iterable[bytes], packed_bytes: int) -> Iterator[bytes]:
    """The same chunks, up to the size that no honest archive reaches."""
    allowed, num_bytes = max(FREE_GROWTH_BYTES, MAX_GROWTH * packed_bytes), 0
    for chunk in chunks:
        num_bytes += len(chunk)
        if num_bytes > allowed:
            raise Unreadable("archive_bomb", f"{packed_bytes:,} packed bytes become more than {allowed:,}, over {MAX_GROWTH} times as many")
        yield chunk


def read_whole(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) > max_bytes:
            raise Unreadable("oversized_document", f"a document of more than {max_bytes >> 20} MiB")
    return bytes(held)


@contextmanager
def unpacked_path(source: Source) -> Iterator[Path]:
    """A file to jump about in: the source's own, or where that is packed, what it holds, in a temporary one."""
    if not is_packed(source.name):
        yield source.path
        return
    with tempfile.NamedTemporaryFile(prefix="feilun-") as copy:
        for chunk in content(source):
            copy.write(chunk)
        copy.flush()
        yield Path(copy.name)


class _ChunkReader(io.RawIOBase):
    """Chunks as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def buffered(chunks: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_ChunkReader(chunks))
