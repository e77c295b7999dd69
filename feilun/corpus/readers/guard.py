"""Parsers of other people's formats, in a child process: one that crashes, hangs or eats the memory costs a file, not the build.

The child is started for the first such file and serves all later ones of this process; after a death there is a new one.
"""

import atexit
import os
import resource
import signal
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from feilun.corpus.readers.rows import Row, Unreadable
from feilun.corpus.sources import Kind, Source
from feilun.types import UserError

__all__ = ["GUARD", "GUARDED", "Guard", "Task", "serve_tasks"]

GUARDED: frozenset[Kind] = frozenset(("html", "pdf", "docx", "epub", "warc", "parquet"))
MAX_MEMORY_BYTES = 4 << 30
# Between two batches of rows; the slowest honest page of a PDF takes seconds.
MAX_CPU_SECONDS = 120
BATCH_ROWS, BATCH_CHARS = 256, 1 << 20
MAX_DEATHS = 8


class Task(NamedTuple):
    """kind: how the file is read. skipped: numbers of records that are not to be parsed again."""

    source: Source
    kind: Kind
    column: str
    skipped: frozenset[int] = frozenset()


class Child(NamedTuple):
    process: BaseProcess
    pipe: Connection


class Guard:
    """Reads files in a child process of its own; one guard is used by one thread at a time."""

    def __init__(self, serve: Callable[[Connection], None] | None = None, max_deaths: int = MAX_DEATHS) -> None:
        """serve: what the child runs, an importable function. max_deaths: in one file, before the rest of it is given up."""
        self._serve, self._max_deaths = serve, max_deaths
        self._child: Child | None = None

    def rows(self, task: Task) -> Iterator[Row]:
        """What `read_guarded` yields in the child; where that dies, the rows before, and a "parser_died" for what it died on.

        In a crawl that is one record, and the rest is read; in any other file it is what was left of the file.
        """
        num_rows, number = 0, 0
        for _ in range(self._max_deaths):
            try:
                for row in self._ask(task, num_rows):
                    num_rows += 1
                    number = _record_number(row, number)
                    yield row
                return
            except ChildProcessError as death:
                if task.kind != "warc":
                    raise Unreadable("parser_died", str(death)) from None
                task = task._replace(skipped=task.skipped | {number + 1})
        raise Unreadable("parser_died", f"it died {self._max_deaths} times in this file; what stands behind record {number} is lost")

    def _ask(self, task: Task, num_known: int) -> Iterator[Row]:
        """Rows of a file after the first `num_known`, from the child. Raises ChildProcessError when it dies."""
        child = self._start()
        is_done = False
        try:
            child.pipe.send(task)
            while isinstance(answer := child.pipe.recv(), list):
                yield from answer[num_known:]
                num_known = max(0, num_known - len(answer))
            is_done = True
            if answer is not None:
                raise answer
        except (EOFError, ConnectionError):
            raise ChildProcessError(_death_of(child)) from None
        finally:
            if not is_done:
                self.end()

    def _start(self) -> Child:
        if self._child is None:
            context = get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=self._serve or serve_tasks, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._child = Child(process, ours)
            atexit.register(self.end)
        return self._child

    def end(self) -> None:
        """End the child; the next file gets a new one."""
        atexit.unregister(self.end)
        if self._child is not None:
            self._child.process.kill()
            self._child.process.join()
            self._child.pipe.close()
            self._child = None


GUARD = Guard()


def _record_number(row: Row, before: int) -> int:
    tail = row.origin.rpartition(":")[2].partition("#")[0]
    return int(tail) if tail.isdecimal() else before


def _death_of(child: Child) -> str:
    child.process.join()
    code = child.process.exitcode or 0
    if code == -signal.SIGXCPU:
        return f"the parser was ended after {MAX_CPU_SECONDS} CPU-seconds on one piece"
    return f"the parser died: {signal.Signals(-code).name if code < 0 else f'exit status {code}'}"


def serve_tasks(pipe: Connection, read: Callable[[Task], Iterator[Row]] | None = None) -> None:
    """The child: reads what it is asked for until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["POLARS_MAX_THREADS"] = "1"
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MAX_MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MAX_MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_answer(pipe, task, read))


def _answer(pipe: Connection, task: Task, read: Callable[[Task], Iterator[Row]] | None) -> Exception | None:
    from feilun.corpus.readers import read_guarded

    held: list[Row] = []
    num_chars, max_rows = 0, 1 if task.kind == "warc" else BATCH_ROWS
    _allow_cpu()
    try:
        for row in (read or read_guarded)(task):
            held.append(row)
            num_chars += len(row.text)
            if len(held) >= max_rows or num_chars >= BATCH_CHARS:
                pipe.send(held)
                held, num_chars = [], 0
                _allow_cpu()
    except (Unreadable, UserError, OSError) as error:
        fault: Exception = error
    except MemoryError:
        fault = Unreadable("too_much_memory", f"reading it takes more than {MAX_MEMORY_BYTES >> 30} GiB")
    else:
        pipe.send(held)
        return None
    pipe.send(held)
    return fault


def _allow_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + MAX_CPU_SECONDS, hard))
