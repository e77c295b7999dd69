"""Washed shards, kept beside the corpora until one is published: a build that was killed goes on where it stopped.

A shard is some neighbouring files. Its place on the shelf is the hash of their content, of the settings and of this code, so
what stands there is what washing would give again, whatever the number of workers was or is.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from feilun.artifacts import check_name, read_json, write_json
from feilun.config import CorpusSettings, resolved
from feilun.corpus.sources import Source
from feilun.types import UserError

__all__ = ["WashedShard", "WashedSource", "open_shelf", "process_shard", "settings_of_content"]

SHELF = ".shards"
DONE = "done.json"
LIBRARIES = ("lxml", "pypdfium2", "warcio", "polars", "numpy", "rensa", "opencc", "pypinyin", "license-expression")
# What tempfile appends to the name of a draft.
DRAFT_SUFFIX = r"[a-z0-9_]{8}"


class WashedSource(NamedTuple):
    name: str
    sha256: str
    num_bytes: int
    num_rows: int


class WashedShard(NamedTuple):
    """The files it came from, and its blocks: their places without the suffixes of `texts_of` and `marks_of`."""

    sources: tuple[WashedSource, ...]
    blocks: tuple[Path, ...]


@contextmanager
def open_shelf(home: Path, name: str) -> Iterator[Path]:
    """The shelf of the builds of one name, for one build at a time; emptied when the block ends without an error."""
    check_name("corpus", name)
    root = home / "corpus"
    shelf = root / SHELF / name
    shelf.mkdir(parents=True, exist_ok=True)
    with (root / SHELF / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another build of corpus {name!r} is at work in {home}; wait for it, or give this one another name") from None
        _sweep_drafts(root, name)
        yield shelf
        shutil.rmtree(shelf)


def _sweep_drafts(root: Path, name: str) -> None:
    """Remove what builds of this name that were killed had half written; none is at work, for the lock is ours."""
    for path in root.iterdir():
        if re.fullmatch(rf"\.{re.escape(name)}\.{DRAFT_SUFFIX}", path.name):
            shutil.rmtree(path)


def settings_of_content(settings: CorpusSettings) -> dict[str, Any]:
    """Settings without `workers` and `engine`, which change how long a build takes and nothing in it."""
    return {key: value for key, value in resolved(settings).items() if key not in ("workers", "engine")}


def process_shard(sources: Sequence[Source], settings: CorpusSettings, shelf: Path) -> WashedShard:
    """Wash some files into blocks on the shelf: a pure function of their content, their names and the settings."""
    from feilun.corpus.remote import fetched

    with ExitStack() as stack:
        return _process_here([stack.enter_context(fetched(source)) for source in sources], settings, shelf)


def _process_here(sources: Sequence[Source], settings: CorpusSettings, shelf: Path) -> WashedShard:
    from feilun.corpus.readers import file_sha256

    states = [_state(source) for source in sources]
    sha256_of = {source.name: file_sha256(source.path) for source in sources}
    place = shelf / _key(sha256_of, [source.license for source in sources], settings)
    if not (place / DONE).exists():
        _wash_into(place, sources, sha256_of, settings)
    for source, state in zip(sources, states, strict=True):
        if _state(source) != state:
            shutil.rmtree(place)
            raise UserError(f"{source.path} was changed while it was read; build again when nothing writes to it")
    done = read_json(place / DONE)
    return WashedShard(tuple(WashedSource(*row) for row in done["sources"]), tuple(place / block for block in done["blocks"]))


def _state(source: Source) -> tuple[int, int]:
    try:
        state = source.path.stat()
    except FileNotFoundError:
        raise UserError(f"{source.path} vanished after the build began; build again when nothing moves or removes it") from None
    return state.st_mtime_ns, state.st_size


def _key(sha256_of: Mapping[str, str], licences: Sequence[str], settings: CorpusSettings) -> str:
    body = json.dumps(
        [list(sha256_of.items()), licences, settings_of_content(settings), code_fingerprint()], sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(body.encode()).hexdigest()[:32]


@cache
def code_fingerprint() -> str:
    """Of all that decides what washing gives: this package's source and the libraries under it."""
    digest = hashlib.sha256(repr([version(library) for library in LIBRARIES]).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _wash_into(place: Path, sources: Sequence[Source], sha256_of: Mapping[str, str], settings: CorpusSettings) -> None:
    from feilun.corpus.blocks import washed_blocks, write_block
    from feilun.corpus.scorer import load_scorer

    work = place.with_name(f"{place.name}.{os.uname().nodename}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    counts: dict[str, int] = {}
    blocks = []
    scorer = load_scorer(_home_of(place), settings.scorer)
    for number, block in enumerate(washed_blocks(_rows_of(sources, settings.text_column, counts), settings, scorer)):
        blocks.append(f"{number:06d}")
        write_block(block, work / blocks[-1])
    done = [WashedSource(source.name, sha256_of[source.name], source.num_bytes, counts[source.name]) for source in sources]
    write_json(work / DONE, {"sources": done, "blocks": blocks})
    _sync(work)
    shutil.rmtree(place, ignore_errors=True)
    os.rename(work, place)


def _home_of(place: Path) -> Path:
    """Of a shard's place: home/corpus/.shards/NAME/KEY."""
    return place.parents[3]


def _rows_of(sources: Sequence[Source], column: str, counts: dict[str, int]) -> Iterator[Any]:
    from feilun.corpus.readers import read_rows

    for source in sources:
        counts[source.name] = 0
        for row in read_rows(source, column):
            counts[source.name] += 1
            yield row if row.license else row._replace(license=source.license)


def _sync(folder: Path) -> None:
    """A machine that loses its power keeps a shard whole or not at all."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
