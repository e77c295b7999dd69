"""The drill's arithmetic on judgements and exams made by hand, and the copies it works on."""

import pytest

from benchmarks.drill import Generation, Seed, judge, lift, over_seeds, ratios, share
from benchmarks.homes import copy_first_generation, copy_home
from feilun.config import PreferSettings, TurnSettings
from feilun.stats import Interval

SETTINGS = TurnSettings(prefer=PreferSettings(replay="none"))
PEOPLE, QUESTIONS = 12, 50


def judged(accepted: int) -> dict[tuple[str, str], float]:
    """Every person accepts the first so many of the questions."""
    return {(f"user-{p}", f"q-{q}"): float(q < accepted) for p in range(PEOPLE) for q in range(QUESTIONS)}


def generation(name: str, verdict: str, accepted: int) -> Generation:
    if verdict == "first":
        return Generation(name, f"models/{name}", verdict, judged(accepted), 0, {})
    return Generation(name, f"models/{name}", verdict, judged(accepted), 600, {"turn": 90.0, "people": 5.0})


def change(value: float) -> Interval:
    return Interval(value, value - 0.02, value + 0.02, 402)


def seed_of(second: str = "promoted", third: str = "promoted", steps: tuple[float, ...] = (-0.02, 0.01), whole: float = -0.01) -> Seed:
    """Three generations that accept 20, 30 and 40 of 50; steps: how the exam "copying" changes at each promotion."""
    rows = [generation("first", "first", 20), generation("one", second, 30), generation("two", third, 40)]
    champions = [rows[0], rows[1] if second == "promoted" else rows[0]]
    champions.append(rows[2] if third == "promoted" else champions[1])
    by_pair = {("first", "one"): steps[0], ("one", "two"): steps[-1], ("first", "two"): whole}

    def changes(before: str, after: str) -> dict[str, Interval]:
        pair = (before.removeprefix("models/"), after.removeprefix("models/"))
        return {"copying": change(by_pair[pair]), "arithmetic": change(0.0)}

    return judge(rows, champions, changes, SETTINGS)


def test_lift_is_the_paired_difference_for_a_thousand_events() -> None:
    found = lift(judged(20), judged(30), 500)
    assert found["difference"]["mean"] == pytest.approx(0.2)
    assert 0 < found["difference"]["low"] < 0.2 < found["difference"]["high"]
    assert found["per_1000_events"] == pytest.approx({key: 2 * found["difference"][key] for key in ("mean", "low", "high")})
    assert lift(judged(20), judged(30), 0)["per_1000_events"] is None


def test_the_order_of_judgements_does_not_matter_and_their_absence_does() -> None:
    after = judged(30)
    assert lift(judged(20), dict(reversed(after.items())), 500) == lift(judged(20), after, 500)
    del after["user-0", "q-0"]
    with pytest.raises(AssertionError):
        lift(judged(20), after, 500)


def test_people_who_differ_widen_the_interval() -> None:
    numbers = {key: (int(key[0].removeprefix("user-")), int(key[1].removeprefix("q-"))) for key in judged(0)}
    alike = share({key: float(question < 24 + 2 * (person % 2)) for key, (person, question) in numbers.items()})
    apart = share({key: float(person < PEOPLE / 2) for key, (person, _) in numbers.items()})
    assert alike.mean == apart.mean == 0.5
    assert apart.high - apart.low > 3 * (alike.high - alike.low)


def test_a_turn_is_set_against_the_champion_it_met() -> None:
    seed = seed_of(second="refused")
    first, one, two = seed.rows
    assert "difference" not in first
    assert (one["difference"]["mean"], two["difference"]["mean"]) == pytest.approx((0.2, 0.4))
    assert (one["per_1000_events"]["mean"], two["per_1000_events"]["mean"]) == pytest.approx((0.2 / 0.6, 0.4 / 1.2))
    assert (one["served"]["mean"], two["served"]["mean"]) == pytest.approx((0.4, 0.8))
    assert seed.lift["per_1000_events"]["mean"] == pytest.approx(0.4 / 1.2)  # the events of the refused turn were spent too
    assert seed.rose


