"""What every store must do for a page: conversations as trees, search over them, taking things back, answers cut short by a crash."""

import time
from pathlib import Path
from typing import Any

import pytest

from feilun.store import CompletionRecord, FeedbackRequest, InvalidFeedback, NotFound, Store
from feilun.store.search import fold, words_of
from feilun.types import Consent, Decision

ME, OTHER = "owner", "key:app"


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path) as opened:
        yield opened


class Clock:
    now = 1000.0

    def tick(self) -> float:
        self.now += 1
        return self.now


CLOCK = Clock()


def record_of(completion_id: str, thread: str, talk: list[str], *texts: str, principal: str = ME, **more: Any) -> CompletionRecord:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(talk)]
    choices = [{"index": i, "text": text, "finish_reason": "stop", "num_tokens": 2} for i, text in enumerate(texts)]
    return CompletionRecord(
        id=completion_id, principal=principal, model="m@1", thread_id=thread, messages=messages, choices=choices,
        decision=Decision(engine="echo", model="m@1"), started=CLOCK.tick(), finished=CLOCK.tick(), **more,
    )  # fmt: skip


def answer(store: Store, completion_id: str, thread: str, talk: list[str], *texts: str, **more: Any) -> None:
    store.record_completion(record_of(completion_id, thread, talk, *texts, **more))


def say(store: Store, kind: str, value: Any, target: str, **more: Any) -> str:
    return store.record_feedback(FeedbackRequest(**{"principal": ME, "target_id": target, "kind": kind, "value": value, **more})).id


def outline(store: Store, thread: str) -> list[tuple[str, str]]:
    """(text of the parent, text) of every message."""
    found = store.thread(ME, thread)
    assert found is not None
    texts = {message.address: message.text for message in found.messages} | {thread: ""}
    return [(texts[message.parent], message.text) for message in found.messages]


# --- conversations


def test_threads_are_listed_newest_first_and_in_pages(store: Store) -> None:
    for number in range(5):
        answer(store, f"c{number}", f"t{number}", [f"question  {number}\n" + "long " * 30], "a", "b")
    answer(store, "again", "t1", ["question  1\n" + "long " * 30, "a", "more?"], "c", num_quoted=2)
    answer(store, "foreign", "t9", ["theirs"], "a", principal=OTHER)
    rows = store.threads(ME, 3)
    assert [row.id for row in rows] == ["t1", "t4", "t3"]
    assert (rows[0].num_answers, rows[1].num_answers) == (3, 2)
    assert rows[0].title.startswith("question 1 long long")
    assert len(rows[0].title) == 60
    assert [row.id for row in store.threads(ME, 3, before=rows[-1].at)] == ["t2", "t0"]
    assert [row.title for row in store.threads(OTHER, 9)] == ["theirs"]
    assert store.threads("nobody", 9) == []


def test_a_thread_is_a_tree_of_its_own_principal(store: Store) -> None:
    answer(store, "c1", "t", ["hello"], "hi", "hey", consent=Consent.SERVE)
    answer(store, "c2", "t", ["hello", "hi", "why?"], "so", num_quoted=2)
    answer(store, "c3", "t", ["hello again"], "hi", consent=Consent.PUBLISH)
    answer(store, "other", "t", ["hello"], "hi", principal=OTHER)
    found = store.thread(ME, "t")
    assert found is not None
    assert (found.title, found.consent) == ("hello", Consent.PUBLISH)
    assert outline(store, "t") == [
        ("", "hello"), ("hello", "hi"), ("hello", "hey"), ("hi", "why?"), ("why?", "so"), ("", "hello again"), ("hello again", "hi"),
    ]  # fmt: skip
    hi = found.messages[1]
    assert hi.answer is not None
    assert (hi.answer.id, hi.answer.index, hi.answer.engine, hi.answer.seconds) == ("c1", 0, "echo", 1.0)
    assert [message.at for message in found.messages] == sorted(message.at for message in found.messages)
    assert store.thread(ME, "u") is store.thread("nobody", "t") is None


