"""How a verb is added, and which model a word names."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from feilun.types import UserError

Verb = Callable[[argparse.Namespace], int]


def add(verbs: Any, name: str, verb: Verb, text: str | None, *, begins: bool = False) -> argparse.ArgumentParser:
    """A verb; without a text it is one that programs call, and help does not list it. begins: it makes a home where there is none."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text) if text else verbs.add_parser(name)
    parser.add_argument("--home", default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # after the verb as well as before it
    parser.set_defaults(verb=verb if begins else partial(run_at_home, verb))
    return parser


def run_at_home(verb: Verb, options: argparse.Namespace) -> int:
    if not options.home.is_dir():
        raise UserError(f"there is no home at {options.home}; `feilun demo` makes one, or begin with `feilun corpus build NAME PATH...`")
    return verb(options)


def add_group(verbs: Any, name: str, text: str) -> Any:
    return verbs.add_parser(name, help=text).add_subparsers(required=True, metavar="VERB")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", default="default", help="a built-in recipe or a .py file (default: default)")
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    text = "change one setting; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="assignments", help=text)


def model_ref(home: Path, ref: str) -> str:
    """ "champion" and "candidate" are rows in the store; anything else stands for itself."""
    from feilun.store import Store

    if ref not in ("champion", "candidate"):
        return ref
    with Store.open(home) as store:
        row = store.champion()
        found = (row.model if row else None) if ref == "champion" else store.candidate()
    if found is None:
        raise UserError(f"there is no {ref} yet; promote a model (feilun promote REF) or run a turn")
    return found
