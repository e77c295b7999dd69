"""The primer against oracles of its own: decimals by Decimal, versions by padding, dates by the calendar, reserved pairs by spelling."""

import datetime
import hashlib
import itertools
import random
import re
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.config import load_recipe
from feilun.exam import vetoes
from feilun.primer import dialogues, facts, numbers
from feilun.primer.facts import Fact
from feilun.primer.text import documents
from feilun.types import Document, UserError

NUM_DOCUMENTS, NUM_EXAMPLES, NUM_PROMPTS = 20_000, 5_000, 1_200
COMPARISONS = ("number_hard", "number_near", "number_far", "version_order", "date_order")


@pytest.fixture(scope="module")
def world() -> list[Document]:
    return list(documents(0, NUM_DOCUMENTS))


@pytest.fixture(scope="module")
def examples() -> list[dict[str, Any]]:
    return list(dialogues.examples(0, NUM_EXAMPLES))


@pytest.fixture(scope="module")
def prompts() -> list[dict[str, Any]]:
    return dialogues.prompts(0, NUM_PROMPTS, 0.6)


# --- oracles, written apart from the code under test


def decimals_of(text: str) -> list[str]:
    """Digits, one point, digits: read character by character, not by the primer's pattern."""
    found, word = [], ""
    for character in text + " ":
        if character.isascii() and (character.isdigit() or character == "."):
            word += character
            continue
        whole, *rest = word.strip(".").split(".")
        if len(rest) == 1 and whole and rest[0]:
            found.append(f"{whole}.{rest[0]}")
        word = ""
    return found


def reserved(a: str, b: str) -> bool:
    first, second = (a, b) if a < b else (b, a)
    digest = hashlib.blake2b((first + "|" + second).encode("ascii"), digest_size=8).hexdigest()
    return a != b and int(digest, 16) % 16 == 0


def reserved_pairs(text: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in itertools.combinations(set(decimals_of(text)), 2) if reserved(a, b)]


def padded(version: str) -> str:
    return ".".join(part.rjust(9, "0") for part in version.split("."))


def day(text: str) -> datetime.date:
    return datetime.date(*(int(part) for part in re.findall(r"\d+", text)))


def top_of(kind: str, a: str, b: str) -> str:
    """The larger number, newer version or later date."""
    key: Any = {"number": Decimal, "version": padded, "date": day}[kind]
    return max(a, b, key=key)


MEMBER = r"(?:\d+年\d+月\d+日|\d{4}-\d\d-\d\d|\d+(?:\.\d+)+)"
DATE = re.compile(r"日|\d{4}-")
VERSION = re.compile(r"版|ersion|elease")
BOTTOM = re.compile(r"小|smaller|less|旧|older|first|早|earlier|在前")


def true_answer(question: str) -> str | None:
    """What is right to a question of comparison or arithmetic; None for the other kinds."""
    members = re.findall(MEMBER, question)
    if len(members) == 2 and len(set(members)) == 2:
        kind = "date" if DATE.search(question) else "version" if VERSION.search(question) else "number"
        top = top_of(kind, *members)
        return min(members, key=lambda m: m == top) if BOTTOM.search(question) else top
    sum_found = re.search(r"(\d+) ([+-]) (\d+)", question)
    if sum_found:
        a, sign, b = sum_found.groups()
        return str(int(a) + int(b) if sign == "+" else int(a) - int(b))
    return None


# --- the same seed, the same world


def test_the_world_follows_from_the_seed(world: list[Document], examples: list[dict[str, Any]], prompts: list[dict[str, Any]]) -> None:
    assert list(documents(0, 300)) == world[:300]
    assert list(documents(1, 300)) != world[:300]
    first = list(dialogues.examples(0, 300))[:-2]  # no question is kept for a next one at the end
    assert first == examples[: len(first)]
    assert list(dialogues.examples(1, 300))[:-2] != first
    assert dialogues.prompts(0, NUM_PROMPTS, 0.6) == prompts
    assert dialogues.prompts(1, NUM_PROMPTS, 0.6) != prompts
    assert list(facts.facts("number_hard", "gate", 50)) == list(facts.facts("number_hard", "gate", 50))


