"""What is past its days goes, and nothing else; what a person is given of themselves; what a model comes from."""

import json
import time
from dataclasses import replace

import pytest
from owner_house import NO_EXAMS, answered, correct, judge, make_home, owner_turn, say, thread_named
from test_forget import found_in

from feilun.artifacts import draft, find, read_rows
from feilun.cli import main
from feilun.feedback import import_lessons
from feilun.feedback.owner import held_out_opinions
from feilun.status import describe_artifact
from feilun.store import DESK, EXPIRED, OWNER, NewTask, Store
from feilun.turn.forget import forget, proof_of
from feilun.turn.retention import DAY_SECONDS, Kept, apply_retention, keep_for, kept_for, overdue
from feilun.types import Consent, UserError, is_held_out

TEACHING = next(name for n in range(99) if not is_held_out(name := f"key:app/{n}"))
MEASURING = next(name for n in range(99) if is_held_out(name := f"key:app/{n}"))


@pytest.fixture
def lived_in(home):
    """The owner taught something in a turn; others asked, one of them is held out. All of it is old."""
    make_home(home)
    correct(home, "what is the oldpasswordword?", "oldanswerword, it is")
    with Store.open(home) as store:
        for who in (TEACHING, MEASURING):
            say(
                store,
                answered(store, f"question of {who}", "oldsaid", principal=who, thread=f"of {who}"),
                "comment",
                f"oldcomment {who}",
                who,
            )
    assert owner_turn(home, NO_EXAMS).verdict == "promoted"
    return home


def test_what_is_past_its_days_goes_and_models_stay(lived_in):
    later = time.time() + 40 * DAY_SECONDS
    with Store.open(lived_in) as store:
        champion = store.champion().model
        keep_for(store, Kept(chat_days=30))
        found = overdue(store, kept_for(store), later)
        assert (len(found.threads), found.events, found.held_back) == (2, (), (1, 0))
        assert overdue(store, kept_for(store), 20 * DAY_SECONDS).threads == ()
        assert store.erasures() == []  # to look changes nothing
        _, swept = apply_retention(lived_in, store, later)
        assert {ref.partition("@")[0] for ref in swept.entombed} == {"lessons/turn-1", "exams/turn-1-lessons", "exams/first-lessons"}
        assert (swept.models, store.quarantined(), store.champion().model) == ((), {}, champion)
        assert {erasure.subject for erasure in store.erasures()} == {EXPIRED}
        assert proof_of(lived_in, store, champion).is_clean
        assert len(store.threads(MEASURING, 9)) == 1
        left = {entry.partition("@")[0] for entry in found_in(lived_in, ["oldpasswordword", "oldanswerword", TEACHING])}
        assert left == {"models/turn-1"}
        # Who asks to be forgotten is forgotten by the models too, whenever it was.
        keep_for(store, Kept(chat_days=30, held_out=True))
        assert len(overdue(store, kept_for(store), later).threads) == 1


def test_events_alone_go_by_days_of_their_own(lived_in):
    with Store.open(lived_in) as store:
        keep_for(store, Kept(event_days=10))
        found, _ = apply_retention(lived_in, store, time.time() + 11 * DAY_SECONDS)
        assert (len(found.threads), len(found.events), found.held_back) == (0, 2, (0, 1))
        assert [event.erased for event in store.events()] == [True, True, False]
        assert [hit.text for hit in store.search("owner", "oldanswerword", 9)] == []
        assert len(store.threads("owner", 9)) == 1
    assert [entry for entry in found_in(lived_in, ["oldanswerword"]) if not entry.startswith("models/")] == []


def test_a_thread_that_taught_does_not_come_to_measure_when_its_edit_is_over(home):
    make_home(home)
    thread = thread_named(True)
    correct(home, "what is it?", "oldanswerword", thread=thread)
    with Store.open(home) as store:
        assert store.edited_threads(OWNER) == {thread}
        later = time.time() + 40 * DAY_SECONDS
        keep_for(store, Kept(event_days=30))
        assert len(apply_retention(home, store, later)[0].events) == 1
        assert (store.edited_threads(OWNER), store.edited_threads(OWNER, store.last_seq())) == ({thread}, {thread})
        judge(home, "and this?", liked="yes", thread=thread)
        assert held_out_opinions(store, store.last_seq()) == []
        assert overdue(store, kept_for(store), later).held_back == (0, 0)
        store.forget(OWNER)
        assert store.edited_threads(OWNER) == frozenset()


