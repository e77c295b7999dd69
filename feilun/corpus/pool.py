"""Groups of files washed side by side in spawned processes. Imports no polars: a child sets its thread count first."""

import os
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from feilun.config import CorpusSettings
from feilun.corpus.sources import Source, is_packed
from feilun.types import UserError

if TYPE_CHECKING:
    from feilun.corpus.shelf import WashedShard

__all__ = ["group_sources", "use_one_thread", "wash_shards"]

Shards = Generator["WashedShard", None, None]
GROUP_BYTES = 8 << 20
# A child costs most of a second to start; below this the parent alone is faster.
MIN_POOL_BYTES = 48 << 20
PACKED_RATIO = 4


def group_sources(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Neighbouring files in groups of about `GROUP_BYTES` of text; the same whatever the number of workers."""
    groups: list[tuple[Source, ...]] = []
    held: list[Source] = []
    num_bytes = 0
    for source in sources:
        held.append(source)
        num_bytes += _text_bytes(source)
        if num_bytes >= GROUP_BYTES or len(held) >= 1000:
            groups.append(tuple(held))
            held, num_bytes = [], 0
    return [*groups, tuple(held)] if held else groups


def _text_bytes(source: Source) -> int:
    return source.num_bytes * (PACKED_RATIO if is_packed(source.name) else 1)


def wash_shards(groups: Sequence[tuple[Source, ...]], settings: CorpusSettings, shelf: Path) -> Shards:
    """What `process_shard` makes of each group, in order."""
    if settings.engine == "ray":
        from feilun.corpus.cluster import wash_on_ray

        yield from wash_on_ray(groups, settings, shelf)
        return
    num_workers = min(settings.workers, len(groups))
    if num_workers > 1 and sum(_text_bytes(s) for group in groups for s in group) >= MIN_POOL_BYTES:
        yield from _in_pool(groups, settings, shelf, num_workers)
        return
    from feilun.corpus.shelf import process_shard

    for group in groups:
        yield process_shard(group, settings, shelf)


def _in_pool(groups: Sequence[tuple[Source, ...]], settings: CorpusSettings, shelf: Path, num_workers: int) -> Shards:
    pool = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_begin)
    try:
        pending = [pool.submit(_process, group, settings, shelf) for group in groups]
        for future in pending:
            yield future.result()
    except BrokenProcessPool:
        raise UserError("a worker process of the corpus build died, most likely for lack of memory; try --set workers=1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def use_one_thread() -> None:
    """For a worker, before it loads polars."""
    # Polars kernels on one column are serial: more threads than processes cost time and give none (measured).
    os.environ["POLARS_MAX_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"


def _begin() -> None:
    use_one_thread()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent leaves no worker behind that would go on washing for nobody."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _process(group: tuple[Source, ...], settings: CorpusSettings, shelf: Path) -> "WashedShard":
    from feilun.corpus.shelf import process_shard

    return process_shard(group, settings, shelf)
