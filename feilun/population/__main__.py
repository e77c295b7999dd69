"""Command line of the simulated users; the last line on standard output is one JSON object."""

import argparse
import asyncio
import hashlib
import json
import os
import resource
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from feilun.population.acts import CONTROLS, Habits, plan_events
from feilun.population.client import Client, Refused
from feilun.population.journal import Journal
from feilun.population.measure import measure
from feilun.population.people import load_prompts, make_people
from feilun.population.visit import visit
from feilun.types import UserError

PROGRESS_EVENTS = 25
REQUEST_SECONDS = 120.0


def main(arguments: list[str] | None = None) -> int:
    """0: all said or measured; 1: the server refused or stayed away; 2: the request itself is wrong."""
    options = _parser().parse_args(arguments)
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        summary = asyncio.run(_run(options))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ExceptionGroup as group:
        # The workers of one visit fail together; only the server's refusals are news, the rest is our bug.
        refused, others = group.split(Refused)
        if others is not None or refused is None:
            raise
        print(f"error: {refused.exceptions[0]}", file=sys.stderr)
        return 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**summary, "cpu_seconds": round(used.ru_utime + used.ru_stime, 3)}), flush=True)
    return 0


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    secret = options.key_file.read_text(encoding="utf-8").strip()
    limits = httpx.Limits(max_connections=options.concurrency)
    async with httpx.AsyncClient(base_url=options.url, timeout=REQUEST_SECONDS, limits=limits, trust_env=False) as http:
        client = Client(http, secret, model=options.model, max_tokens=options.max_tokens, patience_seconds=options.patience)
        return await (_measure(options, client) if options.measure else _visit(options, client))


async def _visit(options: argparse.Namespace, client: Client) -> dict[str, Any]:
    people = make_people(options.seed, options.users, options.hostile, options.key_name)
    shares = {"number_share": options.number_share, "copy_share": options.copy_share}
    habits = Habits(seed=options.seed, turn=options.turn, noise=options.noise, **shares)
    events = plan_events(people, load_prompts(options.prompts), habits, options.events)
    names = ("seed", "turn", "users", "hostile", "noise", "events", "number_share", "copy_share", "control", "key_name")
    path = options.journal or options.prompts.with_name(f"visits-{options.seed}-{options.turn}-{options.control}.jsonl")
    plan = {name: getattr(options, name) for name in names} | {"prompts": hashlib.sha256(options.prompts.read_bytes()).hexdigest()[:16]}
    with Journal(path, plan) as journal:
        statuses = await visit(client, events, journal, control=options.control, concurrency=options.concurrency, progress=_print_progress)
    return {"events": len(events), "statuses": dict(statuses)}


async def _measure(options: argparse.Namespace, client: Client) -> dict[str, Any]:
    people = make_people(options.seed, options.users, options.hostile, options.key_name)
    found = await measure(
        client, people, load_prompts(options.prompts), seed=options.seed, per_user=options.per_user,
        briefs_per_user=options.briefs_per_user, concurrency=options.concurrency,
    )  # fmt: skip
    result = {"model": options.model, "seed": options.seed, **found}
    temporary = options.out.with_name(f".{options.out.name}.{os.getpid()}")
    temporary.write_text(json.dumps(result, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(temporary, options.out)
    return {name: value for name, value in result.items() if name not in ("rows", "copywriting_rows")}


def _end_with_parent() -> None:
    """The parent holds our standard input open; however it ends, so do we."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _print_progress(done: int, events: int) -> None:
    if done % PROGRESS_EVENTS == 0:
        print(json.dumps({"done": done, "events": events}), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m feilun.population", description="Simulated users that speak only HTTP.")
    add = parser.add_argument
    add("--url", required=True, help="address of the server, as in http://127.0.0.1:8420")
    add("--prompts", type=Path, required=True, help="JSON lines; see feilun/population/people.py")
    add("--key-file", type=Path, required=True, help="file holding the API key (scopes chat, feedback, assert_end_user; exam to measure)")
    add("--key-name", default="population", help="the key's name in the store: the principal is key:NAME/USER")
    add("--model", default="champion", help="model to ask; measuring one by reference needs the scope exam")
    add("--seed", type=int, default=0)
    add("--turn", type=int, default=1, help="which turn these events belong to")
    add("--events", type=int, default=600)
    add("--users", type=int, default=60)
    add("--hostile", type=int, default=6)
    add("--noise", type=float, default=0.05, help="share of mistaken acts")
    add("--number-share", type=float, default=0.6, help="share of events about number order")
    add("--copy-share", type=float, default=0.0, help="share of events with a brief for an ad")
    add("--control", choices=CONTROLS, default="none")
    add("--journal", type=Path, help="what was said so far (default: beside the prompt file)")
    add("--concurrency", type=int, default=16)
    add("--max-tokens", type=int, default=48)
    add("--patience", type=float, default=600.0, help="seconds to keep trying one request while the server is away")
    add("--measure", action="store_true", help="held-out users judge; nobody gives feedback")
    add("--per-user", type=int, default=50, help="answers each held-out user judges")
    add("--briefs-per-user", type=int, default=25, help="ads each held-out user judges, where the list holds briefs")
    add("--with-parent", action="store_true", help="end when standard input does")
    add("--out", type=Path, default=Path("acceptance.json"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
