"""Engines elsewhere on the command line of serve: NAME=URL, NAME=MODEL and NAME=FILE put together, and kept in the home."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from feilun.types import UserError

KEY_VARIABLE = "FEILUN_ENGINE_KEY_"


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    def option(flag: str, metavar: str, text: str) -> None:
        parser.add_argument(flag, action="append", default=[], metavar=metavar, help=text)

    option("--engine", "NAME=URL", "an OpenAI-compatible endpoint beside the own model; may be repeated, and is kept in the home")
    option("--engine-model", "NAME=MODEL", "which of its models to ask (default: the one that it serves)")
    option("--engine-key", "NAME=FILE", f"the file with its key (default: the variable {KEY_VARIABLE}NAME)")


def keep_engines(options: argparse.Namespace) -> None:
    """Add what is new, bring up to date what is there. UserError says what is wrong with which engine."""
    urls = pairs("--engine", options.engine)
    models, files = pairs("--engine-model", options.engine_model), pairs("--engine-key", options.engine_key)
    for name in (*models, *files):
        if name not in urls:
            raise UserError(f"{name!r} has no URL; give --engine {name}=URL too")
    for name, url in urls.items():
        keep_engine(options.home, name, url, models.get(name, ""), read_key_file(files[name]) if name in files else key_variable(name))


def keep_engine(home: Path, name: str, url: str, model: str, key: str) -> None:
    import asyncio

    from feilun.engine.protocol import EngineFault
    from feilun.serve.remotes import keep_engine
    from feilun.store import Store

    with Store.open(home) as store:
        try:
            kept = asyncio.run(keep_engine(home, store, name, url, model=model, key=key))
        except EngineFault as fault:
            raise UserError(f"{fault}; `--engine-model {name}=MODEL` adds it without asking") from None
    problem = f"; {kept.tested.problem}" if kept.tested.problem else ""
    print(f"engine {name}: {kept.row.model} at {kept.row.url}{problem}", file=sys.stderr)


def pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise UserError(f"{flag} {item}: give NAME=VALUE")
        if name in found:
            raise UserError(f"{flag} names {name!r} twice")
        found[name] = value
    return found


def read_key_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8; a file with the key alone is needed") from None


def key_variable(name: str) -> str:
    return os.environ.get(KEY_VARIABLE + name.upper().replace("-", "_"), "").strip()
