"""`python -m benchmarks.turn [--home HOME...]`: can the gate be believed, what does that cost in power, and what does a turn cost?

False promotions: streams of pairs between equal models, looked at after every pair at alpha = .01, beside the naive z test with the
same looks; the same with users who each lean their own way, counted by user and vote by vote; and the whole rule of a turn on exams
that differ by luck alone. Power: edges of 57 to 43 among decided pairs. History (benchmarks.history): 1,000 new events behind 0, 9 and
99 times as many that an earlier turn has seen. Turns: CPU-seconds of the turns that the homes hold. Attacks: benchmarks.attacks.
Rollouts: how often a harmless candidate is taken back, and where harm is found (benchmarks.rollouts).

cost_100x_history is the CPU-seconds of a whole turn, training and exams among them, behind 99 times as many events over those of one
with no event before, in copies of the first home; null where none is named, or 1 and 100 are not among --sizes.
preparing_100x_history is the same ratio of collect, curate and G0 alone, which is where history is read; it needs no home.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from benchmarks import attacks, rollouts
from benchmarks.attack_streams import ATTACKS
from benchmarks.history import preparing_history, whole_history
from feilun.config import PreferSettings, TurnSettings
from feilun.demo.report import machine
from feilun.stats import log_e_paired, wilson
from feilun.store import Store
from feilun.turn import decide

ALPHA, EDGE, DISCORDANT = 0.01, 0.57, 0.4
ACT = float(np.log(1 / ALPHA))
FIRST_LOOK = 20
TASKS = ("number_hard", "number_near", "number_far", "version_order", "date_order", "arithmetic", "translation", "copying", "copywriting")


def stream(rng: np.random.Generator, num: int, share: float) -> Any:
    return np.where(rng.random(num) < share, 1.0, -1.0)


def counted(name: str, num_runs: int, acts: Callable[[], bool]) -> dict[str, Any]:
    """How often a thing was done, with the upper bound of Clopper and Pearson that it stays under with 95 %."""
    done = sum(acts() for _ in range(num_runs))
    upper = float(stats.beta.ppf(0.95, done + 1, num_runs - done)) if done < num_runs else 1.0
    row = {"name": name, "share": done / num_runs, "upper95": round(upper, 5), "runs": num_runs, "low": wilson(done, num_runs).low}
    print(f"{name:58} {done / num_runs:7.2%}, upper bound {upper:6.2%}, {num_runs} runs", flush=True)
    return row


def naive_acts(d: Any) -> bool:
    z = d.cumsum() / np.sqrt(np.arange(1, d.size + 1))
    return bool(z[FIRST_LOOK:].max() > special.ndtri(1 - ALPHA))


def crowd(rng: np.random.Generator, num_users: int, votes: int, share: float) -> tuple[Any, Any]:
    """Votes of users who lean: each user's own share of wins is drawn around `share`."""
    lean = rng.beta(2 * share, 2 * (1 - share), num_users)
    return np.where(rng.random((num_users, votes)) < lean[:, None], 1.0, -1.0).ravel(), np.repeat(np.arange(num_users), votes)


def exam_of(rng: np.random.Generator, num: int = 402) -> list[dict[str, Any]]:
    return [{"id": f"{task}/{i}", "task": task, "value": float(right)} for task in TASKS for i, right in enumerate(rng.random(num) < 0.8)]


