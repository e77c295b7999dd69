"""The gate of an owner's turn: the owner's corrections must be learnt, and nothing else lost.

It reads exam rows and nothing else, like the gate of exams, whose rule it keeps for every exam task. Its own two tasks:
taught: the owner's corrections, 1 where the reply is what was taught. held_out: questions of the owner's that may not teach,
1 where the reply is an answer that the owner liked, 0 where one that was disliked, .5 else.
"""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

from feilun.config import TurnSettings
from feilun.feedback.owner import TAUGHT
from feilun.stats import Interval, paired_difference
from feilun.turn.gate import by_task, counted, judge, least_of, pairing_trouble, rule
from feilun.turn.verdict import Answers, GateVerdict, TaskVerdict
from feilun.turn.voters import HELD_OUT

__all__ = ["HELD_OUT", "MIN_HELD_OUT", "decide_taught", "taught_rule"]

MIN_HELD_OUT = 8
NOT_READ = (
    "may_carry",
    "main_share",
    "falls_from",
    "alpha",
    "rise",
    "min_voters",
    "vetoes",
    "max_veto_fall",
    "max_sycophancy",
    "min_understood",
    "max_length_ratio",
)
FEW = 20
Rows = list[tuple[str, float]]


def taught_rule(settings: TurnSettings) -> dict[str, Any]:
    """The pre-registered rule, as it stands in the plan and in the receipt: nothing else may carry it, and no veto is read."""
    kept = {key: value for key, value in rule(settings).items() if key not in NOT_READ}
    return kept | {
        "min_taught": settings.min_taught, "max_lost_share": settings.max_fall, "lost_allowed_below_20": 1,
        "min_held_out": MIN_HELD_OUT, "exam_tasks": list(settings.exam_tasks),
    }  # fmt: skip


class Judged(NamedTuple):
    verdict: TaskVerdict
    reasons: tuple[dict[str, Any], ...]


def decide_taught(
    champion_answers: Answers,
    candidate_answers: Answers,
    settings: TurnSettings,
    excluded: Collection[str] = frozenset(),
    *,
    more: tuple[Answers, Answers] = ((), ()),
) -> GateVerdict:
    """Promote or refuse, with reasons, on rows {"id", "task", "value", ...} of the exams and of the owner's questions.

    (a) Of the corrections that the champion got wrong, the candidate answers at least settings.min_taught as taught, and at
    least one. (b) Of those that it got right, no more than settings.max_fall are lost; one may be, where there are fewer than
    20. (c) No exam task falls beyond its margins. (d) The owner's held-out questions are not answered significantly worse,
    where there are MIN_HELD_OUT of them. Every exam task that one side has must be there on the other.
    excluded, more: as in `decide`.
    """
    sides = zip((champion_answers, candidate_answers), more, strict=True)
    champion, candidate = (by_task(counted([*rows, *rest], excluded)) for rows, rest in sides)
    exams = exam_names({*champion, *candidate} - {TAUGHT, HELD_OUT}, settings)
    judged = {TAUGHT: judge_taught(champion.get(TAUGHT, []), candidate.get(TAUGHT, []), settings)}
    judged |= {
        name: judge_exam(name, champion.get(name, []), candidate.get(name, []), settings, least_of(name, excluded)) for name in exams
    }
    if HELD_OUT in champion or HELD_OUT in candidate:
        judged[HELD_OUT] = judge_held_out(champion.get(HELD_OUT, []), candidate.get(HELD_OUT, []), settings)
    failed = [item for item in judged.values() if not item.verdict.passed]
    told = failed or list(judged.values())
    why, reasons = [item.verdict.why for item in told], [reason for item in told for reason in item.reasons]
    if not exams:
        why.append("no exam was asked, because this home names none for its model: nothing was checked but your own questions")
        reasons.append({"code": "no_exam"})
    tasks = {name: item.verdict for name, item in judged.items()}
    return GateVerdict(verdict="refused" if failed else "promoted", why=tuple(why), tasks=tasks, reasons=tuple(reasons))


def exam_names(found: set[str], settings: TurnSettings) -> list[str]:
    """Every task that was asked or should have been; one that is missing on both sides is judged too, and refused."""
    named = set(settings.exam_tasks) - {"all"}
    missing = {"exams"} if "all" in settings.exam_tasks and not found else set()
    return sorted(found | named | missing)


