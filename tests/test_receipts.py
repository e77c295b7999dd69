"""G0 and the chain of receipts: what was changed afterwards is found; what people did not allow is not taught."""

import dataclasses
import json
import sqlite3

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.artifacts import draft, write_json, write_rows
from feilun.cli import main
from feilun.config import ExamSettings, PreferSettings, TurnSettings
from feilun.exam.overlap import NEAR, is_near, numbers_in, runs_of, shown_questions
from feilun.exam.questions import asked_questions, questions_maker
from feilun.feedback import rater_hash
from feilun.store import CompletionRecord, FeedbackRequest, Store, migrations, receipt_hash, schema
from feilun.turn.checks import check_lessons, kept_questions
from feilun.turn.receipts import leave, receipt_faults
from feilun.types import Consent, Decision, is_held_out

SETTINGS = TurnSettings(prefer=PreferSettings(replay="r"), exam=ExamSettings(num_samples=20), exam_tasks=("copying", "arithmetic"))


@pytest.fixture
def home(tmp_path):
    """Two turns with all their receipts."""
    with draft(tmp_path, "lessons", "some") as work:
        write_json(work.path / "report.json", {})
    with Store.open(tmp_path) as store:
        for number in range(2):
            turn = store.turn(store.start_turn({"name": f"turn-{number}", "alpha": 0.01}))
            for gate, verdict in (("g0", "passed"), ("g1", "refused")):
                leave(store, turn, gate, {"lessons": f"lessons/{work.artifact.ref}", "upto_seq": 3}, {"why": ["因为"]}, verdict)
            store.finish_turn(turn.id, "refused", "")
    return tmp_path


def faults(home):
    with Store.open(home) as store:
        return receipt_faults(home, store)


def change(home, statement):
    with sqlite3.connect(home / "feilun.db") as raw:
        raw.execute(statement)
    raw.close()


def test_the_chain_fits_together_and_verify_says_so(home, capsys):
    assert faults(home) == []
    with Store.open(home) as store:
        rows = store.receipts()
        assert [row.gate for row in rows] == ["plan", "g0", "g1"] * 2
        assert [row.previous for row in rows] == ["", *(row.hash for row in rows[:-1])]
        assert all(receipt_hash(row) == row.hash for row in rows)
        again = leave(store, store.turn(rows[-1].turn_id), "g1", rows[-1].body["inputs"], rows[-1].body["figures"], "refused")
        assert again == rows[-1]
        assert len(store.receipts()) == 6
    assert main(["--home", str(home), "verify"]) == 0
    assert "6 receipts of turns fit together" in capsys.readouterr().out


CHANGES = [
    ("UPDATE receipts SET body = replace(body, 'refused', 'promoted') WHERE seq = 3", "changed since it was written"),
    ("UPDATE receipts SET at = at + 1 WHERE seq = 2", "changed since it was written"),
    ("DELETE FROM receipts WHERE seq = 3", "not the one that it names"),
    ("UPDATE turns SET plan = replace(plan, '0.01', '0.5')", "the plan was changed"),
    ("DELETE FROM turns", "there is no such turn"),
    ("UPDATE turns SET state = 'promoted'", "promoted without a receipt"),
]


@pytest.mark.parametrize(("statement", "said"), CHANGES)
def test_what_was_changed_is_found(home, statement, said, capsys):
    change(home, statement)
    assert any(said in fault for fault in faults(home))
    assert main(["--home", str(home), "verify"]) == 1
    assert said in capsys.readouterr().out


def test_an_input_that_is_gone_and_a_step_without_its_receipt_are_found(home):
    (next((home / "lessons").iterdir()) / "manifest.json").unlink()
    assert any("its input lessons/some@" in fault for fault in faults(home))
    with Store.open(home) as store:
        turn = store.start_turn({"name": "turn-9", "steps": ["curate"]})
        store.claim_step(turn, "curate", "me:1:1", "", 1.0)
        store.finish_step(turn, "curate", "me:1:1", {"receipt_hash": "0" * 64})
        assert f"turn {turn}: receipt g0 is gone" in receipt_faults(home, store)


def test_a_store_from_before_receipts_has_none_and_no_faults(tmp_path):
    with sa.create_engine(f"sqlite:///{tmp_path / 'feilun.db'}").begin() as connection:
        migrations.migrate(connection, upto=4)
        turn = {"id": "t", "state": "promoted", "plan": {"name": "turn-1"}, "why": "", "started": 1.0}
        connection.execute(schema.turns.insert().values(turn))
    assert faults(tmp_path) == []


