"""Trust, lessons, and the promise that no rule about numbers hides in feedback or turn."""

import ast
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_house import HELD_OUT, RATERS, vote

from feilun.feedback import (
    LessonRules,
    RaterTrust,
    curate,
    may_teach,
    opinions,
    rater_hash,
    rater_trust,
)
from feilun.feedback.lessons import pair_rows, sft_rows
from feilun.feedback.opinions import contains_answer, hear
from feilun.store import CurrentVote, Sibling
from feilun.types import Consent, is_held_out

ROOT = Path(__file__).resolve().parent.parent
ANN, BOB, CAT, DAN = RATERS[:4]
LOOSE = LessonRules()


def choice(seq: int, rater: str, winner: str, loser: str, outcome: str = "win") -> CurrentVote:
    value = {"over": [{"id": "x", "index": 0}], "outcome": outcome}
    return vote(seq, rater, "choice", value, answer=winner, over=(Sibling(id="x", index=0, text=loser, model="m"),))


def texts(votes: Iterable[CurrentVote], rules: LessonRules = LOOSE) -> list[str | None]:
    return [lesson.text for lesson in curate(votes, None, rules).lessons]


# trust


def known_raters(votes: Iterable[CurrentVote], gold: Any = None) -> dict[str, RaterTrust]:
    return rater_trust(hear(votes), gold)


def crowd(seed: int, *, num_prompts: int = 300, gold_share: float = 0.4, noise: float = 0.05) -> tuple[list[CurrentVote], dict[str, Any]]:
    """60 raters x 10 events, the first 6 hostile; about `gold_share` of the questions have a known answer."""
    rng = random.Random(seed)
    gold = {f"q{k}?": (f"right{k}",) for k in range(int(num_prompts * gold_share))}
    votes = []
    for seq in range(600):
        rater, k = seq % 60, rng.randrange(num_prompts)
        is_right, lies = rng.random() < 0.7, (seq % 60 < 6) != (rng.random() < noise)
        kind, value = "thumb", 1 if is_right != lies else -1
        if value < 0 and rng.random() < 0.6:
            kind, value = "edit", f"wrong{k}" if lies else f"right{k}"  # type: ignore[assignment]
        answer = f"right{k}" if is_right else f"wrong{k}"
        votes.append(vote(seq + 1, RATERS[rater], kind, value, prompt=f"q{k}?", answer=answer))
    return votes, gold


@pytest.mark.parametrize("seed", range(5))
def test_hostile_raters_are_found_and_honest_ones_kept(seed: int) -> None:
    votes, gold = crowd(seed)
    weights = {rater: known.weight for rater, known in known_raters(votes, gold).items()}
    hostile, honest = [weights[r] for r in RATERS[:6]], [weights[r] for r in RATERS[6:60]]
    assert sum(weight < 0.5 for weight in hostile) >= 5
    assert sum(weight >= 0.5 for weight in honest) >= 0.95 * len(honest)


def test_raters_are_found_by_their_peers_alone() -> None:
    votes, _ = crowd(0, num_prompts=30, gold_share=0.0)
    weights = {rater: known.weight for rater, known in known_raters(votes).items()}
    assert sum(weights[r] < 0.5 for r in RATERS[:6]) >= 5
    assert sum(weights[r] >= 0.5 for r in RATERS[6:60]) >= 51


def test_a_rater_who_praises_everything_is_not_trusted() -> None:
    gold = {f"q{k}?": (f"right{k}",) for k in range(12)}
    votes = [vote(k + 1, ANN, "thumb", 1, prompt=f"q{k}?", answer=f"right{k}" if k < 9 else f"wrong{k}") for k in range(12)]
    assert known_raters(votes[:9], gold)[ANN].weight > 0.9
    assert known_raters(votes, gold)[ANN].weight < 0.5


def test_a_new_rater_is_heard_and_evidence_adds_weight() -> None:
    gold = {f"q{k}?": ("yes",) for k in range(9)}
    grown = [
        known_raters([vote(k + 1, ANN, "edit", "yes", prompt=f"q{k}?") for k in range(n)] or [vote(1, ANN, "thumb", 1)], gold)[ANN].weight
        for n in range(9)
    ]
    assert 0.5 < grown[0] < 1
    assert grown == sorted(grown)
    assert len(set(grown)) == len(grown)


def test_a_matter_of_taste_is_no_evidence() -> None:
    gold = {"which?": ("red",)}
    about_taste = known_raters([vote(1, ANN, "thumb", -1, reason=("too_long",))], gold)[ANN]
    about_truth = known_raters([vote(1, ANN, "thumb", -1, reason=("too_long", "wrong"))], gold)[ANN]
    assert (about_taste.disagree, about_truth.disagree) == (0, 1)


