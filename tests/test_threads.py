"""The conversations of a page: asking, branching, correcting, going on, finding, forgetting, and what the model was told."""

import asyncio
from urllib.parse import quote

import pytest
from page_client import events_of, outline, post, said, thread
from serve_house import TOKENIZER, error_of, open_house, thumb, wait_for

from feilun.artifacts import draft
from feilun.serve.errors import ApiError
from feilun.serve.prompt import fit
from feilun.store import CompletionRecord, new_secret
from feilun.types import Decision, Message


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house:
        wait_for(house, house.promote("m"))
        house.ann, house.bob = (house.key(name, "chat", "feedback") for name in ("ann", "bob"))
        yield house


@pytest.fixture
def page(house):
    with house.client(house.ann) as client:
        yield client


def feed(page, kind, value, target, **fields):
    body = {"target": {"id": target, "index": 0}, "kind": kind, "value": value, **fields}
    response = page.post("/v1/feedback", json=body, headers={"Idempotency-Key": new_secret()})
    assert response.status_code == 200, response.text
    return response.json()


def prompt_of(house) -> str:
    """What the engine was given last."""
    return TOKENIZER.decode(house.engines[0].requests[-1].ids, specials=True)


def chatml(*texts: str) -> str:
    roles = ("user", "assistant")
    said_so_far = "".join(f"<|im_start|>{roles[i % 2]}\n{text}<|im_end|>\n" for i, text in enumerate(texts))
    return f"{said_so_far}<|im_start|>assistant\n"


# --- asking


def test_a_conversation_goes_on(house, page):
    first = said(page, "one")
    second = said(page, "two", thread_id=first["thread_id"], parent=first["answers"][0]["address"])
    assert second["thread_id"] == first["thread_id"]
    assert prompt_of(house) == chatml("one", "m: one", "two")
    assert outline(page, first["thread_id"]) == [("", "one"), ("one", "m: one"), ("m: one", "two"), ("two", "m: two")]
    found = thread(page, first["thread_id"])
    assert found["tip"] == second["answers"][0]["address"]
    answer = found["messages"][-1]
    assert answer["answer"].items() >= {"id": second["id"], "index": 0, "engine": "echo", "finish_reason": "stop"}.items()
    assert (answer["html"], answer["thumb"], answer["reasons"], answer["lesson"]) == (["<p>m: two</p>"], 0, [], None)


def test_two_conversations_may_begin_alike(page):
    one, other = said(page, "same"), said(page, "same")
    assert one["thread_id"] != other["thread_id"]
    assert one["question"] != other["question"]


def test_an_edited_question_is_a_branch(house, page):
    first = said(page, "wrong question")
    tid = first["thread_id"]
    second = said(page, "next", thread_id=tid, parent=first["answers"][0]["address"])
    said(page, "right question", thread_id=tid)
    said(page, "other next", thread_id=tid, parent=first["answers"][0]["address"])
    assert prompt_of(house) == chatml("wrong question", "m: wrong question", "other next")
    assert [pair for pair in outline(page, tid) if not pair[1].startswith("m: ")] == [
        ("", "wrong question"), ("m: wrong question", "next"), ("", "right question"), ("m: wrong question", "other next"),
    ]  # fmt: skip
    assert second["question"] != first["question"]


def test_another_answer_is_a_sibling_and_can_be_chosen(house, page):
    house.script.answers["say"] = ["left", "right"]
    first = said(page, "say")
    second = said(page, thread_id=first["thread_id"], parent=first["question"])
    assert second["question"] == first["question"]
    assert outline(page, first["thread_id"]) == [("", "say"), ("say", "left"), ("say", "right")]
    feed(page, "choice", {"over": [{"id": first["id"], "index": 0}], "outcome": "win"}, second["id"])


