"""The gate: what a candidate must show, question by question, before it may answer anybody.

It reads rows of exams and nothing else; what a right answer is, the exam knows. The rule is written into the turn's plan
before anything is trained.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from feilun.config import TurnSettings
from feilun.stats import Interval, bonferroni, mcnemar_exact, paired_difference
from feilun.turn.verdict import Answers, GateVerdict, TaskVerdict, shown
from feilun.turn.vetoes import MIN_UNDERSTOOD, SYCOPHANCY, judge_vetoes
from feilun.turn.voters import HELD_OUT, MIN_VOTERS, Means, carries, flip_of, is_worse, judge_voters, told_flip, voters

__all__ = [
    "MIN_ANSWERS", "Best", "by_task", "counted", "decide", "in_doubt", "judge", "least_of", "pairing_trouble", "rule", "within_margin",
]  # fmt: skip

MIN_ANSWERS = 400
# Half of alpha for the task that a turn is about, half for all others together.
MAIN_SHARE = 0.5
# An exam is settled by its first questions where the interval at this level lies on one side of the margin.
SURE = 0.99
Pairs = list[tuple[str, float]]
Row = Mapping[str, Any]


class Best(NamedTuple):
    """A model before the champion that did better in a task, and its answers."""

    model: str
    rows: Sequence[Row]


def rule(settings: TurnSettings) -> dict[str, Any]:
    """The pre-registered rule, as it stands in the plan and in the receipt."""
    return {
        "split": "gate", "must_rise": settings.rise_task, "may_carry": list(settings.may_carry), "alpha": settings.alpha,
        "main_share": MAIN_SHARE, "rise": "exact McNemar for exams, betting e-value clustered by user for held-out users, Bonferroni",
        "max_fall": settings.max_fall, "max_fall_bound": settings.max_fall_bound, "confidence": settings.confidence,
        "falls_from": "the champion, and the best of its line", "num_in_doubt": settings.num_in_doubt, "sure": SURE,
        "min_answers": MIN_ANSWERS, "min_voters": MIN_VOTERS, "statistic": "paired difference, Bonett-Price interval",
        "vetoes": list(settings.vetoes), "max_veto_fall": settings.max_veto_fall, "max_sycophancy": settings.max_sycophancy,
        "min_understood": MIN_UNDERSTOOD,
        "max_length_ratio": settings.max_length_ratio,
    }  # fmt: skip


def decide(
    champion_answers: Answers,
    candidate_answers: Answers,
    settings: TurnSettings,
    excluded: Collection[str] = frozenset(),
    *,
    more: tuple[Answers, Answers] = ((), ()),
    best: Mapping[str, Best] | None = None,
) -> GateVerdict:
    """Promote or refuse, with reasons, on rows of the exams of both ({"id", "task", "value", ...}).

    Something must rise: settings.rise_task, or another task of settings.may_carry ("all": every exam task and the votes of held-out
    users), at level settings.alpha for all of them together. No exam task may fall by more than settings.max_fall in the mean,
    nor its lower bound reach -settings.max_fall_bound, neither from the champion nor from the model that was `best` before it;
    held-out users may not find the answers worse; no veto may stand. Each task needs MIN_ANSWERS pairs; anything missing, doubled
    or unpaired refuses. excluded: ids of questions that lessons had shown; they do not count. more: answers to further questions of
    tasks that were in doubt; they count for falls alone, for whoever asks until something rises finds something.
    """
    champion, candidate = (counted(rows, excluded) for rows in (champion_answers, candidate_answers))
    sides = (by_task(champion), by_task(candidate))
    whole = [by_task([*rows, *counted(rest, excluded)]) for rows, rest in zip((champion, candidate), more, strict=True)]
    names = [settings.rise_task, *sorted({*sides[0], *sides[1]} - {HELD_OUT, SYCOPHANCY, settings.rise_task})]
    tasks = judge_exams(names, (whole[0], whole[1]), settings, excluded, best or {})
    means, carriers = voters(champion, candidate), carriers_of(names, settings)
    risen = risen_exams(sides, tasks, carriers, settings)
    main = tasks[settings.rise_task]
    by_votes = HELD_OUT in carriers and carries(means, settings.alpha * carriers[HELD_OUT])
    if not risen and not by_votes and main.difference is not None:
        tasks[settings.rise_task] = refused_rise(main, carriers, settings)
    tasks |= {HELD_OUT: said} if (said := judge_voters(champion, candidate, settings)) else {}
    tasks |= judge_vetoes(champion, candidate, settings)
    sound = all(task.passed for name, task in tasks.items() if name not in (HELD_OUT, settings.rise_task)) and main.passed

    def promotes(some: Means) -> bool:
        voted = HELD_OUT in carriers and carries(some, settings.alpha * carriers[HELD_OUT])
        return sound and not is_worse(some, settings) and (bool(risen) or voted)

    return told(tasks, (*risen, HELD_OUT) if by_votes else risen, promotes, means)


def in_doubt(
    champion_answers: Answers,
    candidate_answers: Answers,
    settings: TurnSettings,
    excluded: Collection[str] = frozenset(),
    best: Mapping[str, Best] | None = None,
) -> list[str]:
    """Exam tasks of which these answers do not settle whether they fell by more than settings.max_fall; none where one surely did."""
    before, after = (by_task(counted(rows, excluded)) for rows in (champion_answers, candidate_answers))
    better = {name: by_task(counted(rows, excluded)).get(name, []) for name, (_, rows) in (best or {}).items()}
    found = []
    for name in before.keys() & after.keys():
        falls = [sure_fall(dict(some), dict(after[name])) for some in (before[name], better.get(name, []))]
        if any(fall.high < -settings.max_fall for fall in falls if fall):
            return []
        if any(fall.low <= -settings.max_fall for fall in falls if fall):
            found.append(name)
    return sorted(found)


def sure_fall(before: Mapping[str, float], after: Mapping[str, float]) -> Interval | None:
    """None where not the same questions were asked."""
    if not before or before.keys() != after.keys():
        return None
    return paired_difference([before[i] for i in after], list(after.values()), confidence=SURE)


def judge_exams(
    names: Sequence[str], sides: tuple[dict[str, Pairs], dict[str, Pairs]], settings: TurnSettings, excluded: Collection[str],
    best: Mapping[str, Best],
) -> dict[str, TaskVerdict]:  # fmt: skip
    better = {name: Best(model, counted(rows, excluded)) for name, (model, rows) in best.items()}
    rows = {name: (sides[0].get(name, []), sides[1].get(name, [])) for name in names}
    return {name: judge(name, *pair, settings, least_of(name, excluded), better.get(name)) for name, pair in rows.items()}


def told(tasks: Mapping[str, TaskVerdict], risen: tuple[str, ...], promotes: Callable[[Means], bool], means: Means) -> GateVerdict:
    verdict: Literal["promoted", "refused"] = "promoted" if promotes(means) else "refused"
    flip = flip_of(means, promotes)
    assert (verdict == "promoted") == all(task.passed for task in tasks.values())
    why = [task.why for task in tasks.values() if verdict == "promoted" or not task.passed]
    why += [f"carried by: {', '.join(risen)}", told_flip(flip)] if verdict == "promoted" else []
    return GateVerdict(verdict=verdict, why=tuple(why), tasks=tasks, risen=risen, flip=flip._asdict())


def carriers_of(names: Sequence[str], settings: TurnSettings) -> dict[str, float]:
    """What may carry a promotion, with its share of alpha; fixed by the plan and by which tasks the exam has."""
    every = [*names, HELD_OUT] if "all" in settings.may_carry else list(settings.may_carry)
    others = [name for name in dict.fromkeys(every) if name != settings.rise_task]
    if not others:
        return {settings.rise_task: 1.0}
    return {settings.rise_task: MAIN_SHARE} | dict.fromkeys(others, (1 - MAIN_SHARE) / len(others))


def risen_exams(
    sides: tuple[dict[str, Pairs], dict[str, Pairs]],
    tasks: Mapping[str, TaskVerdict],
    carriers: Mapping[str, float],
    settings: TurnSettings,
) -> tuple[str, ...]:
    """Exam tasks that rose beyond chance; one that could not be paired did not."""
    p_values = {}
    for name in carriers:
        if name in tasks and tasks[name].difference is not None:
            before, after = dict(sides[0][name]), dict(sides[1][name])
            wins, losses = (sum(sign * (after[i] - before[i]) > 0 for i in before) for sign in (1, -1))
            p_values[name] = mcnemar_exact(wins, losses, "greater")
    return bonferroni(p_values, carriers, settings.alpha)


def refused_rise(main: TaskVerdict, carriers: Mapping[str, float], settings: TurnSettings) -> TaskVerdict:
    others = f", nor did any of {', '.join(name for name in carriers if name != settings.rise_task)}" if len(carriers) > 1 else ""
    why = f"{main.why}; it must rise beyond chance (level {settings.alpha:g} for all that may carry) and did not{others}"
    return TaskVerdict(passed=False, why=why, n=main.n, champion=main.champion, candidate=main.candidate, difference=main.difference)


def counted(answers: Answers, excluded: Collection[str]) -> list[Row]:
    return [row for row in answers if row["id"] not in excluded]


def least_of(name: str, excluded: Collection[str]) -> int:
    """How many pairs a task needs: the questions that do not count were asked all the same."""
    return MIN_ANSWERS - sum(i.startswith(f"{name}/") for i in excluded)


def by_task(answers: Answers) -> dict[str, Pairs]:
    found: dict[str, Pairs] = {}
    for row in answers:
        found.setdefault(str(row["task"]), []).append((str(row["id"]), float(row["value"])))
    return found


def judge(
    name: str, champion: Pairs, candidate: Pairs, settings: TurnSettings, least: int = MIN_ANSWERS, best: Best | None = None
) -> TaskVerdict:
    """One exam task may not fall, by the rule of `decide`."""
    trouble = pairing_trouble(name, champion, candidate, least)
    if trouble:
        return TaskVerdict(passed=False, why=trouble, n=min(len(champion), len(candidate)))
    before, after = dict(champion), dict(candidate)
    sides = [[side[i] for i in sorted(before)] for side in (before, after)]
    found = paired_difference(sides[0], sides[1], confidence=settings.confidence)
    why, passed = f"{name}: {shown(sides[0], sides[1], found)}", within_margin(found, settings)
    from_best = fall_from_best(best, after, settings) if best else None
    if best and from_best:
        passed = passed and within_margin(from_best, settings)
        why += f"; {best.model}, the best before it, {from_best.mean:+.3f} [{from_best.low:+.3f}, {from_best.high:+.3f}], n={from_best.n}"
    if not passed:
        why += f"; it may not fall by more than {settings.max_fall:g}, the lower bound must lie above -{settings.max_fall_bound:g}"
    means = [sum(side) / len(side) for side in sides]
    return TaskVerdict(
        passed=passed, why=why, n=found.n, champion=means[0], candidate=means[1], difference=found,
        best=best.model if best and from_best else "", from_best=from_best,
    )  # fmt: skip


def fall_from_best(best: Best, after: Mapping[str, float], settings: TurnSettings) -> Interval | None:
    """On the questions that both were asked; None where there are none."""
    then = {str(row["id"]): float(row["value"]) for row in best.rows if row["id"] in after}
    return paired_difference(list(then.values()), [after[i] for i in then], confidence=settings.confidence) if then else None


def within_margin(difference: Interval, settings: TurnSettings) -> bool:
    """An exam did not fall by more than the settings allow, neither in the mean nor at the lower bound."""
    return difference.mean >= -settings.max_fall and difference.low > -settings.max_fall_bound


def pairing_trouble(name: str, champion: Pairs, candidate: Pairs, least: int = MIN_ANSWERS) -> str:
    """Why the two sides cannot be compared; empty when they can. least: how many pairs there must be."""
    for side, rows in (("champion", champion), ("candidate", candidate)):
        if not rows:
            return f"{name}: no answers of the {side}; examine both on the same questions"
        if len({i for i, _ in rows}) != len(rows):
            return f"{name}: a question stands twice among the {side}'s answers"
    unpaired = {i for i, _ in champion} ^ {i for i, _ in candidate}
    if unpaired:
        return f"{name}: {len(unpaired)} questions were put to only one of the two (such as {min(unpaired)})"
    if len(champion) < least:
        return f"{name}: too few answers: {len(champion)}, at least {least} are needed"
    return ""
