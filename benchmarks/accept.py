"""`python -m benchmarks.accept`: three demo seeds and two controls; the exit status says whether every bar holds.

    --seeds 0 1 2     --homes DIR (kept; a killed run goes on)     --no-controls

Controls reuse the first generation of the first seed and turn the wheel on other feedback, outside the CPU budget.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.homes import copy_first_generation
from feilun.artifacts import read_json

CPU_BUDGET_SECONDS = 1200
FIRST_BARS = {"number_near": 0.80, "version_order": 0.85, "date_order": 0.85, "copying": 0.90, "arithmetic": 0.70, "translation": 0.70}
MAX_FIRST_ADS = 0.50
CONTROLS = ("no_number", "shuffled")


class Check(NamedTuple):
    """One bar: what was asked, what was found."""

    name: str
    found: Any
    wanted: str
    passed: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--homes", type=Path, default=Path("feilun-accept"))
    parser.add_argument("--no-controls", action="store_true")
    options = parser.parse_args()
    reports = {seed: turn_ring(options.homes / f"seed-{seed}", seed, "none") for seed in options.seeds}
    checks = [check for seed, report in reports.items() for check in check_seed(f"seed {seed}", report)]
    checks.append(mean_check(list(reports.values())))
    if not options.no_controls:
        first = options.seeds[0]
        for control in CONTROLS:
            home = options.homes / f"control-{control}"
            if not home.exists():
                copy_first_generation(options.homes / f"seed-{first}", home)
            checks.append(check_control(control, turn_ring(home, first, control)))
    for check in checks:
        print(f"{'pass' if check.passed else 'FAIL'}  {check.name}: {check.found} (wanted {check.wanted})")
    passed = sum(check.passed for check in checks)
    print(json.dumps(summary(reports, passed, len(checks))))
    return 0 if passed == len(checks) else 1


def turn_ring(home: Path, seed: int, control: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "feilun.cli", "--home", str(home), "demo", "--seed", str(seed), "--control", control, "--no-serve"]
    print(f"== seed {seed}, control {control}", flush=True)
    subprocess.run(command, check=True)
    return dict(read_json(home / "report.json"))


def champion_of(report: dict[str, Any]) -> dict[str, Any]:
    return next(dict(row) for row in report["generations"] if row["name"] == report["champion"])


def check_seed(name: str, report: dict[str, Any]) -> Iterator[Check]:
    """Every bar of one seed that its report can decide."""
    first, champion = report["generations"][0], champion_of(report)
    yield bar(f"{name}: CPU-seconds", report["cpu_seconds"], CPU_BUDGET_SECONDS, below=True)
    yield bar(f"{name}: answers a key", min(row["n"] for g in (first, champion) for row in g["exams"].values()), 400)
    yield from check_first(name, first["exams"])
    yield from check_champion(name, champion["exams"])
    for key, change in report["change"].items():
        if key != "number_hard":
            passed = change["mean"] > -0.05 and change["low"] > -0.10
            found = f"{change['mean']:+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"
            yield Check(f"{name}: change of {key}", found, "> -.05, low > -.10", passed)
    yield from check_ads(name, report)
    before, after = first["acceptance"], champion["acceptance"]
    yield bar(f"{name}: acceptance gain", after["mean"] - before["mean"], 0.25)
    yield bar(f"{name}: acceptance intervals apart", after["low"] - before["high"], 0.0)


def check_ads(name: str, report: dict[str, Any]) -> Iterator[Check]:
    """Ads got better by rule and by taste, and no chance explains it: exam paired by question, judgements by intervals that part."""
    first, champion = report["generations"][0], champion_of(report)
    yield bar(f"{name}: first, copywriting", first["exams"]["copywriting"]["mean"], MAX_FIRST_ADS, below=True)
    yield bar(f"{name}: change of copywriting, lower bound", report["change"]["copywriting"]["low"], 0.0)
    for figure in ("constraints", "taste"):
        before, after = (row["copywriting"][figure] for row in (first, champion))
        yield bar(f"{name}: ads, {figure}, intervals apart", after["low"] - before["high"], 0.0)


def check_first(name: str, exams: dict[str, Any]) -> Iterator[Check]:
    hard = exams["number_hard"]
    yield bar(f"{name}: first, number_hard", hard["mean"], 0.15, below=True)
    wrong = hard["n"] - hard["reasons"].get("right", 0)
    yield bar(f"{name}: first, wrong by version order", hard["reasons"].get("trap", 0) / max(1, wrong), 0.90)
    for key, least in FIRST_BARS.items():
        yield bar(f"{name}: first, {key}", exams[key]["mean"], least)


def check_champion(name: str, exams: dict[str, Any]) -> Iterator[Check]:
    yield bar(f"{name}: champion, number_hard", exams["number_hard"]["mean"], 0.65)
    for cell, part in exams["number_near"]["cells"].items():
        yield bar(f"{name}: champion, number_near, {cell}", part["mean"], 0.80)


def bar(name: str, found: float, limit: float, *, below: bool = False) -> Check:
    passed = found <= limit if below else found >= limit
    return Check(name, round(found, 4), f"{'<=' if below else '>='} {limit:g}", passed)


def mean_check(reports: Sequence[dict[str, Any]]) -> Check:
    means = [champion_of(report)["exams"]["number_hard"]["mean"] for report in reports]
    return bar("all seeds: champion, number_hard, mean", sum(means) / len(means), 0.70)


def check_control(control: str, report: dict[str, Any]) -> Check:
    """Every candidate, promoted or not: the control asks what was learnt, not what was let through."""
    worst = max(row["exams"]["number_hard"]["mean"] for row in report["generations"])
    return bar(f"control {control}: number_hard of every generation", worst, 0.30, below=True)


def summary(reports: dict[int, dict[str, Any]], passed: int, total: int) -> dict[str, Any]:
    ours = {
        f"seed {seed}": {
            "cpu_seconds": report["cpu_seconds"], "champion": report["champion"],
            "number_hard": [row["exams"]["number_hard"]["mean"] for row in report["generations"]],
            "acceptance": [row["acceptance"]["mean"] for row in report["generations"]],
            "ads": [{key: row["copywriting"][key]["mean"] for key in ("constraints", "taste")} for row in report["generations"]],
        }
        for seed, report in reports.items()
    }  # fmt: skip
    machine = next(iter(reports.values()))["machine"]
    figures = {**ours, "passed": passed, "checks": total}
    return {"benchmark": "accept", "machine": machine, "ours": figures, "peers": {}, "ratios": {}, "absent": []}


if __name__ == "__main__":
    sys.exit(main())