def test_an_answer_shows_what_stands(store: Store) -> None:
    answer(store, "c1", "t", ["q"], "a")
    answer(store, "c2", "t", ["q"], "a")
    say(store, "thumb", 1, "c2")
    say(store, "thumb", -1, "c2", reason=("style",))
    edit = say(store, "edit", "better", "c2")
    found = store.thread(ME, "t")
    assert found is not None
    (_, node) = found.messages
    assert node.answer is not None
    assert node.answer.id == "c2"
    assert node.answer.standing == (-1, ("style",), "better", edit)


def test_what_follows_an_edited_answer_hangs_under_that_answer(store: Store) -> None:
    answer(store, "c1", "t", ["my cat?"], "Tom")
    say(store, "edit", "Mimi", "c1")
    answer(store, "c2", "t", ["my cat?", "Mimi", "its age?"], "three", num_quoted=2)
    say(store, "edit", "Mimi!", "c1")
    answer(store, "c3", "t", ["my cat?", "Mimi!", "its age?"], "four", num_quoted=2)
    answer(store, "c4", "t", ["my cat?", "Mimi!", "its age?", "three", "sure?"], "yes", num_quoted=4)
    found = store.thread(ME, "t")
    assert found is not None
    assert outline(store, "t") == [
        ("", "my cat?"), ("my cat?", "Tom"), ("Tom", "its age?"), ("its age?", "three"), ("its age?", "four"), ("three", "sure?"),
        ("sure?", "yes"),
    ]  # fmt: skip
    addresses = [message.address for message in found.messages]
    assert len(set(addresses)) == len(addresses)
    assert all(message.parent in {"t", *addresses} for message in found.messages)


def test_an_edit_with_the_words_of_another_answer_stays_that_answer(store: Store) -> None:
    answer(store, "c1", "t", ["q"], "a", "b")
    say(store, "edit", "b", "c1", target_index=0)
    answer(store, "c2", "t", ["q", "b", "more"], "c", num_quoted=2)
    assert outline(store, "t") == [("", "q"), ("q", "a"), ("q", "b"), ("b", "more"), ("more", "c")]


def test_a_talk_sent_whole_has_its_place_and_time(store: Store) -> None:
    record = record_of("c1", "t", ["q", "told", "q2"], "a")
    system = {"role": "system", "content": "be brief"}
    store.record_completion(
        CompletionRecord(**{**{f: getattr(record, f) for f in record.__slots__}, "messages": [system, *record.messages]})
    )
    found = store.thread(ME, "t")
    assert found is not None
    assert outline(store, "t") == [("", "be brief"), ("be brief", "q"), ("q", "told"), ("told", "q2"), ("q2", "a")]
    assert [message.at for message in found.messages] == [record.started] * 4 + [record.finished]
    assert found.title == store.threads(ME, 1)[0].title == "q"
    assert [message.answer is None for message in found.messages] == [True, True, True, True, False]


# --- search


TEA, SHOP, CAFE, LANGUAGE, DRINK = "杭州的龙井茶", "The SHOP sold 9.11 grams", "京都のカフェ", "Русский язык", "喝茶"
SAID = (TEA, SHOP, CAFE, LANGUAGE, DRINK)


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("龙井", [TEA]), ("井", [TEA]), ("茶", [DRINK, TEA]), ("Shop", [SHOP]), ("sho", [SHOP]), ("sho ", []), ("9.11", [SHOP]),
        ("11.9", []), ("ＳＨＯＰ", [SHOP]), ("grams shop", [SHOP]), ("hop", []), ("", []), ("  ?! ", []), ('" OR "', []),
        ("龙井 NOT 茶", [TEA, DRINK]), ("who:owner", []), ("喝龙井", [TEA]), ("カフェ", [CAFE]), ("ru*", []), ("русский", [LANGUAGE]),
    ],
)  # fmt: skip
def test_search(store: Store, query: str, texts: list[str]) -> None:
    for text in SAID:
        answer(store, f"mine {text}", text, [text], "ok")
        answer(store, f"other {text}", text, [text], "ok", principal=OTHER)
    hits = store.search(ME, query, 10)
    assert [hit.text for hit in hits] == [hit.thread_id for hit in hits] == [hit.title for hit in hits] == texts
    assert all(hit.marks for hit in hits)
    assert all(fold(hit.text[start:end]).strip() for hit in hits for start, end in hit.marks)
    assert store.search("nobody", query, 10) == []


