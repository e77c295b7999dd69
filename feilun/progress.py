"""Progress bars with ETA for the command line; plain lines where the output is no terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Bar", "bytes_bar", "progress_bar"]

PLAIN_SECONDS = 15.0


class Bar:
    """One bar at a time; `say` prints above it."""

    def __init__(self, bars: Progress | None):
        self._bars = bars
        self._task: TaskID | None = None
        self._label = ""
        self._printed, self._ended = 0.0, ""

    def say(self, text: str) -> None:
        if self._bars is None:
            print(text, flush=True)
        else:
            self._bars.console.print(text, highlight=False, markup=False)

    def show(self, label: str, done: float, total: float, eta_seconds: float | None = None) -> None:
        """The state of one long step; a new label ends the bar before it."""
        if self._bars is None:
            self._plain(label, done, total, eta_seconds)
            return
        if self._task is None or label.split(",")[0] != self._label.split(",")[0]:
            self._finish()
            self._task = self._bars.add_task(label, total=total or None)
        self._label = label
        self._bars.update(self._task, completed=done, total=total or None, description=label)

    def _finish(self) -> None:
        if self._bars is not None and self._task is not None:
            total = self._bars.tasks[self._bars.task_ids.index(self._task)].total
            self._bars.update(self._task, completed=total or 0)

    def _plain(self, label: str, done: float, total: float, eta_seconds: float | None) -> None:
        now, stage = time.monotonic(), label.split(",")[0]
        is_end = done >= total > 0 and self._ended != stage
        self._ended = stage if done >= total > 0 else ""
        if is_end or (not self._ended and now - self._printed > PLAIN_SECONDS):
            self._printed = now
            left = "" if not eta_seconds else f", about {eta_seconds:.0f} s left"
            print(f"{label}: {done:g} of {total:g}{left}" if total else label, flush=True)

    def update(self, progress: Any) -> None:
        """Takes what training and turns report."""
        if hasattr(progress, "num_steps"):
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            self.show(f"{progress.stage}{loss}", progress.step, progress.num_steps, progress.eta_seconds)
        elif progress.total:
            self.show(f"turn: {progress.step}", progress.done, progress.total, progress.eta_seconds)
        else:
            self.say(f"turn: {progress.step} {progress.state}")


@contextmanager
def progress_bar() -> Iterator[Bar]:
    console = Console()
    if not console.is_terminal:
        yield Bar(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        yield Bar(bars)


@contextmanager
def bytes_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for what reports (bytes done, bytes in all); it counts megabytes."""
    with progress_bar() as shown:
        yield lambda done, total: shown.show(f"{label}, MB", round(done / 1e6, 1), round(total / 1e6, 1))
