"""Child processes of the demo, and what they and this process spend."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from feilun.types import UserError

__all__ = ["Server", "cpu_of_process", "run_child", "spent_cpu_seconds"]

START_SECONDS = 60.0
STOP_SECONDS = 20.0


def environment() -> dict[str, str]:
    """One thread compiles, inside the process that asked, so that its CPU-seconds are counted with it."""
    return {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def feilun_command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "feilun.cli", "--home", str(home), *arguments]


def run_child(command: Sequence[str], *, label: str, on_line: Callable[[str], None] | None = None) -> str:
    """Run to the end; return the last line it printed. A child that fails is a UserError with what it said."""
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment()) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                last = line.rstrip("\n")
                if on_line is not None:
                    on_line(last)
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise UserError(f"{label} ended with status {child.returncode} ({last}); run the same command again to go on from there")
    return last


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
    """`feilun serve` as a child; its first line is the address."""

    def __init__(self, home: Path, *settings: str):
        command = feilun_command(home, "serve", *(part for item in settings for part in ("--set", item)))
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True)
        assert self.child.stdout is not None
        self.owner_url = self.child.stdout.readline().strip()
        if not self.owner_url.startswith("http"):
            raise UserError(f"the server did not start ({self.owner_url or 'it said nothing'}); its error stands above")
        self.url = self.owner_url.partition("/?")[0]
        self._counted = 0.0

    def cpu_since_last(self) -> float:
        """CPU-seconds since the last call."""
        now = cpu_of_process(self.child.pid)
        taken, self._counted = now - self._counted, now
        return taken

    def wait(self) -> None:
        self.child.wait()

    def stop(self) -> None:
        self.child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(STOP_SECONDS)
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