def test_saying_it_often_is_no_evidence_and_nobody_vouches_for_themselves() -> None:
    gold = {"which?": ("red",)}
    assert known_raters([vote(i, ANN, "thumb", 1) for i in range(1, 9)], gold)[ANN].agree == 1
    assert known_raters([vote(i, ANN, "thumb", 1) for i in range(1, 9)])[ANN].agree == 0


def test_trust_does_not_depend_on_the_order_votes_are_given_in() -> None:
    votes, gold = crowd(1)
    shuffled = random.Random(0).sample(votes, len(votes))
    assert known_raters(votes, gold) == known_raters(shuffled, gold)


@pytest.mark.parametrize(
    ("text", "accepted", "stands"),
    [
        ("It is 9.8.", "9.8", True), ("19.8", "9.8", False), ("9.81", "9.8", False), ("9.8.1", "9.8", False), ("-9.8", "9.8", False),
        ("大的是9.8,对吧", "9.8", True), ("Apple!", "apple", True), ("pineapple", "apple", False), ("红苹果", "苹果", True),
        ("１２", "12", True), ("red", "", False), ("不是。", "是", False), ("是的,不是吗", "是", True), ("当然不一样", "一样", False),
        ("答案是二十", "十", False), ("三十个", "三", False), ("第三个", "三", True), ("没有", "有", False), ("都一样", "一样", True),
    ],
)  # fmt: skip
def test_an_accepted_answer_stands_as_a_whole_token(text: str, accepted: str, stands: bool) -> None:
    assert contains_answer(text, [accepted]) == stands


def test_an_answer_that_comes_again_is_not_searched_again() -> None:
    for _ in range(2):
        searched = opinions._stands_in.cache_info().misses
        assert all(contains_answer(f"it is colour {number}", [f"colour {number}"]) for number in range(1000))
    assert opinions._stands_in.cache_info().misses == searched


# lessons


def test_what_each_kind_teaches() -> None:
    votes = [
        vote(1, ANN, "edit", "blue", prompt="a"),
        vote(2, ANN, "thumb", 1, prompt="b"),
        vote(3, ANN, "thumb", -1, prompt="c"),
        choice(4, ANN, "green", "grey")._replace(prompt=({"role": "user", "content": "d"},)),
        choice(5, ANN, "green", "grey", "tie")._replace(prompt=({"role": "user", "content": "e"},)),
        vote(6, ANN, "comment", "well"),
        vote(7, ANN, "implicit", {"name": "copy", "n": 1}),
        vote(8, ANN, "report", "bad", prompt="f"),
    ]
    made = curate(votes, None, LOOSE)
    rows, pairs = sft_rows(made.lessons), pair_rows(made.lessons)
    trust = made.raters.trust[ANN].weight
    assert [(r["kind"], r["messages"][-1]["content"], r["weight"]) for r in rows] == [
        ("edit", "blue", trust), ("thumb", "red", trust / 2), ("choice", "green", trust / 2),
    ]  # fmt: skip
    assert [(p["chosen"], p["rejected"], p["weight"]) for p in pairs] == [("blue", "red", trust), ("green", "grey", trust)]
    assert dict(made.signals) == {"thumb_down": 1, "tie": 1, "comment": 1, "implicit": 1, "report": 1}
    assert rows[0]["rater"] == rater_hash(ANN)
    assert ANN not in json.dumps([rows, pairs])


def test_trusted_raters_outvote() -> None:
    up = [vote(1, ANN, "thumb", 1)]
    downs = [vote(2, BOB, "thumb", -1), vote(3, CAT, "thumb", -1)]
    assert texts(up) == ["red"]
    assert texts(up + downs) == []
    assert curate(up + downs[:1], None, LOOSE).dropped == {"conflict": 1}
    assert curate(up + downs, None, LessonRules(min_trust=0.0)).dropped == {"outvoted": 1}


def test_the_edit_of_the_many_wins() -> None:
    edits = [vote(1, ANN, "edit", "blue"), vote(2, BOB, "edit", "Blue."), vote(3, CAT, "edit", "a rather long grey answer")]
    made = curate(edits, None, LOOSE)
    assert [(lesson.text, lesson.events) for lesson in made.lessons] == [("Blue.", ("e1", "e2"))]
    assert made.dropped == {"outvoted": 1}
    assert curate([edits[0], edits[2]], None, LOOSE).dropped == {"conflict": 2}


def test_an_edit_speaks_against_the_thumb_of_another() -> None:
    votes = [vote(1, ANN, "thumb", 1), vote(2, BOB, "edit", "blue"), vote(3, CAT, "edit", "blue")]
    assert texts(votes, LessonRules(min_trust=0.0)) == ["blue"]


