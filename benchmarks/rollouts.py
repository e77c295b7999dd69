"""`python -m benchmarks.rollouts [--runs N]`: people who meet a candidate step by step; the rule of a rollout on streams of known truth.

Each person asks a number of questions a day and complains of each answer with a probability of their own; the candidate multiplies it.
The rule is the program's own, looked at after every part of a day; lots are drawn as it draws them.
"""

import argparse
import json
import math
from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from feilun.config import RolloutSettings
from feilun.stats import log_e_first_harms
from feilun.store import Crowd, RolloutRow
from feilun.turn.rollout import Seen, decide_rollout, plan_rollout

DAY = 86_400.0
LOOKS_A_DAY = 4
SIGNALS = ("complaint", "regenerate", "error", "slow")
# How often each signal speaks against an answer of the champion, in the mean over people.
RATES = {"complaint": 0.03, "regenerate": 0.05, "error": 0.003, "slow": 0.05}
SETTINGS = RolloutSettings(shadow_pairs=0, shadow_seconds=0.0)


class Ending(NamedTuple):
    """stage: "closed" or "rolled_back" (or "aborted", or where it stood at last); share: of the people, when it ended; days: until then."""

    stage: str
    share: float
    days: float


class People:
    """answers a day and the habits of each person; lots decide whom the candidate answers."""

    def __init__(self, rng: np.random.Generator, num: int, ratio: float, answers_a_day: float) -> None:
        self.rng, self.num = rng, num
        self.lots = rng.random(num)
        self.per_look = rng.gamma(1.0, answers_a_day, num) / LOOKS_A_DAY
        lean = rng.gamma(1.0, 1.0, num)  # some complain of everything, most of nothing
        self.rates = {signal: np.minimum(0.9, rate * lean) for signal, rate in RATES.items()}
        self.ratio = ratio
        self.begin_phase()

    def begin_phase(self) -> None:
        self.firsts: dict[str, dict[float, tuple[int, int]]] = {signal: {} for signal in SIGNALS}
        self.begin_step()

    def begin_step(self) -> None:
        self.harmed = {signal: np.zeros(self.num, bool) for signal in SIGNALS}
        self.seen, self.answers = np.zeros(self.num, bool), np.zeros(2, int)

    def live(self, row: RolloutRow) -> None:
        """A part of a day."""
        asked, has_it, drawn = self.rng.poisson(self.per_look), self.lots < row.share, self.lots >= row.share_before
        self.asked = asked
        self.seen |= asked > 0
        self.answers += (int(asked[~has_it].sum()), int(asked[has_it].sum()))
        for signal, rate in self.rates.items():
            worse = np.where(has_it, np.minimum(1.0, rate * self.ratio), rate) if signal == "complaint" else rate
            fresh = (self.rng.random(self.num) < 1 - (1 - worse) ** asked) & ~self.harmed[signal] & drawn
            self.harmed[signal] |= fresh
            before, after = self.firsts[signal].get(row.lot, (0, 0))
            self.firsts[signal][row.lot] = (before + int((fresh & ~has_it).sum()), after + int((fresh & has_it).sum()))

    def tell(self, row: RolloutRow) -> Seen:
        has_it, drawn = self.lots < row.share, self.lots >= row.share_before
        sides = [self.seen & ~has_it, self.seen & has_it]
        crowds = (Crowd(int(side.sum()), int(self.answers[i]), int((side & drawn).sum())) for i, side in enumerate(sides))
        return Seen({"champion": next(crowds), "candidate": next(crowds)}, self.firsts)


def roll_out(seed: int, ratio: float, num_people: int, *, settings: RolloutSettings = SETTINGS, answers_a_day: float = 3.0) -> Ending:
    """One candidate, from the first step of the canary to the end."""
    people = People(np.random.default_rng(seed), num_people, ratio, answers_a_day)
    row, days, step, stage, since = row_of(settings), 0.0, 0, "canary", 0.0
    while days < 200:
        row = changed(row, stage, step, since)
        people.live(row)
        days += 1 / LOOKS_A_DAY
        found = decide_rollout(row, people.tell(row), days * DAY)
        if found.verdict in ("harm", "void"):
            return Ending("rolled_back" if found.verdict == "harm" else "aborted", row.share, days)
        if found.verdict == "next" and stage == "holdback":
            return Ending("closed", row.share, days)
        if found.verdict == "next":
            since, last = days * DAY, step + 1 == len(row.plan["shares"])
            stage, step = ("holdback", 0) if last else ("canary", step + 1)
            people.begin_phase() if last else people.begin_step()
    return Ending(stage, row.share, days)


