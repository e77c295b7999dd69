"""What is done again and again in a thread, beside the work of a block."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from feilun.store import StoreUnavailable
from feilun.types import UserError

__all__ = ["again_and_again"]


@contextlib.contextmanager
def again_and_again(name: str, act: Callable[[], object], every_seconds: float) -> Iterator[None]:
    """Call `act` every so many seconds while the block runs. What it raises is told in a line, and it is called again.

    A UserError is told with its words, anything else by its kind alone: its text may hold what a log should not.
    """
    stopped = threading.Event()

    def keep() -> None:
        while not stopped.wait(every_seconds):
            try:
                act()
            except StoreUnavailable:
                continue  # a busy file; the next time tells
            except Exception as error:
                print(f"{name}: {error if isinstance(error, UserError) else type(error).__name__}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=keep, daemon=True, name=name)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
