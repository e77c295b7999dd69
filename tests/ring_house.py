"""Starting, killing and looking at a demo, for the tests of the whole ring."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).with_name("small_ring.py")
PATIENCE_SECONDS = 240.0  # for a wait that must end; how long it takes is nobody's promise


def demo_command(home: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "feilun.cli", "--home", str(home), "demo", "--recipe", str(RECIPE), "--no-serve", *arguments]


def turn_ring(home: Path, *arguments: str) -> str:
    """The whole ring; what it printed."""
    done = subprocess.run(demo_command(home, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def kill_ring_when(home: Path, moment: Callable[[], object]) -> None:
    """Start the demo and kill -9 its parent at the first sight of `moment`; returns once no child is left."""
    with (home.parent / "killed.log").open("a") as log:
        parent = subprocess.Popen(demo_command(home), stdout=log, stderr=log)
        until(lambda: moment() or parent.poll() is not None)
        assert parent.poll() is None, f"the demo ended before it could be killed; see {log.name}"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not processes_of(home))


def processes_of(home: Path) -> list[int]:
    """Processes whose command line names the home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            named = str(home).encode() in path.read_bytes().replace(b"\0", b" ").split()
        except OSError:
            continue
        if named and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