def row_of(settings: RolloutSettings) -> RolloutRow:
    plan = plan_rollout(settings, 1.0, "salt")
    about: dict[str, Any] = {"id": "r", "turn_id": "t", "candidate": "b", "champion": "a", "epoch": 1, "plan": plan, "held": False}
    return RolloutRow(**about, stage="canary", step=0, version=1, started=0.0, since=0.0, finished=None, why="", slow_seconds=1.0)


def changed(row: RolloutRow, stage: Any, step: int, since: float) -> RolloutRow:
    fixed = {name: getattr(row, name) for name in ("id", "turn_id", "candidate", "champion", "epoch", "plan", "held", "version", "started")}
    return RolloutRow(**fixed, stage=stage, step=step, since=since, finished=None, why="", slow_seconds=row.slow_seconds)


def looked_at(seed: int, num_people: int = 1000, num_days: int = 7, share: float = 0.25) -> tuple[bool, bool]:
    """Whether a harmless candidate is blamed within a week at one step: by the e-value, and by a z test of answers with the same looks."""
    people, row = People(np.random.default_rng(seed), num_people, 1.0, 3.0), row_of(RolloutSettings(shares=(share,), shadow_pairs=0))
    rng, complaints, level, blamed = np.random.default_rng([seed, 1]), np.zeros(2), math.log(1 / RolloutSettings().alpha), [False, False]
    for _ in range(num_days * LOOKS_A_DAY):
        people.live(row)
        said, has_it = rng.binomial(people.asked, people.rates["complaint"]), people.lots < share
        complaints += (said[~has_it].sum(), said[has_it].sum())
        blamed[0] |= log_e_first_harms(people.firsts["complaint"]) >= level
        blamed[1] |= z_of(complaints, people.answers) > special.ndtri(1 - RolloutSettings().alpha)
    return blamed[0], blamed[1]


def z_of(complaints: Any, answers: Any) -> float:
    shares, pooled = complaints / answers, complaints.sum() / answers.sum()
    spread = math.sqrt(pooled * (1 - pooled) * (1 / answers[0] + 1 / answers[1])) if 0 < pooled < 1 else math.inf
    return float(shares[1] - shares[0]) / spread


def naive_row(num_runs: int) -> dict[str, Any]:
    found = np.array([looked_at(seed) for seed in range(num_runs)])
    row = {"step": "25 %, a week, 28 looks", "runs": num_runs, "e_value": float(found[:, 0].mean()), "naive_z": float(found[:, 1].mean())}
    print(
        f"harmless, one step of a week: blamed by the e-value {row['e_value']:.2%}, by a z test of answers {row['naive_z']:.2%}", flush=True
    )
    return row


def table(num_runs: int) -> list[dict[str, Any]]:
    """Harmless candidates first: how often one is taken back. Then harm by its ratio and the number of people: where it is found."""
    rows = [row_for(1.0, 1000, num_runs), row_for(0.5, 1000, max(100, num_runs // 10))]
    part = max(20, num_runs // 20)
    return rows + [row_for(ratio, num_people, part) for num_people in (300, 1000, 3000, 10_000) for ratio in (1.5, 2.0, 3.0)]


def row_for(ratio: float, num_people: int, num_runs: int) -> dict[str, Any]:
    ends = [roll_out(seed, ratio, num_people) for seed in range(num_runs)]
    back = [end for end in ends if end.stage == "rolled_back"]
    early, num = [end for end in back if end.share < 0.5], len(back)
    upper = float(stats.beta.ppf(0.95, num + 1, num_runs - num)) if num < num_runs else 1.0
    row = {
        "complaints": ratio, "people": num_people, "runs": num_runs, "taken_back": num / num_runs, "upper95": round(upper, 5),
        "before_half": len(early) / num_runs, "days": round(float(np.mean([end.days for end in back])), 1) if back else None,
        "harmed_share": round(float(np.mean([end.share for end in back])), 3) if back else None,
        "not_finished": sum(end.stage not in ("closed", "rolled_back") for end in ends),
    }  # fmt: skip
    print(f"complaints x {ratio:g}, {num_people:6} people: taken back {num / num_runs:7.2%}, upper bound {upper:6.2%}, before half "
          f"{len(early) / num_runs:7.2%}, after {row['days']} days, {num_runs} runs", flush=True)  # fmt: skip
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    num_runs = parser.parse_args().runs
    print(json.dumps({"benchmark": "rollouts", "ours": table(num_runs), "peers": naive_row(num_runs)}))