def test_nobody_promoted_is_no_rise_and_no_fall() -> None:
    seed = seed_of(second="refused", third="refused")
    assert (seed.exams, seed.held, seed.rose) == ({}, True, False)
    assert seed.lift["difference"]["mean"] == 0


@pytest.mark.parametrize(
    ("steps", "whole", "held"),
    [
        ((-0.02, 0.01), -0.01, True),
        ((-0.05, -0.05), -0.05, True),
        ((-0.06, 0.06), 0.0, False),  # one step was too far, though it was made good
        ((-0.04, -0.04), -0.08, False),  # no step was, all together were
    ],
)
def test_an_exam_holds_at_every_step_and_from_the_first(steps, whole, held) -> None:
    seed = seed_of(steps=steps, whole=whole)
    assert seed.held is held
    assert seed.exams["copying"]["worst_step"]["mean"] == min(steps)
    assert seed.exams["copying"]["first_to_last"]["mean"] == whole
    assert seed.exams["arithmetic"]["held"]


def test_a_refused_candidate_costs_no_exam_anything() -> None:
    assert seed_of(second="refused", steps=(-0.9, -0.9), whole=-0.01).held


def test_seeds_are_put_together_person_by_person() -> None:
    seeds = {"s0": seed_of(), "s1": seed_of(second="refused", steps=(-0.9, -0.9), whole=-0.03)}
    found = over_seeds(seeds)
    first, one, two = found["generations"]
    assert first["acceptance"]["n"] == 2 * PEOPLE * QUESTIONS
    assert (one["promoted"], two["promoted"]) == (1, 2)
    assert one["served"]["mean"] == pytest.approx((0.6 + 0.4) / 2)
    assert two["difference"]["mean"] == pytest.approx((0.2 + 0.4) / 2)
    assert two["per_1000_events"]["mean"] == pytest.approx(0.3 / 0.9)
    assert two["cpu_seconds"] == {"turn": 90.0, "people": 5.0}
    assert found["lift"]["per_1000_events"]["mean"] == pytest.approx(0.4 / 1.2)
    assert found["exams"]["copying"]["worst_step"]["seed"] == "s1"
    assert found["exams"]["copying"]["worst_step"]["mean"] == -0.03
    assert (found["held"], found["rose"], found["seeds"]) == (2, 2, 2)
    assert ratios(found)["cpu_seconds_per_turn"] == 90.0
    assert ratios(found)["cost_last_turn"] == 1.0
    assert over_seeds({"s0": seeds["s0"]})["between_seeds"] is None


def test_a_copy_is_whole_and_links_what_is_large(tmp_path) -> None:
    home = tmp_path / "home"
    for path in ("corpus/demo@1/a", "tokens/demo@2/a", "tokenizer/t@1/a", "models/first@3/a", "models/turn-1@4/a", "runs/sft/a",
                 "runs/sft/checkpoint.pt", "lessons/examples@5/a", "demo.json", "demo.lock"):  # fmt: skip
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(path)
    copy_home(home, tmp_path / "whole")
    copy_first_generation(home, tmp_path / "first")
    assert (tmp_path / "whole" / "corpus" / "demo@1" / "a").read_text() == "corpus/demo@1/a"
    assert (tmp_path / "whole" / "corpus").is_symlink()
    assert not (tmp_path / "whole" / "models").is_symlink()
    kept = {name: sorted(p.name for p in (tmp_path / name).rglob("*") if not p.is_dir()) for name in ("whole", "first")}
    assert kept == {"whole": ["a", "a", "a", "a", "a", "demo.json"], "first": ["a", "a", "a", "a"]}
    with pytest.raises(FileExistsError, match="there already"):
        copy_home(home, tmp_path / "whole")
