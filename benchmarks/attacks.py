"""`python -m benchmarks.attacks`: what bad raters do to lessons, with our defences on and off, and under two published rules.

The proxy for a model's quality, for every question: it answers right with the probability p of its model, which counts as `PRIOR`
lessons; a lesson's weight is added on the side that it is on: (PRIOR p + right) / (PRIOR + right + wrong). The lift is the mean gain
over all questions. `lift_kept` is the lift under attack against the lift of the same rule on the same honest people with nobody bad
among them, who are replaced by bad raters and so are missed: 1 - share is what is left where every bad rater is simply removed.
Rows of the minority's view count for neither side. `target` is the gain on the one question that a false fact is about: the lift of
all hides what one lie does. Detection: of the raters that a rule names, and of the bad ones.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from benchmarks.attack_rules import RULES, Outcome
from benchmarks.attack_streams import ASKED, ATTACKS, WORSE, Stream, World, make_stream
from feilun.demo.report import machine
from feilun.stats import mean_interval

__all__ = ["Measured", "lift_kept", "measure", "table"]

PRIOR = 2.0
SHARES = (0.01, 0.05, 0.20)
SMALL = World(num_questions=120, num_raters=80)


class Measured(NamedTuple):
    """Of one rule on one stream. target: change of p on the question that a false fact is about. minority: rows of its view."""

    lift: float
    wrong_share: float
    target: float
    found_bad: int
    found_honest: int
    found_minority: int
    minority_rows: int
    flipped: bool


def measure(stream: Stream, outcome: Outcome) -> Measured:
    right, wrong, views = [0.0] * len(stream.questions), [0.0] * len(stream.questions), 0
    index_of = {question.prompt: index for index, question in enumerate(stream.questions)}
    for row in outcome.rows:
        index = index_of[row.prompt] if row.prompt in index_of else _asked_in(row.prompt, stream)
        question = stream.questions[index]
        if row.text == question.right:
            right[index] += row.weight
        elif row.text == question.view:
            views += 1
        else:
            wrong[index] += row.weight
    gains = [
        (PRIOR * question.p + right[i]) / (PRIOR + right[i] + wrong[i]) - question.p
        for i, question in enumerate(stream.questions)
    ]  # fmt: skip
    honest = outcome.flagged - stream.bad
    return Measured(
        lift=sum(gains) / len(gains), wrong_share=sum(wrong) / max(sum(wrong) + sum(right), 1e-9), target=gains[stream.target],
        found_bad=len(outcome.flagged & stream.bad), found_honest=len(honest), found_minority=len(honest & stream.minority),
        minority_rows=views, flipped=outcome.winner == WORSE,
    )  # fmt: skip


def _asked_in(prompt: str, stream: Stream) -> int:
    """The question that other wordings were put around."""
    return next(index for index, question in enumerate(stream.questions) if question.prompt.removesuffix(ASKED) in prompt)


def lift_kept(attack: str, share: float, rule: str = "ours", seeds: Iterable[int] = range(3), world: World | None = None) -> list[float]:
    """Per seed: the lift under attack as a share of the lift without one."""
    kept = []
    for seed in seeds:
        clean, bad = (make_stream(seed, name, part, world) for name, part in (("none", 0.0), (attack, share)))
        kept.append(measure(bad, RULES[rule](bad)).lift / measure(clean, RULES[rule](clean)).lift)
    return kept


def table(attacks: Sequence[str], shares: Sequence[float], seeds: Sequence[int], world: World | None = None) -> list[dict[str, Any]]:
    """A row an attack, share and rule; means over seeds with 95 % intervals."""
    clean = {(seed, rule): _measured(seed, "none", 0.0, rule, world) for seed in seeds for rule in RULES}
    cells = [("none", 0.0), *((attack, share) for attack in attacks for share in shares)]
    rows = []
    for attack, share in cells:
        streams = {seed: make_stream(seed, attack, share, world) for seed in seeds}
        for rule in RULES:
            found = {seed: measure(stream, RULES[rule](stream)) for seed, stream in streams.items()}
            kept = [found[seed].lift / clean[seed, rule].lift for seed in seeds]
            rows.append({"attack": attack, "share": share, "rule": rule, **_row(list(found.values()), kept, list(streams.values()))})
            print(_line(rows[-1]), flush=True)
    return rows


def _measured(seed: int, attack: str, share: float, rule: str, world: World | None) -> Measured:
    stream = make_stream(seed, attack, share, world)
    return measure(stream, RULES[rule](stream))


def _row(found: Sequence[Measured], kept: Sequence[float], streams: Sequence[Stream]) -> dict[str, Any]:
    named = sum(one.found_bad + one.found_honest for one in found)
    bad = sum(len(stream.bad) for stream in streams)
    honest = sum(len(stream.raters) - len(stream.bad) for stream in streams)
    return {
        "lift_kept": _interval(kept), "lift": _interval([one.lift for one in found]),
        "wrong_share": _interval([one.wrong_share for one in found]), "target": _interval([one.target for one in found]),
        "precision": round(sum(one.found_bad for one in found) / named, 3) if named else None,
        "recall": round(sum(one.found_bad for one in found) / bad, 3) if bad else None,
        "false_flags": sum(one.found_honest for one in found), "honest": honest,
        "false_flags_minority": sum(one.found_minority for one in found), "minority": sum(len(stream.minority) for stream in streams),
        "minority_rows": sum(one.minority_rows for one in found), "flipped": sum(one.flipped for one in found), "seeds": len(found),
    }  # fmt: skip


def _interval(values: Sequence[float]) -> list[float]:
    """Mean and the bounds around it over seeds; one seed has none."""
    if len(values) < 2 or len(set(values)) == 1:
        return [round(values[0], 4)]
    found = mean_interval([*values])
    return [round(found.mean, 4), round(found.low, 4), round(found.high, 4)]


def _line(row: dict[str, Any]) -> str:
    kept, wrong, target = (" ".join(f"{value:6.3f}" for value in row[key]) for key in ("lift_kept", "wrong_share", "target"))
    found = f"precision {row['precision']} recall {row['recall']} false {row['false_flags']}/{row['honest']}"
    flipped = f"flipped {row['flipped']}/{row['seeds']}"
    return f"{row['attack']:14} {row['share']:4.0%} {row['rule']:12} kept {kept:20} wrong {wrong:20} target {target:20} {found} {flipped}"


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The worst attack at 5 and 20 % of the raters, for ours; the same for the others."""
    return {
        f"lift_kept_{round(100 * share)}pct{'' if rule == 'ours' else '_' + rule}": min(
            row["lift_kept"][0] for row in rows if row["rule"] == rule and row["share"] == share
        )
        for rule in RULES
        for share in sorted({row["share"] for row in rows} - {0.0})
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--small", action="store_true", help="the size that CI runs")
    options = parser.parse_args()
    began = time.process_time()
    attacks = [name for name in ATTACKS if name != "none"]
    rows = table(attacks, SHARES, range(options.seeds), SMALL if options.small else None)
    peers = {rule: [row for row in rows if row["rule"] == rule] for rule in RULES if rule not in ("ours", "defences_off")}
    report = {
        "benchmark": "attacks", "machine": machine(), "ours": [row for row in rows if row["rule"] in ("ours", "defences_off")],
        "peers": peers, "ratios": ratios(rows), "absent": [], "cpu_seconds": round(time.process_time() - began, 1),
    }  # fmt: skip
    print(json.dumps(report, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