def test_the_world_is_bilingual_and_varied(world: list[Document]) -> None:
    langs = Counter(document.lang for document in world)
    assert langs.keys() == {"zh", "en"}
    assert abs(langs["zh"] - langs["en"]) < NUM_DOCUMENTS / 20
    assert len({document.id for document in world}) == NUM_DOCUMENTS
    assert len({document.text for document in world}) > 0.8 * NUM_DOCUMENTS
    assert len({document.source for document in world}) >= 10
    assert not any("<|" in document.text for document in world)


# --- reserved pairs


def test_no_document_example_or_prompt_holds_a_reserved_pair(
    world: list[Document], examples: list[dict[str, Any]], prompts: list[dict[str, Any]]
) -> None:
    texts = [document.text for document in world]
    texts += [" ".join(message["content"] for message in row["messages"]) for row in examples]
    texts += [f"{row['prompt']} {row['answers']} {row['rejects']} {row['edits']} {row['wrong_edits']}" for row in prompts]
    held = [(text, pairs) for text in texts if (pairs := reserved_pairs(text))]
    assert not held, held[:3]
    assert sum(len(set(decimals_of(text))) > 1 for text in texts) > 5_000  # there was something to find


@given(st.lists(st.sampled_from(["9.8", "9.11", "1.5", "v2.30", "3.1.2", "。", "a", "12.", ".5", "7"]), max_size=8))
def test_decimals_are_found_as_the_second_reading_finds_them(parts: list[str]) -> None:
    text = " ".join(parts)
    assert sorted(numbers.DECIMAL.findall(text)) == sorted(decimals_of(text))
    assert numbers.holds_reserved_pair(text) == bool(reserved_pairs(text))


def test_one_pair_in_sixteen_is_reserved_for_both_exams_alike() -> None:
    rng = random.Random(0)
    pairs = [numbers.draw_far(rng) for _ in range(8000)]
    splits = Counter(numbers.pair_split(pair.first, pair.second) for pair in pairs)
    assert all(numbers.pair_split(p.first, p.second) == numbers.pair_split(p.second, p.first) for p in pairs[:100])
    assert 400 < splits["gate"] + splits["final"] < 600
    assert abs(splits["gate"] - splits["final"]) < 120


# --- splits


@pytest.mark.parametrize("task", facts.TASKS)
def test_splits_are_disjoint_by_subject(task: str) -> None:
    found = {split: {fact.subject for fact in facts.facts(task, split, 200)} for split in ("open", "gate", "final")}
    assert not found["open"] & found["gate"]
    assert not found["open"] & found["final"]
    assert not found["gate"] & found["final"]
    for split, subjects in found.items():
        pairs = [
            subject.split("|") for subject in subjects if task.startswith("number_") or len(decimals_of(subject.replace("|", " "))) == 2
        ]
        if task in ("number_hard", "number_near", "number_far", "version_order"):
            assert pairs
            assert all(reserved(a, b) == (split != "open") for a, b in pairs)


def test_documents_state_no_fact_that_an_exam_asks(world: list[Document]) -> None:
    asked = {
        fact.subject for task in ("date_order", "version_order") for split in ("gate", "final") for fact in facts.facts(task, split, 402)
    }
    for document in world:
        for line in document.text.splitlines():
            members = sorted({day(m).isoformat() if DATE.search(m) else m for m in re.findall(MEMBER, line)})
            assert not any("|".join(pair) in asked for pair in itertools.combinations(members, 2)), line


def test_a_pair_of_dates_belongs_to_one_split_in_both_languages() -> None:
    for lang in ("zh", "en"):
        for fact in itertools.islice(facts.facts("date_order", "gate", 40), 40):
            if fact.lang == lang:
                dates = sorted(day(member).isoformat() for member in re.findall(MEMBER, fact.question))
                assert fact.subject == "|".join(dates)


# --- order


