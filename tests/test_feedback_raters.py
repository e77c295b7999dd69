"""Who votes whatever the answer is, who acts as one, and what bad raters can do to lessons."""

import math
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_house import RATERS as NAMES
from vote_house import vote

from benchmarks.attack_rules import RULES
from benchmarks.attack_streams import ATTACKS, World, make_stream
from benchmarks.attacks import SMALL, lift_kept, measure, ratios, table
from feilun.feedback import LessonRules, curate
from feilun.feedback.duplicates import DIGITS, near_groups, skeleton
from feilun.feedback.opinions import hear
from feilun.feedback.raters import judge_raters
from feilun.feedback.stuffing import SLACK, Act, log_factor, shifted
from feilun.feedback.voices import find_voices, log_copied
from feilun.store import OWNER, CurrentVote, Sibling

RULES_OF_HOUSE = LessonRules()


# e-values

P = st.floats(0.02, 0.98)


@given(p=P, said=P, between=st.floats(0, 1), by=st.floats(-SLACK, SLACK), q=st.floats(0.01, 0.99))
def test_no_honest_rater_is_expected_to_gain_by_an_act(p: float, said: float, between: float, by: float, q: float) -> None:
    """The factor's mean is at most 1 for every honest rater within the slack: so the product is an e-process."""
    true = shifted(p + between * (said - p), by)
    factors = [math.exp(log_factor(Act(seq=1, yes=yes, p=p, said=said, model="m"), q)) for yes in (True, False)]
    assert true * factors[0] + (1 - true) * factors[1] <= 1 + 1e-9


@given(f=P, true=st.floats(0.0, 1.0), rho=st.floats(0.05, 0.95))
def test_independent_agreement_is_not_expected_to_look_copied(f: float, true: float, rho: float) -> None:
    agrees = min(true, f)  # f is the most that the null allows
    assert agrees * math.exp(log_copied(f, rho, True)) + (1 - agrees) * math.exp(log_copied(f, rho, False)) <= 1 + 1e-9


def thumbs(rng: random.Random, raters: Iterable[str], p_up: list[float], first_seq: int = 1) -> list[CurrentVote]:
    """Every rater judges ten of the answers as often up as the answer deserves and their own leniency says."""
    made: list[CurrentVote] = []
    for rater in raters:
        lenient = rng.uniform(-SLACK, SLACK)
        for index in rng.sample(range(len(p_up)), 10):
            up = rng.random() < shifted(p_up[index], lenient)
            made.append(vote(first_seq + len(made), rater, "thumb", 1 if up else -1, prompt=f"q{index}?", answer=f"a{index}"))
    return made


def test_honest_raters_are_not_named() -> None:
    named = 0
    for seed in range(5):
        rng = random.Random(seed)
        votes = thumbs(rng, NAMES[:150], [rng.uniform(0.1, 0.9) for _ in range(60)])
        found = judge_raters(hear(votes), None, RULES_OF_HOUSE)
        named += len(found.stuffers) + len(found.voices)
    assert named <= 1, "of 750 honest raters of every leniency"


def test_who_praises_whatever_it_is_is_named() -> None:
    rng = random.Random(1)
    p_up = [rng.choice((0.1, 0.9)) for _ in range(60)]
    votes = thumbs(rng, NAMES[:100], p_up)
    always = [vote(10_000 + i, NAMES[200], "thumb", 1, prompt=f"q{i}?", answer=f"a{i}") for i in range(40)]
    assert judge_raters(hear([*votes, *always]), None, RULES_OF_HOUSE).stuffers == {NAMES[200]}
    owner = [vote(v.seq, OWNER, "thumb", 1, prompt=f"q{i}?", answer=f"a{i}") for i, v in enumerate(always)]
    assert not judge_raters(hear([*votes, *owner]), None, RULES_OF_HOUSE).stuffers


@pytest.mark.parametrize("num_raters", [2, 3, 6])
@pytest.mark.parametrize(("kind", "value"), [("edit", "as it should be"), ("thumb", -1)])
def test_colleagues_who_find_the_same_answers_bad_are_no_stuffers(num_raters: int, kind: str, value: Any) -> None:
    """They were, after 36 corrections that two of them shared: and then nothing that the whole team had said taught anything."""
    asked = [(number, rater) for number in range(240) for rater in NAMES[:num_raters]]
    votes = [vote(seq, who, kind, value, prompt=f"about thing {n}?", answer=f"bad {n}") for seq, (n, who) in enumerate(asked, 1)]
    assert judge_raters(hear(votes), None, RULES_OF_HOUSE).stuffers == frozenset()


