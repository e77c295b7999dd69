"""Teach: which questions are asked next, how two answers become a choice, when the next lesson is worth it, what erasure takes along."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrix_house import MatrixHouse
from serve_house import TOKENIZER, error_of, open_house, until, wait_for

from feilun.artifacts import read_rows
from feilun.chat import ChatFormat
from feilun.engine.chat import TextChat
from feilun.engine.echo import EchoEngine
from feilun.feedback import LessonRules, build_lessons, curate
from feilun.feedback.teaching import Asking, Speaker, open_questions, prepare_tasks, uncertainty
from feilun.feedback.worth import Learnable, WorthRule, learnable, worth, worth_now
from feilun.store import TEACH, CompletionRecord, FeedbackRequest, InvalidFeedback, NewTask, NotFound, Store
from feilun.turn.forget import forget
from feilun.types import Consent, Decision, is_held_out

NOW, BEFORE = "models/now@1", "models/before@1"
ANN, BOB, CARL = "key:app/ann", "key:app/bob", "key:app/carl"
HELD_OUT = next(f"key:app/{n}" for n in range(99) if is_held_out(f"key:app/{n}"))


@pytest.fixture
def store(tmp_path):
    assert not any(map(is_held_out, (ANN, BOB, CARL)))
    with Store.open(tmp_path) as store:
        yield store


def asked(store: Store, principal: str, *texts: str, consent: Consent = Consent.IMPROVE, name: str = "", thread: str = "") -> str:
    """One question with an answer; the completion's id. Several texts: what was said before it."""
    name = name or f"c-{principal}-{texts[-1]}"
    messages = [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)]
    choice = {"index": 0, "text": "served", "finish_reason": "stop", "num_tokens": 1}
    store.record_completion(
        CompletionRecord(
            id=name, principal=principal, model=NOW, thread_id=thread or name, messages=messages, choices=[choice],
            decision=Decision(engine="native", model=NOW), consent=consent, started=1.0, finished=2.0,
        )
    )  # fmt: skip
    return name


def speaker(model: str, answers: dict[str, list[str]]) -> Speaker:
    """Says `answers[question]` one after the other, the last of them from then on."""

    def say(text: str) -> str:
        waiting = answers.get(text, ["the same"])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return Speaker(model, TextChat(EchoEngine(TOKENIZER, ref=model, answer=say, context_tokens=512), ChatFormat(TOKENIZER)))


def task(source: str, question: str, left: str = "left", right: str = "right") -> NewTask:
    asked = ({"role": "user", "content": question},)
    return NewTask(source=source, consent=Consent.IMPROVE, messages=asked, left=(NOW, left), right=(BEFORE, right))


def judge(store: Store, principal: str, outcome: str) -> str:
    """The next task of Teach, judged; its question."""
    shown = store.desks.assign(TEACH, principal)
    target, value = shown.choice(outcome)
    store.record_feedback(FeedbackRequest(principal=principal, target_id=target, kind="choice", value=value))
    return shown.messages[-1]["content"]


def test_only_questions_of_those_who_may_teach_and_want_to_are_asked_each_once(store):
    asked(store, ANN, "open one", name="c1")
    asked(store, BOB, "Open  one", name="c2")
    asked(store, ANN, "my mail is ann.lee@163.com", name="c3")
    asked(store, ANN, "private", consent=Consent.SERVE, name="c4")
    asked(store, ANN, "private", "served", "and after it?", name="c5", thread="c4")
    asked(store, HELD_OUT, "measures only", name="c6")
    asked(store, ANN, "forgotten", name="c7")
    store.forget_thread(ANN, "c7")
    assert sorted(question.messages[-1]["content"] for question in open_questions(store, TEACH)) == ["Open  one", "my mail is [EMAIL]"]
    assert store.desks.add(TEACH, [task("c1", "open ONE"), task("c7", "forgotten")]) == 1
    assert [question.messages[-1]["content"] for question in open_questions(store, TEACH)] == ["my mail is [EMAIL]"]


def test_what_is_least_sure_and_where_generations_differ_comes_first(store):
    for question in ("sure", "torn", "changed", "both"):
        asked(store, ANN, question)
    now = {"torn": ["a", "b", "b", "c", "c"], "both": ["a", "a", "b", "b", "b"]}
    before = {"changed": ["something else"], "both": ["c"], "torn": ["A."]}
    made = prepare_tasks(store, TEACH, speaker(NOW, now), speaker(BEFORE, before), Asking(num_samples=4, num_tasks=9))
    assert (made.num_open, made.looked, made.added, dict(made.skipped)) == (4, 4, 3, {"all_answers_agree": 1})
    found = {waiting.question: waiting.why for waiting in store.desks.waiting(TEACH)}
    assert list(found) == ["both", "changed", "torn"]
    assert found["both"] == {"uncertainty": 0.5, "generations_differ": 1.0}
    assert found["torn"] == {"uncertainty": 0.6667, "generations_differ": 0.0}
    assert prepare_tasks(store, TEACH, speaker(NOW, now), None, Asking()).added == 0
    shown = {judge(store, "owner", "left") for _ in range(3)}
    assert shown == {"both", "changed", "torn"}
    assert store.desks.assign(TEACH, "owner") is None