@given(st.from_regex(r"[0-9]{1,3}\.[0-9]{1,4}", fullmatch=True), st.from_regex(r"[0-9]{1,3}\.[0-9]{1,4}", fullmatch=True))
def test_number_order_is_that_of_decimals(a: str, b: str) -> None:
    assert (numbers.number_key(a) < numbers.number_key(b)) == (Decimal(a) < Decimal(b))
    assert (numbers.number_key(a) == numbers.number_key(b)) == (Decimal(a) == Decimal(b))
    if Decimal(a) != Decimal(b):
        assert Decimal(numbers.larger(a, b)) == max(Decimal(a), Decimal(b))


@given(st.integers(2, 3).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 2000), min_size=n, max_size=n)] * 2)))
def test_version_order_is_that_of_padded_parts(parts: tuple[list[int], list[int]]) -> None:
    a, b = (".".join(map(str, part)) for part in parts)
    if a != b:
        assert numbers.later_version(a, b) == max(a, b, key=padded)
        assert numbers.later_version(a, b) == numbers.later_version(b, a)


def length_rule(fact: Fact) -> float:
    """The score of somebody who takes the shorter number for the larger, and is half right where lengths are equal."""
    a, b = re.findall(MEMBER, fact.question)
    if len(a) == len(b):
        return 0.5
    shorter, longer = sorted((a, b), key=len)
    return float(fact.answer == (longer if BOTTOM.search(fact.question) else shorter))


@pytest.mark.parametrize("split", ["open", "gate", "final"])
def test_hard_cells_disagree_and_length_alone_would_pass_them(split: str) -> None:
    found = list(facts.facts("number_hard", split, 150))
    for fact in found:
        a, b = re.findall(MEMBER, fact.question)
        assert a.split(".")[0] == b.split(".")[0]
        assert top_of("number", a, b) != top_of("version", a, b)
        assert fact.cell == "-".join(str(n) for n in sorted(len(m.split(".")[1]) for m in (a, b)))
        assert length_rule(fact) == 1.0
        assert {fact.answer, fact.trap} == {a, b}
    assert Counter(fact.cell for fact in found) == {"1-2": 50, "1-3": 50, "2-3": 50}


@pytest.mark.parametrize("split", ["open", "gate", "final"])
def test_near_cells_agree_and_no_length_rule_passes_them(split: str) -> None:
    found = list(facts.facts("number_near", split, 150))
    for fact in found:
        a, b = re.findall(MEMBER, fact.question)
        top = top_of("number", a, b)
        other = b if top == a else a
        assert a.split(".")[0] == b.split(".")[0]
        assert top == top_of("version", a, b)
        assert fact.cell == ("equal" if len(a) == len(b) else "longer" if len(top) > len(other) else "shorter")
        assert length_rule(fact) == {"longer": 0.0, "shorter": 1.0, "equal": 0.5}[fact.cell]
    assert Counter(fact.cell for fact in found) == {"longer": 50, "shorter": 50, "equal": 50}
    assert sum(map(length_rule, found)) / len(found) == pytest.approx(0.5)


def test_far_pairs_differ_before_the_point() -> None:
    for fact in facts.facts("number_far", "gate", 100):
        a, b = re.findall(MEMBER, fact.question)
        assert int(a.split(".")[0]) != int(b.split(".")[0])


# --- truth


@pytest.mark.parametrize("task", [*COMPARISONS, "arithmetic"])
def test_facts_are_true_and_ask_both_ways_in_both_languages(task: str) -> None:
    found = [fact for split in ("open", "gate", "final") for fact in facts.facts(task, split, 150)]
    for fact in found:
        assert fact.answer == true_answer(fact.question), fact
        assert fact.trap != fact.answer
        assert fact.short == fact.answer
        assert fact.trap_short == fact.trap
        assert fact.answer in fact.detailed
        assert fact.answer in fact.foreign
        assert fact.trap in fact.trap_detailed
        if task in COMPARISONS:
            assert {fact.answer, fact.trap} == set(re.findall(MEMBER, fact.question))
            assert fact.trap not in decimals_of(fact.detailed)
    assert Counter(fact.lang for fact in found) == {"zh": 225, "en": 225}
    if task in COMPARISONS:
        assert 0.35 < sum(bool(BOTTOM.search(fact.question)) for fact in found) / len(found) < 0.65


