"""What every store must do, whatever database is behind it: `make_store` is the only line that names one."""

from pathlib import Path
from typing import Any

import pytest

from feilun.store import (
    CompletionRecord,
    Conflict,
    FeedbackRequest,
    InvalidFeedback,
    KeyConflict,
    NotFound,
    NotYours,
    Store,
    thread_of,
)
from feilun.types import Consent, Decision

ANN, BOB, STRANGER = "key:app/ann", "key:app/bob", "key:apps"
ASK = [{"role": "user", "content": "9.11 和 9.8 哪个大?"}]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path) as opened:
        yield opened


def answer(store: Store, completion_id: str, *texts: str, principal: str = ANN, messages: Any = ASK, **more: Any) -> str:
    choices = [{"index": i, "text": text, "finish_reason": "stop", "num_tokens": 3} for i, text in enumerate(texts or ("9.11",))]
    record = CompletionRecord(
        id=completion_id,
        principal=principal,
        model="m@1",
        thread_id=thread_of(principal, messages),
        messages=messages,
        choices=choices,
        decision=Decision(engine="echo", model="m@1", candidates=("m@1", "m@2")),
        **more,
    )
    store.record_completion(record)
    return completion_id


def say(store: Store, kind: str, value: Any, target: str = "c1", **more: Any) -> Any:
    return store.record_feedback(FeedbackRequest(**{"principal": ANN, "target_id": target, "kind": kind, "value": value, **more}))


def standing(store: Store, upto: int | None = None) -> list[tuple[str, Any]]:
    return [(vote.kind, vote.value) for vote in store.current_votes(upto)]


def test_a_completion_comes_back_as_it_was_given(store: Store) -> None:
    talk = [{"role": "system", "content": "be kind"}, *ASK, {"role": "assistant", "content": "9.8"}, {"role": "user", "content": "why?"}]
    answer(store, "c1", "because", "so", messages=talk, params={"temperature": 0.5}, end_user="ann", consent=Consent.PUBLISH, started=1.5)
    found = store.completion("c1")
    assert found is not None
    assert (found.messages, [c["text"] for c in found.choices]) == (talk, ["because", "so"])
    assert (found.params, found.end_user, found.consent, found.started) == ({"temperature": 0.5}, "ann", Consent.PUBLISH, 1.5)
    assert found.decision.candidates == ("m@1", "m@2")
    assert store.completion("nothing") is None
    with pytest.raises(Conflict, match="already stored"):
        answer(store, "c1")


def test_a_vote_carries_what_it_is_about(store: Store) -> None:
    answer(store, "c1", "9.11")
    result = say(store, "edit", "9.8", reason=("wrong",))
    (vote,) = store.current_votes()
    assert result.status == "recorded"
    assert (vote.id, vote.answer, vote.value, vote.reason, vote.model) == (result.id, "9.11", "9.8", ("wrong",), "m@1")
    assert list(vote.prompt) == ASK


def test_a_new_thumb_replaces_the_earlier_and_zero_retracts(store: Store) -> None:
    answer(store, "c1")
    for value in (1, -1, 0, 1):
        say(store, "thumb", value)
    assert standing(store) == [("thumb", 1)]
    assert [standing(store, upto) for upto in (0, 1, 2, 3, 4)] == [[], [("thumb", 1)], [("thumb", -1)], [], [("thumb", 1)]]
    assert len(store.events()) == 4


def test_superseding_takes_an_event_out_for_good(store: Store) -> None:
    answer(store, "c1")
    first, second = say(store, "edit", "9.80"), say(store, "edit", "9.8")
    comment = say(store, "comment", "never mind", supersedes=second.id)
    assert comment.status == "superseded"
    assert standing(store) == [("comment", "never mind")]
    assert first.id not in {vote.id for vote in store.current_votes()}
    assert standing(store, 2) == [("edit", "9.8")]


def test_the_same_key_is_the_same_event(store: Store) -> None:
    answer(store, "c1")
    answer(store, "c2", principal=BOB)
    first, again = (say(store, "thumb", 1, idempotency_key="k") for _ in range(2))
    assert (first.status, again.status, again.id) == ("recorded", "duplicate", first.id)
    with pytest.raises(KeyConflict):
        say(store, "thumb", -1, idempotency_key="k")
    other = say(store, "thumb", -1, target="c2", principal=BOB, idempotency_key="k")
    assert other.status == "recorded"
    assert len(store.events()) == 2


