"""Served chats as documents of a corpus: consent, held-out people, erasure, what stands, and the way back from a forgotten person."""

from pathlib import Path
from typing import Any

import pytest
from vote_house import HELD_OUT, RATERS

from feilun.artifacts import find
from feilun.cli import main
from feilun.corpus import read_documents
from feilun.feedback import LessonRules, ServedChats
from feilun.store import OWNER, CompletionRecord, EngineRow, FeedbackRequest, RolloutMove, Store
from feilun.turn.sweep import sweep
from feilun.types import Consent, Decision, is_held_out

ANN, BOB = RATERS[:2]
LOOSE = LessonRules(min_trust=0.0)


@pytest.fixture
def store(home: Path) -> Any:
    with Store.open(home) as opened:
        yield opened


def answer(
    store: Store, name: str, talk: list[str], *texts: str, thread: str = "t", principal: str = ANN, model: str = "m@1",
    consent: Consent = Consent.IMPROVE, finish: str = "stop", system: str = "",
) -> None:  # fmt: skip
    """An answered request; names rise with time, and `talk` is what was said before in turns."""
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(talk)]
    messages = [{"role": "system", "content": system}, *messages] if system else messages
    choices = [{"index": i, "text": text, "finish_reason": finish, "num_tokens": 2} for i, text in enumerate(texts)]
    at = 1000.0 + len(store.talks()) + sum(len(talk.completion_ids) for talk in store.talks())
    store.record_completion(
        CompletionRecord(
            id=name, principal=principal, model=model, thread_id=thread, messages=messages, choices=choices, consent=consent,
            decision=Decision(engine="echo", model=model), started=at, finished=at + 0.5,
        )
    )  # fmt: skip


def say(store: Store, target: str, kind: str, value: Any, principal: str = ANN, **more: Any) -> str:
    return store.record_feedback(FeedbackRequest(principal=principal, target_id=target, kind=kind, value=value, **more)).id


def told(store: Store, rules: LessonRules = LOOSE) -> tuple[list[list[str]], dict[str, int]]:
    """The documents as their messages, and how many messages stayed out by reason; all are accounted for."""
    chats = ServedChats(store=store, rules=rules)
    documents = [document.text.split("\n\n") for document in chats]
    counts = chats.origins["chats"]
    assert sum(map(len, documents)) == counts["kept"] == counts["messages"] - sum(counts["left_out"].values())
    return documents, counts["left_out"]


def test_a_conversation_is_one_document_and_every_message_is_in_one(store: Store) -> None:
    answer(store, "c1", ["q"], "a", system="be brief")
    answer(store, "c2", ["q", "a", "why?"], "so", system="be brief")
    answer(store, "c3", ["q", "a", "how?"], "thus", system="be brief")
    answer(store, "c4", ["q2"], "a2")
    answer(store, "c5", ["q"], "a", thread="other")
    assert told(store) == ([["q", "a"], ["q", "a", "why?", "so"], ["how?", "thus"], ["q2", "a2"]], {"system": 1})


def test_consent_is_asked_of_every_message(store: Store) -> None:
    answer(store, "c1", ["open"], "a1", consent=Consent.PUBLISH)
    answer(store, "c2", ["open", "a1", "secret"], "a2", consent=Consent.SERVE)
    answer(store, "c3", ["open", "a1", "secret", "a2", "after"], "a3")
    answer(store, "c4", ["open", "a1", "mine"], "a4")
    answer(store, "c5", ["twice"], "same", thread="twin")
    answer(store, "c6", ["twice"], "same", thread="twin", consent=Consent.SERVE)
    answer(store, "c7", ["told", "by a client", "private"], "a7", thread="whole", consent=Consent.SERVE)
    left_out = {"consent": 3, "below_left_out": 5, "unanswered": 2}
    assert told(store) == ([["open", "a1", "mine", "a4"]], left_out)
    assert [d.license for d in ServedChats(store=store, rules=LOOSE)] == ["LicenseRef-consent-improve"]
    published = ServedChats(store=store, rules=LessonRules(min_trust=0.0, scope=Consent.PUBLISH))
    assert [(d.text, d.license) for d in published] == [("open\n\na1", "LicenseRef-consent-publish")]


def test_what_measures_is_never_text(store: Store) -> None:
    taught, held = (next(f"t{n}" for n in range(99) if is_held_out(f"t{n}") is wanted) for wanted in (False, True))
    answer(store, "c1", ["q1"], "a1", principal=HELD_OUT[0])
    answer(store, "c2", ["q2"], "a2", principal=OWNER, thread=taught)
    answer(store, "c3", ["q3"], "a3", principal=OWNER, thread=held)
    assert told(store) == ([["q2", "a2"]], {"held_out": 4})
    say(store, "c3", "edit", "a better a3", principal=OWNER)
    assert sorted(told(store)[0]) == [["q2", "a2"], ["q3", "a better a3"]]


def test_erased_words_are_gone(store: Store) -> None:
    answer(store, "c1", ["hers"], "a1", principal=ANN)
    answer(store, "c2", ["his"], "a2", principal=BOB)
    answer(store, "c3", ["his too"], "a3", principal=BOB, thread="u")
    store.forget(ANN)
    store.forget_thread(BOB, "u")
    assert told(store) == ([["his", "a2"]], {})