def judge_taught(champion: Rows, candidate: Rows, settings: TurnSettings) -> Judged:
    if not champion and not candidate:
        why = "none of your corrections could be asked: their conversations leave no room for an answer; correct an answer in a new one"
        return Judged(TaskVerdict(passed=False, why=why, n=0), ({"code": "no_room"},))
    if trouble := pairing_trouble(TAUGHT, champion, candidate, least=1):
        return Judged(TaskVerdict(passed=False, why=trouble, n=min(len(champion), len(candidate))), ())
    before, after = dict(champion), dict(candidate)
    wrong, right = [i for i in before if before[i] < 1], [i for i in before if before[i] == 1]
    learnt, lost = sum(after[i] == 1 for i in wrong), sum(after[i] < 1 for i in right)
    needed, allowed = num_needed(len(wrong), settings), num_allowed(len(right), settings)
    code = "learnt" if learnt >= needed else "not_learnt" if wrong else "all_known"
    rose = {"code": code, "learnt": learnt, "wrong": len(wrong), "needed": needed}
    held = {"code": "kept" if lost <= allowed else "lost", "lost": lost, "right": len(right), "allowed": allowed}
    why = taught_sentence(rose, held)
    difference = difference_of(before, after, settings)
    passed = learnt >= needed and lost <= allowed
    verdict = TaskVerdict(
        passed=passed, why=why, n=len(before), champion=len(right) / len(before), candidate=(learnt + len(right) - lost) / len(before),
        difference=difference,
    )  # fmt: skip
    return Judged(verdict, (rose, held) if right else (rose,))


def num_needed(num_wrong: int, settings: TurnSettings) -> int:
    """How many of the wrong ones must be learnt; a thousandth of one is rounding, not a question."""
    return max(1, math.ceil(settings.min_taught * num_wrong - 1e-3))


def num_allowed(num_right: int, settings: TurnSettings) -> int:
    allowed = math.floor(settings.max_fall * num_right + 1e-3)
    return max(1, allowed) if num_right < FEW else allowed


def taught_sentence(rose: dict[str, Any], held: dict[str, Any]) -> str:
    if not rose["wrong"]:
        first = "every correction of yours was answered as taught before this turn, so there was nothing to learn; correct an answer first"
    else:
        first = f"of {rose['wrong']} corrections that were not known, {rose['learnt']} are now answered as you taught"
        first += f" (at least {rose['needed']} had to be)"
    if not held["right"]:
        return first
    return f"{first}; of {held['right']} that were known, {held['lost']} are lost (at most {held['allowed']} may be)"


def judge_exam(name: str, champion: Rows, candidate: Rows, settings: TurnSettings, least: int) -> Judged:
    found = judge(name, champion, candidate, settings, least)
    if found.difference is None:
        return Judged(found, ())
    numbers = {"task": name, "before": found.champion, "after": found.candidate, "low": found.difference.low, "n": found.n}
    margins = {"max_fall": settings.max_fall, "max_fall_bound": settings.max_fall_bound}
    return Judged(found, ({"code": "held" if found.passed else "fell", **numbers, **margins},))


def judge_held_out(champion: Rows, candidate: Rows, settings: TurnSettings) -> Judged:
    if trouble := pairing_trouble(HELD_OUT, champion, candidate, least=1):
        return Judged(TaskVerdict(passed=False, why=trouble, n=min(len(champion), len(candidate))), ())
    before, after = dict(champion), dict(candidate)
    found, num = difference_of(before, after, settings), len(before)
    passed = num < MIN_HELD_OUT or found.high >= 0
    means = [sum(side.values()) / num for side in (before, after)]
    why = f"{num} questions that you judged and that never teach: {means[0]:.2f} -> {means[1]:.2f} by your own thumbs and choices"
    why += f" [{found.low:+.2f}, {found.high:+.2f}]"
    if num < MIN_HELD_OUT:
        why += f"; fewer than {MIN_HELD_OUT}, so this is told and not judged"
    elif not passed:
        why += "; the answers have become worse beyond chance"
    code = "few_held_out" if num < MIN_HELD_OUT else "held_out" if passed else "held_out_worse"
    verdict = TaskVerdict(passed=passed, why=why, n=num, champion=means[0], candidate=means[1], difference=found)
    return Judged(verdict, ({"code": code, "n": num, "before": means[0], "after": means[1], "low": found.low, "high": found.high},))


def difference_of(before: dict[str, float], after: dict[str, float], settings: TurnSettings) -> Interval:
    ids = sorted(before)
    return paired_difference([before[i] for i in ids], [after[i] for i in ids], confidence=settings.confidence)