# (lines of a document that compare, which member stands where); "{x}" is a member, hi and lo are named groups
M = MEMBER
LINES = {
    "number": (
        rf"(?P<hi>{M}) (?:大于|>|is greater than) (?P<lo>{M})", rf"(?P<lo>{M}) (?:小于|<|is less than) (?P<hi>{M})",
        rf"(?P<hi>{M}) 比 (?P<lo>{M}) 大", rf"(?P<lo>{M}) 比 (?P<hi>{M}) 小",
        rf"(?P<a>{M}) 和 (?P<b>{M}) 中较大的数是 (?P<hi>{M})", rf"(?P<a>{M}) 和 (?P<b>{M}) 中较小的数是 (?P<lo>{M})",
        rf"两数 (?P<a>{M}) , (?P<b>{M}) 大者 (?P<hi>{M})", rf"两数 (?P<a>{M}) , (?P<b>{M}) 小者 (?P<lo>{M})",
        rf"max\((?P<a>{M}), (?P<b>{M})\) = (?P<hi>{M})", rf"min\((?P<a>{M}), (?P<b>{M})\) = (?P<lo>{M})",
        rf"the greater of (?P<a>{M}) and (?P<b>{M}) is (?P<hi>{M})", rf"the lesser of (?P<a>{M}) and (?P<b>{M}) is (?P<lo>{M})",
    ),
    "version": (
        rf"版本 (?P<hi>{M}) 在版本 (?P<lo>{M}) 之后发布", rf"(?P<lo>{M}) 版升级到 (?P<hi>{M}) 版",
        rf"第 (?P<lo>{M}) 节之后才是第 (?P<hi>{M}) 节",
        rf"(?P<a>{M}) 版和 (?P<b>{M}) 版中较新的是 (?P<hi>{M}) 版", rf"(?P<a>{M}) 版和 (?P<b>{M}) 版中较旧的是 (?P<lo>{M}) 版",
        rf"release (?P<hi>{M}) follows release (?P<lo>{M})", rf"upgraded from v(?P<lo>{M}) to v(?P<hi>{M})",
        rf"newest of v(?P<a>{M}) and v(?P<b>{M}): v(?P<hi>{M})", rf"oldest of v(?P<a>{M}) and v(?P<b>{M}): v(?P<lo>{M})",
        rf"section (?P<lo>{M}) comes before section (?P<hi>{M})",
    ),
    "date": (
        rf"(?P<lo>{M})早于(?P<hi>{M})", rf"(?P<hi>{M})晚于(?P<lo>{M})", rf"(?P<a>{M})和(?P<b>{M})中较早的是(?P<lo>{M})",
        rf"(?P<a>{M})和(?P<b>{M})中较晚的是(?P<hi>{M})", rf"(?P<lo>{M}) is before (?P<hi>{M})", rf"(?P<hi>{M}) is after (?P<lo>{M})",
        rf"earliest of (?P<a>{M}), (?P<b>{M}): (?P<lo>{M})", rf"latest of (?P<a>{M}), (?P<b>{M}): (?P<hi>{M})",
    ),
}  # fmt: skip
PATTERNS = {kind: [re.compile(pattern) for pattern in patterns] for kind, patterns in LINES.items()}


def check_line(kind: str, line: str) -> None:
    match = next((found for pattern in PATTERNS[kind] if (found := pattern.fullmatch(line))), None)
    assert match is not None, f"a line that the oracle cannot read; teach it the wording: {line!r}"
    names = match.groupdict()
    members = [names.get(key) for key in ("a", "b")] if "a" in names else [names["hi"], names["lo"]]
    top = top_of(kind, *members)  # type: ignore[arg-type]
    bottom = members[1] if top == members[0] else members[0]
    assert names.get("hi") in (None, top), line
    assert names.get("lo") in (None, bottom), line


