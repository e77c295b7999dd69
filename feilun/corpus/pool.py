"""Groups of files washed side by side in spawned processes. Imports no polars: a child sets its thread count first."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from feilun.config import CorpusSettings
from feilun.corpus.sources import PACKED_SUFFIX, Source
from feilun.types import UserError

if TYPE_CHECKING:
    from feilun.corpus.blocks import WashedGroup

__all__ = ["group_sources", "wash_groups"]

GROUP_BYTES = 8 << 20
# A child costs most of a second to start; below this the parent alone is faster.
MIN_POOL_BYTES = 48 << 20
PACKED_RATIO = 4


def group_sources(sources: Sequence[Source]) -> list[tuple[Source, ...]]:
    """Neighbouring files in groups of about `GROUP_BYTES` of text; the same whatever the number of workers."""
    groups: list[tuple[Source, ...]] = []
    held: list[Source] = []
    for source in sources:
        held.append(source)
        if sum(map(_text_bytes, held)) >= GROUP_BYTES or len(held) >= 1000:
            groups.append(tuple(held))
            held = []
    return [*groups, tuple(held)] if held else groups


def _text_bytes(source: Source) -> int:
    return source.num_bytes * (PACKED_RATIO if source.name.lower().endswith(PACKED_SUFFIX) else 1)


def wash_groups(groups: Sequence[tuple[Source, ...]], settings: CorpusSettings, folder: Path) -> Iterator["WashedGroup"]:
    """What `wash_group` makes of each group, in order."""
    num_workers = min(settings.workers, len(groups))
    if num_workers > 1 and sum(_text_bytes(s) for group in groups for s in group) >= MIN_POOL_BYTES:
        yield from _in_pool(groups, settings, folder, num_workers)
        return
    from feilun.corpus.blocks import wash_group

    for number, group in enumerate(groups):
        yield wash_group(group, settings, folder, number)


def _in_pool(groups: Sequence[tuple[Source, ...]], settings: CorpusSettings, folder: Path, num_workers: int) -> Iterator["WashedGroup"]:
    pool = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_one_thread)
    try:
        pending = [pool.submit(_wash, group, settings, folder, number) for number, group in enumerate(groups)]
        for future in pending:
            yield future.result()
    except BrokenProcessPool:
        raise UserError("a worker process of the corpus build died, most likely for lack of memory; try --set corpus.workers=1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    # Polars kernels on one column are serial: more threads than processes cost time and give none (measured).
    os.environ["POLARS_MAX_THREADS"] = "1"


def _wash(group: tuple[Source, ...], settings: CorpusSettings, folder: Path, number: int) -> "WashedGroup":
    from feilun.corpus.blocks import wash_group

    return wash_group(group, settings, folder, number)
