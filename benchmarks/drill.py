"""`python -m benchmarks.drill HOME...`: is every next model better for the people who never teach, and does no exam pay for it?

Each HOME (of a finished demo, one a seed) is copied and the copy goes on to --turns turns. Then, for each seed and over all: what
held-out people accept of each generation; the lift for 1,000 events; how far each exam fell on --questions questions that no gate
has seen, from champion to champion and from the first to the last, against the gate's margin; and CPU-seconds. The exit status is 0
if in every seed no exam is down by more than the margin and acceptance rose from the first to the last with its interval above 0.
With --keep DIR the copies stay, and a killed drill goes on with them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.homes import copy_home
from feilun.artifacts import read_json
from feilun.config import TurnSettings, load_recipe
from feilun.demo.report import REPORTS, acknowledged, champion_row, machine
from feilun.demo.ring import acceptance_file
from feilun.demo.state import DemoState, read_state
from feilun.exam.compare import compare
from feilun.exam.run import run_exam
from feilun.stats import Interval, mean_interval, paired_difference
from feilun.turn.gate import within_margin
from feilun.types import UserError

Judgements = Mapping[tuple[str, ...], float]  # (..., person, question) -> 1 where the answer was accepted, else 0
Changes = Callable[[str, str], Mapping[str, Interval]]  # two models -> the paired difference of each exam
PER = 1000
PARTS = ("worst_step", "first_to_last")


class Generation(NamedTuple):
    """One row of a report. events: those of its turn, 0 for the first. cpu: CPU-seconds of its turn by what was done."""

    name: str
    model: str
    verdict: str
    judged: Judgements
    events: int
    cpu: Mapping[str, float]


class Seed(NamedTuple):
    """What one home's ring came to. champions[i] served after turn i."""

    generations: list[Generation]
    champions: list[Generation]
    rows: list[dict[str, Any]]
    lift: dict[str, Any]
    exams: dict[str, dict[str, Any]]

    @property
    def held(self) -> bool:
        return all(exam["held"] for exam in self.exams.values())

    @property
    def rose(self) -> bool:
        return bool(self.lift["difference"]["low"] > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("homes", type=Path, nargs="+", metavar="HOME")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--questions", type=int, default=1000, help="of each exam; with fewer, chance alone exceeds the margin now and then"
    )
    parser.add_argument("--keep", type=Path, help="keep the copies in this folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copies = {home.name: (home, (options.keep or Path(folder)) / f"{home.name}-drill") for home in options.homes}
        seeds = {name: drill(*homes, options.turns, options.questions) for name, homes in copies.items()}
    together = over_seeds(seeds)
    if len(seeds) > 1:
        say_together(together)
    passed = all(seed.held and seed.rose for seed in seeds.values())
    ours = {**{name: told(seed) for name, seed in seeds.items()}, "over_seeds": together, "passed": passed}
    print(json.dumps({
        "benchmark": "drill", "machine": machine(), "ours": ours, "peers": {}, "ratios": ratios(together), "absent": [],
    }, ensure_ascii=False))  # fmt: skip
    return 0 if passed else 1


def drill(source: Path, home: Path, turns: int, questions: int) -> Seed:
    """Copy the home, turn its ring until it has turned so often, and read what came of it."""
    if not (source / REPORTS[0]).exists():
        raise UserError(f"{source} holds no finished demo (there is no {REPORTS[0]}); finish it with `feilun demo --no-serve`")
    if not home.exists():
        copy_home(source, home)
    go_on(home, turns)
    seed = read_seed(home, questions)
    say(source.name, seed)
    return seed


def go_on(home: Path, turns: int) -> None:
    """The demo's own command with all that this home was told, and more turns."""
    made = read_state(home).told
    command = [sys.executable, "-m", "feilun.cli", "--home", str(home), "demo", "--no-serve", "--turns", str(turns)]
    command += ["--seed", str(made["seed"]), "--recipe", made["recipe"], "--control", made["control"]]
    command += ["--text", *(item["path"] for item in made["text"])] if made["text"] else []
    subprocess.run(command, check=True)


# reading


def read_seed(home: Path, questions: int) -> Seed:
    state, rows = read_state(home), read_json(home / REPORTS[0])["generations"]
    recipe = load_recipe(state.told["recipe"])
    generations = [read_generation(state, row, number) for number, row in enumerate(rows)]
    champions = [generation_of(generations, champion_row(rows[: number + 1])["name"]) for number in range(len(rows))]

    def changes(before: str, after: str) -> Mapping[str, Interval]:
        settings = replace(recipe.exam, num_samples=questions)
        return compare(*(run_exam(home, model, split="final", settings=settings) for model in (before, after)))

    return judge(generations, champions, changes, recipe.turn)


def read_generation(state: DemoState, row: Mapping[str, Any], number: int) -> Generation:
    judged = {(j["user"], j["id"]): float(j["accepted"]) for j in read_json(acceptance_file(state.home, row["name"]))["rows"]}
    visit = state.refs.get(f"events-{number}")
    cpu = {
        "people": state.cpu.get(f"events-{number}", 0.0), "turn": state.cpu.get(f"turn-{number}", 0.0),
        "measured": sum(state.cpu.get(f"{kind}-turn-{number}", 0.0) for kind in ("final", "acceptance", "blind")),
    }  # fmt: skip
    return Generation(row["name"], row["model"], row["verdict"], judged, acknowledged(visit) if visit else 0, cpu)


def generation_of(generations: Sequence[Generation], name: str) -> Generation:
    return next(g for g in generations if g.name == name)


# judging


def judge(generations: list[Generation], champions: list[Generation], changes: Changes, settings: TurnSettings) -> Seed:
    rows = [{"name": g.name, "verdict": g.verdict, "acceptance": share(g.judged).to_json()} for g in generations]
    for number, row in enumerate(rows[1:], start=1):
        now = generations[number]
        row |= lift(champions[number - 1].judged, now.judged, events_since(generations, champions, number))
        row |= {"served": share(champions[number].judged).to_json(), "events": now.events, "cpu_seconds": dict(now.cpu)}
    whole = lift(champions[0].judged, champions[-1].judged, sum(g.events for g in generations))
    return Seed(generations, champions, rows, whole, exam_falls(champions, changes, settings))


def events_since(generations: Sequence[Generation], champions: Sequence[Generation], number: int) -> int:
    """Events since the champion that this turn met was made: those of turns that were refused in between are spent as well."""
    begun = generations.index(champions[number - 1])
    return sum(g.events for g in generations[begun + 1 : number + 1])


def share(judged: Judgements) -> Interval:
    """What was accepted, clustered by person."""
    return mean_interval(list(judged.values()), [key[:-1] for key in judged])


def lift(before: Judgements, after: Judgements, events: float) -> dict[str, Any]:
    """The difference of what the same people accept of answers to the same questions, and what that is for 1,000 events."""
    assert before.keys() == after.keys()
    found = paired_difference(list(before.values()), [after[key] for key in before], [key[:-1] for key in before])
    per_1000 = {name: getattr(found, name) * PER / events for name in ("mean", "low", "high")} if events else None
    return {"difference": found.to_json(), "per_1000_events": per_1000}


def exam_falls(champions: Sequence[Generation], changes: Changes, settings: TurnSettings) -> dict[str, dict[str, Any]]:
    """{exam: {"worst_step": the promotion that cost it most, "first_to_last", "held": none of all is down by more than the margin}}.

    Nothing where nobody was promoted.
    """
    steps = [(a, b) for a, b in pairwise(champions) if a.name != b.name]
    if not steps:
        return {}
    by_step = {f"{a.name} -> {b.name}": changes(a.model, b.model) for a, b in steps}
    whole = changes(champions[0].model, champions[-1].model)
    found = {}
    for exam, from_first in whole.items():
        worst = min(by_step, key=lambda step: by_step[step][exam].mean)
        every = (from_first, *(change[exam] for change in by_step.values()))
        found[exam] = {
            "worst_step": {"step": worst, **by_step[worst][exam].to_json()}, "first_to_last": from_first.to_json(),
            "held": all(within_margin(change, settings) for change in every),
        }  # fmt: skip
    return found


def over_seeds(seeds: Mapping[str, Seed]) -> dict[str, Any]:
    """All seeds together: every person of every seed is one cluster; between_seeds: the interval of the seeds' own lifts."""
    count = min(len(seed.generations) for seed in seeds.values())
    lifts = [seed.lift["per_1000_events"]["mean"] for seed in seeds.values()]
    first, last = (pooled({name: seed.champions[place] for name, seed in seeds.items()}) for place in (0, -1))
    return {
        "generations": [generation_over_seeds(seeds, number) for number in range(count)],
        "lift": lift(first, last, mean(sum(g.events for g in seed.generations) for seed in seeds.values())),
        "between_seeds": mean_interval(lifts).to_json() if len(lifts) > 1 else None,
        "exams": exams_over_seeds(seeds),
        "held": sum(seed.held for seed in seeds.values()), "rose": sum(seed.rose for seed in seeds.values()), "seeds": len(seeds),
    }  # fmt: skip


def generation_over_seeds(seeds: Mapping[str, Seed], number: int) -> dict[str, Any]:
    here = {name: seed.generations[number] for name, seed in seeds.items()}
    row = {"name": next(iter(here.values())).name, "acceptance": share(pooled(here)).to_json()}
    if number:
        before = pooled({name: seed.champions[number - 1] for name, seed in seeds.items()})
        spent = mean(events_since(seed.generations, seed.champions, number) for seed in seeds.values())
        row |= lift(before, pooled(here), spent)
        row["served"] = share(pooled({name: seed.champions[number] for name, seed in seeds.items()})).to_json()
        row["promoted"] = sum(g.verdict == "promoted" for g in here.values())
        row["cpu_seconds"] = {part: mean(g.cpu[part] for g in here.values()) for part in next(iter(here.values())).cpu}
    return row


def exams_over_seeds(seeds: Mapping[str, Seed]) -> dict[str, dict[str, Any]]:
    """Of each exam the seed in which it fell most."""
    found: dict[str, dict[str, Any]] = {}
    for exam in dict.fromkeys(exam for seed in seeds.values() for exam in seed.exams):
        rows = [{"seed": name, **seed.exams[exam]} for name, seed in seeds.items() if exam in seed.exams]
        parts = {part: min(({"seed": row["seed"], **row[part]} for row in rows), key=lambda change: change["mean"]) for part in PARTS}
        found[exam] = {**parts, "held": all(row["held"] for row in rows)}
    return found


def pooled(generations: Mapping[str, Generation]) -> Judgements:
    """The judgements of several seeds, whose people and questions bear the same names and are others."""
    return {(name, *key): value for name, generation in generations.items() for key, value in generation.judged.items()}


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def ratios(together: Mapping[str, Any]) -> dict[str, Any]:
    turns = [row["cpu_seconds"]["turn"] for row in together["generations"][1:]]
    return {
        "lift_per_1000_events": together["lift"]["per_1000_events"], "acceptance_gained": together["lift"]["difference"],
        "largest_fall_of_a_step": min((exam["worst_step"]["mean"] for exam in together["exams"].values()), default=None),
        "largest_fall_from_first": min((exam["first_to_last"]["mean"] for exam in together["exams"].values()), default=None),
        "cpu_seconds_per_turn": mean(turns), "cost_last_turn": turns[-1] / turns[0] if turns[0] else None,
    }  # fmt: skip


def told(seed: Seed) -> dict[str, Any]:
    return {"generations": seed.rows, "lift": seed.lift, "exams": seed.exams, "held": seed.held, "rose": seed.rose}


# saying


def say(name: str, seed: Seed) -> None:
    print(f"== {name}: {'no exam is down by more than its margin' if seed.held else 'AN EXAM IS DOWN BY MORE THAN ITS MARGIN'}; "
          f"acceptance {'rose' if seed.rose else 'DID NOT RISE'}")  # fmt: skip
    say_generations(seed.rows)
    say_lift(seed.lift)
    say_exams(seed.exams)


def say_together(together: Mapping[str, Any]) -> None:
    print(f"== {together['seeds']} seeds together: exams held in {together['held']}, acceptance rose in {together['rose']}")
    say_generations(together["generations"])
    say_lift(together["lift"])
    if together["between_seeds"]:
        print(f"   between seeds: {shown(together['between_seeds'])} for 1,000 events")
    say_exams(together["exams"])


def say_generations(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        verdict = row.get("verdict", f"{row['promoted']} promoted" if "promoted" in row else "")
        line = f"   {row['name']:8} {verdict:10} accepted {shown(row['acceptance'], sign='')}"
        if "difference" in row:
            cpu = ", ".join(f"{part} {seconds:.0f}" for part, seconds in row["cpu_seconds"].items())
            gained = f"against the champion {shown(row['difference'])}, for 1,000 events {shown(row['per_1000_events'])}"
            line += f"  {gained}; served then {row['served']['mean']:.3f}; CPU-s: {cpu}"
        print(line)


def say_lift(found: Mapping[str, Any]) -> None:
    print(f"   first to last {shown(found['difference'])}, for 1,000 events {shown(found['per_1000_events'])}")


def say_exams(exams: Mapping[str, Mapping[str, Any]]) -> None:
    for name, exam in exams.items():
        worst, whole = exam["worst_step"], exam["first_to_last"]
        where = " ".join(filter(None, (worst.get("seed"), worst["step"])))
        held = "" if exam["held"] else "   DOWN"
        print(f"   {name:14} worst step {shown(worst)} ({where}), first to last {shown(whole)}{held}", flush=True)


def shown(found: Mapping[str, float] | None, sign: str = "+") -> str:
    return f"{found['mean']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]" if found else "-"


if __name__ == "__main__":
    sys.exit(main())