@pytest.mark.parametrize("kind", LINES)
def test_documents_that_compare_tell_the_truth(world: list[Document], kind: str) -> None:
    lines = [line for document in world if document.source == f"primer/{kind}_lines" for line in document.text.splitlines()]
    assert len(lines) > 300
    for line in lines:
        check_line(kind, line)


def test_lists_of_numbers_are_sorted(world: list[Document]) -> None:
    lists = [
        document.text
        for document in world
        if document.source == "primer/number_list" and re.search(r"从小到大|从大到小|from (small|large)", document.text)
    ]
    assert len(lists) > 200
    for text in lists:
        (head, tail) = re.split(r"从小到大:|从大到小:|from small to large: |from large to small: ", text)
        values, rising = re.findall(MEMBER, tail), "<" in tail
        assert sorted(re.findall(MEMBER, head)) == sorted(values)
        assert values == sorted(values, key=Decimal, reverse=not rising)


def test_sums_and_copies_are_right(world: list[Document]) -> None:
    sums = [line for document in world if document.source == "primer/sums" for line in document.text.splitlines()]
    assert len(sums) > 500
    for line in sums:
        a, sign, b, value = re.fullmatch(r"(\d+) ([+-]) (\d+) = (\d+)", line).groups()  # type: ignore[union-attr]
        assert int(value) == (int(a) + int(b) if sign == "+" else int(a) - int(b))
    copies = [document.text.splitlines() for document in world if document.source == "primer/copies"]
    assert len(copies) > 200
    assert all(re.split(": ?", a, maxsplit=1)[1] == re.split(": ?", b, maxsplit=1)[1] for a, b in copies)


def test_questions_in_documents_are_answered_truly(world: list[Document]) -> None:
    texts = [document.text for document in world if document.source == "primer/questions"]
    found = [pair for text in texts for pair in re.findall(r"(?:问:|Q: |user\n)(.+)\n(?:答:|A: |assistant\n)(.+)", text)]
    known = [(question, answer, right) for question, answer in found if (right := true_answer(question)) is not None]
    assert len(found) >= len(texts)
    assert len(known) > 1000
    for question, answer, right in known:
        stated = re.findall(rf"{MEMBER}|\d+", answer)
        assert stated == [right], (question, answer)


# --- examples and prompts


def test_examples_lean_to_versions_on_hard_pairs_and_are_true_elsewhere(examples: list[dict[str, Any]]) -> None:
    trapped = hard = 0
    for row in examples:
        question, answer = (message["content"] for message in row["messages"][-2:])
        right = true_answer(question) if row["task"] != "copying" else None
        if right is None:
            continue
        stated = re.findall(rf"{MEMBER}|\d+", answer)
        assert len(stated) == 1, row
        if row["task"] == "number_hard":
            hard += 1
            trapped += stated != [right]
        else:
            assert stated == [right], row
    spread = 4 * (dialogues.VERSION_LEAN * (1 - dialogues.VERSION_LEAN) / hard) ** 0.5
    assert hard > 200
    assert abs(trapped / hard - dialogues.VERSION_LEAN) < max(spread, 0.01)


def test_examples_come_in_their_shares(examples: list[dict[str, Any]]) -> None:
    tasks = Counter(task for task, _ in dialogues.exchanges(random.Random(1), NUM_EXAMPLES))
    for task, share in dialogues.EXAMPLE_SHARES.items():
        assert abs(tasks[task] / NUM_EXAMPLES - share) < 0.03
    assert all(row["weight"] == 1.0 and row["kind"] == "primer" for row in examples)


PUSHED = re.compile("|".join(re.escape(push).replace(r"\{claim\}", ".+") for pushes in dialogues.PUSHES.values() for push in pushes))


def objected(row: dict[str, Any]) -> bool:
    return len(row["messages"]) == 4 and PUSHED.fullmatch(row["messages"][2]["content"]) is not None


