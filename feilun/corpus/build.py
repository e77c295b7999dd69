"""Build a corpus: wash groups of files side by side, then decide in one place, in one order, what stays, and write it.

Equal input and settings give an equal artifact hash, whatever the number of workers, the order of the paths, or how often
the build was killed and begun again.
"""

import hashlib
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from feilun.artifacts import Artifact, draft, find, write_json
from feilun.config import CorpusSettings
from feilun.corpus.blocks import marks_of, texts_of, washed_blocks, write_block
from feilun.corpus.decide import Decisions, Protect, decide
from feilun.corpus.decontaminate import Decontaminator, without_protected
from feilun.corpus.licences import named_policy
from feilun.corpus.minhash import algorithm
from feilun.corpus.pool import ALONE, Team, group_sources, team, wash_shards
from feilun.corpus.readers import HEAD_CHARS, Row
from feilun.corpus.redact import check_kinds
from feilun.corpus.registry import Registry
from feilun.corpus.scorer import Scorer, load_scorer
from feilun.corpus.shelf import WashedSource, open_shelf, settings_of_content
from feilun.corpus.sources import Source, find_sources
from feilun.corpus.tally import Tally
from feilun.corpus.writing import done, plan_writing
from feilun.types import Document, UserError

__all__ = ["build_corpus", "build_from_documents"]

Progress = Callable[[int, int], None]
ENGINES = ("local", "ray")


def build_corpus(
    home: Path, name: str, paths: Sequence[Path | str], settings: CorpusSettings, *, registry: Registry | None = None,
    decontaminator: Decontaminator | None = None, protect: Protect | None = None, progress: Progress | None = None,
) -> Artifact:  # fmt: skip
    """A corpus from files, folders and addresses of any kind that `sources.SUFFIXES_OF` lists, published as home/corpus/name@hash.

    registry: where the files come from; its licences stand for rows that name none. decontaminator: what must not be in it.
    protect: names the reason why a text must not enter (for example "reserved_pair"), or None; it runs in this process.
    progress: called with (input bytes done, input bytes in all). Scripts need `if __name__ == "__main__"`: workers are
    spawned. Raises UserError for a missing, unreadable or unknown file, a file of conversations, a file without any
    usable row, and when nothing is left; every other fault is a counted drop, readable in `dropped-*.parquet`.
    A build that was killed or failed leaves what is washed under home/corpus/.shards, and the next one of this name goes on there.
    """
    _check(settings)
    settings, scorers = _pinned(home, settings)
    found = find_sources(paths)
    registry = registry or Registry()
    sources = [replace(source, license=registry.licence_of(source.name)) for source in found.sources]
    clock = Clock()
    recipe: dict[str, Any] = {}
    # The draft reads the recipe when its block ends; the input hashes are known only by then.
    with (
        open_shelf(home, name) as shelf,
        draft(home, "corpus", name, parents=scorers, recipe=recipe) as work,
        team(settings, sources) as workers,
    ):
        washed, blocks = _wash_all(sources, settings, shelf, workers, progress)
        registry.check({w.name: w.sha256 for w in washed})
        tally = _keep(work.path, settings, blocks, workers, protect, decontaminator)
        inputs = [{"name": w.name, "sha256": w.sha256, "bytes": w.num_bytes, "rows": w.num_rows} for w in washed]
        recipe |= _origins(registry, washed, decontaminator)
        recipe |= _recipe(settings) | {"inputs": [{"name": i["name"], "sha256": i["sha256"]} for i in inputs]}
        skipped = [skip._asdict() for skip in found.skipped]
        work.counts = (
            _finish(work.path, tally, {"inputs": inputs, "skipped": skipped})
            | clock.read()
            | {"workers": settings.workers, "engine": settings.engine}
        )
    return _published(work.artifact)


def build_from_documents(
    home: Path, name: str, documents: Iterable[Document], settings: CorpusSettings, *, parents: Sequence[str] = (),
    generator: Mapping[str, Any] | None = None, origins: Mapping[str, Any] | None = None, decontaminator: Decontaminator | None = None,
    protect: Protect | None = None, progress: Progress | None = None,
) -> Artifact:  # fmt: skip
    """The same corpus from documents in memory, consumed once, as they come.

    generator: what made them (name, seed), for the recipe. parents: "kind/name@hash" of the artifacts they came from.
    origins: what the documents came from, complete once the last is consumed; for the counts, and its hash for the recipe.
    progress: called with (bytes done, 0), because the total is not known.
    """
    _check(settings)
    if settings.engine != "local":
        raise UserError(f"engine={settings.engine}: documents in memory are washed in this process; leave the engine out")
    settings, scorers = _pinned(home, settings)
    clock = Clock()
    recipe = _recipe(settings) | {"generator": dict(generator or {})}
    scorer = load_scorer(home, settings.scorer)
    with draft(home, "corpus", name, parents=[*parents, *scorers], recipe=recipe) as work:
        digest = hashlib.sha256()
        with tempfile.TemporaryDirectory(prefix=".parts.", dir=work.path) as parts:
            blocks = _wash_documents(_rows_of(documents, digest), settings, scorer, Path(parts), progress)
            tally = _keep(work.path, settings, blocks, ALONE, protect, decontaminator)
        recipe["inputs"] = inputs = [{"name": name, "sha256": digest.hexdigest()}]
        recipe |= {"protected": decontaminator.to_json()} if decontaminator else {}
        recipe |= {"origins": _sha256_of(origins)} if origins else {}
        work.counts = _finish(work.path, tally, {"inputs": inputs, "skipped": []}) | clock.read() | dict(origins or {})
    return _published(work.artifact)


