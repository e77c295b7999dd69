"""The rule of a rollout: what the shadow, each step of the canary and the holdback must show. A pure function of what was seen.

The plan is written down before the first answer. Harm is looked for at every moment (`feilun.stats.harm`), one person one voice;
alpha is the chance that a candidate which harms nobody is taken back, over all phases and signals together.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

from feilun.config import RolloutSettings
from feilun.stats import e_bonferroni, harm_seen, harms_to_fire, log_e_first_harms, log_e_sample_ratio
from feilun.store import Arm, Crowd, Harm, Mirror, RolloutRow

__all__ = [
    "GATES",
    "SIGNALS",
    "Found",
    "Seen",
    "complaints_seen",
    "decide_rollout",
    "firsts_of",
    "people_to_turn",
    "plan_rollout",
    "shadow_harms",
]

GATES = {"shadow": "g2", "canary": "g3", "holdback": "g4"}
SIGNALS = {
    "shadow": ("error", "slow", "judged"),
    "canary": ("complaint", "regenerate", "error", "slow"),
    "holdback": ("complaint", "regenerate", "error", "slow"),
}
ALPHA_SHARES = {"shadow": 0.25, "canary": 0.5, "holdback": 0.25}
RATIO_ALPHA = 0.001  # of every step
HALF = 0.5
UNFELT_SECONDS = 0.1  # what nobody feels is no harm
Firsts = Mapping[str, Mapping[float, tuple[int, int]]]


class Seen(NamedTuple):
    """crowds: who came at this step. firsts: signal -> lot -> how many people this phase saw harmed first (by champion, by candidate)."""

    crowds: Mapping[Arm, Crowd]
    firsts: Firsts
    pairs: Sequence[Mirror] = ()


class Found(NamedTuple):
    """harm: take it back. void: nothing can be said any more. wait: `why` says what is missing."""

    verdict: Literal["wait", "next", "harm", "void"]
    why: str
    figures: dict[str, Any]


def plan_rollout(settings: RolloutSettings, slow_seconds: float | None, salt: str) -> dict[str, Any]:
    """The pre-registered plan. slow_seconds: the champion's 95th percentile, None where it has not answered enough yet."""
    stage = {
        "users": settings.stage_users, "answers": settings.stage_answers, "seconds": settings.stage_seconds,
        "max_seconds": settings.stage_max_seconds, "sees_ratio": settings.sees_ratio,
    }  # fmt: skip
    return {
        "shares": list(settings.shares), "salt": salt, "slow_seconds": slow_seconds, "stage": stage,
        "shadow": {
            "share": settings.shadow_share, "pairs": settings.shadow_pairs, "seconds": settings.shadow_seconds,
            "max_fault_rise": settings.max_fault_rise, "max_length_ratio": settings.max_length_ratio,
            "max_slow_ratio": settings.max_slow_ratio,
        },
        "holdback": {"share": settings.holdback_share, "seconds": settings.holdback_seconds},
        "signals": {phase: list(names) for phase, names in SIGNALS.items()},
        "alpha": {phase: settings.alpha * share for phase, share in ALPHA_SHARES.items()}, "ratio_alpha": RATIO_ALPHA,
        "looks": "at every moment",
        "statistic": "first harm of each person at the step that drew their lot, mixture e-value, e-Bonferroni over signals",
    }  # fmt: skip


def firsts_of(harms: Iterable[Harm]) -> dict[str, dict[float, tuple[int, int]]]:
    found: dict[str, dict[float, tuple[int, int]]] = {}
    for harm in harms:
        before, after = found.setdefault(harm.signal, {}).get(harm.lot, (0, 0))
        found[harm.signal][harm.lot] = (before + 1, after) if harm.arm == "champion" else (before, after + 1)
    return found


def shadow_harms(pairs: Iterable[Mirror], slow_seconds: float | None) -> list[Harm]:
    """Each person's first pair, by each signal, in which one of the two did worse; the lot is a fair coin."""
    first: dict[tuple[str, str], Harm] = {}
    for pair in pairs:
        for signal, worse in worse_sides(pair, slow_seconds):
            first.setdefault((signal, pair.who), Harm(signal, pair.who, 0, worse, 0.5, pair.at))
    return list(first.values())