def test_what_nobody_else_judged_is_no_evidence() -> None:
    alone = [vote(i, NAMES[0], "thumb", -1, prompt=f"q{i}?", answer=f"a{i}") for i in range(1, 300)]
    others = [vote(1000 + i, NAMES[1], "thumb", 1, prompt=f"p{i}?", answer=f"b{i}") for i in range(300)]
    found = judge_raters(hear([*alone, *others]), None, RULES_OF_HOUSE)
    assert (found.stuffers, found.voices) == (frozenset(), {})


def test_one_who_always_chooses_one_model_is_named_and_the_order_of_a_pair_does_not_matter() -> None:
    rng = random.Random(2)

    def choose(seq: int, rater: str, a_wins: bool) -> CurrentVote:
        texts = {"model-a": f"a{seq}", "model-b": f"b{seq}"}
        won, lost = ("model-a", "model-b") if a_wins else ("model-b", "model-a")
        value = {"over": [{"id": "x", "index": 0}], "outcome": "win"}
        over = (Sibling(id="x", index=0, text=texts[lost], model=lost),)
        return vote(seq, rater, "choice", value, prompt=f"q{seq}?", answer=texts[won], model=won, over=over)

    honest = [choose(i, NAMES[i % 60], rng.random() < 0.5) for i in range(1, 601)]
    stuffed = [choose(1000 + i, NAMES[200], False) for i in range(60)]
    assert judge_raters(hear([*honest, *stuffed]), None, RULES_OF_HOUSE).stuffers == {NAMES[200]}


# voices


def class_room(rng: random.Random, errs: float) -> list[CurrentVote]:
    """Twenty pupils work through one sheet, all within seconds of each other, and mostly agree because they are mostly right."""
    return [
        vote(1000 * q + i + 1, NAMES[i], "thumb", 1 if rng.random() > errs else -1, prompt=f"q{q}?", at=900.0 * q + 10 * rng.random())
        for q in range(30)
        for i in range(20)
    ]  # fmt: skip


def test_a_class_that_agrees_within_seconds_is_not_one_voice() -> None:
    assert find_voices(hear(class_room(random.Random(0), 0.12)), 0.01) == {}


def test_raters_who_share_mistakes_are_one_voice_and_honest_ones_are_not_in_it() -> None:
    stream = make_stream(3, "cluster", 0.1, World(num_questions=160, num_raters=100))
    voices = find_voices(hear(stream.votes), 0.01)
    assert set(voices) <= stream.bad
    assert len(voices) >= 0.8 * len(stream.bad)
    assert len(set(voices.values())) == 1


def test_a_voice_counts_once() -> None:
    """Ten accounts that are one edit against four people: alone they would win, as one voice they lose, and nobody is called a stuffer."""
    edits = [vote(i + 1, NAMES[i], "edit", "the wrong answer", prompt="q?") for i in range(10)]
    edits += [vote(100 + i, NAMES[50 + i], "edit", "the right answer", prompt="q?") for i in range(4)]
    known = judge_raters(hear(edits), None, RULES_OF_HOUSE)
    assert [lesson.text for lesson in curate(edits, None, LessonRules(min_trust=0.0)).lessons] == ["the wrong answer"]
    one = replace(known, voices={NAMES[i]: "voice:x" for i in range(10)}, trust=dict.fromkeys(known.trust, known.trust[NAMES[0]]))
    assert [lesson.text for lesson in curate(edits, None, LessonRules(min_trust=0.0), raters=one).lessons] == ["the right answer"]


# near duplicates


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is  it?", "what is it", True), ("9.8 or 9.11?", "9.8 or 9.11", True), ("9.8", "98", False), ("3, 5", "35", False),
        ("法国的首都,是哪里?", "法国的首都是哪里", True), ("x = -5", "x = 5", False), ("now here", "nowhere", False), ("C++", "C", False),
        ("１２．５", "12.5", True),
    ],
)  # fmt: skip
def test_a_skeleton_keeps_what_matters(one: str, other: str, same: bool) -> None:
    assert (skeleton(one) == skeleton(other)) == same


def grams(text: str) -> set[str]:
    shown = skeleton(text)
    return {shown[i : i + 3] for i in range(max(1, len(shown) - 2))}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("ab 12?", min_size=1, max_size=30), max_size=25))