def believed(num_runs: int, seed: int = 0) -> list[dict[str, Any]]:
    """Every row of the simulation: nulls first, then what is found."""
    rng, part = np.random.default_rng(seed), max(100, num_runs // 4)
    lifted = TurnSettings(prefer=PreferSettings(replay="none"), vetoes=(), max_fall=1.0, max_fall_bound=1.0)
    return [
        counted("null, look after each of 2,000 pairs", num_runs, lambda: bool(log_e_paired(stream(rng, 2000, 0.5)).max() >= ACT)),
        counted("null, naive z, the same looks", num_runs, lambda: naive_acts(stream(rng, 2000, 0.5))),
        counted("null, 60 leaning users x 25, by user", num_runs, lambda: bool(log_e_paired(*crowd(rng, 60, 25, 0.5)).max() >= ACT)),
        counted("null, 60 leaning users x 25, vote by vote", part, lambda: bool(log_e_paired(crowd(rng, 60, 25, 0.5)[0]).max() >= ACT)),
        counted("null, nine exams, any may carry, no fall counted", part, lambda: rises_by_luck(rng, lifted)),
        counted("57/43, 1,000 decided pairs", part, lambda: bool(log_e_paired(stream(rng, 1000, EDGE)).max() >= ACT)),
        counted("57/43, 2,000 decided pairs", part, lambda: bool(log_e_paired(stream(rng, 2000, EDGE)).max() >= ACT)),
        counted("57/43, 1,000 pairs of which 40 % are decided", part, lambda: found_among(rng, 1000)),
        counted("57/43, 2,000 pairs of which 40 % are decided", part, lambda: found_among(rng, 2000)),
        counted("60 users x 25, mean share .70, by user", part, lambda: bool(log_e_paired(*crowd(rng, 60, 25, 0.7)).max() >= ACT)),
    ]  # fmt: skip


def rises_by_luck(rng: np.random.Generator, settings: TurnSettings) -> bool:
    return decide(exam_of(rng), exam_of(rng), settings).verdict == "promoted"


def found_among(rng: np.random.Generator, num: int) -> bool:
    return bool(log_e_paired(stream(rng, num, EDGE) * (rng.random(num) < DISCORDANT)).max() >= ACT)


def turns_of(homes: Sequence[Path]) -> list[dict[str, Any]]:
    """What the turns of these homes cost, and how they ended; read from a home, never changed."""
    rows = []
    for home in homes:
        with Store.open(home) as store:
            for turn in store.turns():
                outputs = {step: row.output for step, row in turn.steps.items()}
                events = outputs["collect"].get("new_events", 0)
                if turn.state in ("promoted", "refused") and events and "train" in outputs:
                    cpu = {step: output.get("cpu_seconds", 0.0) for step, output in outputs.items()}
                    about = {"home": home.name, "turn": turn.plan["name"], "state": turn.state, "events": events}
                    rows.append({**about, "per_1000": round(1000 * sum(cpu.values()) / events, 1), "cpu": cpu})
    return rows


def at_100x(sizes: Sequence[int], rows: Sequence[dict[str, Any]]) -> float | None:
    """CPU-seconds at 100 times the events over those at once as many; one row a size."""
    cost = {size: row["all"] for size, row in zip(sizes, rows, strict=False)}
    return round(cost[100] / max(cost[1], 1e-9), 2) if {1, 100} <= cost.keys() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--home", type=Path, nargs="*", default=[], help="copies of demo homes with turns")
    parser.add_argument("--attack-seeds", type=int, default=3)
    options = parser.parse_args()
    began = time.process_time()
    told, grown, turns = believed(options.runs), preparing_history(options.sizes, options.events), turns_of(options.home)
    whole = whole_history(options.home[0], options.sizes, options.events) if options.home else []
    rolled = rollouts.table(options.runs)
    struck = attacks.table([name for name in ATTACKS if name != "none"], (0.05, 0.20), range(options.attack_seeds), attacks.SMALL)
    lifts, shares = attacks.ratios(struck), {row["name"]: row["share"] for row in told}
    seconds = [row["per_1000"] for row in turns]
    more = grown[-1]["events"] - grown[0]["events"]
    ratios = {
        "seconds_per_1000_events": round(float(np.mean(seconds)), 1) if seconds else None,
        "cost_100x_history": at_100x(options.sizes, whole),
        "preparing_100x_history": at_100x(options.sizes, grown),
        "microseconds_an_old_event": round(1e6 * (grown[-1]["all"] - grown[0]["all"]) / more, 1) if more else None,
        "false_promotions": told[0]["upper95"], "power_57_1000": shares["57/43, 1,000 decided pairs"],
        **{name: lifts[name] for name in ("lift_kept_5pct", "lift_kept_20pct")},
        "false_rollbacks": rolled[0]["upper95"],
        "doubled_complaints_found_before_half": {row["people"]: row["before_half"] for row in rolled if row["complaints"] == 2.0},
    }  # fmt: skip
    absent = [] if seconds else ["seconds_per_1000_events: no --home with turns was named"]
    absent += [] if whole else ["cost_100x_history: no --home was named"]
    peers = {"naive z": told[1]["share"], **{name: value for name, value in lifts.items() if name not in ratios}}
    ours = {"believed": told, "history": grown, "whole_turns": whole, "turns": turns, "rollouts": rolled}
    print(json.dumps({
        "benchmark": "turn", "machine": machine(), "ours": ours, "peers": peers, "ratios": ratios, "absent": absent,
        "cpu_seconds": round(time.process_time() - began, 1),
    }, ensure_ascii=False))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