def test_a_hit_is_where_a_page_shows_it(store: Store) -> None:
    answer(store, "c1", "t", ["my cat?"], "Tom")
    edit = say(store, "edit", "She is Mimi", "c1")
    answer(store, "c2", "t", ["my cat?", "She is Mimi", "its age?"], "three years", num_quoted=2)
    addresses = {message.text: message.address for message in store.thread(ME, "t").messages}  # type: ignore[union-attr]
    (mimi,) = store.search(ME, "mimi", 10)
    assert (mimi.text, mimi.address, mimi.role, mimi.marks) == ("She is Mimi", addresses["Tom"], "assistant", ((7, 11),))
    assert [hit.address for hit in store.search(ME, "age", 10)] == [addresses["its age?"]]
    assert [hit.address for hit in store.search(ME, "years", 10)] == [addresses["three years"]]
    say(store, "edit", None, "c1", supersedes=edit)
    assert store.search(ME, "mimi", 10) == []


def test_words() -> None:
    assert list(words_of("我的猫 Mimi 3岁")) == ["我的", "的猫", "猫", "mimi", "3", "岁"]
    assert list(words_of("")) == []


def test_hits_are_limited_and_newest_first(store: Store) -> None:
    for number in range(6):
        answer(store, f"c{number}", f"t{number}", [f"tea number {number}"], "ok")
    assert [hit.text[-1] for hit in store.search(ME, "tea", 3)] == ["5", "4", "3"]


# --- taking back


def standing(store: Store) -> list[tuple[str, Any]]:
    return [(vote.kind, vote.value) for vote in store.current_votes()]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("thumb", 1), ("edit", "better"), ("comment", "hm"), ("report", "rude"), ("implicit", {"name": "copy", "n": 1}),
        ("choice", {"over": [{"id": "c1", "index": 1}], "outcome": "win"}),
    ],
)  # fmt: skip
def test_any_event_can_be_taken_back(store: Store, kind: str, value: Any) -> None:
    answer(store, "c1", "t", ["q"], "a", "b")
    first = say(store, kind, value, "c1")
    assert standing(store) == [(kind, value)]
    result = store.record_feedback(FeedbackRequest(principal=ME, target_id="c1", kind=kind, value=None, supersedes=first))
    assert result.status == "superseded"
    assert standing(store) == []
    with pytest.raises(InvalidFeedback, match="give the feedback again"):
        say(store, kind, None, "c1", supersedes=result.id)
    say(store, kind, value, "c1")
    assert standing(store) == [(kind, value)]


def test_taking_back_revives_nothing_and_touches_nothing_else(store: Store) -> None:
    answer(store, "c1", "t", ["q"], "a")
    first, thumb = say(store, "edit", "one", "c1"), say(store, "thumb", 1, "c1")
    second = say(store, "edit", "two", "c1")
    say(store, "edit", None, "c1", supersedes=first)
    assert standing(store) == [("thumb", 1), ("edit", "two")]
    say(store, "edit", None, "c1", supersedes=second)
    assert standing(store) == [("thumb", 1)]
    say(store, "thumb", None, "c1", supersedes=thumb)
    assert standing(store) == []
    assert store.edited_threads(ME) == {"t"}


