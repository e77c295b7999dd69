"""The verb demo."""

import argparse
from pathlib import Path
from typing import Any

from feilun.cli.parser import add


def add_demo(verbs: Any) -> None:
    demo = add(verbs, "demo", run_demo, "the whole ring on this machine", begins=True)
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--text", nargs="+", type=Path, default=[], metavar="PATH", help="your own text beside the primer")
    demo.add_argument("--no-serve", action="store_true", help="stop when the ring has turned")
    demo.add_argument("--turns", type=int, metavar="N", help="turns instead of the recipe's; a finished demo of fewer goes on")
    demo.add_argument("--recipe", default="demo", help="a built-in recipe or a .py file (default: demo)")
    controls = ("none", "no_number", "shuffled", "inverted")
    demo.add_argument("--control", default="none", choices=controls, help="what the simulated users do instead")
    stage = add(verbs, "demo-stage", run_demo_stage, None)
    stage.add_argument("stage")


def run_demo(options: argparse.Namespace) -> int:
    from feilun.demo import run_demo

    chosen = {"seed": options.seed, "text": options.text, "recipe": options.recipe, "control": options.control}
    return run_demo(options.home, serve=not options.no_serve, turns=options.turns, **chosen)


def run_demo_stage(options: argparse.Namespace) -> int:
    from feilun.demo import run_demo_stage

    run_demo_stage(options.home, options.stage)
    return 0
