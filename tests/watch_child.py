"""A watcher whose turns train nothing: `python tests/watch_child.py HOME STEP...`; steps that are named are processes of their own."""

import sys
from pathlib import Path

from owner_house import CHILD, run_here

from feilun.turn import watch


def command(home: Path, turn_id: str, step: str) -> list[str]:
    if step in sys.argv[2:]:
        return [sys.executable, str(CHILD), str(home), turn_id, step]
    return run_here(home, turn_id, step)


if __name__ == "__main__":
    watch(Path(sys.argv[1]), command=command)