def test_only_the_same_event_can_be_taken_back(store: Store) -> None:
    answer(store, "c1", "t", ["q"], "a", "b")
    answer(store, "c2", "t2", ["q"], "a", principal=OTHER)
    mine = say(store, "edit", "better", "c1")
    for wrong in ({"kind": "thumb"}, {"target_index": 1}):
        with pytest.raises(InvalidFeedback, match="name this kind"):
            store.record_feedback(
                FeedbackRequest(**{"principal": ME, "target_id": "c1", "kind": "edit", "value": None, "supersedes": mine, **wrong})
            )
    for strange in ({"target": "c2", "principal": OTHER, "supersedes": mine}, {"target": "c1", "supersedes": "nothing"}):
        with pytest.raises(NotFound):
            say(store, "edit", None, **strange)
    with pytest.raises(InvalidFeedback):
        say(store, "edit", None, "c1")
    assert standing(store) == [("edit", "better")]


# --- erasing a conversation


def test_a_forgotten_thread_is_empty_and_the_others_are_whole(store: Store, tmp_path: Path) -> None:
    answer(store, "c1", "t", ["a green secret"], "a purple answer")
    answer(store, "c2", "t", ["a green secret", "an orange word", "and then?"], "yes")
    answer(store, "c3", "kept", ["a green secret"], "kept answer")
    answer(store, "c4", "t", ["a green secret"], "theirs", principal=OTHER)
    event, kept = say(store, "edit", "an orange word", "c1"), say(store, "thumb", 1, "c3")
    with pytest.raises(NotFound):
        store.forget_thread(OTHER, "kept")
    store.forget_thread(ME, "t")
    assert store.thread(ME, "t") is store.completion("c1") is store.completion("c2") is None
    assert [row.id for row in store.threads(ME, 9)] == ["kept"]
    assert [hit.thread_id for hit in store.search(ME, "green", 9)] == ["kept"]
    assert [vote.id for vote in store.current_votes()] == [kept]
    assert [(row.id, row.erased) for row in store.events()] == [(event, True), (kept, False)]
    assert [(erasure.event_ids, erasure.completion_ids) for erasure in store.erasures()] == [((event,), ("c1", "c2"))]
    assert store.thread(OTHER, "t") is not None
    assert not any(word in file.read_bytes() for file in tmp_path.iterdir() for word in (b"purple", b"orange"))
    with pytest.raises(NotFound):
        store.forget_thread(ME, "t")
    with pytest.raises(NotFound):
        say(store, "thumb", 1, "c1")
    assert store.forget(ME).completion_ids == ("c1", "c2", "c3")
    assert store.search(ME, "green", 9) == []


# --- drafts


def test_a_draft_that_nobody_renews_becomes_an_aborted_answer(store: Store) -> None:
    for name in ("c1", "c2", "c3"):
        store.drafts.save(record_of(name, name, [f"question {name}"], "", consent=Consent.PUBLISH, params={"seed": 7}))
        store.drafts.renew(name, [{"index": 0, "text": f"text of {name}", "num_tokens": 4}])
    store.record_completion(record_of("c2", "c2", ["question c2"], "whole"))
    assert store.threads(ME, 9)[0].id == "c2"
    assert store.drafts.adopt(before=0.0) == []
    assert store.drafts.adopt(before=time.time() + 1, but=["c3"]) == ["c1"]
    assert store.drafts.adopt(before=time.time() + 1, but=["c3"]) == []
    record = store.completion("c1")
    assert record is not None
    assert record.choices == [{"index": 0, "text": "text of c1", "finish_reason": "abort", "num_tokens": 4}]
    assert (record.consent, record.params, record.completion_tokens, record.decision.engine) == (Consent.PUBLISH, {"seed": 7}, 4, "echo")
    assert [hit.text for hit in store.search(ME, "text", 9)] == ["text of c1"]
    store.drafts.renew("c2", [{"index": 0, "text": "late", "num_tokens": 1}])
    store.forget(ME)
    assert store.drafts.adopt(before=time.time() + 1) == []
