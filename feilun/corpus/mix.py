"""One corpus from several: named weights, caps and epochs. What cannot be had is an error, or stands in the manifest with its reason.

A weight is a share of the training bytes. Documents of a source keep their order and are spread evenly over the whole; which
of them make a part of an epoch is drawn by the seed. Memory holds sizes, and one shard of each source.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.artifacts import Artifact, draft, find, write_json
from feilun.corpus.dedup import text_digests
from feilun.corpus.shards import DOCUMENT_COLUMNS, PARTS, WEIGHT_COLUMNS, ShardWriter
from feilun.corpus.tally import Tally
from feilun.types import UserError

__all__ = ["MixPart", "MixSettings", "describe_mix", "mix_corpora", "plan_shares"]

COLUMNS = dict.fromkeys(DOCUMENT_COLUMNS, pl.String) | WEIGHT_COLUMNS
SLICE_BYTES = 32 << 20
GIVEN = {"place": pl.UInt16, "held_out": pl.Boolean, "bytes": pl.Int64}
# FineWeb-2 (arXiv 2506.20920): how often a text is repeated by the size of its cluster of near copies: what is copied a few
# times is good, what is copied a thousand times is furniture.
REPEATS_FROM = ((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPart:
    """A source. weight: 0 is its own size. cap: the largest share of the result it may have. epochs: how often a document may be used."""

    ref: str
    weight: float = 0.0
    cap: float = 1.0
    epochs: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSettings:
    """total_bytes: of training text; 0 is as much as the wished shares allow. by_cluster_size: a text counts as often as it was copied."""

    total_bytes: int = 0
    seed: int = 0
    by_cluster_size: bool = False
    shard_bytes: int = 64 << 20


class Share(NamedTuple):
    """What one source was wished to give and gives, in bytes; `why` names what came between, or is ""."""

    wanted: float
    given: float
    why: str


class Shelf(NamedTuple):
    """The training shards of one source; size and repeats of each document."""

    artifact: Artifact
    shards: tuple[Path, ...]
    sizes: NDArray[np.int64]
    repeats: NDArray[np.int64]

    @property
    def num_bytes(self) -> int:
        return int((self.sizes * self.repeats).sum())


def plan_shares(parts: Sequence[MixPart], num_bytes: Sequence[int], total_bytes: int) -> list[Share]:
    """How many bytes each source gives. Raises UserError for wishes that no choice can meet.

    Caps are met always; then what a source has (its bytes times its epochs); then the weights. What one cannot give the
    others give in proportion to their weights.
    """
    weights = np.array([part.weight or size for part, size in zip(parts, num_bytes, strict=True)], dtype=float)
    weights /= weights.sum()
    caps, limits = np.array([part.cap for part in parts]), np.array([p.epochs * n for p, n in zip(parts, num_bytes, strict=True)])
    if caps.sum() < 1 - 1e-9:
        raise UserError(f"the caps add up to {caps.sum():.0%} of the mix; nobody may give the rest: raise a cap or add a source")
    shares = _filled(weights, caps, 1.0)
    total = float(total_bytes or (limits / np.maximum(shares, 1e-300))[shares > 0].min())
    bounds = np.minimum(limits, caps * total)
    if bounds.sum() < total * (1 - 1e-9):
        raise UserError(
            f"a mix of {total / 1e6:,.1f} MB cannot be had: with their epochs and caps the sources give {bounds.sum() / 1e6:,.1f} MB; "
            "ask for less, allow more epochs or raise a cap"
        )
    given = _filled(weights, bounds, total)
    return [Share(w * total, g, _why(w * total, g, c * total, limit)) for w, g, c, limit in zip(weights, given, caps, limits, strict=True)]


def _filled(weights: NDArray[np.float64], bounds: NDArray[np.float64], total: float) -> NDArray[np.float64]:
    """`total` in proportion to the weights, nobody above its bound: who is full stays full, the others share what is left."""
    given = np.zeros(len(weights))
    is_open = weights > 0
    while is_open.any():
        left = total - given[~is_open].sum()
        given[is_open] = left * weights[is_open] / weights[is_open].sum()
        is_over = is_open & (given > bounds)
        if not is_over.any():
            break
        given[is_over] = bounds[is_over]
        is_open &= ~is_over
    return given


def _why(wanted: float, given: float, cap: float, limit: float) -> str:
    if abs(given - wanted) <= 1e-6 * max(wanted, 1.0):
        return ""
    if given < wanted:
        return "cap" if cap <= limit else "no more text within its epochs"
    return "others give less than wished"


def mix_corpora(home: Path, name: str, parts: Sequence[MixPart], settings: MixSettings) -> Artifact:
    """A corpus artifact from corpora of this home. Its validation part is the union of theirs, and no text of it is trained on.

    Raises UserError for a source that is missing, named twice or empty, and for wishes that cannot be met.
    """
    _check(parts, settings)
    shelves = [_shelf(find(home, part.ref, "corpus"), settings) for part in parts]
    refs = [shelf.artifact.ref for shelf in shelves]
    if twice := next((ref for ref in refs if refs.count(ref) > 1), None):
        raise UserError(f"corpus {twice} is named twice; give it one weight, and more epochs if it shall be repeated")
    if empty := next((shelf.artifact.ref for shelf in shelves if not shelf.num_bytes), None):
        raise UserError(f"corpus {empty} has no training text to give; leave it out")
    shares = plan_shares(parts, [shelf.num_bytes for shelf in shelves], settings.total_bytes)
    wishes = [asdict(part) | {"ref": ref} for part, ref in zip(parts, refs, strict=True)]
    with draft(
        home, "corpus", name, parents=[f"corpus/{ref}" for ref in refs], recipe={"mix": wishes, "settings": asdict(settings)}
    ) as work:
        work.counts = _write(work.path, shelves, shares, settings)
    assert work.artifact is not None
    return work.artifact


def _check(parts: Sequence[MixPart], settings: MixSettings) -> None:
    if not parts:
        raise UserError("a mix needs a source; name at least one corpus")
    for part in parts:
        if not (part.weight >= 0 and 0 < part.cap <= 1 and part.epochs > 0) or part.weight == float("inf"):
            raise UserError(
                f"{part.ref}: weight {part.weight}, cap {part.cap}, epochs {part.epochs}; allowed: weight >= 0, 0 < cap <= 1, epochs > 0"
            )
    if len({part.weight == 0 for part in parts}) > 1:
        raise UserError("some sources have a weight and some have none; give each a weight, or none (then its size counts)")
    if settings.total_bytes < 0 or settings.shard_bytes < 1:
        raise UserError(
            f"total_bytes={settings.total_bytes}, shard_bytes={settings.shard_bytes}: allowed are total_bytes >= 0 and shard_bytes >= 1"
        )


def _shelf(artifact: Artifact, settings: MixSettings) -> Shelf:
    shards = tuple(sorted(artifact.path.glob("train-*.parquet")))
    columns = [pl.col("text").str.len_bytes().cast(pl.Int64), pl.col("cluster_size").cast(pl.Int64)]
    frames = [pl.scan_parquet(shard).select(columns).collect() for shard in shards]
    frame = pl.concat(frames) if frames else pl.DataFrame(schema={"text": pl.Int64, "cluster_size": pl.Int64})
    clusters = frame["cluster_size"].fill_null(1).to_numpy()
    firsts, times = (np.array(column) for column in zip(*REPEATS_FROM, strict=True))
    repeats = times[np.searchsorted(firsts, np.maximum(clusters, 1), side="right") - 1]
    return Shelf(artifact, shards, frame["text"].to_numpy(), repeats if settings.by_cluster_size else np.ones_like(repeats))


class Chosen(NamedTuple):
    """Documents of one source in the order they come (their row, over all shards) and where each stands in the mix, 0 to 1."""

    rows: NDArray[np.int64]
    places: NDArray[np.float64]


def choose(shelf: Shelf, num_bytes: float, seed: int) -> Chosen:
    """Whole epochs, then a part of one: drawn by the seed, in the order of the source."""
    order = np.repeat(np.arange(len(shelf.sizes)), shelf.repeats)
    sizes = shelf.sizes[order]
    num_whole = int(num_bytes / sizes.sum() + 1e-9)
    key = hashlib.blake2b(f"{seed}:{shelf.artifact.ref}".encode(), digest_size=8).digest()
    drawn = np.random.default_rng(int.from_bytes(key, "big")).permutation(len(order))
    # As many as come nearest to what is left.
    reached = np.cumsum(sizes[drawn])
    num_drawn = int(np.searchsorted(reached - sizes[drawn] / 2, num_bytes - num_whole * sizes.sum()))
    rows = np.concatenate([np.tile(order, num_whole), np.sort(order[drawn[:num_drawn]])])
    return Chosen(rows, (np.arange(len(rows)) + 0.5) / max(1, len(rows)))


def _write(folder: Path, shelves: Sequence[Shelf], shares: Sequence[Share], settings: MixSettings) -> dict[str, Any]:
    chosen = [choose(shelf, share.given, settings.seed) for shelf, share in zip(shelves, shares, strict=True)]
    tally, writers = Tally(), {part: ShardWriter(folder, part, COLUMNS, ("text",), settings.shard_bytes) for part in PARTS}
    validation = _validation(shelves)
    given = pl.DataFrame(schema=GIVEN)
    held_out = pl.Series(text_digests(validation["text"])).implode()
    for mixed in _mixed(shelves, chosen):
        frame = mixed.with_columns(held_out=text_digests(mixed["text"]).is_in(held_out))
        tally.add_documents(frame.filter(~pl.col("held_out")), "train")
        writers["train"].add(frame.filter(~pl.col("held_out")))
        given = pl.concat([given, frame.select("place", "held_out", bytes=pl.col("text").str.len_bytes().cast(pl.Int64))])
    tally.add_documents(validation, "validation")
    writers["validation"].add(validation)
    for writer in writers.values():
        writer.close()
    mix = [_account(place, *row, given) for place, row in enumerate(zip(shelves, shares, strict=True))]
    stats = tally.to_json() | {"mix": mix, "inputs": [], "skipped": []}
    write_json(folder / "stats.json", stats)
    return {"documents": stats["documents"], "bytes": stats["bytes"], "dropped": stats["dropped"], "mix": mix}


def _validation(shelves: Sequence[Shelf]) -> pl.DataFrame:
    """Every text that a source holds out, once."""
    paths = [path for shelf in shelves for path in sorted(shelf.artifact.path.glob("validation-*.parquet"))]
    frames = [pl.read_parquet(path, columns=list(COLUMNS)) for path in paths]
    return pl.concat(frames).unique("text", keep="first", maintain_order=True) if frames else pl.DataFrame(schema=COLUMNS)


def _mixed(shelves: Sequence[Shelf], chosen: Sequence[Chosen]) -> Iterator[pl.DataFrame]:
    """The chosen documents by their places, in frames of about `SLICE_BYTES`; the column `place` says which source each is of."""
    total = sum(int(shelf.sizes[take.rows].sum()) for shelf, take in zip(shelves, chosen, strict=True))
    readers = [_Reader(shelf) for shelf in shelves]
    num_slices = -(-total // SLICE_BYTES)
    for number in range(num_slices):
        frames = []
        for place, (reader, take) in enumerate(zip(readers, chosen, strict=True)):
            low, high = np.searchsorted(take.places, [number / num_slices, (number + 1) / num_slices])
            order = pl.Series("order", take.places[low:high])
            frames.append(reader.read(take.rows[low:high]).with_columns(order, place=pl.lit(place, pl.UInt16)))
        yield pl.concat(frames).sort("order", "place", maintain_order=True).drop("order")


class _Reader:
    """Documents of one source by their rows; the shard that was read last is held."""

    def __init__(self, shelf: Shelf) -> None:
        self.shards = shelf.shards
        counts = [pl.scan_parquet(shard).select(pl.len()).collect().item() for shard in shelf.shards]
        self.firsts = np.cumsum([0, *counts])
        self.held: tuple[int, pl.DataFrame] = (-1, pl.DataFrame(schema=COLUMNS))

    def read(self, rows: NDArray[np.int64]) -> pl.DataFrame:
        numbers = np.searchsorted(self.firsts, rows, side="right") - 1
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1), len(rows)] if len(rows) else [0]
        frames = [self._shard(int(numbers[a]))[rows[a:b] - self.firsts[numbers[a]]] for a, b in pairwise(bounds)]
        return pl.concat(frames) if frames else pl.DataFrame(schema=COLUMNS)

    def _shard(self, number: int) -> pl.DataFrame:
        if self.held[0] != number:
            self.held = (number, pl.read_parquet(self.shards[number], columns=list(COLUMNS)))
        return self.held[1]


def _account(place: int, shelf: Shelf, share: Share, given: pl.DataFrame) -> dict[str, Any]:
    """What one source was wished to give, gave, and why they differ."""
    mine = given.filter(place=place)
    used = mine.filter(~pl.col("held_out"))
    num_bytes, total = int(used["bytes"].sum()), int(given.filter(~pl.col("held_out"))["bytes"].sum())
    return {
        "ref": f"corpus/{shelf.artifact.ref}", "documents": used.height, "bytes": num_bytes, "bytes_wanted": round(share.wanted),
        "share": round(num_bytes / max(1, total), 6), "epochs": round(num_bytes / shelf.num_bytes, 4),
        "held_out_by_another": mine.height - used.height, "why": share.why,
    }  # fmt: skip


def describe_mix(artifact: Artifact) -> str:
    """A line for each source: MB wished and given, share, epochs, and what came between."""
    lines = [f"{'source':40} {'MB wished':>10} {'MB given':>10} {'share':>7} {'epochs':>7}"]
    for row in artifact.manifest["counts"]["mix"]:
        megabytes = f"{row['bytes_wanted'] / 1e6:>10,.2f} {row['bytes'] / 1e6:>10,.2f}"
        held_out = f"{row['held_out_by_another']} documents are in the validation part" if row["held_out_by_another"] else ""
        why = "; ".join(filter(None, (row["why"], held_out)))
        lines.append(f"{row['ref']:40} {megabytes} {row['share']:>7.1%} {row['epochs']:>7.2f}  {why}".rstrip())
    return "\n".join(lines)