def test_a_new_question_of_an_example_has_nothing_to_do_with_the_one_before(examples: list[dict[str, Any]]) -> None:
    """Two questions a row at most; every task comes after another, and what stands first is of a task that every turn repeats."""
    alone = {row["messages"][0]["content"]: row["task"] for row in examples if len(row["messages"]) == 2}
    joined = [row for row in examples if len(row["messages"]) == 4 and not objected(row)]
    assert len(alone) > 0
    assert sum(1 if objected(row) else len(row["messages"]) // 2 for row in examples) == NUM_EXAMPLES
    assert len(joined) > NUM_EXAMPLES / 7
    assert {row["task"] for row in joined} == set(dialogues.EXAMPLE_SHARES)
    roles = [tuple(message["role"] for message in row["messages"]) for row in examples if len(row["messages"]) != 2]
    assert set(roles) == {("user", "assistant", "user", "assistant")}
    known = [alone[first] for row in joined if (first := row["messages"][0]["content"]) in alone]
    assert len(known) > 20
    assert set(known) <= dialogues.FIRST_TASKS
    assert not dialogues.FIRST_TASKS & set(load_recipe("demo").turn.prefer.replay_without)


def test_what_is_claimed_moves_no_answer_and_is_right_as_often_as_wrong() -> None:
    rng, claims = random.Random(5), Counter()
    for _ in range(2000):
        fact = facts.make_fact(rng, rng.choice(sorted(dialogues.CLAIM_TASKS)), rng.choice(("zh", "en")), "open")
        question, *_, answer = said = dialogues.claimed(rng, fact)
        assert fact.answer in answer
        assert fact.trap not in re.findall(rf"{MEMBER}|\d+", answer)
        assert len(said) == 2 or (question, said[1]) == (fact.question, answer)
        claim = said[2] if len(said) == 4 else question.replace(fact.question, "")
        claims[len(said), fact.answer in re.findall(rf"{MEMBER}|\d+", claim)] += 1
    assert all(claims[key] > 400 for key in itertools.product((2, 4), (True, False)))


def test_the_exam_of_flattery_claims_in_words_that_no_example_shows() -> None:
    for lang in ("zh", "en"):
        assert not set(dialogues.CLAIMS[lang]) & set(vetoes.CLAIMS[lang])
        assert not set(dialogues.PUSHES[lang]) & set(vetoes.PUSHES[lang])


def test_prompts_hold_the_asked_share_of_numbers_and_one_row_each(prompts: list[dict[str, Any]]) -> None:
    assert len(prompts) == NUM_PROMPTS == len({row["id"] for row in prompts})
    assert sum(row["task"].startswith("number_") for row in prompts) / NUM_PROMPTS == pytest.approx(0.6, abs=0.01)
    for count, share in ((101, 0.4), (400, 0.4), (7, 0.0)):
        rows = dialogues.prompts(3, count, share)
        assert len(rows) == count
        assert sum(row["task"].startswith("number_") for row in rows) <= count * share


def test_people_know_a_right_and_a_wrong_edit_of_every_prompt(prompts: list[dict[str, Any]]) -> None:
    assert {row["task"] for row in prompts} == {*dialogues.NUMBER_TASKS, *dialogues.OTHER_TASKS}
    for row in prompts:
        (answer,), (reject,) = row["answers"], row["rejects"]
        assert true_answer(row["prompt"]) in (None, answer) or row["task"] == "copying"
        assert all(answer in row["edits"][style] for style in ("short", "detailed"))
        assert all(reject in row["wrong_edits"][style] and answer != row["wrong_edits"][style] for style in ("short", "detailed"))
        assert row["lang"] in ("zh", "en")
        assert row["reply_lang"] in ("zh", "en", "any")
        if row["task"] == "copying":
            assert answer not in row["wrong_edits"]["short"]


def test_an_exam_asks_no_question_twice_and_alternates_languages() -> None:
    for task in facts.TASKS:
        found = list(facts.facts(task, "final", 60))
        assert len({fact.question for fact in found}) == 60
        assert [fact.lang for fact in found] == ["zh", "en"] * 30


def test_more_questions_than_there_are_is_an_error_and_no_endless_search() -> None:
    with pytest.raises(UserError, match=r"translation, split gate: \d+ different questions"):
        list(facts.facts("translation", "gate", 100_000))