def test_near_groups_are_those_of_a_search_through_all(texts: list[str]) -> None:
    brute: list[list[int]] = []
    for index, text in enumerate(texts):

        def near(other: str, text: str = text) -> bool:
            one, two = grams(text), grams(other)
            return DIGITS.findall(skeleton(text)) == DIGITS.findall(skeleton(other)) and len(one & two) / len(one | two) >= 0.85

        home = next((group for group in brute if near(texts[group[0]])), None)
        brute.append([index]) if home is None else home.append(index)
    found = near_groups(range(len(texts)), lambda i: texts[i], lambda i: "")
    assert sorted(map(sorted, found)) == sorted(brute)


def test_one_question_of_many_people_is_one_row_with_all_their_events() -> None:
    asked = [
        "Which city is the largest of the whole country?",
        "which city is the largest of the whole country",
        "Which city is the largest of the whole country then?",
    ]
    votes = [vote(i + 1, NAMES[i], "edit", "Rome.", prompt=prompt) for i, prompt in enumerate(asked)]
    (lesson,) = curate(votes, None, RULES_OF_HOUSE).lessons
    assert lesson.events == ("e1", "e2", "e3")
    alone = curate(votes[:1], None, RULES_OF_HOUSE).lessons[0].weight
    assert alone < lesson.weight < 1
    other = [vote(9, NAMES[5], "edit", "Rome.", prompt="Which city is the largest of 27 countries?")]
    assert len(curate([*votes, *other], None, RULES_OF_HOUSE).lessons) == 2


@pytest.mark.parametrize("num_friends", [2, 3])
def test_a_few_who_vouch_for_each_other_have_a_share_each_and_not_all(num_friends: int) -> None:
    """Two accounts that ask what nobody else asks escaped the cap of one."""
    honest, friends = NAMES[20:80], NAMES[:num_friends]
    said = [vote(seq, honest[seq % 60], "edit", f"answer {seq}", prompt=f"about thing{seq}?", answer="hm") for seq in range(1, 301)]
    asked = [(number, rater) for number in range(300) for rater in friends]
    said += [
        vote(1000 + seq, who, "edit", f"false {n}", prompt=f"rare item{n} by maker{n}?", answer="hm")
        for seq, (n, who) in enumerate(asked)
    ]  # fmt: skip
    made = curate(said, None, RULES_OF_HOUSE)
    theirs = [lesson for lesson in made.lessons if lesson.vote.principal in friends]
    limit = math.ceil(RULES_OF_HOUSE.max_rater_share * 600)
    assert (len(made.lessons) - len(theirs), made.raters.stuffers) == (300, frozenset())
    assert num_friends * limit <= len(theirs) <= num_friends * (limit + 1)
    assert made.dropped == {"rater_cap": num_friends * (300 - len(theirs))}
    team = curate([one for one in said if one.principal in friends], None, RULES_OF_HOUSE)
    assert len(team.lessons) == 300, "among few, who agrees with another is believed"


def test_one_answer_to_everything_is_capped() -> None:
    flood = [vote(i, NAMES[0], "edit", "buy this", prompt=f"{chr(0x4E00 + 31 * i)}是什么") for i in range(1, 15)]
    made = curate(flood, None, LessonRules(max_same_answer=3))
    assert (len(made.lessons), made.dropped) == (3, {"same_answer": 11})


# attacks


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "none"])
def test_a_fifth_of_bad_raters_cost_little_of_the_lift(attack: str) -> None:
    kept = lift_kept(attack, 0.2, seeds=range(2), world=SMALL)
    assert min(kept) >= 0.8
    assert sum(kept) / len(kept) >= 0.85


def test_the_minority_keeps_its_lessons() -> None:
    stream = make_stream(0, "none", 0.0, SMALL)
    ours, off = (measure(stream, RULES[rule](stream)) for rule in ("ours", "defences_off"))
    assert ours.found_honest <= 0.05 * len(stream.raters)
    assert ours.minority_rows >= 0.5 * off.minority_rows > 0


def test_the_table_names_every_rule_and_ratio() -> None:
    rows = table(["inverted"], (0.05, 0.2), range(1), World(num_questions=60, num_raters=40))
    assert {row["rule"] for row in rows} == set(RULES)
    found = ratios(rows)
    assert found["lift_kept_20pct"] > found["lift_kept_20pct_defences_off"]
    assert found["lift_kept_5pct"] > 0.8
