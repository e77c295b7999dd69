"""The file behind the store: connections, durability, group commit, and errors a person can act on."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from feilun.store.migrations import migrate
from feilun.store.rows import StoreError, StoreUnavailable

T = TypeVar("T")
G = TypeVar("G")

MAX_GROUP = 512
READ_CONNECTIONS = 16
WAL_RETRY_SECONDS = 0.05


@dataclass(slots=True)
class Job(Generic[T]):
    """A write that waits for the next commit. wake: released when it is done, or when its thread is to lead the next commit."""

    work: Callable[[sa.Connection, list[Any]], list[T]]
    given: Any = None
    done: bool = False
    leads: bool = False
    result: T | None = None
    error: BaseException | None = None
    wake: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Database:
    """`write` returns after the commit that holds it: writers that wait together share one transaction and one flush to disk.

    One of the waiting threads leads: it commits all that wait, wakes them, and hands over to one that came meanwhile.
    """

    def __init__(self, path: Path, engine: sa.Engine, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._process = os.getpid()
        self._readers = engine
        self._writers = engine.execution_options(feilun_write=True)
        self._queue: list[Job[Any]] = []
        self._queue_lock = threading.Lock()
        self._is_led = False
        self._commit_lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, busy_seconds: float) -> "Database":
        engine = make_engine(path, busy_seconds)
        database = cls(path, engine, busy_seconds)
        try:
            use_wal(engine, busy_seconds)
            with database._writers.begin() as connection:
                migrate(connection)
        except (DBAPIError, sqlite3.Error) as error:
            engine.dispose()
            raise unavailable(path, error) from error
        except StoreError:
            engine.dispose()
            raise
        return database

    def close(self) -> None:
        self._readers.dispose()

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` on one snapshot."""
        self._check_process()
        try:
            with self._readers.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise unavailable(self._path, error) from error

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction; its error undoes it alone, and a failed commit is everybody's error.

        `work` may run twice, and then only the second run counts: it must change nothing but the database.
        """
        return self._do(Job(lambda connection, _: [work(connection)]))

    def write_among(self, work: Callable[[sa.Connection, list[G]], list[T]], given: G) -> T:
        """As `write`, but where several wait with this same `work`, it is called once with all that they were given."""
        return self._do(Job(work, given))

    def _do(self, job: Job[T]) -> T:
        self._check_process()
        with self._queue_lock:
            self._queue.append(job)
            job.leads, self._is_led = not self._is_led, True
        if not job.leads:
            self._wait(job)
        if not job.done:
            self._lead()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]

    def _wait(self, job: Job[Any]) -> None:
        try:
            job.wake.acquire()
        except BaseException:
            # Interrupted: it waits no more, so it must neither be committed unseen nor be counted on to lead.
            with self._queue_lock:
                if job in self._queue:
                    self._queue.remove(job)
                if job.leads and not job.done:
                    self._hand_over()
            raise

    def _lead(self) -> None:
        """Commit what waits, the own job among it."""
        group: list[Job[Any]] = []
        try:
            with self._commit_lock:
                with self._queue_lock:
                    group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
                self._commit(group)
        finally:
            with self._queue_lock:
                self._hand_over()
            for job in group:
                job.wake.release()

    def _hand_over(self) -> None:
        """Under the queue's lock: the longest-waiting job's thread leads next."""
        self._is_led = bool(self._queue)
        if self._queue:
            self._queue[0].leads = True
            self._queue[0].wake.release()

    def _commit(self, group: list[Job[Any]]) -> None:
        try:
            if not self._commit_at_once(group):
                with self._writers.begin() as connection:
                    for job in group:
                        _run(job, connection)
            for job in group:
                job.done = True
        except DBAPIError as error:
            _fail(group, unavailable(self._path, error))
        except BaseException as error:
            # An interrupt in the leader's thread: nobody may be told of a commit that was not seen to end, and nobody may wait for ever.
            _fail(
                group, StoreUnavailable(f"{self._path}: interrupted by {type(error).__name__} before the commit was confirmed; try again")
            )
            raise

    def _commit_at_once(self, group: list[Job[Any]]) -> bool:
        """All of them without a savepoint each, which costs as much as a write; False, and nothing written, where one of them fails."""
        try:
            with self._writers.begin() as connection:
                for work, jobs in groupby(group, key=lambda job: job.work):
                    same = list(jobs)
                    for job, result in zip(same, work(connection, [job.given for job in same]), strict=True):
                        job.result = result
            return True
        except DBAPIError as error:
            if not isinstance(error.orig, sqlite3.IntegrityError):
                raise
            return False
        except Exception:
            return False  # the second run, with savepoints, tells whose error it is

    def shed_old_pages(self) -> None:
        """Write the file anew without free space and truncate the write-ahead log, so that erased text is in neither.

        A page that was joined with another keeps what stood in it before in its free space, which secure_delete does not reach (23
        copies in tests/test_forget.py), so only a whole rewrite takes it out. Raises StoreUnavailable while a reader holds on
        to the old pages for longer than the busy timeout.
        """
        with self._commit_lock:
            try:
                statement(self._readers, "VACUUM")
                deadline = time.monotonic() + self._busy_seconds
                while pragma(self._readers, "wal_checkpoint(TRUNCATE)"):
                    if time.monotonic() > deadline:
                        raise StoreUnavailable(f"{self._path}: erased, but somebody still reads an old copy; end it and erase again")
                    time.sleep(WAL_RETRY_SECONDS)
            except sqlite3.Error as error:
                raise unavailable(self._path, error) from error

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(f"the store was opened in process {self._process} and used in {os.getpid()}; open it again after a fork")


def _run(job: Job[Any], connection: sa.Connection) -> None:
    savepoint = connection.begin_nested()
    try:
        (job.result,), job.error = job.work(connection, [job.given]), None
        savepoint.commit()
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.IntegrityError):
            raise
        savepoint.rollback()
        job.error = error
    except Exception as error:
        savepoint.rollback()
        job.error = error


def _fail(group: list[Job[Any]], error: StoreUnavailable) -> None:
    for job in group:
        if not job.done:
            job.done, job.error = True, error


def make_engine(path: Path, busy_seconds: float) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": busy_seconds, "check_same_thread": False},
        pool_size=READ_CONNECTIONS,
        max_overflow=-1,
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    )
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    # sqlite3 would otherwise begin transactions on its own, and too late for a snapshot.
    connection.isolation_level = None
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    # A write lock taken at once waits for its turn; one asked for after a read fails instead of waiting.
    wants_lock = connection.get_execution_options().get("feilun_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if wants_lock else "BEGIN")


def pragma(engine: sa.Engine, text: str) -> Any:
    """First value of a pragma that must stand outside every transaction."""
    connection = engine.raw_connection()
    try:
        return connection.cursor().execute(f"PRAGMA {text}").fetchone()[0]
    finally:
        connection.close()


def statement(engine: sa.Engine, text: str) -> None:
    """Run what must stand outside every transaction."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(text)
    finally:
        connection.close()


def use_wal(engine: sa.Engine, busy_seconds: float) -> None:
    """Turn on the write-ahead log. The switch ignores the busy timeout, so two processes that open a new home race here."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            if pragma(engine, "journal_mode=WAL") == "wal":
                return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(WAL_RETRY_SECONDS)
        if time.monotonic() > deadline:
            raise StoreUnavailable("the file system cannot hold a write-ahead log (a network share?); put the home on a local disk")


def unavailable(path: Path, error: Exception) -> StoreUnavailable:
    """What a person can do about a failure of the file."""
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    if "locked" in text or "busy" in text:
        advice = "another process holds the write lock; try again, or stop the process that hangs"
    elif "full" in text:
        advice = "the disk is full; free some space, then try again"
    elif "readonly" in text or "unable to open" in text:
        advice = "the home is not writable; check owner and permissions"
    else:
        advice = "the file could not be used; check the disk"
    return StoreUnavailable(f"{path}: {text}; nothing was stored: {advice}")