def test_one_kind_of_question_does_not_crowd_out_the_others(store):
    for question in ("write an ad for tea", "write an ad for milk", "write an ad for cups", "9.8 or 9.11?"):
        asked(store, ANN, question)
    now = {question: ["a", "b", "c", "d", "e"] for question in ("write an ad for tea", "write an ad for milk", "write an ad for cups")}
    assert (
        prepare_tasks(store, TEACH, speaker(NOW, {**now, "9.8 or 9.11?": ["a", "a", "a", "a", "b"]}), None, Asking(num_tasks=2)).added == 2
    )
    assert {waiting.question[:5] for waiting in store.desks.waiting(TEACH)} == {"write", "9.8 o"}


@given(st.lists(st.sampled_from("abc"), max_size=8))
def test_uncertainty_is_the_chance_that_two_answers_differ(answers):
    pairs = [(a, b) for i, a in enumerate(answers) for j, b in enumerate(answers) if i != j]
    wanted = sum(a != b for a, b in pairs) / len(pairs) if pairs else 0.0
    assert uncertainty(answers) == pytest.approx(wanted)


def test_a_judgement_is_a_choice_like_any_other_and_teaches(store, tmp_path):
    store.desks.add(TEACH, [task(asked(store, ANN, "9.8 or 9.11?"), "9.8 or 9.11?", "9.11", "9.8")])
    shown = store.desks.assign(TEACH, BOB)
    again = store.desks.assign(TEACH, BOB)
    assert (again.id, again.swapped) == (shown.id, shown.swapped), "a task that waits is shown as it was"
    judge(store, BOB, "right")
    (vote,) = store.current_votes()
    assert (vote.principal, vote.answer, vote.model, vote.over[0].text) == (BOB, "9.8", BEFORE, "9.11")
    lessons = build_lessons(store, tmp_path, "l", gold=None)
    (pair,) = read_rows(lessons.path / "pairs.jsonl")
    assert (pair["chosen"], pair["rejected"], pair["events"]) == ("9.8", "9.11", [vote.id])
    assert {talk.principal for talk in store.talks()} == {ANN}, "no corpus is made of copies"
    assert [label.outcome for label in store.desks.labels(TEACH)] == ["right"]


def test_nobody_else_may_speak_of_it_and_only_by_choosing(store):
    store.desks.add(TEACH, [task(asked(store, ANN, "q"), "q")])
    shown = store.desks.assign(TEACH, BOB)
    target, value = shown.choice("left")
    for who in (ANN, "owner", "key:other"):
        with pytest.raises(NotFound):
            store.record_feedback(FeedbackRequest(principal=who, target_id=target, kind="choice", value=value))
        with pytest.raises(NotFound):
            store.desks.task(shown.id, who)
    for kind, said in (("thumb", 1), ("edit", "better"), ("comment", "hm")):
        with pytest.raises(NotFound):
            store.record_feedback(FeedbackRequest(principal=BOB, target_id=target, kind=kind, value=said))
    mine = asked(store, BOB, "q")
    over = {"over": [{"id": mine, "index": 0}], "outcome": "win"}
    with pytest.raises(InvalidFeedback, match="siblings"):
        store.record_feedback(FeedbackRequest(principal=BOB, target_id=target, kind="choice", value=over))


def test_what_was_asked_is_erased_in_every_copy_with_all_that_was_said_of_it(tmp_path):
    with Store.open(tmp_path) as store:
        store.desks.add(TEACH, [task(asked(store, ANN, "the word zqxjannw", name="c1"), "the word zqxjannw", "yes zqxjannw", "no")])
        store.desks.add(TEACH, [task(asked(store, BOB, "bob asks"), "bob asks")])
        assert {judge(store, CARL, "left") for _ in range(2)} == {"the word zqxjannw", "bob asks"}
        made = build_lessons(store, tmp_path, "l", gold=None)
        assert "zqxjannw" in (made.path / "sft.jsonl").read_text()
    gone = forget(tmp_path, ANN)
    assert (gone.num_events, [ref.partition("@")[0] for ref in gone.swept.entombed]) == (1, ["lessons/l"])
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"zqxjannw" in path.read_bytes().lower()] == []
    with Store.open(tmp_path) as store:
        assert [vote.prompt[-1]["content"] for vote in store.current_votes()] == ["bob asks"]
        store.forget_thread(BOB, "c-key:app/bob-bob asks")
        assert store.current_votes() == []
        store.desks.add(TEACH, [task(asked(store, BOB, "again"), "again")])
        store.desks.assign(TEACH, CARL)
        store.forget(CARL)
        assert store.desks.assign(TEACH, CARL) is not None, "of the rater nothing is left, so the question is new"


# --- when it is worth it