def test_the_last_word_of_a_rater_counts() -> None:
    votes = [vote(1, ANN, "edit", "blue"), vote(2, ANN, "edit", "green"), vote(3, ANN, "thumb", 1, prompt="b")]
    made = curate([*votes, vote(4, ANN, "thumb", -1, prompt="b")], None, LOOSE)
    assert [lesson.text for lesson in made.lessons] == ["green"]
    assert made.dropped == {"revised": 2}


def test_opposite_choices_are_weighed() -> None:
    made = curate([choice(1, ANN, "red", "blue"), choice(2, BOB, "red", "blue"), choice(3, CAT, "blue", "red")], None, LOOSE)
    assert [(lesson.text, lesson.events) for lesson in made.lessons] == [("red", ("e1", "e2"))]
    assert made.dropped == {"outvoted": 1}


def test_repeats_of_one_rater_collapse_and_keep_their_events() -> None:
    made = curate([vote(1, ANN, "edit", "blue"), vote(2, ANN, "edit", " BLUE."), vote(3, ANN, "thumb", 1, answer="blue")], None, LOOSE)
    (lesson,) = made.lessons
    assert (lesson.vote.kind, lesson.events) == ("edit", ("e1", "e2", "e3"))
    assert made.dropped == {"repeated": 2}


def test_no_rater_but_the_owner_floods() -> None:
    flood = [vote(i, ANN, "edit", f"answer {i}", prompt=f"q{i}") for i in range(100)]
    rules = LessonRules(max_rater_share=0.1, min_rater_cap=5)
    made = curate(flood, None, rules)
    assert (len(made.lessons), made.dropped) == (10, {"rater_cap": 90})
    owner = [v._replace(principal="owner") for v in flood]
    assert len(curate(owner, None, rules, frozenset(v.thread_id for v in owner)).lessons) == 100


def test_the_owner_is_held_out_by_thread_unless_edited() -> None:
    out = next(f"t{i}" for i in range(100) if is_held_out(f"t{i}"))
    said = vote(1, "owner", "thumb", 1, thread_id=out)
    assert not may_teach(said, frozenset())
    assert may_teach(said, frozenset({out}))
    assert may_teach(said._replace(thread_id=next(f"t{i}" for i in range(100) if not is_held_out(f"t{i}"))), frozenset())


TALK = st.lists(
    st.tuples(
        st.sampled_from(RATERS[:4]), st.sampled_from(["thumb", "edit"]), st.sampled_from(["red", "blue", "9.8"]), st.sampled_from("ab")
    ),
    max_size=12,
)  # fmt: skip


def told(said: Iterable[tuple[str, str, str, str]], **more: Any) -> list[CurrentVote]:
    return [
        vote(10 * i, rater, kind, text if kind == "edit" else 1 if text == "red" else -1, prompt=prompt, **more)
        for i, (rater, kind, text, prompt) in enumerate(said, 1)
    ]


@settings(max_examples=80, deadline=None)
@given(said=TALK, others=TALK, consent=st.booleans())
def test_held_out_and_unwilling_people_change_nothing(said: Any, others: Any, consent: bool) -> None:
    """Not a row, not a weight, not the trust of anybody else."""
    clean = told(said)
    if consent:
        strangers = told([(RATERS[50 + RATERS.index(r)], *rest) for r, *rest in others], consent=Consent.SERVE)
    else:
        strangers = told([(HELD_OUT[RATERS.index(r)], *rest) for r, *rest in others])
    strangers = [v._replace(seq=v.seq + 5, id=f"x{v.seq}") for v in strangers]
    gold = {"a": ("red",)}
    alone, among = curate(clean, gold, LOOSE), curate([*clean, *strangers], gold, LOOSE)
    assert sft_rows(alone.lessons) == sft_rows(among.lessons)
    assert pair_rows(alone.lessons) == pair_rows(among.lessons)
    assert alone.raters.trust == among.raters.trust
    assert sum(among.dropped.values()) == sum(alone.dropped.values()) + len(strangers)


@settings(max_examples=80, deadline=None)
@given(said=TALK)
def test_every_vote_is_accounted_for(said: Any) -> None:
    votes = told(said)
    made = curate(votes, None, LOOSE)
    assert sum((made.used + made.dropped + made.signals).values()) == len(votes)
    assert sum(made.used.values()) == sum(len(lesson.votes) for lesson in made.lessons)
    assert sorted(lesson.weight for lesson in made.lessons) == sorted(min(1.0, max(0.0, lesson.weight)) for lesson in made.lessons)


# no scorer of number order in feedback or turn

