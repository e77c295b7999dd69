"""Build a corpus: wash groups of files side by side, then decide in one place, in one order, what stays.

Equal input and settings give an equal artifact hash, whatever the number of workers or the order of the paths.
"""

import hashlib
import resource
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from feilun.artifacts import Artifact, draft, write_json
from feilun.config import CorpusSettings, resolved
from feilun.corpus.blocks import WashedSource, washed_blocks
from feilun.corpus.dedup import SeenTexts, in_validation
from feilun.corpus.pool import group_sources, wash_groups
from feilun.corpus.readers import HEAD_CHARS, Row
from feilun.corpus.shards import DOCUMENT_COLUMNS, DROPPED, DROPPED_COLUMNS, EDITS, EDITS_SCHEMA, PARTS, ShardWriter
from feilun.corpus.sources import find_sources
from feilun.corpus.tally import Tally
from feilun.types import Document, UserError

__all__ = ["build_corpus", "build_from_documents"]

Protect = Callable[[str], str | None]
Progress = Callable[[int, int], None]


class Washed(NamedTuple):
    """A block, and how many input bytes are done once it is."""

    frame: pl.DataFrame
    done_bytes: int


@dataclass(slots=True)
class Keeper:
    """Decides row by row what stays, writes it, and counts."""

    folder: Path
    settings: CorpusSettings
    protect: Protect | None
    seen: SeenTexts = field(default_factory=SeenTexts)
    tally: Tally = field(default_factory=Tally)
    writers: dict[str, ShardWriter] = field(init=False)

    def __post_init__(self) -> None:
        size = self.settings.shard_bytes
        documents, dropped = (dict.fromkeys(columns, pl.String()) for columns in (DOCUMENT_COLUMNS, DROPPED_COLUMNS))
        self.writers = {part: ShardWriter(self.folder, part, documents, "text", size) for part in PARTS}
        self.writers[DROPPED] = ShardWriter(self.folder, DROPPED, dropped, "head", size)
        self.writers[EDITS] = ShardWriter(self.folder, EDITS, EDITS_SCHEMA, "id", size)

    def add(self, block: pl.DataFrame) -> None:
        block = block.with_columns(reason=pl.Series(self._reasons(block), dtype=pl.String))
        is_kept = block["reason"].is_null()
        dropped, kept = block.filter(~is_kept), block.filter(is_kept)
        fraction = self.settings.validation_fraction
        parts = pl.Series([PARTS[in_validation(digest, fraction)] for digest in kept["digest"]], dtype=pl.String)
        kept = kept.with_columns(part=parts)
        self.tally.add(kept, dropped)
        self.writers[DROPPED].add(dropped.with_columns(head=pl.col("text").str.slice(0, HEAD_CHARS)))
        self.writers[EDITS].add(kept.select("id", "digest", "encoding", "edits").drop_nulls("edits").explode("edits").unnest("edits"))
        for part in PARTS:
            self.writers[part].add(kept.filter(pl.col("part") == part))

    def _reasons(self, block: pl.DataFrame) -> list[str | None]:
        reasons: list[str | None] = block["reason"].to_list()
        texts = block["text"] if self.protect else None
        for place, digest in enumerate(block["digest"]):
            if reasons[place] is not None:
                continue
            if not self.seen.is_new(digest):
                reasons[place] = "exact_duplicate"
            elif self.protect and texts is not None:
                reasons[place] = self.protect(texts[place])
        return reasons

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


def build_corpus(
    home: Path, name: str, paths: Sequence[Path], settings: CorpusSettings, *,
    protect: Protect | None = None, progress: Progress | None = None,
) -> Artifact:  # fmt: skip
    """A corpus from files and folders (.txt, .md, .jsonl, each also .zst), published as home/corpus/name@hash.

    protect: names the reason why a text must not enter (for example "reserved_pair"), or None; it runs in this process.
    progress: called with (input bytes done, input bytes in all). Scripts need `if __name__ == "__main__"`: workers are
    spawned. Raises UserError for a missing, unreadable or unknown file, a file of conversations, a file without any
    usable row, and when nothing is left; every other fault is a counted drop, readable in `dropped-*.parquet`.
    """
    _check(settings)
    found = find_sources(paths)
    total_bytes = sum(source.num_bytes for source in found.sources)
    groups = group_sources(found.sources)
    recipe: dict[str, Any] = {}
    # The draft reads the recipe when its block ends; the input hashes are known only by then.
    with draft(home, "corpus", name, recipe=recipe) as work:
        washed: list[WashedSource] = []
        parts = work.path / ".parts"
        parts.mkdir()
        keeper = Keeper(work.path, settings, protect)
        blocks = _washed_files(wash_groups(groups, settings, parts), washed)
        counts = _keep_all(keeper, blocks, total_bytes, progress)
        shutil.rmtree(parts)
        inputs = [{"name": w.source.name, "sha256": w.sha256, "bytes": w.source.num_bytes, "rows": w.num_rows} for w in washed]
        recipe |= {"settings": _settings_of_content(settings), "inputs": [{"name": i["name"], "sha256": i["sha256"]} for i in inputs]}
        skipped = [skip._asdict() for skip in found.skipped]
        work.counts = _finish(keeper, {"inputs": inputs, "skipped": skipped}) | counts | {"workers": settings.workers}
    return _published(work.artifact)