@given(
    st.floats(0, 200), st.floats(0, 100), st.floats(0, 1), st.integers(0, 50),
    st.floats(0.01, 0.3), st.floats(0, 30),
)  # fmt: skip
def test_so_many_more_choices_are_enough_and_fewer_are_not(known, new, share, choices, change, weight):
    """With the choices that it takes to come, it is worth it; with one fewer it is not."""
    rule = WorthRule(least_change=change, least_weight=weight)
    found = Learnable(known, new, new * share, choices, new if choices else 0.0, new * share if choices else 0.0)
    told = worth(found, rule)
    assert 0 <= told.change <= 1
    if told.more is None:
        return
    each = (1.5 + found.choice_weight) / (4 + choices)
    against = (0.75 + found.choice_surprise) / (1.5 + found.choice_weight)

    def enough(more: int) -> bool:
        surprising = found.surprising + more * each * against
        total = known + new + more * each
        return surprising >= weight - 1e-6 and surprising >= change * total - 1e-6

    assert enough(told.more)
    assert told.more == 0 or not enough(told.more - 1) or told.more - 1 < 1e-6


def test_repeating_what_the_model_says_is_worth_nothing(store, tmp_path):
    store.set_champion(NOW, "test")
    for n in range(30):
        store.desks.add(TEACH, [task(asked(store, ANN, f"q{n}"), f"q{n}", f"left {n}", f"right {n}")])
    for _ in range(15):
        judge(store, BOB, "left")
    agreed = worth_now(tmp_path, store)
    assert (agreed.change, agreed.is_worth_it) == (0.0, False)
    asked_for = []
    for _ in range(15):
        judge(store, BOB, "right")
        asked_for.append(worth_now(tmp_path, store).more)
    assert worth_now(tmp_path, store).change > 0.3
    assert asked_for == sorted(asked_for, reverse=True), "each choice against the model brings it nearer"
    lessons = curate(store.current_votes(), None, LessonRules()).lessons
    assert learnable(lessons, store.last_seq(), NOW).new == 0, "a turn that saw it all leaves nothing new"


# --- on the page


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house"), kind=MatrixHouse) as house:
        house.script.context_tokens = 512
        wait_for(house, house.promote("before"))
        wait_for(house, house.promote("now"))
        yield house


def test_the_page_asks_what_generations_differ_on_and_names_them_afterwards(house):
    """Echoes begin with the model's own name, so that the two always differ."""
    for question in ("one?", "two?"):
        asked(house.store, ANN, question)
    with house.client(house.owner_headers()) as owner:
        until(lambda: owner.get("/api/teach").json()["task"])
        shown = owner.get("/api/teach").json()["task"]
        assert "before" in str(shown["answers"])
        assert not {"models", "swapped", "gold", "left_id"} & shown.keys()
        key = {"Idempotency-Key": "first"}
        said = owner.post("/api/teach/answers", json={"task": shown["id"], "outcome": "first"}, headers=key).json()
        first = "before" if "before: " in str(shown["answers"][0]) else "now"
        assert said["models"][0].startswith(f"models/{first}@")
        (vote,) = house.store.current_votes()
        assert vote.model == said["models"][0]
        again = owner.post("/api/teach/answers", json={"task": shown["id"], "outcome": "first"}, headers=key).json()
        assert again["status"] == "duplicate"
        worth = owner.get("/api/teach/worth").json()
        assert worth["more"] > 0
        undo = {"task": shown["id"], "outcome": "undo", "supersedes": said["id"], "target": said["target"]}
        assert owner.post("/api/teach/answers", json=undo, headers={"Idempotency-Key": "undo"}).status_code == 200
        assert house.store.current_votes() == []
        assert owner.get("/api/teach").json()["task"]["id"] != shown["id"]


@pytest.mark.parametrize(
    "body",
    [[], {}, {"task": "x"}, {"task": "x", "outcome": "third"}, {"task": "x", "outcome": 1}, {"task": "x", "outcome": "tie", "more": "y"},
     {"task": "x", "outcome": "undo"}, {"task": "x", "outcome": "tie", "supersedes": "y", "target": "z"}],
)  # fmt: skip
def test_a_judgement_that_is_none_is_refused(house, body):
    with house.client(house.owner_headers()) as owner:
        answer = owner.post("/api/teach/answers", json=body, headers={"Idempotency-Key": "k"})
        assert error_of(answer, 422)["code"] == "invalid_feedback"
        unknown = owner.post("/api/teach/answers", json={"task": "x", "outcome": "tie"}, headers={"Idempotency-Key": "k"})
        assert error_of(unknown, 404)["code"] == "not_found"


def test_without_an_earlier_generation_only_the_models_own_doubt_is_asked(store):
    asked(store, ANN, "torn")
    made = prepare_tasks(store, TEACH, speaker(NOW, {"torn": ["a", "b", "b", "c", "c"]}), None, replace(Asking(), num_samples=4))
    assert made.added == 1
    shown = store.desks.assign(TEACH, "owner")
    assert (shown.models, shown.left) == ((NOW, NOW), "a")


def test_the_verb_says_what_is_missing(tmp_path, capsys):
    from feilun.cli import main

    assert main(["--home", str(tmp_path), "teach"]) == 2
    assert "no champion" in capsys.readouterr().err
