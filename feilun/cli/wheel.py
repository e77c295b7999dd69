"""The verbs turn, promote and rollback."""

import argparse
from pathlib import Path
from typing import Any

from feilun.cli.parser import add, add_set
from feilun.config import TurnSettings, apply_settings, load_recipe, rebuild


def add_wheel(verbs: Any) -> None:
    turn = add(verbs, "turn", run_turn, "lessons -> candidate -> gate -> promoted or refused")
    turn.add_argument("--dry-run", action="store_true", help="say what would be done")
    turn.add_argument("--abandon", metavar="REASON", help="end an unfinished turn as failed")
    turn.add_argument("--watch", action="store_true", help="wait, and run one turn whenever the page asks for one")
    turn.add_argument("recipe", nargs="?", help="a built-in recipe or a .py file (default: what this home was left with)")
    add_set(turn)
    step = add(verbs, "turn-step", run_turn_step, None)
    step.add_argument("turn")
    step.add_argument("step")
    promote = add(verbs, "promote", run_promote, "make a model the champion")
    promote.add_argument("ref")
    back = add(verbs, "rollback", run_rollback, "make the champion before this one the champion again")
    back.add_argument("--reason", default="by hand")


def run_turn(options: argparse.Namespace) -> int:
    from feilun.progress import progress_bar
    from feilun.turn import abandon, run_turn, watch

    if options.watch:
        print("watching for turns that the page asks for; Ctrl-C stops", flush=True)
        watch(options.home)
        return 0
    if options.abandon:
        result = abandon(options.home, options.abandon)
    else:
        settings = apply_settings(chosen_settings(options.home, options.recipe), options.assignments)
        with progress_bar() as show:
            result = run_turn(options.home, settings, dry_run=options.dry_run, progress=show.update)
    print(f"{result.verdict.replace('_', ' ')}: {result.candidate or result.champion}")
    for reason in result.why:
        print(f"  {reason}")
    return 0 if result.verdict in ("promoted", "rolling_out", "planned") or options.abandon else 1


def chosen_settings(home: Path, recipe: str | None) -> TurnSettings:
    """The turn of a recipe that was named; else of the turn to go on with, else what the home was left with, else the default recipe's."""
    from feilun.store import Store
    from feilun.turn import left_settings

    if recipe is None:
        with Store.open(home) as store:
            unfinished = store.unfinished_turn()
            left = rebuild(TurnSettings, unfinished.plan["settings"]) if unfinished is not None else left_settings(store)
        if left is not None:
            return left
    return load_recipe(recipe or "default").turn


def run_turn_step(options: argparse.Namespace) -> int:
    from feilun.turn import run_step

    run_step(options.home, options.turn, options.step)
    return 0


def run_promote(options: argparse.Namespace) -> int:
    from feilun.turn import promote

    row = promote(options.home, options.ref)
    print(f"champion, epoch {row.epoch}: {row.model}")
    return 0


def run_rollback(options: argparse.Namespace) -> int:
    from feilun.turn import rollback

    row = rollback(options.home, options.reason)
    print(f"champion, epoch {row.epoch}: {row.model}")
    return 0