def worse_sides(pair: Mirror, slow_seconds: float | None) -> Iterable[tuple[str, Arm]]:
    if bool(pair.champion["fault"]) != bool(pair.candidate["fault"]):
        yield "error", "champion" if pair.champion["fault"] else "candidate"
    slow = [slow_seconds is not None and side["seconds"] > slow_seconds for side in (pair.champion, pair.candidate)]
    if slow[0] != slow[1]:
        yield "slow", "champion" if slow[0] else "candidate"
    if pair.outcome in ("champion", "candidate"):
        yield "judged", "candidate" if pair.outcome == "champion" else "champion"


def decide_rollout(row: RolloutRow, seen: Seen, now: float) -> Found:
    """What is to be done now. Harm and a broken lot are seen also while somebody holds the rollout."""
    log_es = {signal: log_e_first_harms(seen.firsts.get(signal, {})) for signal in row.plan["signals"][row.stage]}
    alpha = row.plan["alpha"][row.stage]
    figures = figures_of(row, seen, log_es)
    if fired := e_bonferroni(log_es, alpha):
        return Found("harm", "; ".join(told_harm(signal, seen.firsts[signal], log_es[signal]) for signal in fired), figures)
    if row.stage == "shadow":
        return end_of_shadow(row, seen, figures, now)
    drawn = [seen.crowds[arm].drawn for arm in ("champion", "candidate")]
    if log_e_sample_ratio(drawn, [1 - row.lot, row.lot]) >= math.log(1 / row.plan["ratio_alpha"]):
        why = f"{drawn[1]} of {sum(drawn)} people fell to the candidate, where the lot gives it to {row.lot:.0%}: the split is broken"
        return Found("void", why, figures)
    return waits(row, missing(row, seen, now), figures)


def waits(row: RolloutRow, lacks: str, figures: dict[str, Any]) -> Found:
    if row.held:
        return Found("wait", "held by hand", figures)
    return Found("wait", lacks, figures) if lacks else Found("next", "", figures)


def figures_of(row: RolloutRow, seen: Seen, log_es: Mapping[str, float]) -> dict[str, Any]:
    """All that a verdict rests on. level: the log e-value at which one of the signals takes the candidate back."""
    return {
        "crowds": {arm: crowd._asdict() for arm, crowd in seen.crowds.items()}, "pairs": len(seen.pairs),
        "firsts": {signal: {f"{lot:.4g}": list(n) for lot, n in by.items()} for signal, by in seen.firsts.items()},
        "log_e": {signal: round(log_e, 3) for signal, log_e in log_es.items()}, "level": round(level_of(row), 3),
    }  # fmt: skip


def level_of(row: RolloutRow) -> float:
    return math.log(len(row.plan["signals"][row.stage]) / row.plan["alpha"][row.stage])


def people_to_turn(row: RolloutRow, seen: Seen) -> dict[str, int | None]:
    """signal -> so many more people harmed by the candidate, and none by the champion, would take it back now."""
    lot = 0.5 if row.stage == "shadow" else row.lot
    return {signal: harms_to_fire(seen.firsts.get(signal, {}), lot, level_of(row)) for signal in row.plan["signals"][row.stage]}


def told_harm(signal: str, firsts: Mapping[float, tuple[int, int]], log_e: float) -> str:
    before, after = (sum(by[i] for by in firsts.values()) for i in (0, 1))
    return f"{signal}: {after} people with the candidate and {before} without it, e = {math.exp(min(log_e, 700)):.3g}"


