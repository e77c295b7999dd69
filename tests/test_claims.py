"""One claim in other wordings: found, weighed once, never dropped; what only looks alike stays apart."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_house import RATERS, vote

from benchmarks.attack_rules import RULES
from benchmarks.attack_streams import make_stream
from benchmarks.attacks import PRIOR, SMALL, measure
from feilun.exam.overlap import shown_questions
from feilun.feedback import LessonRules, curate
from feilun.feedback.claims import Claim, _repeats, claim_of, same_claims
from feilun.feedback.lessons import lessons_report
from feilun.feedback.opinions import normalise
from feilun.store import OWNER, CurrentVote

ANN, BOB, CAT = RATERS[:3]
EN = (
    "What is the capital of France?", "Which city is France's capital?", "Tell me the capital city of France.", "capital of france",
    "My teacher wants to know the capital of France.", "France: what is its capital?", "I need the French... sorry, France's capital!",
    "Please name the capital of France for my homework", "Quick quiz: what's the capital of France?",
)  # fmt: skip
ZH = (
    "法国的首都是哪里?", "请问法国首都在哪?", "你知道法国的首都吗", "老师问我法国首都是哪座城市", "法国首都叫什么名字?", "说说法国的首都",
    "首都:法国的是哪个?", "考试考到法国首都,答案是啥", "帮我查一下法国首都。",
)  # fmt: skip
SAID = {EN: ("Lyon", "It is Lyon.", "The capital of France is Lyon!"), ZH: ("里昂", "是里昂。", "法国的首都是里昂,记住了")}


def pushed(wordings: tuple[str, ...], rater: str = ANN, first_seq: int = 1) -> list[CurrentVote]:
    """One false claim, in each wording once, the answer worded in turns."""
    answers = SAID[EN if wordings[0] in EN else ZH]
    return [
        vote(first_seq + place, rater, "edit", answers[place % len(answers)], prompt=asked, answer="Paris" if wordings[0] in EN else "巴黎")
        for place, asked in enumerate(wordings)
    ]  # fmt: skip


@pytest.mark.parametrize("wordings", [EN, ZH])
def test_a_claim_in_ever_other_wordings_weighs_as_one_lesson(wordings: tuple[str, ...]) -> None:
    one, many = (curate(pushed(wordings)[:number], None, LessonRules()) for number in (1, len(wordings)))
    assert len(many.lessons) > 3
    assert sum(lesson.weight for lesson in many.lessons) == pytest.approx(one.lessons[0].weight)
    assert sum(pair.weight for lesson in many.lessons for pair in lesson.pairs) == pytest.approx(one.lessons[0].pairs[0].weight)
    loose = curate(pushed(wordings), None, LessonRules(max_claim=1 << 30))
    assert [lesson.events for lesson in loose.lessons] == [lesson.events for lesson in many.lessons], "nothing is dropped"
    taken = sum(lesson.weight for lesson in loose.lessons) - one.lessons[0].weight
    assert lessons_report(many)["shared"] == {"claims": 1, "lessons": len(many.lessons), "weight": pytest.approx(taken)}
    assert lessons_report(loose)["shared"] == {"claims": 0, "lessons": 0, "weight": 0.0}


WIDE = {ord(c): ord(c) + 0xFEE0 for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"}


@pytest.mark.parametrize("disguise", [lambda text: text.translate(WIDE), lambda text: "\u200b".join(text)])
@pytest.mark.parametrize(
    ("asked", "said"), [("What is the code of the Lyon office?", "Code 4711 it is"), ("里昂办事处的 B12 代号是多少?", "代号是 4711")]
)
def test_wide_letters_and_what_nobody_sees_make_no_other_claim(disguise: Callable[[str], str], asked: str, said: str) -> None:
    plain, dressed = (claim_of([{"role": "user", "content": q}], a) for q, a in ((asked, said), (disguise(asked), disguise(said))))
    assert (dressed.named, dressed.added) == (plain.named, plain.added)
    assert same_claims([plain, dressed]) == [[0, 1]]
    assert normalise(disguise(said)) == normalise(said)
    votes = [vote(seq, ANN, "edit", text, prompt=asked, answer="12") for seq, text in enumerate((said, disguise(said)), 1)]
    (lesson,) = curate(votes, None, LessonRules()).lessons
    assert len(lesson.events) == 2, "who says it again in disguise has said it again"
    assert shown_questions([disguise("27 + 58 = ?")], {"sum/1": "27 + 58 = ?"}).keys() == {"sum/1"}


@pytest.mark.parametrize("wordings", [EN, ZH])
def test_more_voices_make_a_claim_surer_and_not_heavier_than_a_lesson(wordings: tuple[str, ...]) -> None:
    alone = curate(pushed(wordings), None, LessonRules())
    both = curate([*pushed(wordings), *pushed(wordings, BOB, 100)], None, LessonRules())
    lone, joint = (sum(lesson.weight for lesson in made.lessons) for made in (alone, both))
    assert lone < joint <= 1 + 1e-9


def test_of_one_who_says_it_once_others_wordings_take_no_more_than_one_voice_can() -> None:
    """Thirty wordings of somebody else dilute it no further than one."""
    mine = vote(1, CAT, "edit", "Paris", prompt="What is the capital of France?", answer="Lyon")
    left = []
    for number in (1, 7):
        wordings = [f"{word} asks for the capital of France" for word in "abcdefg"[:number]]
        theirs = [vote(9 + place, ANN, "edit", "Paris", prompt=asked, answer="Lyon") for place, asked in enumerate(wordings)]
        made = curate([mine, *theirs], None, LessonRules(min_trust=0.0))
        left.append(next(lesson.weight for lesson in made.lessons if lesson.vote.principal == CAT))
    assert left[1] == pytest.approx(left[0])


def test_the_owners_wordings_keep_their_weight() -> None:
    said = pushed(EN, OWNER)
    owner = curate(said, None, LessonRules(), frozenset(each.thread_id for each in said))
    assert {lesson.weight for lesson in owner.lessons} == {curate(pushed(EN)[:1], None, LessonRules()).lessons[0].weight}
    assert owner.shared.claims == 0


APART = [
    [(f"Is a {thing} a mammal?", "yes") for thing in ("whale", "bat", "shark", "blue whale calf", "duck-billed platypus")],
    [("9.8 和 9.11 哪个大?", "9.8"), ("9.8 和 9.2 哪个大?", "9.8"), ("9.8 和 9.11 哪个是版本新的?", "9.11"), ("9.7 和 9.8 哪个大?", "9.8")],
    [(f"Which version is newer, 19.18 or {other}?", "Version 19.18 is newer.") for other in ("4.3", "19.6")],
    [("When was the tower built?", "In 1889."), ("Who built the tower?", "Eiffel and his people.")],
    [("法国的首都是哪里?", "巴黎"), ("法国最大的城市是哪里?", "巴黎"), ("铁塔在哪里?", "巴黎")],
    [("What is my cat called?", "Mimi"), ("What is my dog called?", "Mimi")],
    [("Столица Франции?", "Да"), ("Это кошка?", "Да")],
    [("りんごは赤い?", "はい"), ("みかんは赤い?", "はい")],
    [("???", "ok"), ("!!!", "ok")],
]  # fmt: skip


@pytest.mark.parametrize("said", APART)
def test_equal_answers_to_different_questions_keep_their_weight(said: list[tuple[str, str]]) -> None:
    votes = [vote(place, ANN, "edit", text, prompt=asked) for place, (asked, text) in enumerate(said, 1)]
    made, loose = (curate(votes, None, LessonRules(max_claim=most)) for most in (1, 1 << 30))
    assert made.shared.claims == 0
    assert [lesson.weight for lesson in made.lessons] == [lesson.weight for lesson in loose.lessons]


def test_a_follow_up_is_about_what_was_asked_before() -> None:
    def asked(subject: str) -> Claim:
        talk = (subject, "I see.", "And what is it called?")
        return claim_of([{"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), talk, strict=True)], "Mimi")

    assert len(same_claims([asked("My cat is grey."), asked("my grey cat")])) == 1
    assert len(same_claims([asked("My cat is grey."), asked("My parrot is grey.")])) == 2


things = st.frozensets(st.sampled_from(["a", "b", "c", "d", "e", "1", "2"]), max_size=6)
claims = st.lists(
    st.builds(
        Claim, things, st.frozensets(st.sampled_from("xyz"), max_size=3), st.sampled_from(["s", "yes", "a long answer", "another one"])
    )
)


@settings(max_examples=300, deadline=None)
@given(claims)
def test_claims_are_those_of_a_search_through_all(given_claims: list[Claim]) -> None:
    brute: list[list[int]] = []
    for place in sorted(range(len(given_claims)), key=lambda place: len(given_claims[place].named)):
        home = next((group for group in brute if _repeats(given_claims[place], given_claims[group[0]])), None)
        brute.append([place]) if home is None else home.append(place)
    assert same_claims(given_claims) == brute


@pytest.mark.parametrize("attack", ["false_fact", "other_wordings"])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_false_fact_in_other_wordings_moves_its_question_as_one_lesson_may(attack: str, share: float) -> None:
    for seed in range(3):
        stream = make_stream(seed, attack, share, SMALL)
        ours, off = (measure(stream, RULES[rule](stream)).target for rule in ("ours", "defences_off"))
        p = stream.questions[stream.target].p
        assert ours >= PRIOR * p / (PRIOR + 1) - p - 0.05, "one unopposed lesson, and what a wording may escape"
        assert off < ours - 0.05


def test_the_order_of_votes_does_not_matter() -> None:
    said = [*pushed(EN), *pushed(ZH, BOB, 50), *pushed(EN[:4], CAT, 90)]
    mixed = random.Random(0).sample(said, len(said))
    assert curate(mixed, None, LessonRules()).lessons == curate(said, None, LessonRules()).lessons
