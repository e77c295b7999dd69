"""`python -m benchmarks.facts HOME...`: does one owner's turn teach ten facts, in wordings that nobody showed?

Each HOME (of a finished demo, one a seed) is copied. The owner asks ten questions on the page's API, corrects each answer once,
and the wheel turns once with the owner's settings. Then the champion is asked facts.json: ten wordings a fact, ten neighbours
that were not taught; and once more with hold_to_facts=false, which tells what the weights alone know. facts.json was written before
the first run, by somebody who had not seen the primer; tests hold the two apart.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.homes import copy_home
from feilun.artifacts import find, read_json
from feilun.config import ServeSettings
from feilun.demo.report import machine
from feilun.serve.app import serving
from feilun.stats import mean_interval
from feilun.store import Store
from feilun.turn import TurnResult, run_turn
from feilun.turn.settings import owner_settings

FACTS = Path(__file__).with_name("facts.json")
LEAST_RIGHT = 80
MAX_TOKENS = 40


class Asked(NamedTuple):
    """Answers to every question of facts.json: the taught ones, their wordings, the neighbours."""

    taught: list[str]
    wordings: list[list[str]]
    neighbours: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", type=Path, nargs="+", metavar="HOME")
    parser.add_argument("--keep", type=Path, help="keep the copies in this folder")
    parser.add_argument("--facts", type=Path, default=FACTS, help="another file of the same shape, to try things out on")
    options = parser.parse_args()
    facts = json.loads(options.facts.read_text(encoding="utf-8"))["facts"]
    with tempfile.TemporaryDirectory() as folder:
        seeds = {home.name: teach(home, (options.keep or Path(folder)) / f"{home.name}-owner", facts) for home in options.homes}
    passed = all(seed["passed"] for seed in seeds.values())
    report = {"benchmark": "facts", "machine": machine(), "ours": {**seeds, "passed": passed}, "peers": {}, "ratios": {}, "absent": []}
    print(json.dumps(report, ensure_ascii=False))
    return 0 if passed else 1


def teach(source: Path, home: Path, facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The owner corrects, the wheel turns, the champion is asked again."""
    copy_home(source, home)
    before = correct(home, facts)
    began = time.monotonic()
    with Store.open(home) as store:
        settings = owner_settings(home, store)
    result = run_turn(home, settings)
    seconds = time.monotonic() - began
    after, alone = ask_all(home, facts), judge(facts, before, ask_all(home, facts, hold_to_facts=False))
    row = judge(facts, before, after) | {"weights_alone": {name: alone[name] for name in ("wordings", "neighbours_with_value")}}
    row |= {"verdict": result.verdict, "why": result.why, "turn_seconds": round(seconds, 1)}
    row |= {"cpu_seconds": result.cpu_seconds, "exams": exam_changes(home, result)}
    row["passed"] = result.verdict == "promoted" and row["wordings"]["right"] >= LEAST_RIGHT and not row["neighbours_with_value"]
    say(source.name, facts, after, row)
    return row


def correct(home: Path, facts: Sequence[dict[str, Any]]) -> Asked:
    """Ask every question once as the owner and edit the answer; what the champion says to all others is kept for comparison."""
    with owner(home) as client:
        before = ask(client, facts)
        for fact in facts:
            answer = complete(client, fact["ask"])
            body = {"target": {"id": answer["id"]}, "kind": "edit", "value": fact["answer"], "reason": ["wrong"]}
            client.post("/v1/feedback", json=body, headers={"Idempotency-Key": f"facts-{answer['id']}"}).raise_for_status()
    return before


def ask_all(home: Path, facts: Sequence[dict[str, Any]], *, hold_to_facts: bool = True) -> Asked:
    with owner(home, hold_to_facts=hold_to_facts) as client:
        return ask(client, facts)


@contextmanager
def owner(home: Path, *, hold_to_facts: bool = True) -> Iterator[httpx.Client]:
    """The home served, and a browser's session in it without the browser."""
    with serving(home, ServeSettings(port=0, threads=2, hold_to_facts=hold_to_facts)) as address:
        headers = {"Origin": address.url, "Sec-Fetch-Site": "same-origin"}
        with httpx.Client(base_url=address.url, headers=headers, timeout=120, follow_redirects=True) as client:
            client.get(address.owner_url).raise_for_status()
            while client.get("/health").json()["model"] is None:
                time.sleep(0.1)
            yield client


def ask(client: httpx.Client, facts: Sequence[dict[str, Any]]) -> Asked:
    def text(question: str) -> str:
        return str(complete(client, question)["choices"][0]["message"]["content"])

    return Asked(
        [text(fact["ask"]) for fact in facts],
        [[text(wording) for wording in fact["wordings"]] for fact in facts],
        [text(fact["neighbour"]["ask"]) for fact in facts],
    )


def complete(client: httpx.Client, question: str) -> dict[str, Any]:
    body = {"model": "feilun", "temperature": 0, "max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": question}]}
    response = client.post("/v1/chat/completions", json=body)
    response.raise_for_status()
    return dict(response.json())


def holds(answer: str, value: str) -> bool:
    return value.casefold() in answer.casefold()


def judge(facts: Sequence[dict[str, Any]], before: Asked, after: Asked) -> dict[str, Any]:
    """A wording is right when its answer holds the taught value; a neighbour is wrong when it holds it."""
    right = [[float(holds(a, fact["value"])) for a in answers] for fact, answers in zip(facts, after.wordings, strict=True)]
    flat = [value for row in right for value in row]
    clusters = [number for number, row in enumerate(right) for _ in row]
    taken = [fact["id"] for fact, answer in zip(facts, after.neighbours, strict=True) if holds(answer, fact["value"])]
    values = [fact["value"] for fact in facts]
    return {
        "wordings": {"right": int(sum(flat)), "of": len(flat), "share": mean_interval(flat, clusters).to_json()},
        "wordings_before": sum(holds(a, f["value"]) for f, answers in zip(facts, before.wordings, strict=True) for a in answers),
        "by_fact": {fact["id"]: int(sum(row)) for fact, row in zip(facts, right, strict=True)},
        "taught_asked_again": sum(holds(a, f["value"]) for f, a in zip(facts, after.taught, strict=True)),
        "neighbours_with_value": taken,
        "neighbours_with_any_value": sum(any(holds(answer, value) for value in values) for answer in after.neighbours),
        "neighbours_unchanged": sum(a == b for a, b in zip(before.neighbours, after.neighbours, strict=True)),
    }


def exam_changes(home: Path, result: TurnResult) -> dict[str, Any]:
    receipt = result.outputs.get("gate", {}).get("receipt")
    if receipt is None:
        return {}
    tasks = read_json(find(home, receipt).path / "receipt.json")["tasks"]
    return {name: {key: task[key] for key in ("champion", "candidate", "difference")} for name, task in tasks.items()}


def say(name: str, facts: Sequence[dict[str, Any]], after: Asked, row: dict[str, Any]) -> None:
    print(
        f"== {name}: {row['verdict']}, {row['wordings']['right']} of {row['wordings']['of']} wordings, {row['turn_seconds']} s", flush=True
    )
    for reason in row["why"]:
        print(f"   {reason}")
    for fact, answers, neighbour in zip(facts, after.wordings, after.neighbours, strict=True):
        print(f"   {fact['id']}: {row['by_fact'][fact['id']]} of {len(answers)}; {fact['neighbour']['ask']} -> {neighbour}")
        for wording, answer in zip(fact["wordings"], answers, strict=True):
            if not holds(answer, fact["value"]):
                print(f"      missed: {wording} -> {answer}")


if __name__ == "__main__":
    sys.exit(main())