def test_only_own_answers_and_events_that_exist(store: Store) -> None:
    answer(store, "c1")
    mine = say(store, "thumb", 1)
    answer(store, "c2", principal=BOB)
    with pytest.raises(NotFound):
        say(store, "thumb", 1, target="nothing")
    with pytest.raises(NotFound):
        say(store, "thumb", 1, target_index=1)
    with pytest.raises(NotYours):
        say(store, "thumb", 1, principal=BOB)
    with pytest.raises(NotYours):
        say(store, "thumb", 1, target="c2", principal=BOB, supersedes=mine.id)
    with pytest.raises(NotFound):
        say(store, "thumb", 1, supersedes="nothing")
    # To another credential they are as if they did not exist.
    answer(store, "c3", principal=STRANGER)
    with pytest.raises(NotFound, match="no completion 'c1'"):
        say(store, "thumb", 1, principal=STRANGER)
    with pytest.raises(NotFound, match="no event"):
        say(store, "thumb", 1, target="c3", principal=STRANGER, supersedes=mine.id)
    assert len(store.events()) == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("applause", 1), ("thumb", 2), ("thumb", True), ("thumb", 1.0), ("thumb", "1"), ("edit", ""), ("edit", " \n"), ("edit", 3),
        ("comment", None), ("report", {}), ("implicit", "copy"), ("implicit", {"name": "copy"}), ("implicit", {"name": "buy", "n": 1}),
        ("implicit", {"name": "copy", "n": 0}), ("choice", "c2"), ("choice", {"over": [], "outcome": "win"}),
        ("choice", {"over": [{"id": "c2", "index": 0}], "outcome": "lose"}), ("choice", {"over": [{"id": "c2"}], "outcome": "win"}),
        ("choice", {"over": [{"id": "c1", "index": 0}], "outcome": "win"}),
        ("choice", {"over": [{"id": "other", "index": 0}], "outcome": "win"}),
    ],
)  # fmt: skip
def test_bad_feedback_is_refused_and_leaves_nothing(store: Store, kind: str, value: Any) -> None:
    answer(store, "c1")
    answer(store, "c2")
    answer(store, "other", messages=[{"role": "user", "content": "another question"}])
    with pytest.raises(InvalidFeedback):
        say(store, kind, value)
    with pytest.raises(InvalidFeedback):
        say(store, "thumb", 1, reason=("ugly",))
    assert store.events() == []


def test_a_choice_compares_siblings(store: Store) -> None:
    answer(store, "c1", "9.8", "9.11")
    answer(store, "c2", "both")
    over = [{"id": "c1", "index": 1}, {"id": "c2", "index": 0}]
    say(store, "choice", {"over": over, "outcome": "win"})
    (vote,) = store.current_votes()
    assert (vote.answer, [sibling.text for sibling in vote.over]) == ("9.8", ["9.11", "both"])
    changed = {"over": [{"id": "c1", "index": 0}, {"id": "c1", "index": 1}], "outcome": "win"}
    say(store, "choice", changed, target="c2")
    assert [vote.answer for vote in store.current_votes()] == ["both"]


def test_the_narrower_consent_counts(store: Store) -> None:
    answer(store, "c1", consent=Consent.SERVE)
    say(store, "thumb", 1, consent=Consent.PUBLISH)
    assert store.current_votes()[0].consent == Consent.SERVE


def test_equal_talks_of_two_people_share_no_row(store: Store) -> None:
    talk = {"messages": ASK}
    answer(store, "c1", **talk)
    answer(store, "c2", principal=BOB, **talk)
    store.forget(BOB)
    kept = store.completion("c1")
    assert kept is not None
    assert kept.messages == ASK
    assert store.completion("c2") is None


def test_forgetting_empties_and_keeps_ids(store: Store) -> None:
    answer(store, "c1")
    answer(store, "c2", principal=BOB)
    event = say(store, "edit", "my secret")
    say(store, "thumb", 1, target="c2", principal=BOB)
    erased = store.forget(ANN)
    assert (erased.event_ids, erased.completion_ids) == ((event.id,), ("c1",))
    assert store.forget(ANN).event_ids == (event.id,)
    assert [vote.principal for vote in store.current_votes()] == [BOB]
    row = store.events()[0]
    assert (row.id, row.value, row.reason, row.erased) == (event.id, None, (), True)
    assert ANN not in row.principal
    with pytest.raises(NotFound):
        say(store, "thumb", 1)


