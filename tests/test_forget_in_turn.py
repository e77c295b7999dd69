"""Somebody is forgotten while a turn runs: what learned from them answers nobody, whatever the gate says."""

import dataclasses
import sys
from pathlib import Path

import pytest
from turn_child import FakeRooms
from turn_house import SETTINGS, home
from vote_house import RATERS

from feilun.feedback import build_lessons
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.turn import Rooms, TurnResult, run_step, run_turn
from feilun.turn.forget import forget
from feilun.types import Decision

__all__ = ["home"]

ANN, BOB = RATERS[:2]


def correct(store: Store, who: str, question: str) -> None:
    answer = {"index": 0, "text": "hm", "finish_reason": "stop", "num_tokens": 1}
    record = CompletionRecord(
        id=f"chatcmpl-{who}", principal=who, model="m", thread_id=who, messages=[{"role": "user", "content": question}],
        choices=[answer], decision=Decision(engine="echo", model="m"), started=1.0, finished=2.0,
    )  # fmt: skip
    store.record_completion(record)
    store.record_feedback(FeedbackRequest(principal=who, target_id=record.id, kind="edit", value="9.8"))


def turn_while(home: Path, who: str, at: str, rollout: str) -> TurnResult:
    """A turn with real lessons; before step `at` somebody is forgotten. A training that has read its lessons does not notice."""

    def command(home: Path, turn_id: str, step: str) -> list[str]:
        if step == at:
            forget(home, who)
        fake = FakeRooms(home)
        rooms = Rooms(
            build_lessons=build_lessons, train_prefer=fake.train_prefer, run_exam=fake.run_exam, run_veto_exam=fake.run_veto_exam,
            run_lesson_exam=fake.run_lesson_exam, check_lessons=fake.check_lessons,
        )  # fmt: skip
        run_step(home, turn_id, step, rooms=rooms)
        return [sys.executable, "-I", "-S", "-c", ""]

    return run_turn(home, dataclasses.replace(SETTINGS, rollout=rollout), command=command)


@pytest.mark.parametrize("rollout", ["direct", "staged"])
@pytest.mark.parametrize("at", ["train", "exam", "promote"])
def test_a_candidate_that_learned_from_somebody_who_was_forgotten_meanwhile_is_refused(home: Path, at: str, rollout: str) -> None:
    with Store.open(home) as store:
        first = store.champion()
        for who in (ANN, BOB):
            correct(store, who, "9.11 or 9.8, which is larger?")
    ended = turn_while(home, ANN, at, rollout)
    assert (ended.verdict, first) == ("refused", first)
    assert "learned from what was erased" in ended.why[0]
    with Store.open(home) as store:
        assert store.champion() == first
        assert ended.candidate in store.quarantined()
        assert store.candidate() is None
        assert store.rollout() is None


def test_whoever_is_forgotten_before_the_lessons_are_made_hinders_nothing(home: Path) -> None:
    with Store.open(home) as store:
        for who in (ANN, BOB):
            correct(store, who, "9.11 or 9.8, which is larger?")
    assert turn_while(home, ANN, "curate", "direct").verdict == "promoted"
