"""The verbs turn, promote and rollback."""

import argparse
from pathlib import Path
from typing import Any

from feilun.cli.parser import add, add_set
from feilun.config import TurnSettings, apply_settings, load_recipe, rebuild
from feilun.types import UserError


def add_wheel(verbs: Any) -> None:
    turn = add(verbs, "turn", run_turn, "lessons -> candidate -> gate -> promoted or refused")
    turn.add_argument("--dry-run", action="store_true", help="say what would be done")
    turn.add_argument("--abandon", metavar="REASON", help="end an unfinished turn as failed")
    turn.add_argument("--watch", action="store_true", help="wait, and turn when the page asks, or by itself (--set by_itself=true)")
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
    from feilun.turn import abandon, run_turn

    if options.watch:
        return run_watch(options)
    if options.abandon:
        result = abandon(options.home, options.abandon)
    else:
        settings = apply_settings(chosen_settings(options.home, options.recipe), options.assignments)
        with progress_bar() as show:
            result = run_turn(options.home, settings, dry_run=options.dry_run, progress=show.update)
    print(f"{result.verdict.replace('_', ' ')}: {result.candidate or result.champion}")
    for reason in result.why:
        print(f"  {reason}")
    tell_now(options.home)
    return 0 if result.verdict in ("promoted", "rolling_out", "planned") or options.abandon else 1


def tell_now(home: Path) -> None:
    """One try of what the webhook is to be told; what fails is left to the watcher."""
    from feilun.store import Store
    from feilun.turn import tell

    with Store.open(home) as store:
        tell(home, store)


def run_watch(options: argparse.Namespace) -> int:
    """Watch by the settings of this home; those that are given are kept for its next watcher, also the one beside `feilun serve`."""
    from feilun.store import Store
    from feilun.turn import due_now, leave_watch, left_watch, watch

    if options.recipe:
        raise UserError(f"turn --watch takes no recipe (found {options.recipe!r}); what a turn does is what the home was left with")
    with Store.open(options.home) as store:
        settings = apply_settings(left_watch(store), options.assignments)
        if options.dry_run:
            due = due_now(options.home, store, settings)
            print("a turn would begin now:" if due.now and settings.by_itself else "no turn would begin now:")
            off = () if settings.by_itself else ("it does not turn by itself: by_itself=false",)
            print("\n".join(f"  {why}" for why in (*off, *due.why)))
            return 0
        if options.assignments:
            leave_watch(options.home, store, settings)
    print(f"watching: turns when the page asks{' and by itself' if settings.by_itself else ''}; Ctrl-C stops", flush=True)
    if settings.webhook:
        print(f"the webhook's secret is in {options.home / 'webhook.secret'}", flush=True)
    watch(options.home)
    return 0


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
    tell_now(options.home)
    return 0
