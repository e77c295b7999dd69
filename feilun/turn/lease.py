"""Who works on a step: the lease in the store, kept fresh by a thread, given up the moment it may be another's.

A child dies with its parent: its standard input is a pipe that the parent holds open and never writes to, so the end of
that pipe is the end of the parent, however it ended.
"""

import os
import select
import socket
import stat
import sys
import threading
import time
from functools import cache
from pathlib import Path
from types import TracebackType

from feilun.store import Store, StoreUnavailable
from feilun.types import UserError

__all__ = ["HEARTBEAT_SECONDS", "STALE_SECONDS", "Busy", "Lease", "is_dead", "own_name", "take"]

HEARTBEAT_SECONDS = 1.0
STALE_SECONDS = 30.0
RETRY_SECONDS = 0.1
EXIT_LOST = 75  # EX_TEMPFAIL: start the same command again
STDIN = 0


class Busy(UserError):
    """Another process holds the step and is alive."""


def own_name() -> str:
    """place:pid:start, which no other process bears, now or later."""
    return f"{_place()}:{os.getpid()}:{_start_of(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether `owner` is known to have ended; of the processes of another place nothing is known."""
    place, pid, start = (["", "", *owner.rsplit(":", 2)])[-3:]
    if place != _place() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _start_of(int(pid)) != start


@cache
def _place() -> str:
    """Where a process number means something: this host since its start, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{socket.gethostname()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def _start_of(pid: int) -> str:
    """Start of a process in clock ticks, "" where there is no /proc, "dead" for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "dead" if fields[0] in "ZX" else fields[19]


def take(store: Store, turn_id: str, step: str, owner: str, input_hash: str, stale_seconds: float) -> bool:
    """Claim the step, from a dead or silent owner too; False when it is done. Raises Busy while the owner lives."""
    end = time.monotonic() + stale_seconds + HEARTBEAT_SECONDS
    while not store.claim_step(turn_id, step, owner, input_hash, stale_seconds):
        row = store.turn(turn_id).steps[step]
        if row.status == "done":
            return False
        if is_dead(row.owner) and store.claim_step(turn_id, step, owner, input_hash, 0.0):
            return True
        if time.monotonic() > end:
            raise Busy(f"step {step} of turn {turn_id} is being run by {row.owner}; wait for it, or stop that process")
        time.sleep(RETRY_SECONDS)
    return True


class Lease:
    """Heartbeats while the block runs. The process ends at once, publishing nothing, when the parent or the lease is gone.

    Enter it before claiming, so that a child which waits for a lease also dies with its parent; `keep` starts the heartbeat.
    """

    def __init__(self, store: Store, turn_id: str, step: str, owner: str) -> None:
        self._store, self._turn_id, self._step, self._owner = store, turn_id, step, owner
        self._claimed = False
        self._stopped = threading.Event()
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="lease")

    def keep(self) -> None:
        self._claimed = True

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        os.close(self._waker)
        self._thread.join()
        os.close(self._wake)

    def _watch(self) -> None:
        watched = [self._wake, STDIN] if stat.S_ISFIFO(os.fstat(STDIN).st_mode) else [self._wake]
        while not self._stopped.is_set():
            ended, _, _ = select.select(watched, [], [], HEARTBEAT_SECONDS)
            if self._stopped.is_set():
                return
            if STDIN in ended:
                _leave(f"step {self._step}: the turn that started it has ended; nothing was published, run `feilun turn` again")
            if self._claimed and not self._beat():
                _leave(f"step {self._step}: its lease was taken over; nothing was published here")

    def _beat(self) -> bool:
        try:
            if self._store.heartbeat(self._turn_id, self._step, self._owner):
                return True
            # A step that this owner has just finished is no lost lease: its end came between two beats.
            row = self._store.turn(self._turn_id).steps[self._step]
            return (row.owner, row.status) == (self._owner, "done")
        except StoreUnavailable:
            return True  # a busy file is not a lost lease; the next beat tells


def _leave(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    os._exit(EXIT_LOST)