# G0


def speak(store: Store, who: str, question: str, *, consent: Consent = Consent.IMPROVE) -> str:
    name = f"{who}/{question}"
    about = {"id": name, "principal": who, "model": "m", "thread_id": name, "messages": [{"role": "user", "content": question}]}
    choice = {"index": 0, "text": "?", "finish_reason": "stop", "num_tokens": 1}
    store.record_completion(CompletionRecord(**about, choices=[choice], decision=Decision(engine="e", model="m"), consent=consent))
    return store.record_feedback(FeedbackRequest(principal=who, target_id=name, kind="edit", value="42", consent=consent)).id


def lessons_of(home, said: list[tuple[str, str, str]]):
    """said: (event, who, question)."""
    rows = [
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "42"}], "weight": 1.0, "kind": "edit",
         "events": [event], "rater": rater_hash(who)}
        for event, who, question in said
    ]  # fmt: skip
    with draft(home, "lessons", "said") as work:
        write_rows(work.path / "sft.jsonl", rows)
        write_rows(work.path / "pairs.jsonl", [])
    return work.artifact


PEOPLE = [f"key:k/user-{n}" for n in range(80)]
TEACHERS, HELD_OUT = [p for p in PEOPLE if not is_held_out(p)], [p for p in PEOPLE if is_held_out(p)]


def test_lessons_that_are_as_they_should_be_pass(tmp_path):
    with Store.open(tmp_path) as store:
        said = [(speak(store, who, f"问题 {n}"), who, f"问题 {n}") for n, who in enumerate(TEACHERS[:10])]
        found = check_lessons(store, lessons_of(tmp_path, said), SETTINGS, store.last_seq())
    assert (found.why, found.shown) == ((), ())
    assert (found.figures["raters"], found.figures["largest_share"], found.figures["voters_held_out"]) == (10, 0.1, 0)
    assert not any(who in json.dumps(found.figures) for who in TEACHERS)


def test_what_people_did_not_allow_refuses_the_turn(tmp_path):
    with Store.open(tmp_path) as store:
        said = [(speak(store, who, "问"), who, "问") for who in TEACHERS[:3]]
        serve = speak(store, TEACHERS[4], "只供回答", consent=Consent.SERVE)
        held = speak(store, HELD_OUT[0], "考")
        gone = speak(store, TEACHERS[5], "忘")
        store.forget(TEACHERS[5])
        events = {"serve": serve, "held": held, "gone": gone, "never": "no-such-event"}
        found = check_lessons(
            store,
            lessons_of(tmp_path, [*said, *((event, TEACHERS[4], name) for name, event in events.items())]),
            SETTINGS,
            store.last_seq(),
        )
    assert found.figures["faults"] == {
        "have no consent to improve the model": 1, "are of held-out users": 1, "were erased": 1, "are not in the store": 1,
    }  # fmt: skip
    assert len(found.why) == 4


def test_personal_data_of_others_refuses_the_turn(tmp_path):
    with Store.open(tmp_path) as store:
        mails = [(who, f"mail {n}: li.lei@163.com") for n, who in enumerate(TEACHERS[:2])]
        said = [(speak(store, who, text), who, text) for who, text in mails]
        found = check_lessons(store, lessons_of(tmp_path, said), SETTINGS, store.last_seq())
        assert found.why == ("2 times personal data (email) stands in the lessons of others than the owner",)
        own = [(speak(store, "owner", "我的邮箱 li.lei@163.com"), "owner", "我的邮箱 li.lei@163.com")]
        assert check_lessons(store, lessons_of(tmp_path, own), SETTINGS, store.last_seq()).why == ()


