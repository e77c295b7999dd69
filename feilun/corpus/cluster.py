"""Groups of files washed on a Ray cluster: the function of the local pool, run by Ray Data. Only names travel; texts stay on the disk.

So every node must see the home and the input files under the same paths, and run this same code; one that does not is an error.
"""

import logging
import os
import pickle
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feilun.config import CorpusSettings
from feilun.corpus.sources import Source
from feilun.types import UserError

if TYPE_CHECKING:
    from feilun.corpus.shelf import WashedShard

__all__ = ["wash_on_ray"]

Groups = Sequence[tuple[Source, ...]]
STORE_BYTES = 100 << 20  # the least that Ray takes; names are all that is in it
# A session's sockets lie below it, and a socket's path may have 107 bytes.
SESSIONS = "/tmp"


def wash_on_ray(groups: Groups, settings: CorpusSettings, shelf: Path) -> Generator["WashedShard", None, None]:
    """What `process_shard` makes of each group, in order; on the cluster that runs here or RAY_ADDRESS names, else on one made for this."""
    from feilun.corpus.shelf import code_fingerprint

    ray = _ray()
    given = {"groups": groups, "settings": settings, "shelf": shelf.resolve(), "fingerprint": code_fingerprint()}
    with _cluster(ray, settings.workers):
        numbers = ray.data.from_items([{"number": number} for number in range(len(groups))], override_num_blocks=max(1, len(groups)))
        waiting: dict[int, WashedShard] = {}
        done = 0
        try:
            for row in numbers.map(_wash, fn_kwargs=given).iter_rows():
                waiting[row["number"]] = _shard_of(row, shelf)
                while done in waiting:
                    yield waiting.pop(done)
                    done += 1
        except ray.exceptions.RayError as error:
            raise UserError(f"Ray could not finish the build ({type(error).__name__}); what is washed is kept: build again") from error


def _ray() -> Any:
    # Before the import, which reads it: nothing about this machine or its texts is sent anywhere.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(f"engine=ray needs Ray, which is not here ({error}); pip install 'feilun[ray]', or leave the engine out") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def _cluster(ray: Any, num_workers: int) -> Iterator[None]:
    """A connection to the cluster there is; else one of this machine alone, which ends with the block, its files too."""
    if ray.is_initialized():
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with tempfile.TemporaryDirectory(prefix="feilun-ray.", dir=SESSIONS, ignore_cleanup_errors=True) as folder:
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            ray.init(
                address="local", num_cpus=num_workers, include_dashboard=False, object_store_memory=STORE_BYTES, _temp_dir=folder, **quiet
            )
        try:
            yield
        finally:
            ray.shutdown()


def _wash(row: Mapping[str, Any], groups: Groups, settings: CorpusSettings, shelf: Path, fingerprint: str) -> dict[str, Any]:
    """On a node: one group; a person's mistake comes back as a text."""
    from feilun.corpus.pool import use_one_thread
    from feilun.corpus.shelf import code_fingerprint, process_shard

    use_one_thread()
    number = int(row["number"])
    try:
        if not shelf.is_dir():
            raise UserError(f"node {os.uname().nodename} does not see {shelf}: the home must lie on a disk that all nodes share")
        if code_fingerprint() != fingerprint:
            raise UserError(f"node {os.uname().nodename} has another feilun, or other versions of what it reads with; install the same")
        return {"number": number, "shard": pickle.dumps(process_shard(groups[number], settings, shelf)), "error": ""}
    except UserError as error:
        return {"number": number, "shard": b"", "error": str(error)}


def _shard_of(row: Mapping[str, Any], shelf: Path) -> "WashedShard":
    if row["error"]:
        raise UserError(row["error"])
    shard: WashedShard = pickle.loads(row["shard"])
    if not all(block.parent.is_dir() for block in shard.blocks):
        raise UserError(f"what a node washed is not at {shelf}: the home must lie on a disk that all nodes share")
    return shard
