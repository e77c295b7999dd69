"""What is done again and again in a thread, beside the work of a block."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from feilun.store import StoreUnavailable
from feilun.types import UserError

__all__ = ["REST", "again_and_again"]

REST = 20.0  # times the processor's seconds of a look, before the next: however long the history, looks take a twentieth of one


@contextlib.contextmanager
def again_and_again(name: str, act: Callable[[], object], every_seconds: float, *, rest: float = 0.0) -> Iterator[None]:
    """Call `act` every so many seconds while the block runs. What it raises is told in a line, and it is called again.

    A UserError is told with its words, anything else by its kind alone: its text may hold what a log should not.
    rest: after each call, at least so many times its processor's seconds are waited.
    """
    stopped = threading.Event()

    def keep() -> None:
        pause = every_seconds
        while not stopped.wait(pause):
            began = time.thread_time()
            try:
                act()
            except StoreUnavailable:
                pass  # a busy file; the next time tells
            except Exception as error:
                print(f"{name}: {error if isinstance(error, UserError) else type(error).__name__}", file=sys.stderr, flush=True)
            pause = max(every_seconds, rest * (time.thread_time() - began))

    thread = threading.Thread(target=keep, daemon=True, name=name)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
