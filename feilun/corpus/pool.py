"""Pieces of a build done side by side: by this process and by spawned ones. Imports no polars: a child sets its thread count first."""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from feilun.config import CorpusSettings
from feilun.corpus.sources import Source, is_packed
from feilun.types import UserError

if TYPE_CHECKING:
    from feilun.corpus.shelf import WashedShard

__all__ = ["ALONE", "Team", "group_sources", "team", "use_one_thread", "wash_shards"]

Task = TypeVar("Task")
Result = TypeVar("Result")
GROUP_BYTES = 4 << 20
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


class Team:
    """This process and some children: each takes the next task when it is free, and results come in the order of the tasks."""

    def __init__(self, pool: Executor | None, num_children: int) -> None:
        self._pool, self._num_children = pool, num_children

    def run(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Generator[Result, None, None]:
        """work: an importable function, or a partial of one, of tasks that can be pickled."""
        if self._pool is None or len(tasks) < 2:
            yield from map(work, tasks)
            return
        try:
            yield from self._side_by_side(self._pool, work, tasks)
        except BrokenProcessPool:
            raise UserError("a worker process of the corpus build died, most likely for lack of memory; try --set workers=1") from None

    def _side_by_side(self, pool: Executor, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        queue = _Queue(pool, self._num_children, work, tasks)
        try:
            queue.feed()
            while queue.do_one():
                while queue.given and queue.given[0].done():
                    yield queue.given.popleft().result()
            while queue.given:
                yield queue.given.popleft().result()
        finally:
            queue.end()


class _Queue(Generic[Task, Result]):
    """Tasks that the children are given and this process takes from. given: what was, in the order of the tasks."""

    def __init__(self, pool: Executor, num_children: int, work: Callable[[Task], Result], tasks: Sequence[Task]) -> None:
        self.given: deque[Future[Result]] = deque()
        self._pool, self._num_children, self._work = pool, num_children, work
        self._left, self._num_busy, self._lock = deque(tasks), 0, threading.RLock()

    def feed(self, ended: "Future[Result] | None" = None) -> None:
        """Give the children what they have room for; the pool calls it too when one ends a task, so that none waits for this process."""
        with self._lock:
            if ended is not None:
                self._num_busy -= 1
                # A broken pool must not be asked, and after any fault this process is about to find it.
                if ended.cancelled() or ended.exception() is not None:
                    return
            # One task at work and one waiting for each child, but towards the end none waits: it may be the longest.
            depth = 2 if len(self._left) > 2 * (self._num_children + 1) else 1
            while self._left and self._num_busy < depth * self._num_children:
                self._num_busy += 1
                self.given.append(self._pool.submit(self._work, self._left.popleft()))
                self.given[-1].add_done_callback(self.feed)

    def do_one(self) -> bool:
        """Do the next task here; False when none is left."""
        with self._lock:
            if not self._left:
                return False
            task, mine = self._left.popleft(), Future[Result]()
            self.given.append(mine)
        mine.set_result(self._work(task))
        return True

    def end(self) -> None:
        with self._lock:
            self._left.clear()


ALONE = Team(None, 0)


@contextmanager
def team(settings: CorpusSettings, sources: Sequence[Source]) -> Iterator[Team]:
    """As many processes as the settings say, where that is worth it; the children start with the first tasks and end with the block."""
    if settings.workers == 1 or sum(map(_text_bytes, sources)) < MIN_POOL_BYTES:
        yield ALONE
        return
    num_children = settings.workers - 1
    pool = ProcessPoolExecutor(num_children, mp_context=get_context("spawn"), initializer=_begin)
    try:
        yield Team(pool, num_children)
    finally:
        pool.shutdown(cancel_futures=True)


def wash_shards(
    groups: Sequence[tuple[Source, ...]], settings: CorpusSettings, shelf: Path, workers: Team
) -> Generator["WashedShard", None, None]:
    """What `process_shard` makes of each group, in order."""
    if settings.engine == "ray":
        from feilun.corpus.cluster import wash_on_ray

        yield from wash_on_ray(groups, settings, shelf)
        return
    yield from workers.run(partial(_process, settings=settings, shelf=shelf), groups)


def use_one_thread() -> None:
    """For a worker, before it loads polars."""
    # Polars kernels on one column are serial: more threads than processes cost time and give none (measured).
    os.environ["POLARS_MAX_THREADS"] = os.environ["RAYON_NUM_THREADS"] = "1"


def _begin() -> None:
    use_one_thread()
    # Last of all that is done at the end: to free all that a child holds takes a tenth of a second, and the parent waits for it.
    atexit.register(os._exit, 0)
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