def build_from_documents(
    home: Path, name: str, documents: Iterable[Document], settings: CorpusSettings, *, parents: Sequence[str] = (),
    generator: Mapping[str, Any] | None = None, protect: Protect | None = None, progress: Progress | None = None,
) -> Artifact:  # fmt: skip
    """The same corpus from documents in memory, consumed once, as they come.

    generator: what made them (name, seed), for the recipe. parents: "kind/name@hash" of the artifacts they came from.
    progress: called with (bytes done, 0), because the total is not known.
    """
    _check(settings)
    recipe = {"settings": _settings_of_content(settings), "generator": dict(generator or {}), "inputs": [{"name": name, "sha256": ""}]}
    with draft(home, "corpus", name, parents=parents, recipe=recipe) as work:
        digest = hashlib.sha256()
        keeper = Keeper(work.path, settings, protect)
        counts = _keep_all(keeper, _washed_documents(documents, settings, digest), 0, progress)
        recipe["inputs"] = inputs = [{"name": name, "sha256": digest.hexdigest()}]
        work.counts = _finish(keeper, {"inputs": inputs, "skipped": []}) | counts
    return _published(work.artifact)


def _published(artifact: Artifact | None) -> Artifact:
    assert artifact is not None
    return artifact


def _check(settings: CorpusSettings) -> None:
    if settings.min_chars < 0 or settings.shard_bytes < 1 or settings.workers < 1:
        raise UserError(
            f"corpus settings min_chars={settings.min_chars}, shard_bytes={settings.shard_bytes}, workers={settings.workers}: "
            "allowed are min_chars >= 0, shard_bytes >= 1, workers >= 1"
        )
    if not 0 <= settings.validation_fraction < 1:
        raise UserError(f"validation_fraction={settings.validation_fraction}: allowed is 0 up to, but not including, 1")


def _settings_of_content(settings: CorpusSettings) -> dict[str, Any]:
    """Settings without `workers`, which changes how long a build takes and nothing in it."""
    return {key: value for key, value in resolved(settings).items() if key != "workers"}


def _washed_files(groups: Iterable[Any], washed: list[WashedSource]) -> Generator[Washed, None, None]:
    done_bytes = 0
    for group in groups:
        washed.extend(group.sources)
        for path in group.blocks:
            yield Washed(pl.read_ipc(path), done_bytes)
            path.unlink()
        done_bytes += sum(w.source.num_bytes for w in group.sources)
        yield Washed(pl.DataFrame(), done_bytes)


def _washed_documents(documents: Iterable[Document], settings: CorpusSettings, digest: Any) -> Generator[Washed, None, None]:
    done_bytes = 0
    for block in washed_blocks(_rows_of(documents, digest), settings):
        done_bytes += int(block["text"].str.len_bytes().sum())
        yield Washed(block, done_bytes)


def _rows_of(documents: Iterable[Document], digest: Any) -> Iterator[Row]:
    for document in documents:
        fields = (document.id, document.text, document.source, document.license, document.lang)
        data = "\0".join(fields).encode("utf-8", errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
        try:
            data.decode()
        except UnicodeDecodeError:
            head, origin = (value[:HEAD_CHARS].encode(errors="replace").decode() for value in (document.text, document.id))
            yield Row(origin, head, "", "", "", origin, reason="malformed_row")
        else:
            yield Row(*fields, document.id)


def _keep_all(keeper: Keeper, blocks: Generator[Washed, None, None], total_bytes: int, progress: Progress | None) -> dict[str, float]:
    """Keep every block; the seconds it took, here and in the children."""
    started, cpu = time.monotonic(), _cpu_seconds()
    with closing(blocks):
        for frame, done_bytes in blocks:
            if not frame.is_empty():
                keeper.add(frame)
            if progress is not None:
                progress(done_bytes, total_bytes)
    keeper.close()
    return {"seconds": round(time.monotonic() - started, 3), "cpu_seconds": round(_cpu_seconds() - cpu, 3)}


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _finish(keeper: Keeper, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """stats.json, and the counts for the manifest. Nothing kept is an error: no stage can use an empty corpus."""
    stats = keeper.tally.to_json() | dict(inputs)
    if not stats["documents"]["kept"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in stats["dropped"].items()) or "no document in the input"
        raise UserError(f"no document is left of {stats['documents']['read']}; dropped: {reasons}; lower min_chars or give other text")
    write_json(keeper.folder / "stats.json", stats)
    return {"documents": stats["documents"], "bytes": stats["bytes"], "dropped": stats["dropped"]}
