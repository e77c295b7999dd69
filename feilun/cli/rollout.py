"""The verbs of a rollout: see it, hold it, move it on, end it, let what it took away teach again."""

import argparse
from typing import Any

from feilun.cli.parser import add, add_group


def add_rollout(verbs: Any) -> None:
    rollout = add_group(verbs, "rollout", "a candidate that comes to people step by step")
    add(rollout, "status", run_status, "where it stands, what it waits for, what speaks against it")
    held = add(rollout, "hold", run_hold, "stay at this step; harm still takes it back")
    held.add_argument("--off", action="store_true", help="go on by the plan again")
    add(rollout, "advance", run_advance, "to the next step now, whatever it waits for")
    abort = add(rollout, "abort", run_abort, "end it; the champion stays")
    abort.add_argument("--reason", default="by hand")
    release = add(rollout, "release", run_release, "let the events that were withheld after harm teach again")
    release.add_argument("rollout", nargs="?", help="its id (default: the newest that withholds any)")


def run_status(options: argparse.Namespace) -> int:
    from feilun.status import rollout_lines
    from feilun.store import Store

    with Store.open(options.home) as store:
        print("\n".join(rollout_lines(store)))
    return 0


def run_hold(options: argparse.Namespace) -> int:
    from feilun.store import Store
    from feilun.turn import rolling

    with Store.open(options.home) as store:
        row = rolling.hold(store, not options.off)
    print(f"{row.stage}: {'held' if row.held else 'goes on by the plan'}")
    return 0


def run_advance(options: argparse.Namespace) -> int:
    from feilun.store import Store
    from feilun.turn import rolling

    with Store.open(options.home) as store:
        row = rolling.advance(options.home, store)
    print(f"{row.stage}: {row.candidate} answers {row.share:.0%} of the people" if row.finished is None else f"{row.stage}: {row.why}")
    return 1 if row.stage in ("rolled_back", "aborted") else 0


def run_abort(options: argparse.Namespace) -> int:
    from feilun.store import Store
    from feilun.turn import rolling

    with Store.open(options.home) as store:
        row = rolling.abort(options.home, store, options.reason)
        champion = store.champion()
    print(f"{row.stage}: {row.candidate}; the champion is {champion.model if champion else 'none'}")
    return 0


def run_release(options: argparse.Namespace) -> int:
    from feilun.store import Store
    from feilun.turn import rolling

    with Store.open(options.home) as store:
        rollout, num_events = rolling.release(store, options.rollout)
    print(f"{num_events} events that rollout {rollout} took away may teach again")
    return 0