def test_a_question_that_goes_with_another_or_was_deleted_meanwhile_hinders_nothing(home):
    """A task's copy of a question goes with the question; both are past their days."""
    make_home(home)
    with Store.open(home) as store:
        source = answered(store, "what is it?", "old", principal=TEACHING, thread="t")
        asked = ({"role": "user", "content": "what is it?"},)
        store.desks.add("", [NewTask(source=source, consent=Consent.IMPROVE, messages=asked, left=("m", "one"), right=("m", "two"))])
        later = time.time() + 40 * DAY_SECONDS
        keep_for(store, Kept(chat_days=30, held_out=True))
        found = overdue(store, kept_for(store), later)
        assert [thread.principal for thread in found.threads] == [TEACHING, DESK]
        apply_retention(home, store, later)
        assert overdue(store, kept_for(store), later).threads == ()
        store.expire(found.threads, [])
        assert {erasure.subject for erasure in store.erasures()} == {EXPIRED}


def test_days_are_whole_numbers(home, capsys):
    with pytest.raises(UserError, match="chat_days=-1"):
        Kept(chat_days=-1)
    make_home(home)
    assert main(["--home", str(home), "retention", "set", "--chats", "30", "--held-out"]) == 0
    assert main(["--home", str(home), "retention", "apply"]) == 0
    said = capsys.readouterr().out
    assert "conversations are kept 30 days, events for ever; what is held out goes by the same days" in said
    assert "0 conversations and 0 events past their time are empty now" in said


def test_a_person_is_given_all_that_is_kept(lived_in, tmp_path, capsys):
    path = tmp_path / "mine.jsonl"
    assert main(["--home", str(lived_in), "feedback", "export", "--user", "owner", str(path)]) == 0
    rows = read_rows(path)
    assert capsys.readouterr().out.startswith("1 answers, 1 events, ")
    assert [row["messages"][0]["content"] for row in rows if row["type"] == "completion"] == ["what is the oldpasswordword?"]
    assert [row["value"] for row in rows if row["type"] == "event"] == ["oldanswerword, it is"]
    used = {row["ref"].partition("@")[0]: row["events"] for row in rows if row["type"] == "artifact"}
    exams, runs = {"exams/turn-1-lessons", "exams/first-lessons"}, {"runs/turn-1-gate", "runs/turn-1-account"}
    assert set(used) == {"lessons/turn-1", "models/turn-1", *exams, *runs}
    assert used["lessons/turn-1"] == [row["id"] for row in rows if row["type"] == "event"]
    other = tmp_path / "other.jsonl"
    main(["--home", str(lived_in), "feedback", "export", "--user", TEACHING, str(other)])
    assert "oldpasswordword" not in other.read_text()
    forget(lived_in, "owner")
    main(["--home", str(lived_in), "feedback", "export", "--user", "owner", str(path)])
    assert path.read_text() == ""


def test_a_person_is_given_what_is_being_written_for_them_too(lived_in, tmp_path, capsys):
    with Store.open(lived_in) as store:
        (record,) = store.completions_of("owner")
        store.drafts.save(replace(record, id="d", thread_id="d", choices=[{"index": 0, "text": "halfword", "num_tokens": 1}]))
        store.drafts.save(record)  # as it is found where an answer ends while the export reads
    path = tmp_path / "mine.jsonl"
    main(["--home", str(lived_in), "feedback", "export", "--user", "owner", str(path)])
    assert capsys.readouterr().out.startswith("1 answers, 1 unfinished ones, 1 events, ")
    (row,) = (row for row in read_rows(path) if row["type"] == "draft")
    assert [answer["text"] for answer in row["answers"]] == ["halfword"]


def test_a_model_shows_what_it_comes_from(lived_in, tmp_path):
    with Store.open(lived_in) as store:
        model = find(lived_in, store.champion().model)
    said = "\n".join(describe_artifact(lived_in, model))
    assert "1 events (1 edit) in 1 rows, up to event 3" in said
    assert "proof: models/turn-1@" in said
    with draft(lived_in, "corpus", "c") as corpus:
        corpus.counts["inputs"] = [{"name": f"{n}.txt", "sha256": f"{n:064x}", "bytes": n} for n in range(30)]
    rows = tmp_path / "talks.jsonl"
    rows.write_text(json.dumps({"messages": [{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "4"}]}))
    lessons = import_lessons(lived_in, "talks", [rows])
    with draft(lived_in, "models", "m", parents=[f"corpus/{corpus.artifact.ref}", f"lessons/{lessons.ref}"]) as made:
        (made.path / "weights").write_text("w")
    said = "\n".join(describe_artifact(lived_in, made.artifact))
    assert f"19.txt  sha256 {19:064x}, 19 bytes" in said
    assert "20.txt" not in said
    assert "and 10 more files, in " in said
    assert "imported from talks.jsonl" in said
    forget(lived_in, "owner")
    said = "\n".join(describe_artifact(lived_in, model))
    assert "1 of them were erased since" in said
    assert "erased 20" in said
