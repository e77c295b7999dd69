"""Lessons as an artifact: provenance, what is kept apart from them, and what is taken out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vote_house import HELD_OUT, RATERS, vote

from feilun.artifacts import draft, verify
from feilun.config import TurnSettings
from feilun.feedback import ExamQuestions, LessonRules, artifacts_to_rebuild, build_lessons, curate, export_events
from feilun.feedback.lessons import pair_rows, sft_rows
from feilun.feedback.privacy import without_personal_data
from feilun.store import CompletionRecord, FeedbackRequest, Sibling, Store
from feilun.types import Consent, Decision

ANN, BOB, CAT, DAN = RATERS[:4]
LOOSE = LessonRules()

# the artifact


SAID = [
    (ANN, "c0", "edit", "blue"), (BOB, "c1", "thumb", 1), (HELD_OUT[0], "c2", "edit", "grey"), (CAT, "c3", "thumb", 1),
    (CAT, "c3", "thumb", 0), (DAN, "c5", "edit", "pink"),
]  # fmt: skip


def fill(store: Store) -> None:
    answer = {"index": 0, "text": "red", "finish_reason": "stop", "num_tokens": 1}
    decision = Decision(engine="e", model="m")
    for rater, target, kind, value in SAID:
        asked = [{"role": "user", "content": f"question {target[1:]}"}]
        if store.completion(target) is None:
            store.record_completion(
                CompletionRecord(
                    id=target, principal=rater, model="m", thread_id=target, messages=asked, choices=[answer], decision=decision
                )
            )
        consent = Consent.SERVE if rater == DAN else Consent.IMPROVE
        store.record_feedback(FeedbackRequest(principal=rater, target_id=target, kind=kind, value=value, consent=consent))


def lines(path: Path) -> Iterator[Any]:
    return (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def test_lessons_are_an_artifact_with_provenance_and_counts(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        made = build_lessons(store, tmp_path, "first", gold={"question 9": ("x",)}, settings=TurnSettings())
        again = build_lessons(store, tmp_path, "first", gold={"question 9": ("x",)}, settings=TurnSettings())
        events = {event.id: event for event in store.events()}
    assert (made.hash, verify(made)) == (again.hash, [])
    rows, pairs = list(lines(made.path / "sft.jsonl")), list(lines(made.path / "pairs.jsonl"))
    assert [(events[r["events"][0]].principal, r["kind"]) for r in rows] == [(ANN, "edit"), (BOB, "thumb")]
    assert [(p["prompt"][0]["content"], p["chosen"], p["rejected"]) for p in pairs] == [("question 0", "blue", "red")]
    report = json.loads((made.path / "report.json").read_text(encoding="utf-8"))
    assert report["dropped"] == {"consent": 1, "held_out": 1, "retracted": 1, "superseded": 1}
    assert (report["num_events"], report["used"]) == (6, {"edit": 1, "thumb": 1})
    assert made.manifest["counts"]["events"] == sorted(event for row in rows for event in row["events"])


def test_a_protected_text_is_in_no_lesson_and_is_counted(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        free = build_lessons(store, tmp_path, "free", gold=None)
        guarded = build_lessons(store, tmp_path, "guarded", gold=None, protect=lambda text: "asked in an exam" if "blue" in text else None)
    held = {
        made.name: "blue" in "".join((made.path / name).read_text() for name in ("sft.jsonl", "pairs.jsonl")) for made in (free, guarded)
    }
    assert held == {"free": True, "guarded": False}
    before, after = (json.loads((made.path / "report.json").read_text(encoding="utf-8")) for made in (free, guarded))
    assert (after["dropped"]["asked in an exam"], after["num_events"]) == (1, before["num_events"])


def test_lessons_of_a_past_moment_stay_the_same(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        before = build_lessons(store, tmp_path, "first", upto_seq=4, gold=None)
        store.record_feedback(FeedbackRequest(principal=ANN, target_id="c0", kind="edit", value="gold"))
        after = build_lessons(store, tmp_path, "first", upto_seq=4, gold=None)
        assert before.hash == after.hash
        assert build_lessons(store, tmp_path, "first", gold=None).hash != before.hash
        assert [row["kind"] for row in lines(before.path / "sft.jsonl")] == ["edit", "thumb", "thumb"]


def test_a_forgotten_person_leads_to_what_must_be_made_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        lessons = build_lessons(store, tmp_path, "first", gold=None)
        with draft(tmp_path, "models", "m", parents=[f"lessons/{lessons.ref}"]) as work:
            (work.path / "weights").write_text("w")
        with draft(tmp_path, "models", "other") as work:
            (work.path / "weights").write_text("v")
        erased = store.forget(ANN)
        assert [a.kind for a in artifacts_to_rebuild(tmp_path, erased.event_ids)] == ["lessons", "models"]
        assert artifacts_to_rebuild(tmp_path, store.forget(DAN).event_ids) == []
        rebuilt = build_lessons(store, tmp_path, "first", gold=None)
        assert [row["kind"] for row in lines(rebuilt.path / "sft.jsonl")] == ["thumb"]


def test_events_are_exported_without_names(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        fill(store)
        assert export_events(store, tmp_path / "events.jsonl") == 6
    rows = list(lines(tmp_path / "events.jsonl"))
    assert [row["seq"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert ANN not in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


# apart from exams, and from what was private


def test_exam_questions_are_found_both_ways(tmp_path: Path) -> None:
    exam = ExamQuestions({"e1": "Question  0!", "e2": "法国的首都是哪座城市?", "e3": "q?"})
    assert exam.found_in("I ask: 法国的首都,是哪座城市") == ["e2"]
    assert exam.found_in("a q? b") == []
    assert exam.found_in("a\nQ?") == ["e3"]
    with Store.open(tmp_path) as store:
        fill(store)
        leaked = build_lessons(store, tmp_path, "before", gold=None)
        made = build_lessons(store, tmp_path, "after", gold=None, protect=exam)
    assert all(exam("\n".join(m["content"] for m in row["messages"])) is None for row in lines(made.path / "sft.jsonl"))
    report = json.loads((made.path / "report.json").read_text(encoding="utf-8"))
    assert report["dropped"]["asked_in_exam"] == 1
    assert report["exam_questions"] == {"protected": 3, "in_earlier_lessons": {"e1": [f"lessons/{leaked.ref}"]}}
    assert report["num_events"] == 6


def test_what_was_said_in_private_taints_all_that_follows(tmp_path: Path) -> None:
    """A later answer is open, an earlier question of the same talk was not: no lesson holds that question."""
    answer = {"index": 0, "text": "red", "finish_reason": "stop", "num_tokens": 1}
    talk = [{"role": "user", "content": "my secret plan"}, {"role": "assistant", "content": "red"}, {"role": "user", "content": "and?"}]
    with Store.open(tmp_path) as store:
        for name, messages, consent in (("c0", talk[:1], Consent.SERVE), ("c1", talk, Consent.PUBLISH)):
            record = CompletionRecord(
                id=name, principal=ANN, model="m", thread_id="t", messages=messages, choices=[answer],
                decision=Decision(engine="e", model="m"), consent=consent,
            )  # fmt: skip
            store.record_completion(record)
        store.record_feedback(FeedbackRequest(principal=ANN, target_id="c1", kind="edit", value="blue", consent=Consent.PUBLISH))
        made = build_lessons(store, tmp_path, "x", gold=None)
    assert list(lines(made.path / "sft.jsonl")) == []
    assert made.manifest["counts"]["dropped"] == {"consent": 1}


def test_a_narrower_scope_keeps_only_what_may_be_published() -> None:
    votes = [vote(1, ANN, "edit", "blue"), vote(2, BOB, "edit", "green", prompt="b", consent=Consent.PUBLISH)]
    made = curate(votes, None, LessonRules(scope=Consent.PUBLISH))
    assert ([lesson.text for lesson in made.lessons], made.dropped) == (["green"], {"consent": 1})
    assert [row["consent"] for row in sft_rows(curate(votes, None, LOOSE).lessons)] == ["improve", "publish"]


def test_personal_data_gives_way_to_placeholders_but_not_the_owners() -> None:
    text = "write to anna.smith@bluemail.de"
    for rater, expected in ((ANN, "[EMAIL]"), ("owner", "anna.smith")):
        said = vote(1, rater, "edit", text, prompt=text, answer=text + "!!")
        made = curate([said], None, LOOSE, frozenset({said.thread_id}))
        cleaned, counts = without_personal_data(made.lessons, also_owner=False)
        body = json.dumps([sft_rows(cleaned), pair_rows(cleaned)])
        assert expected in body
        assert ("anna.smith" in body) == (rater == "owner")
        assert bool(counts) == (rater != "owner")
    assert "anna.smith" not in json.dumps(sft_rows(without_personal_data(made.lessons, also_owner=True)[0]))


@pytest.mark.parametrize(
    ("kind", "value", "answer"), [("edit", "\u200b \u2060", "red"), ("thumb", 1, "\u200b"), ("choice", {"outcome": "win"}, " \ufeff")]
)
def test_what_shows_nothing_teaches_nothing(kind: str, value: Any, answer: str) -> None:
    over = (Sibling(id="c0", index=0, text="red", model="m"),) if kind == "choice" else ()
    made = curate([vote(1, RATERS[0], kind, value, answer=answer, over=over)], None, LessonRules())
    assert (made.lessons, made.signals) == ([], {"empty_answer": 1})