def test_too_few_raters_and_one_loud_rater_refuse_the_turn(tmp_path):
    few = TurnSettings(prefer=PreferSettings(replay="r"), exam_tasks=(), min_raters=3)
    with Store.open(tmp_path) as store:
        said = [(speak(store, TEACHERS[0], f"问 {n}"), TEACHERS[0], f"问 {n}") for n in range(8)]
        found = check_lessons(store, lessons_of(tmp_path, said), few, store.last_seq())
        assert found.why == ("1 raters stand behind the lessons, at least 3 must",)
        said += [(speak(store, who, "问"), who, "问") for who in TEACHERS[1:9]]
        loud = check_lessons(store, lessons_of(tmp_path, said), few, store.last_seq())
        assert loud.why == ("one rater teaches 50% of the lessons by weight, at most 25% may",)
        owner = [(speak(store, "owner", f"我 {n}"), "owner", f"我 {n}") for n in range(30)]
        own = check_lessons(
            store, lessons_of(tmp_path, owner), TurnSettings(prefer=few.prefer, exam_tasks=(), rise_task="taught"), store.last_seq()
        )
        assert own.why == ()


def test_exam_questions_in_lessons_are_named_and_too_many_refuse(tmp_path):
    from feilun.exam.tasks import open_tasks

    asked = [s.prompt.messages[-1].text for s in open_tasks(("copying",))[0].samples("gate", 20)]
    with Store.open(tmp_path) as store:
        said = [(speak(store, who, text), who, text) for who, text in zip(TEACHERS, [f" {asked[3]}！", "别的"], strict=False)]
        one = check_lessons(store, lessons_of(tmp_path, said), SETTINGS, store.last_seq())
        assert (one.shown, one.why) == (("copying/gate/3",), ())
        said = [(speak(store, who, text), who, text) for who, text in zip(TEACHERS[5:], asked[:4], strict=False)]
        many = check_lessons(store, lessons_of(tmp_path, said), SETTINGS, store.last_seq())
        assert many.why == ("20% of the questions of copying stand in the lessons (at most 5% may): it examines nobody now",)


def test_a_question_that_is_asked_in_doubt_does_not_count_where_an_owner_teaches_it(tmp_path):
    from feilun.exam.tasks import open_tasks

    later = [s.prompt.messages[-1].text for s in open_tasks(("copying",))[0].samples("gate", 30)][25]
    settings = dataclasses.replace(SETTINGS, rise_task="taught", num_in_doubt=30)
    with Store.open(tmp_path) as store:
        said = [(speak(store, "owner", later), "owner", later)]
        found = check_lessons(store, lessons_of(tmp_path, said), settings, store.last_seq())
    assert (found.shown, found.why) == (("copying/gate/25",), ())


PIECES = ["红色", "的猫", "apple", "three", "27", "2.5", "请", "重复:", "dog", "房子"]
WORDS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map(" ".join)


@given(st.lists(WORDS, max_size=6), st.lists(WORDS, max_size=6))
@settings(max_examples=80, deadline=None)
def test_near_duplicates_are_those_of_comparing_all_with_all(taught, asked):
    questions = {str(i): text for i, text in enumerate(asked)}
    found = shown_questions(taught, questions)
    every = {
        key for key, text in questions.items()
        if any(numbers_in(text) == numbers_in(other) and is_near(runs_of(text), runs_of(other)) for other in taught)
    }  # fmt: skip
    assert set(found) == every


def test_other_numbers_are_another_question_and_other_dress_is_not():
    asked = {"sum": "27 + 58等于多少?", "ad": "Write an ad for the red kettle that costs 30 yuan and boils water in two minutes, please"}
    assert shown_questions(["27 + 59等于多少?", "58 加 27", "58 - 27等于多少?"], asked) == {}
    assert set(shown_questions(["２７＋５８ 等于多少？", asked["ad"].upper().replace("please", "Please!")], asked)) == {"sum", "ad"}
    assert 0.5 < NEAR < 1


def test_exam_questions_are_made_once_until_other_code_makes_them(tmp_path):
    names, num = ("copying", "arithmetic"), 20
    name = f"exam questions {num} {','.join(names)}"
    with Store.open(tmp_path) as store:
        asked = kept_questions(store, names, num)
        assert asked == asked_questions(names, num)
        assert kept_questions(store, names, num) == store.makings.found(name, questions_maker()) == asked
        store.makings.keep(name, questions_maker(), {"copying": {"copying/gate/0": "found, not made"}})
        assert kept_questions(store, names, num) == {"copying": {"copying/gate/0": "found, not made"}}
        assert kept_questions(store, names, num + 1) == asked_questions(names, num + 1)
        store.makings.keep(name, "other code", {})
        assert kept_questions(store, names, num) == asked
        store.forget("key:somebody")  # nobody said what stands there
        assert store.makings.found(name, questions_maker()) == asked