def test_keys_are_found_by_secret_until_revoked(store: Store) -> None:
    made = store.create_key("app", frozenset({"chat", "feedback"}))
    found = store.find_key(made.secret)
    assert found is not None
    assert (made.secret[:3], found.name, found.scopes) == ("fl-", "app", {"chat", "feedback"})
    assert store.find_key(made.secret + "x") is None
    with pytest.raises(Conflict):
        store.create_key("app", frozenset({"chat"}))
    with pytest.raises(ValueError, match="unknown scope"):
        store.create_key("b", frozenset({"root"}))
    with pytest.raises(ValueError, match="not allowed"):
        store.create_key("a/b", frozenset({"chat"}))
    store.revoke_key("app")
    assert store.find_key(made.secret) is None
    assert [row.revoked is not None for row in store.list_keys()] == [True]
    with pytest.raises(NotFound):
        store.revoke_key("b")


def test_the_champion_moves_forward_and_back(store: Store) -> None:
    assert store.champion() is None
    for epoch, model in enumerate(["a", "b", "c"]):
        store.set_champion(model, "better", expected_epoch=epoch)
    with pytest.raises(Conflict, match="epoch 3"):
        store.set_champion("d", "late", expected_epoch=2)
    assert [store.rollback("bad").model for _ in range(2)] == ["b", "a"]
    with pytest.raises(NotFound):
        store.rollback("worse")
    assert [(row.epoch, row.model) for row in store.history()] == [(1, "a"), (2, "b"), (3, "c"), (4, "b"), (5, "a")]
    store.set_champion("d", "new")
    assert store.rollback("bad").model == "a"
    assert store.candidate() is None
    store.set_candidate("e")
    assert store.candidate() == "e"
    store.set_candidate(None)
    assert store.candidate() is None


def test_a_step_has_one_owner_at_a_time(store: Store) -> None:
    turn = store.start_turn({"steps": ["collect", "train"], "base": "a"})
    with pytest.raises(Conflict, match="still running"):
        store.start_turn({})
    assert store.claim_step(turn, "collect", "one", "h", 60)
    assert not store.claim_step(turn, "collect", "two", "h", 60)
    assert store.heartbeat(turn, "collect", "one")
    assert not store.heartbeat(turn, "collect", "two")
    assert store.claim_step(turn, "collect", "two", "h", 0)
    with pytest.raises(Conflict, match="not leased"):
        store.finish_step(turn, "collect", "one", {})
    store.finish_step(turn, "collect", "two", {"lessons": "x@1"})
    assert not store.claim_step(turn, "collect", "one", "h", 0)
    assert store.claim_step(turn, "collect", "one", "other input", 60)
    store.fail_step(turn, "collect", "one", "no disk")
    steps = store.turn(turn).steps
    assert [(s.step, s.status, s.error) for s in steps.values()] == [("collect", "failed", "no disk"), ("train", "pending", "")]


def test_a_turn_ends_once(store: Store) -> None:
    turn = store.start_turn({})
    assert store.claim_step(turn, "made up later", "one", "h", 60)
    unfinished = store.unfinished_turn()
    assert unfinished is not None
    assert unfinished.id == turn
    store.finish_turn(turn, "refused", "version_order fell")
    store.finish_turn(turn, "refused", "said twice")
    with pytest.raises(Conflict):
        store.finish_turn(turn, "promoted", "")
    with pytest.raises(Conflict):
        store.claim_step(turn, "train", "one", "h", 60)
    assert store.unfinished_turn() is None
    assert [(row.state, row.why) for row in store.turns()] == [("refused", "version_order fell")]
    with pytest.raises(NotFound):
        store.turn("nothing")


def test_notes_keep_the_last_word(store: Store) -> None:
    assert store.read_note("demo") is None
    store.note("demo", {"step": 1, "名": "甲"})
    store.note("demo", {"step": 2})
    assert store.read_note("demo") == {"step": 2}


def test_the_log_can_be_read_from_a_place(store: Store) -> None:
    answer(store, "c1")
    ids = [say(store, "comment", f"word {i}").id for i in range(5)]
    assert [row.id for row in store.events(after_seq=1, limit=2)] == ids[1:3]
    assert store.last_seq() == 5
    assert ids == sorted(ids)