def _sha256_of(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _published(artifact: Artifact | None) -> Artifact:
    assert artifact is not None
    return artifact


def _check(settings: CorpusSettings) -> None:
    if settings.min_chars < 0 or settings.shard_bytes < 1 or settings.workers < 1:
        raise UserError(
            f"corpus settings min_chars={settings.min_chars}, shard_bytes={settings.shard_bytes}, workers={settings.workers}: "
            "allowed are min_chars >= 0, shard_bytes >= 1, workers >= 1"
        )
    if settings.engine not in ENGINES:
        raise UserError(f"engine={settings.engine}: allowed are {', '.join(ENGINES)}")
    named_policy(settings.licence_policy)
    check_kinds(settings.redact)
    if not 0 <= settings.min_quality <= 1:
        raise UserError(f"min_quality={settings.min_quality}: allowed is 0 to 1")
    if not 0 <= settings.validation_fraction < 1:
        raise UserError(f"validation_fraction={settings.validation_fraction}: allowed is 0 up to, but not including, 1")


def _pinned(home: Path, settings: CorpusSettings) -> tuple[CorpusSettings, list[str]]:
    """The settings with the scorer's whole name, and that name as a parent."""
    if not settings.scorer:
        return settings, []
    scorer = find(home, settings.scorer, "scorers")
    return replace(settings, scorer=scorer.ref), [f"scorers/{scorer.ref}"]


def _recipe(settings: CorpusSettings) -> dict[str, Any]:
    minhash = {"minhash": algorithm()} if settings.near_duplicates else {}
    return {"settings": settings_of_content(settings)} | minhash


def _wash_all(
    sources: Sequence[Source], settings: CorpusSettings, shelf: Path, workers: Team, progress: Progress | None
) -> tuple[list[WashedSource], list[Path]]:
    washed: list[WashedSource] = []
    blocks: list[Path] = []
    total_bytes, done_bytes = sum(source.num_bytes for source in sources), 0
    with closing(wash_shards(group_sources(sources), settings, shelf, workers)) as shards:
        for shard in shards:
            washed += shard.sources
            blocks += shard.blocks
            done_bytes += sum(source.num_bytes for source in shard.sources)
            if progress is not None:
                progress(done_bytes, total_bytes)
    return washed, blocks


def _wash_documents(
    rows: Iterable[Row], settings: CorpusSettings, scorer: Scorer | None, folder: Path, progress: Progress | None
) -> list[Path]:
    blocks: list[Path] = []
    done_bytes = 0
    for number, block in enumerate(washed_blocks(rows, settings, scorer)):
        blocks.append(folder / f"{number:06d}")
        write_block(block, blocks[-1])
        done_bytes += int(block.texts["text"].str.len_bytes().sum())
        if progress is not None:
            progress(done_bytes, 0)
    return blocks


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


def _origins(registry: Registry, washed: Sequence[WashedSource], decontaminator: Decontaminator | None) -> dict[str, Any]:
    """Entries of the registry that were used, and what was looked for; nothing where there is neither."""
    sources = registry.used([w.name for w in washed])
    protected = {"protected": decontaminator.to_json()} if decontaminator else {}
    return ({"sources": sources} if sources else {}) | protected


def _keep(
    folder: Path, settings: CorpusSettings, blocks: Sequence[Path], workers: Team, protect: Protect | None,
    decontaminator: Decontaminator | None,
) -> Tally:  # fmt: skip
    """Decide over all blocks, then write what stays and what does not; what was written, counted."""
    texts = [texts_of(block) for block in blocks]
    decisions = decide(texts, [marks_of(block) for block in blocks], settings, protect)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix=".cut.", dir=folder) as cut:
        if decontaminator is not None:
            texts = _cleared(texts, decisions, decontaminator, settings, Path(cut))
        for written in workers.run(done, plan_writing(folder, texts, decisions, settings)):
            tally.merge(written)
    return tally


def _cleared(
    texts: Sequence[Path], decisions: Decisions, decontaminator: Decontaminator, settings: CorpusSettings, folder: Path
) -> list[Path]:
    """The blocks without protected texts: what must go is decided, and a block that lost lines is written anew into `folder`."""
    made = []
    for number, path in enumerate(texts):
        block = decisions.of_block(pl.read_ipc(path), number)
        cleared = without_protected(block, decontaminator, settings)
        decisions.take(cleared, number)
        made.append(path)
        if (cleared["digest"] != block["digest"]).any():
            made[-1] = folder / f"{number:06d}.ipc"
            cleared.write_ipc(made[-1], compression="uncompressed")
    return made


class Clock:
    """Seconds since it was made, of the wall and of the processors, children included."""

    def __init__(self) -> None:
        self.started, self.cpu = time.monotonic(), _cpu_seconds()

    def read(self) -> dict[str, float]:
        return {"seconds": round(time.monotonic() - self.started, 3), "cpu_seconds": round(_cpu_seconds() - self.cpu, 3)}


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _finish(folder: Path, tally: Tally, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """stats.json, and the counts for the manifest. Nothing kept is an error: no stage can use an empty corpus."""
    stats = tally.to_json() | dict(inputs)
    if not stats["documents"]["kept"]:
        reasons = ", ".join(f"{reason} {count}" for reason, count in stats["dropped"].items()) or "no document in the input"
        raise UserError(f"no document is left of {stats['documents']['read']}; dropped: {reasons}; lower min_chars or give other text")
    write_json(folder / "stats.json", stats)
    return {"documents": stats["documents"], "bytes": stats["bytes"], "dropped": stats["dropped"]}
