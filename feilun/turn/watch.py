"""Turns on request: a process that waits until the owner asks, or until a turn is due by itself, and runs one turn at a time.

A request is a note in the store; it is over when a turn's plan names it, or when it has an answer. Both are one transaction,
so whoever dies at whatever moment, it is neither lost nor served twice.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from feilun.config import TurnSettings, rebuild
from feilun.store import Store, StoreError, StoreUnavailable, TurnRow
from feilun.turn.beside import REST, again_and_again
from feilun.turn.itself import ask_if_due
from feilun.turn.retention import apply_retention, is_due
from feilun.turn.rolling import keeping_rollouts
from feilun.turn.settings import left_watch, owner_settings
from feilun.turn.sweep import sweep_if_owed
from feilun.turn.webhook import telling
from feilun.turn.wheel import Command, TurnRunning, abandon, run_turn
from feilun.types import UserError

__all__ = ["WATCH_NOTE", "Pace", "watch", "watcher_beside"]

WATCH_NOTE = "turn_watch"
LOCK = "watch.lock"
MAX_TRIES = 3
LONGEST_PAUSE_SECONDS = 60.0
RESTART_SECONDS = 2.0
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a watcher looks, how often it shows that it is there, how long it waits after a first failure; then twice that."""

    look_seconds: float = 0.5
    beat_seconds: float = 4.0
    pause_seconds: float = 1.0


USUAL = Pace()


def watch(home: Path, *, command: Command | None = None, stop: threading.Event | None = None, pace: Pace = USUAL) -> None:
    """Run one turn for every request, until `stop` is set. A second watcher of a home waits until the first has ended.

    A turn that was begun for a request and left unfinished is gone on with. command: as in `run_turn`.
    """
    stopped = stop or threading.Event()
    with Store.open(home) as store, only_watcher(home, stopped, pace):
        watcher = Watcher(home, store, command, pace)
        with watcher.beating(), keeping_rollouts(home, store), telling(home, store):
            while not stopped.wait(pace.look_seconds):
                watcher.look()


@contextlib.contextmanager
def only_watcher(home: Path, stopped: threading.Event, pace: Pace) -> Iterator[None]:
    """Held by one process at a time; the system lets go of it when that process ends in any way."""
    with (home / LOCK).open("a+", encoding="utf-8") as lock:
        while not stopped.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stopped.wait(pace.look_seconds)
        yield


class Watcher:
    """What is being done, and how often it has failed in a row."""

    def __init__(self, home: Path, store: Store, command: Command | None, pace: Pace):
        self.home, self.store, self.command, self.pace = home, store, command, pace
        self.request: str | None = None
        self.num_failures, self.not_before = 0, 0.0
        self.next_by_itself = 0.0

    def look(self) -> None:
        """Go on with the turn of a request, or begin one; a failure is told, kept, and tried again after a pause."""
        if time.monotonic() < self.not_before:
            return
        try:
            self.work()
        except TurnRunning:
            return
        except Exception as error:
            # Whatever it was, the next request must find somebody who watches.
            self.fail(error)
            return
        self.num_failures, self.request = 0, None

    def work(self) -> None:
        turn = self.store.unfinished_turn()
        if turn is not None:
            if turn.plan.get("request"):
                self.go_on(turn)
            return
        sweep_if_owed(self.home, self.store)
        if is_due(self.store):
            apply_retention(self.home, self.store)
        asked = self.store.asked_turn()
        if asked is not None:
            self.request = str(asked["id"])
            run_turn(self.home, owner_settings(self.home, self.store), command=self.command, request=self.request)
        elif (settings := left_watch(self.store)).by_itself and time.monotonic() >= self.next_by_itself:
            began = time.thread_time()
            ask_if_due(self.home, self.store, settings)
            self.next_by_itself = time.monotonic() + max(settings.look_seconds, REST * (time.thread_time() - began))

    def go_on(self, turn: TurnRow) -> None:
        self.request = str(turn.plan["request"])
        run_turn(self.home, rebuild(TurnSettings, turn.plan["settings"]), command=self.command)

    def fail(self, error: Exception) -> None:
        told = f"{error}" if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        print(f"turn: {told}", file=sys.stderr, flush=True)
        if not isinstance(error, UserError):
            traceback.print_exception(error)
        self.num_failures += 1
        self.not_before = time.monotonic() + min(LONGEST_PAUSE_SECONDS, self.pace.pause_seconds * 2 ** min(self.num_failures - 1, 9))
        with contextlib.suppress(UserError):  # told at the next failure, when the store can be written and nobody else is at work
            self.settle(told, hopeless=isinstance(error, UserError) and not isinstance(error, StoreError))

    def settle(self, why: str, *, hopeless: bool) -> None:
        """Say in the store why there will be no turn: at once where nothing began and trying again is of no use, else at last."""
        begun = self.store.unfinished_turn() is not None
        if self.request is None or not (self.num_failures >= MAX_TRIES or (hopeless and not begun)):
            return
        if begun:
            abandon(self.home, f"given up after {self.num_failures} tries: {why}")
        elif self.store.asked_turn() is not None:
            self.store.answer_request(self.request, why)
        self.num_failures, self.request = 0, None

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """While the block runs the store shows that somebody watches, and what for."""
        self.tell(time.time())
        try:
            with again_and_again("heartbeat", lambda: self.tell(time.time()), self.pace.beat_seconds):
                yield
        finally:
            self.tell(0.0)

    def tell(self, at: float) -> None:
        with contextlib.suppress(StoreUnavailable):  # a busy file is not the end of watching; the next beat tells
            self.store.note(WATCH_NOTE, {"pid": os.getpid(), "at": at, "request": self.request})


@contextlib.contextmanager
def watcher_beside(home: Path, *, restart_seconds: float = RESTART_SECONDS) -> Iterator[None]:
    """`feilun turn --watch` as a child for as long as the block runs, started again when it ends by itself.

    Its standard input is a pipe that this process holds open: where it ends, so does the child, however this process ended.
    """
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "feilun.cli", "--with-parent", "--home", str(home), "turn", "--watch"]
    keeper = Keeper(command, restart_seconds)
    thread = threading.Thread(target=keeper.keep, daemon=True, name="watcher")
    thread.start()
    try:
        yield
    finally:
        keeper.end()
        thread.join()


class Keeper:
    """One child at a time, started anew until `end`."""

    def __init__(self, command: list[str], restart_seconds: float):
        self._command, self._restart_seconds = command, restart_seconds
        self._ended, self._starting = threading.Event(), threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        while True:
            with self._starting:
                if self._ended.is_set():
                    return
                self._child = start(self._command)
            self._child.wait()
            assert self._child.stdin is not None
            self._child.stdin.close()
            self._ended.wait(self._restart_seconds)

    def end(self) -> None:
        with self._starting:
            self._ended.set()
            child = self._child
        if child is None or child.poll() is not None:
            return
        child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        child.kill()


def start(command: list[str]) -> "subprocess.Popen[bytes]":
    """A session of its own: Ctrl-C speaks to this process alone. What fails is said on standard error."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
