"""Child processes of the demo, and what they and this process spend.

A child's standard input is a pipe that this process holds open and never writes to: where it ends, so does the child,
however this process ended.
"""

import os
import resource
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from feilun.types import UserError

__all__ = ["Server", "cpu_of_process", "feilun_command", "run_child", "spent_cpu_seconds"]

START_SECONDS = 120.0
STOP_SECONDS = 20.0


def feilun_command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "feilun.cli", "--with-parent", "--home", str(home), *arguments]


def start(command: Sequence[str]) -> "subprocess.Popen[str]":
    """A child in a session of its own: Ctrl-C speaks to this process alone, which then ends its children."""
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace", start_new_session=True
    )


def run_child(command: Sequence[str], *, label: str, on_line: Callable[[str], None] | None = None) -> str:
    """Run to the end; return the last line it printed. A child that fails is a UserError with what it said."""
    last = ""
    with start(command) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                last = line.rstrip("\n")
                if on_line is not None:
                    on_line(last)
        except BaseException:
            end(child)
            raise
    if child.returncode:
        ended = f"was killed by signal {-child.returncode}" if child.returncode < 0 else f"ended with status {child.returncode}"
        raise UserError(f"{label} {ended}{f' ({last})' if last else ''}; run the same command again to go on from there")
    return last


def end(child: "subprocess.Popen[str]") -> None:
    """Ask a child to end, then make it."""
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    if child.poll() is None:
        child.kill()
        child.wait()


def spent_cpu_seconds() -> float:
    """User and system seconds of this process and of every child that has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def cpu_of_process(pid: int) -> float:
    """User and system seconds of a running process; 0 where the system does not tell (/proc is Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """`feilun serve` as a child, without a watcher of its own; its first line is the address."""

    def __init__(self, home: Path, *settings: str):
        self.child = start(feilun_command(home, "serve", "--no-watch", *(f"--set={item}" for item in settings)))
        self._counted = 0.0
        try:
            self.owner_url = self._first_line()
        except BaseException:
            self.stop()
            raise
        self.url = self.owner_url.partition("/?")[0]

    def _first_line(self) -> str:
        stream = self.child.stdout
        assert stream is not None
        line = stream.readline().strip() if select.select([stream], [], [], START_SECONDS)[0] else ""
        if not line.startswith("http"):
            raise UserError(f"the server did not start ({line or 'it said nothing'}); what it said stands above")
        return line

    def check(self) -> None:
        """UserError when it has ended by itself."""
        if (status := self.child.poll()) is not None:
            raise UserError(f"the server has ended (status {status}); run the same command again to go on from here")

    def cpu_since_last(self) -> float:
        """CPU-seconds since the last call; nothing once it has ended."""
        now = max(self._counted, cpu_of_process(self.child.pid))
        taken, self._counted = now - self._counted, now
        return taken

    def wait(self) -> None:
        self.child.wait()
        self.check()

    def stop(self) -> None:
        end(self.child)
        for stream in (self.child.stdin, self.child.stdout):
            if stream is not None:
                stream.close()