def missing(row: RolloutRow, seen: Seen, now: float) -> str:
    """What this step lacks before the next; empty when nothing."""
    elapsed = now - row.since
    if row.stage == "holdback":
        left = row.plan["holdback"]["seconds"] - elapsed
        return f"{told_seconds(left)} of holdback are left" if left > 0 else ""
    stage, crowd = row.plan["stage"], seen.crowds
    users, answers = (sum(getattr(crowd[arm], name) for arm in crowd) for name in ("users", "answers"))
    if users < stage["users"] or answers < stage["answers"]:
        return f"{users} of {stage['users']} people and {answers} of {stage['answers']} answers so far"
    expected = row.share * users
    wanted = min(stage["users"], math.floor(expected - 3 * math.sqrt(expected)))  # fewer fell to it by the lot once in a thousand times
    if crowd["candidate"].users < wanted:
        return f"{crowd['candidate'].users} of {wanted} people with the candidate so far"
    if elapsed < stage["seconds"]:
        return f"{told_seconds(stage['seconds'] - elapsed)} of this step are left"
    shares = [*row.plan["shares"], 1.0]
    if shares[row.step + 1] < HALF or elapsed >= stage["max_seconds"]:
        return ""
    seen_ratio = complaints_seen(row, seen)
    told = f"{seen_ratio:.1f} times as many" if math.isfinite(seen_ratio) else "no number of"
    return f"{told} complaints would have been found, {stage['sees_ratio']:g} times must be" if seen_ratio > stage["sees_ratio"] else ""


def complaints_seen(row: RolloutRow, seen: Seen) -> float:
    """How much more often people would have to complain of the candidate for it to be found by now."""
    harmed = {lot: before + after for lot, (before, after) in seen.firsts.get("complaint", {}).items()}
    return harm_seen(harmed, level_of(row))


def told_seconds(seconds: float) -> str:
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{math.ceil(seconds)} seconds"


def end_of_shadow(row: RolloutRow, seen: Seen, figures: dict[str, Any], now: float) -> Found:
    rule, pairs = row.plan["shadow"], seen.pairs
    if len(pairs) < rule["pairs"]:
        return Found("wait", "held by hand" if row.held else f"{len(pairs)} of {rule['pairs']} questions were mirrored so far", figures)
    found = compared(pairs) if pairs else {}
    figures = figures | {"shadow": found}
    if found and (faults := shadow_faults(found, rule)):
        return Found("harm", "; ".join(faults), figures)
    left = rule["seconds"] - (now - row.since)
    return waits(row, f"{told_seconds(left)} of the shadow are left" if left > 0 else "", figures)


def compared(pairs: Sequence[Mirror]) -> dict[str, Any]:
    """Both sides of all pairs: shares that failed or were broken off, lengths, seconds."""
    sides = {arm: [getattr(pair, arm) for pair in pairs] for arm in ("champion", "candidate")}
    whole = [pair for pair in pairs if not pair.champion["fault"] and not pair.candidate["fault"]]
    logs = [math.log((1 + pair.candidate["chars"]) / (1 + pair.champion["chars"])) for pair in whole]
    return {
        "faults": {arm: sum(bool(s["fault"]) for s in side) / len(side) for arm, side in sides.items()},
        "broken_off": {arm: sum(s["finish_reason"] == "length" for s in side) / len(side) for arm, side in sides.items()},
        "length_ratio": math.exp(sum(logs) / len(logs)) if logs else None,
        "seconds": {arm: median(s["seconds"] for s in side) for arm, side in sides.items()},
        "judged": {outcome: sum(pair.outcome == outcome for pair in pairs) for outcome in ("candidate", "champion", "tie", "both_bad")},
    }


def shadow_faults(found: Mapping[str, Any], rule: Mapping[str, Any]) -> list[str]:
    why = []
    for name in ("faults", "broken_off"):
        before, after = found[name]["champion"], found[name]["candidate"]
        if after - before > rule["max_fault_rise"]:
            why.append(f"{name}: {before:.1%} -> {after:.1%} of the mirrored answers, {rule['max_fault_rise']:.0%} more are allowed")
    ratio, most = found["length_ratio"], rule["max_length_ratio"]
    if ratio is not None and not 1 / most <= ratio <= most:
        why.append(f"length: answers are {ratio:.2f} times as long; allowed is {1 / most:.2f} to {most:g} times")
    before, after = found["seconds"]["champion"], found["seconds"]["candidate"]
    if after > rule["max_slow_ratio"] * before + UNFELT_SECONDS:
        why.append(f"seconds: {before:.2f} -> {after:.2f} in the middle; allowed is {rule['max_slow_ratio']:g} times")
    return why