CONVERSIONS = {"float", "int", "complex", "Decimal", "Fraction", "eval", "exec", "literal_eval", "parse_version", "Version"}
NUMBER_MODULES = {"decimal", "fractions", "packaging", "ast", "locale", "numpy"}
SCORER_WORDS = ("score", "scorer", "primer", "number", "is_right", "judge", "compare")
ANSWER_WORDS = {
    "text", "answer", "answers", "accepted", "reply", "content", "chosen", "rejected", "prompt", "question", "message", "messages",
    "match", "group", "groups", "findall", "split", "token", "gold", "edit",
}  # fmt: skip


def number_rules(source: str, *, strict: bool) -> list[str]:
    """Where `source` could judge numbers: strict forbids every conversion, else only those of what people or models wrote."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += _bad_imports(node)
        elif isinstance(node, ast.Call) and (name := _last_name(node.func)) in CONVERSIONS:
            words = {_last_name(inner) for argument in node.args for inner in ast.walk(argument)} | {
                inner.value for argument in node.args for inner in ast.walk(argument) if isinstance(inner, ast.Constant)
            }
            if strict or name not in ("float", "int") or words & ANSWER_WORDS:
                found.append(f"line {node.lineno}: {name}(...)")
        elif isinstance(node, ast.Call | ast.keyword) and any(
            isinstance(inner, ast.Name) and inner.id in CONVERSIONS for inner in _passed_on(node)
        ):
            found.append(f"line {getattr(node, 'lineno', 0)}: a conversion handed to another function")
    return found


def _passed_on(node: ast.Call | ast.keyword) -> list[ast.expr]:
    return [node.value] if isinstance(node, ast.keyword) else [*node.args]


def _bad_imports(node: ast.Import | ast.ImportFrom) -> list[str]:
    module = getattr(node, "module", None) or ""
    names = [f"{module}.{alias.name}".strip(".") for alias in node.names]
    return [
        f"line {node.lineno}: import of {name}"
        for name in names
        if name.split(".")[0] in NUMBER_MODULES
        or name.startswith("feilun.primer")
        or (name.startswith("feilun.exam") and any(word in name.removeprefix("feilun.exam").lower() for word in SCORER_WORDS[:-1]))
        or name.startswith(("feilun.population", "feilun.knowledge"))
    ]


def _last_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@pytest.mark.parametrize("room", ["feedback", "turn"])
def test_no_scorer_of_number_order(room: str) -> None:
    files = sorted((ROOT / "feilun" / room).rglob("*.py"))
    assert files
    found = {f.name: number_rules(f.read_text(encoding="utf-8"), strict=room == "feedback") for f in files}
    assert {name: faults for name, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    "planted",
    [
        "ok = float(vote.answer) > float(vote.value)", "from decimal import Decimal\nbig = max(map(Decimal, found))",
        "larger = max(numbers, key=float)", "from feilun.primer.numbers import larger", "from feilun.exam.tasks import score",
        "import packaging.version", "x = int(match.group(1))", "x = float(row['content'])", "import numpy as np",
    ],
)  # fmt: skip
def test_a_planted_scorer_is_found(planted: str) -> None:
    assert number_rules(planted, strict=False)


def mirrored(text: str) -> str:
    """Every digit d as 9 - d: the order of any two numbers of equal length turns round, nothing else changes."""
    return text.translate(str.maketrans("0123456789", "9876543210"))


def test_trust_and_lessons_do_not_see_the_order_of_numbers() -> None:
    """Turn every number of a whole history round: weights, rows and drops are the same, so none of them depends on which is larger."""
    rng = random.Random(3)
    votes = []
    for seq in range(1, 400):
        a, b = f"{rng.randrange(10)}.{rng.randrange(10)}", f"{rng.randrange(10)}.{rng.randrange(10, 100)}"
        rater, kind = rng.choice(RATERS[:12]), rng.choice(["thumb", "edit"])
        value = rng.choice([1, -1]) if kind == "thumb" else rng.choice([a, b, f"{a} > {b}"])
        votes.append(vote(seq, rater, kind, value, prompt=f"{a} or {b} ({rng.randrange(4)})?", answer=rng.choice([a, b])))
    gold = {v.prompt[0]["content"]: (v.answer,) for v in votes[:120]}
    turned = [
        v._replace(
            answer=mirrored(v.answer), value=mirrored(v.value) if isinstance(v.value, str) else v.value,
            prompt=tuple({**m, "content": mirrored(m["content"])} for m in v.prompt),
        )
        for v in votes
    ]  # fmt: skip
    here = curate(votes, gold, LOOSE)
    there = curate(turned, {mirrored(q): tuple(map(mirrored, a)) for q, a in gold.items()}, LOOSE)
    assert here.lessons
    assert here.raters.trust == there.raters.trust
    assert here.dropped == there.dropped
    assert [(x.events, x.weight, mirrored(x.text)) for x in here.lessons] == [(x.events, x.weight, x.text) for x in there.lessons]