def test_of_several_answers_one_stands(store: Store) -> None:
    for thread in ("edited", "praised", "continued", "newest"):
        answer(store, f"{thread}1", ["q"], "first", thread=thread)
        answer(store, f"{thread}2", ["q"], "second", thread=thread)
    say(store, "edited1", "edit", "rewritten")
    say(store, "praised1", "thumb", 1)
    answer(store, "continued3", ["q", "first", "q2"], "a2", thread="continued")
    documents, left_out = told(store)
    assert documents == [["q", "first", "q2", "a2"], ["q", "rewritten"], ["q", "second"], ["q", "first"]]
    assert left_out == {"another_stands": 4}


def test_refused_unfinished_and_foreign_answers_stay_out(store: Store) -> None:
    store.add_engine(EngineRow(name="mute", url="http://127.0.0.1:1/v1", model="x"))
    store.add_engine(EngineRow(name="kind", url="http://127.0.0.1:2/v1", model="x", teach=True))
    answer(store, "down", ["q"], "bad", thread="a")
    answer(store, "below", ["q", "bad", "really?"], "sorry", thread="a")
    answer(store, "reported", ["q"], "vile", thread="b")
    answer(store, "won", ["q"], "good", thread="c")
    answer(store, "lost", ["q"], "worse", thread="c")
    answer(store, "cut", ["q"], "I thi", thread="d", finish="abort")
    answer(store, "foreign", ["q"], "theirs", thread="e", model="engine:mute/x")
    answer(store, "lent", ["q"], "lent", thread="f", model="engine:kind/x")
    say(store, "down", "thumb", -1)
    say(store, "reported", "report", "vile")
    say(store, "won", "choice", {"over": [{"id": "lost", "index": 0}], "outcome": "win"})
    documents, left_out = told(store)
    assert documents == [["q", "good"], ["q", "lent"]]
    assert left_out == {"refused": 3, "below_left_out": 2, "unfinished": 1, "terms": 1, "unanswered": 4}


def test_an_edit_that_no_lesson_takes_leaves_neither_text(store: Store) -> None:
    answer(store, "c1", ["q"], "a")
    say(store, "c1", "edit", "better")
    assert told(store)[0] == [["q", "better"]]
    assert told(store, LessonRules(min_trust=2.0)) == ([], {"doubted_edit": 1, "unanswered": 1})


def test_what_a_rollout_took_back_is_no_text_until_it_is_released(store: Store) -> None:
    answer(store, "c1", ["q"], "a")
    answer(store, "c2", ["r"], "b", thread="u")
    edit, thumb = say(store, "c1", "edit", "better"), say(store, "c2", "thumb", -1)
    assert told(store) == ([["q", "better"]], {"refused": 1, "unanswered": 1})
    store.set_champion("models/m@1", "first")
    turn = store.start_turn({"name": "turn-1"})
    row = store.start_rollout(turn, "models/m@2", 1, {})
    store.move_rollout(row, RolloutMove(stage="rolled_back", gate="g4", body={}, withhold=(edit, thumb)))
    assert told(store) == ([["r", "b"]], {"doubted_edit": 1, "unanswered": 1})
    store.release_events(row.id)
    assert told(store)[0] == [["q", "better"]]


def test_an_unwilling_word_changes_nothing(store: Store) -> None:
    answer(store, "c1", ["q"], "a")
    say(store, "c1", "edit", "private words", consent=Consent.SERVE)
    assert told(store) == ([["q", "a"]], {})


def test_the_door_of_every_source(home: Path, store: Store, tmp_path: Path, capsys: Any) -> None:
    """Personal data, copies and protected texts go the way that files go; forgetting leads to the corpus and what was made of it."""
    long = "今天的天气很好，我们一起去公园散步，看见了很多花，也看见了很多人。"
    answer(store, "c1", [f"{long}我的邮箱是 ann.lee@fastmail.cn"], f"{long}已经记下。", thread="a")
    answer(store, "c2", ["The very same words, said by two people."], "And the very same answer to them.", thread="b")
    answer(store, "c3", ["The very same words, said by two people."], "And the very same answer to them.", principal=BOB)
    answer(store, "c4", ["Which planet has the largest ocean of all of them?"], "The exam says so.", principal=BOB, thread="x")
    protected = tmp_path / "exam.txt"
    protected.write_text("Which planet has the largest ocean of all of them?", encoding="utf-8")
    assert main(["--home", str(home), "corpus", "build", "chats", "feedback:", "--protect", str(protected)]) == 0
    assert "served chats: 8 messages, 8 in documents; left out: none" in capsys.readouterr().out
    made = find(home, "chats", "corpus")
    texts = [d.text for part in ("train", "validation") for d in read_documents(made, part)]
    assert len(texts) == 2
    assert not any("ann.lee@fastmail.cn" in text for text in texts)
    counts = made.manifest["counts"]
    assert sum(counts["dropped"].values()) == 2
    assert counts["completions"] == ["c1", "c2", "c3", "c4"]
    assert sorted(gave["documents"] for gave in counts["chats"]["raters"].values()) == [2, 2]
    assert ANN not in str(made.manifest)
    store.forget(BOB)
    assert sweep(home, store).entombed == (f"corpus/{made.ref}",)
    assert not list(made.path.glob("*.parquet"))
    assert main(["--home", str(home), "corpus", "build", "chats", "feedback:"]) == 0
    assert find(home, "chats", "corpus").manifest["counts"]["completions"] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["feedback:", "x.txt"], "stands alone"),
        (["feedback:all"], "feedback:publish"),
        (["feedback:"], "nothing was served"),
    ],
)
def test_what_feedback_cannot_mean_is_an_error(home: Path, capsys: Any, paths: list[str], says: str) -> None:
    assert main(["--home", str(home), "corpus", "build", "chats", *paths]) != 0
    assert says in capsys.readouterr().err
