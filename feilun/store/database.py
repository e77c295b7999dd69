"""The file behind the store: connections, durability, group commit, and errors a person can act on."""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from feilun.store.migrations import migrate
from feilun.store.rows import StoreError, StoreUnavailable

T = TypeVar("T")

MAX_GROUP = 512
READ_CONNECTIONS = 16
WAL_RETRY_SECONDS = 0.05


@dataclass(slots=True)
class Job(Generic[T]):
    """A write that waits for the next commit."""

    work: Callable[[sa.Connection], T]
    done: bool = False
    result: T | None = None
    error: BaseException | None = None


class Database:
    """`write` returns after the commit that holds it: writers that wait together share one transaction and one flush to disk."""

    def __init__(self, path: Path, engine: sa.Engine) -> None:
        self._path = path
        self._process = os.getpid()
        self._readers = engine
        self._writers = engine.execution_options(feilun_write=True)
        self._queue: list[Job[Any]] = []
        self._queue_lock = threading.Lock()
        self._commit_lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, busy_seconds: float) -> "Database":
        engine = make_engine(path, busy_seconds)
        database = cls(path, engine)
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
        """Run `work` in a transaction; its error undoes it alone, and a failed commit is everybody's error."""
        self._check_process()
        job = Job(work)
        with self._queue_lock:
            self._queue.append(job)
        with self._commit_lock:
            while not job.done:
                self._commit_group()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]

    def _commit_group(self) -> None:
        with self._queue_lock:
            group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
        try:
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

    def shed_old_pages(self) -> None:
        """Move the write-ahead log into the file and truncate it, so that erased text is in neither. Readers may delay it."""
        with self._commit_lock:
            pragma(self._readers, "wal_checkpoint(TRUNCATE)")

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError(f"the store was opened in process {self._process} and used in {os.getpid()}; open it again after a fork")


def _run(job: Job[Any], connection: sa.Connection) -> None:
    savepoint = connection.begin_nested()
    try:
        job.result, job.error = job.work(connection), None
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