def test_how_it_is_drawn_is_recorded(house, page):
    def params(**fields):
        record = house.store.completion(said(page, **fields)["id"])
        return record.params["temperature"], record.params["seed"], record.params["n"]

    first = said(page, "drawn")
    again = {"thread_id": first["thread_id"], "parent": first["question"]}
    assert params(text="drawn anew")[::2] == (0.0, 1)
    assert params(text="three of it", n=3)[::2] == (0.8, 3)
    assert params(**again)[::2] == (0.8, 1)
    assert params(**again, temperature=0, seed=7) == (0.0, 7, 1)
    assert len({params(**again)[1] for _ in range(3)}) == 3
    assert 0 <= params(**again)[1] < 1 << 53


def test_another_model_may_answer_the_same_question_at_the_same_time(house, page):
    house.go.clear()
    first = post(page, "who are you?")
    second = post(page, thread_id=first.thread_id, parent=first.question)
    assert len(thread(page, first.thread_id)["running"]) == 2
    house.go.set()
    assert {events_of(page, made.id)[-1].name for made in (first, second)} == {"end"}
    assert outline(page, first.thread_id) == [("", "who are you?"), ("who are you?", "m: who are you?")]
    assert [hit["role"] for hit in page.get("/api/search", params={"q": "who are you?"}).json()["hits"]].count("user") == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "text"), ({"text": ""}, "text"), ({"text": "  \n"}, "text"), ({"text": 1}, "text"), ({"text": "x" * 32_001}, "text"),
        ({"text": "x", "n": 4}, "n"), ({"text": "x", "n": 0}, "n"), ({"text": "x", "n": True}, "n"),
        ({"text": "x", "temperature": 3}, "temperature"),
        ({"text": "x", "consent": "all"}, "consent"), ({"text": "x", "seed": 0.5}, "seed"), ({"text": "x", "thread_id": 1}, "thread_id"),
        ({"text": "x", "parent": "y"}, "thread_id"), ({"text": "x", "messages": []}, "messages"), ({"text": "x", "model": 1}, "model"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(page, body, param):
    assert error_of(page.post("/api/chat", json=body), 400)["param"] == param


def test_a_question_stands_under_an_answer_and_an_answer_under_a_question(page):
    first = said(page, "where")
    ids = {"thread_id": first["thread_id"]}
    for body in ({"text": "x", "parent": first["question"]}, {"parent": first["answers"][0]["address"]}):
        assert error_of(page.post("/api/chat", json=ids | body), 400)["param"] == "parent"
    assert error_of(page.post("/api/chat", json={"text": "x", **ids, "parent": "0" * 64}), 404)["code"] == "not_found"
    assert error_of(page.post("/api/chat", json=[]), 400)
    assert error_of(page.post("/api/chat", json={"text": "x", "model": "nosuch"}), 404)["code"] == "model_not_found"


# --- correcting


def test_an_edit_stands_goes_on_and_is_undone(house, page):
    first = said(page, "my cat?")
    tid, answer = first["thread_id"], first["answers"][0]["address"]
    event = feed(page, "edit", "She is **Mimi**", first["id"])["id"]
    lesson = thread(page, tid)["messages"][1]["lesson"]
    assert lesson == {"event": event, "text": "She is **Mimi**", "html": ["<p>She is <strong>Mimi</strong></p>"]}
    second = said(page, "how old?", thread_id=tid, parent=answer)
    assert prompt_of(house) == chatml("my cat?", "She is **Mimi**", "how old?")
    assert outline(page, tid) == [("", "my cat?"), ("my cat?", "m: my cat?"), ("m: my cat?", "how old?"), ("how old?", "m: how old?")]
    assert {m["address"] for m in thread(page, tid)["messages"]} >= {second["question"], second["answers"][0]["address"]}
    (mine,) = [vote for vote in house.store.current_votes() if vote.id == event]
    assert (mine.kind, mine.thread_id) == ("edit", tid)
    assert feed(page, "edit", None, first["id"], supersedes=event)["status"] == "superseded"
    assert thread(page, tid)["messages"][1]["lesson"] is None
    assert all(vote.id != event for vote in house.store.current_votes())
    third = said(page, "and now?", thread_id=tid, parent=second["answers"][0]["address"])
    assert prompt_of(house) == chatml("my cat?", "m: my cat?", "how old?", "m: how old?", "and now?")
    assert outline(page, tid)[-2:] == [("m: how old?", "and now?"), ("and now?", "m: and now?")]
    assert third["answers"][0]["address"] == thread(page, tid)["tip"]


def test_an_edit_above_holds_for_what_comes_and_leaves_the_old_answers_comparable(house, page):
    first = said(page, "capital?")
    tid = first["thread_id"]
    second = said(page, "sure?", thread_id=tid, parent=first["answers"][0]["address"])
    feed(page, "edit", "Paris", first["id"])
    third = said(page, "why?", thread_id=tid, parent=second["answers"][0]["address"])
    assert prompt_of(house) == chatml("capital?", "Paris", "sure?", "m: sure?", "why?")
    again = said(page, thread_id=tid, parent=second["question"])
    feed(page, "choice", {"over": [{"id": second["id"], "index": 0}], "outcome": "tie"}, again["id"])
    said(page, thread_id=tid, parent=third["question"])
    assert prompt_of(house) == chatml("capital?", "Paris", "sure?", "m: sure?", "why?")
    assert [text for _, text in outline(page, tid)] == ["capital?", "m: capital?", "sure?", "m: sure?", "why?", "m: why?"]


def test_thumbs_are_shown_until_taken_back(page):
    made = said(page, "thumb?")
    key = {"Idempotency-Key": "down"}
    page.post("/v1/feedback", json=thumb(made["id"], -1, reason=["wrong", "style"]), headers=key)
    found = thread(page, made["thread_id"])["messages"][1]
    assert (found["thumb"], found["reasons"]) == (-1, ["wrong", "style"])
    feed(page, "thumb", 0, made["id"])
    found = thread(page, made["thread_id"])["messages"][1]
    assert (found["thumb"], found["reasons"]) == (0, [])


# --- lists, search, forgetting


def test_pages_of_conversations(house):
    with house.client(house.key("lister", "chat")) as page:
        made = [said(page, f"conversation {number}") for number in range(5)]
        first = page.get("/api/threads", params={"limit": 2}).json()["threads"]
        assert [row["title"] for row in first] == ["conversation 4", "conversation 3"]
        assert all(row.keys() == {"id", "title", "at", "num_answers"} and row["num_answers"] == 1 for row in first)
        rest = page.get("/api/threads", params={"limit": 50, "before": first[-1]["at"]}).json()["threads"]
        assert [row["id"] for row in rest] == [m["thread_id"] for m in reversed(made[:3])]
        for limit in (0, 101, "x"):
            error_of(page.get("/api/threads", params={"limit": limit}), 400)


def test_search_shows_where(page):
    made = said(page, "The shop in 杭州 sells 龙井 tea. " + "Much more is said here. " * 9)
    (answer, question) = page.get("/api/search", params={"q": "龙井"}).json()["hits"]
    assert (question["thread_id"], question["address"], question["role"]) == (made["thread_id"], made["question"], "user")
    assert answer["address"] == made["answers"][0]["address"]
    assert [piece["text"] for piece in question["snippet"] if piece["hit"]] == ["龙井"]
    shown = "".join(piece["text"] for piece in question["snippet"])
    assert shown.startswith("The shop in 杭州 sells 龙井 tea.")
    assert shown.endswith("…")
    assert 100 < len(shown) < 130
    assert question["title"].startswith("The shop in 杭州")
    assert [hit["address"] for hit in page.get("/api/search", params={"q": "SELLS shop"}).json()["hits"]] == [
        answer["address"],
        question["address"],
    ]
    assert page.get("/api/search").json() == page.get("/api/search", params={"q": "zebra"}).json() == {"hits": []}


def test_a_forgotten_conversation_is_gone_even_while_it_is_answered(house, page):
    made = said(page, "forget the xylophone")
    house.go.clear()
    running = post(page, "and the marimba", thread_id=made["thread_id"], parent=made["answers"][0]["address"])
    assert page.delete(f"/api/threads/{made['thread_id']}").status_code == 204
    house.go.set()
    for method, path in (
        ("GET", f"/api/threads/{made['thread_id']}"), ("DELETE", f"/api/threads/{made['thread_id']}"),
        ("GET", f"/api/generations/{made['id']}"), ("GET", f"/api/generations/{running.id}"),
        ("GET", f"/api/completions/{made['id']}/context"),
    ):  # fmt: skip
        assert error_of(page.request(method, path), 404)["code"] == "not_found"
    assert page.get("/api/search", params={"q": "xylophone marimba"}).json() == {"hits": []}
    assert made["thread_id"] not in [row["id"] for row in page.get("/api/threads").json()["threads"]]


def test_what_is_anothers_is_unknown(house, page):
    made = said(page, "the secret of ann")
    with house.client(house.bob) as bob:
        ids = {"thread_id": made["thread_id"], "parent": made["question"]}
        refusals = [
            bob.get(f"/api/threads/{made['thread_id']}"), bob.delete(f"/api/threads/{made['thread_id']}"),
            bob.get(f"/api/completions/{made['id']}/context"), bob.get(f"/api/generations/{made['id']}"),
            bob.delete(f"/api/generations/{made['id']}"), bob.post("/api/chat", json=ids), bob.post("/api/chat", json={**ids, "text": "x"}),
        ]  # fmt: skip
        assert {error_of(response, 404)["code"] for response in refusals} == {"not_found"}
        assert bob.get("/api/search", params={"q": "secret"}).json() == {"hits": []}
        own = said(bob, "of bob")
        assert error_of(bob.post("/api/chat", json={"thread_id": own["thread_id"], "parent": made["question"]}), 404)
    assert thread(page, made["thread_id"])["messages"][0]["text"] == "the secret of ann"


def test_a_client_may_have_named_its_thread_as_it_likes(page):
    body = {"model": "feilun", "messages": [{"role": "user", "content": "hi"}], "metadata": {"thread_id": "a/b ?#%龙"}}
    assert page.post("/v1/chat/completions", json=body).status_code == 200
    path = f"/api/threads/{quote('a/b ?#%龙', safe='')}"
    assert page.get(path).json()["id"] == "a/b ?#%龙"
    assert (page.delete(path).status_code, page.get(path).status_code) == (204, 404)


def test_consent_is_what_was_last_given(house, page):
    made = said(page, "keep it", consent="serve")
    tid, answer = made["thread_id"], made["answers"][0]["address"]
    assert thread(page, tid)["consent"] == "serve"
    second = said(page, "still?", thread_id=tid, parent=answer)
    assert house.store.completion(second["id"]).consent == "serve"
    said(page, "share it", thread_id=tid, parent=answer, consent="publish")
    assert thread(page, tid)["consent"] == "publish"
    assert house.store.completion(made["id"]).consent == "serve"


def test_render(page):
    assert page.post("/api/render", json={"text": "a\n\n*b*"}).json() == {"blocks": ["<p>a</p>", "<p><em>b</em></p>"]}
    for body in ({}, {"text": 1}, [], {"text": "x" * 100_001}):
        assert error_of(page.post("/api/render", json=body), 400)


# --- what the model saw


def test_context_is_the_exact_prompt(house, page):
    first = said(page, "你好 there", seed=11)
    context = page.get(f"/api/completions/{first['id']}/context").json()
    assert context["prompt"] == chatml("你好 there")
    assert [token["id"] for token in context["tokens"]] == list(house.engines[0].requests[-1].ids)
    assert context["num_tokens"] == len(context["tokens"])
    assert context["tokens"][0]["text"] == "<|im_start|>"
    assert (context["model"], context["engine"], context["dropped"], context["taught_by"]) == (house.engines[0].info.model, "echo", 0, [])
    assert context["params"]["seed"] == 11


def test_context_names_the_lessons_behind_a_model(tmp_path):
    with open_house(tmp_path) as house:
        with draft(tmp_path, "lessons", "said") as work:
            (work.path / "sft.jsonl").write_text("{}")
        lessons = f"lessons/{work.artifact.ref}"
        with draft(tmp_path, "models", "taught", parents=[lessons]) as work:
            (work.path / "name.txt").write_text("taught")
        house.store.set_champion(f"models/{work.artifact.ref}", "test")
        wait_for(house, f"models/{work.artifact.ref}")
        with house.client(house.key("ann", "chat")) as page:
            made = said(page, "who taught you?")
            house.promote("later")
            wait_for(house, house.store.champion().model)
            context = page.get(f"/api/completions/{made['id']}/context").json()
    assert context["taught_by"] == [lessons]
    assert (context["tokens"], context["num_tokens"] > 0) == ([], True)
    assert "who taught you?" in context["prompt"]


def test_a_talk_too_long_for_the_model_loses_its_beginning(house, page):
    first = said(page, "a" * 120)
    made = first
    for letter in "bcd":
        made = said(page, letter * 120, thread_id=first["thread_id"], parent=made["answers"][0]["address"])
    context = page.get(f"/api/completions/{made['id']}/context").json()
    assert context["dropped"] == 6
    assert context["prompt"] == chatml("d" * 120) == prompt_of(house)
    assert len(thread(page, first["thread_id"])["messages"]) == 8
    assert house.store.completion(made["id"]).messages[0]["content"] == "a" * 120
    error = error_of(page.post("/api/chat", json={"text": "x" * 600}), 400)
    assert (error["code"], error["param"]) == ("context_length_exceeded", "text")
    assert house.engines[0].num_requests == 0


class Counting:
    """A model whose tokens are characters."""

    context_tokens = 100

    def __init__(self) -> None:
        self.num_counts = 0

    def count_prompt(self, conversation) -> int:
        self.num_counts += 1
        return sum(len(message.text) for message in conversation.messages)


@pytest.mark.parametrize(
    ("system", "lengths", "dropped", "num_tokens"),
    [
        (0, [70], 0, 70), (0, [99], 0, 99), (0, [10, 10, 50], 0, 70), (0, [10, 10, 60], 2, 60), (10, [10, 10, 60], 2, 70),
        (0, [1] * 501, 426, 75), (0, [5] * 101, 86, 75), (0, [40, 30, 10, 10, 20], 2, 40), (0, [10, 10, 90], 2, 90),
    ],
)  # fmt: skip
def test_the_longest_end_that_fits_is_kept(system, lengths, dropped, num_tokens):
    talk = [Message.of("user" if i % 2 == 0 else "assistant", "x" * length) for i, length in enumerate(lengths)]
    model = Counting()
    fitted = asyncio.run(fit(model, [*([Message.of("system", "s" * system)] if system else []), *talk]))
    assert (fitted.num_dropped, fitted.prompt_tokens, fitted.max_tokens) == (dropped, num_tokens, 100 - num_tokens)
    assert fitted.conversation.messages[-1] == talk[-1]
    assert fitted.conversation.messages[1 if system else 0].role == "user"
    assert model.num_counts < 12


def test_a_last_message_too_long_is_refused():
    with pytest.raises(ApiError, match="leave no room"):
        asyncio.run(fit(Counting(), [Message.of("user", "x" * 100)]))


# --- large


def test_a_thread_ends_at_five_hundred_messages(house, page):
    house.store.record_completion(long_record("key:ann"))
    found = thread(page, "long")
    assert len(found["messages"]) == 500
    body = {"thread_id": "long", "parent": found["tip"], "text": "one more"}
    assert error_of(page.post("/api/chat", json=body), 409)["code"] == "thread_full"
    assert page.post("/api/chat", json={"thread_id": "long", "parent": found["messages"][-2]["address"]}).status_code == 200


def long_record(principal: str) -> CompletionRecord:
    messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"message {i}"} for i in range(499)]
    choices = [{"index": 0, "text": "the last", "finish_reason": "stop", "num_tokens": 1}]
    return CompletionRecord(
        id=f"long-{principal}", principal=principal, model="m", thread_id="long", messages=messages, choices=choices,
        decision=Decision(engine="echo", model="m"), started=1.0, finished=2.0,
    )  # fmt: skip
