"""The API over a live server, with a chat that echoes."""

import threading
from pathlib import Path

import httpx
import pytest
from serve_house import TOKENIZER, ask, error_of, make_model, open_house, thumb, until, wait_for

from feilun.serve.chat_request import DONE, INERT, NO_OP, parse_chat
from feilun.serve.errors import ApiError
from feilun.serve.language import preferred


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house:
        house.first = house.promote("first")
        house.app = house.key("app", "chat", "feedback", "assert_end_user")
        house.plain = house.key("plain", "chat", "feedback")
        wait_for(house, house.first)
        yield house


@pytest.fixture
def api(house):
    with house.client(house.plain) as client:
        yield client


# --- the unmodified client


@pytest.fixture
def openai_client(house):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=house.app["Authorization"].split()[1], max_retries=0) as client:
        yield client


def test_client_lists_and_asks(house, openai_client):
    assert [model.id for model in openai_client.models.list()] == ["feilun", house.first]
    assert openai_client.models.retrieve(house.first).id == house.first
    answer = openai_client.chat.completions.create(
        model="feilun", messages=[{"role": "user", "content": "你好"}], user="ann", temperature=0
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("first: 你好", "stop")
    assert (answer.model, answer.object) == (house.first, "chat.completion")
    said = len(TOKENIZER.encode("first: 你好")) + 1
    assert answer.usage.completion_tokens == said
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + said > said + 6


def test_client_streams_and_gives_feedback(house, openai_client):
    chunks = list(
        openai_client.chat.completions.create(
            model="champion",
            messages=[{"role": "user", "content": "飞轮"}],
            stream=True,
            stream_options={"include_usage": True},
            user="bob",
        )
    )
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.content) == ("assistant", "")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "first: 飞轮"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], len(TOKENIZER.encode("first: 飞轮")) + 1)
    body = thumb(chunks[0].id, end_user="bob")
    result = openai_client.post("/feedback", body=body, cast_to=object, options={"headers": {"Idempotency-Key": "bob-1"}})
    assert result["status"] == "recorded"
    vote = house.store.current_votes()[-1]
    assert (vote.principal, vote.kind, vote.value, vote.answer, vote.model) == ("key:app/bob", "thumb", 1, "first: 飞轮", house.first)


def test_client_sees_typed_errors(openai_client):
    import openai

    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.NotFoundError, match="does not exist") as missing:
        openai_client.chat.completions.create(model="gpt-4o", messages=messages)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.chat.completions.create(model="feilun", messages=messages, logprobs=True)
    assert refused.value.param == "logprobs"
    with pytest.raises(openai.BadRequestError) as long:
        openai_client.chat.completions.create(model="feilun", messages=[{"role": "user", "content": "长" * 5000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="fl-wrong").models.list()


# --- completions


def test_stream_bytes(api):
    raw = api.post("/v1/chat/completions", json=ask("x", stream=True)).content
    frames = raw.decode().split("\n\n")
    assert frames[-1] == ""
    assert frames[-2] == "data: [DONE]"
    assert all(frame.startswith("data: ") for frame in frames[:-1])
    assert '"usage"' not in raw.decode()


def test_length_and_limits(api):
    cut = api.post("/v1/chat/completions", json=ask("abcdef", max_tokens=4)).json()
    assert (cut["choices"][0]["message"]["content"], cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == (
        "firs",
        "length",
        4,
    )
    roomy = api.post("/v1/chat/completions", json=ask("abcdef", max_completion_tokens=100_000)).json()
    assert roomy["choices"][0]["finish_reason"] == "stop"


def test_several_answers_are_siblings(house, api):
    answer = api.post("/v1/chat/completions", json=ask("two", n=2, seed=1)).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    value = {"over": [{"id": answer["id"], "index": 1}], "outcome": "win"}
    choice = {"target": {"id": answer["id"], "index": 0}, "kind": "choice", "value": value}
    assert api.post("/v1/feedback", json=choice, headers={"Idempotency-Key": "choice-1"}).status_code == 200
    streamed = api.post("/v1/chat/completions", json=ask("two", n=2, stream=True)).text
    assert streamed.count('"role":"assistant"') == streamed.count('"finish_reason":"stop"') == 2


def test_recorded_before_it_is_answered(house, api):
    body = ask("记下", metadata={"thread_id": "t-1", "consent": "serve"}, store=True, service_tier="default", seed=7)
    answer = api.post("/v1/chat/completions", json=body).json()
    record = house.store.completion(answer["id"])
    assert (record.principal, record.model, record.thread_id, record.consent) == ("key:plain", house.first, "t-1", "serve")
    assert record.choices == [
        {"index": 0, "text": "first: 记下", "finish_reason": "stop", "num_tokens": len(TOKENIZER.encode("first: 记下")) + 1}
    ]
    assert record.params["service_tier"] == "default"
    assert record.decision.model == house.first


def test_feedback_never_outruns_its_answer(house, api):
    house.go.clear()
    seen, results = [], []

    def vote() -> None:
        with house.client(house.plain) as other:
            results.append(other.post("/v1/feedback", json=thumb(seen[0]), headers={"Idempotency-Key": "early"}))

    with api.stream("POST", "/v1/chat/completions", json=ask("early vote", stream=True)) as response:
        lines = response.iter_lines()
        seen.append(next(lines).split('"id":"')[1].split('"')[0])
        voter = threading.Thread(target=vote)
        voter.start()
        house.go.set()
        assert list(lines)[-2] == "data: [DONE]"
    voter.join()
    assert results[0].json()["status"] == "recorded"


def test_a_reader_who_leaves_frees_the_slot_and_may_still_vote(house, api):
    house.go.clear()
    with api.stream("POST", "/v1/chat/completions", json=ask("gone", stream=True)) as response:
        seen = next(response.iter_lines()).split('"id":"')[1].split('"')[0]
    until(lambda: house.engines[0].num_requests == 0)
    assert api.post("/v1/feedback", json=thumb(seen, -1), headers={"Idempotency-Key": "left"}).status_code == 200
    record = house.store.completion(seen)
    assert record.choices[0]["finish_reason"] == "abort"
    # How far it came before the leave was noticed depends on the machine.
    assert "fir".startswith(record.choices[0]["text"])
    house.go.set()


def test_a_caller_who_hangs_up_frees_the_slot(house, api):
    house.go.clear()
    with pytest.raises(httpx.ReadTimeout):
        api.post("/v1/chat/completions", json=ask("gone"), timeout=httpx.Timeout(20, read=0.3))
    until(lambda: house.engines[0].num_requests == 0)
    house.go.set()
    assert api.post("/v1/chat/completions", json=ask("again")).status_code == 200


def test_an_engine_that_breaks_is_an_error_in_the_stream(house, api):
    engine = house.engines[0]
    engine.broken = True
    try:
        streamed = api.post("/v1/chat/completions", json=ask("x", stream=True)).text
        whole = api.post("/v1/chat/completions", json=ask("x"))
    finally:
        engine.broken = False
    assert '"error":{"message":"the engine failed' in streamed
    assert streamed.endswith("data: [DONE]\n\n")
    assert error_of(whole, 500)["code"] == "internal_error"
    assert engine.num_requests == 0


def test_a_full_queue_is_429(tmp_path):
    with open_house(tmp_path, max_batch=1, max_queue=1) as house:
        wait_for(house, house.promote("first"))
        headers = house.key("k", "chat")
        house.go.clear()
        with house.client(headers) as one, house.client(headers) as two, house.client(headers) as three:
            with one.stream("POST", "/v1/chat/completions", json=ask("1", stream=True)) as first:
                with two.stream("POST", "/v1/chat/completions", json=ask("2", stream=True)) as second:
                    full = three.post("/v1/chat/completions", json=ask("3"))
                    assert error_of(full, 429)["code"] == "queue_full"
                    assert full.headers["retry-after"] == "1"
                    house.go.set()
                    assert "[DONE]" in second.read().decode()
                assert "[DONE]" in first.read().decode()
            assert three.post("/v1/chat/completions", json=ask("3")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"top_k": 5}, "top_k"),
        ({"n": 9}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": float("nan")}, "top_p"),
        ({"stop": [1]}, "stop"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"seed": 1.5}, "seed"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"consent": "maybe"}}, "metadata.consent"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "a", "name": "x"}]}, "messages[0].name"),
        ({"messages": ["hi"]}, "messages[0]"),
    ],
)
def test_what_is_wrong_is_named(fields, param):
    with pytest.raises(ApiError) as refused:
        parse_chat({**ask("x"), **fields})
    assert (refused.value.status, refused.value.param) == (400, param)
    assert param in refused.value.message or param == "model"


def test_no_op_defaults_and_inert_fields_are_accepted():
    defaults = {name: values[0] for name, values in NO_OP.items() if values} | dict.fromkeys(NO_OP.keys() - {"tools"})
    assert parse_chat({**ask("x"), **defaults}).n == 1
    inert = {name: {"a": "b"} if name == "metadata" else "x" for name in INERT}
    assert parse_chat({**ask("x"), **inert}).recorded == inert
    reused = {"role": "assistant", "content": "b", "refusal": None, "tool_calls": None, "annotations": []}
    call = parse_chat({**ask("x"), "messages": [{"role": "developer", "content": "s"}, reused, {"role": "user", "content": "c"}]})
    assert [message.role for message in call.conversation.messages] == ["system", "assistant", "user"]


def test_bodies_that_are_not_bodies(api):
    def post(content: bytes) -> httpx.Response:
        return api.post("/v1/chat/completions", content=content)

    for bad in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"model": "feilun", "messages": [{"role": "user", "content": "\\ud800"}]}'):
        assert error_of(post(bad), 400)["code"] == "invalid_json"
    error_of(post(b"[]"), 400)
    assert error_of(post(b" " * (2 << 20)), 413)["code"] == "request_too_large"
    chunked = api.post("/v1/chat/completions", content=(b" " * 65536 for _ in range(40)))
    assert error_of(chunked, 413)["code"] == "request_too_large"


def test_unknown_paths_and_methods(api):
    assert error_of(api.get("/v1/nothing"), 404)["code"] == "unknown_url"
    assert error_of(api.put("/v1/feedback"), 405)["code"] == "method_not_allowed"
    assert error_of(api.get("/static/../app.py"), 404)
    assert api.get("/health").headers["x-request-id"].startswith("req_")


# --- feedback


def test_feedback_is_idempotent_and_revisable(house, api):
    first = api.post("/v1/chat/completions", json=ask("one")).json()["id"]

    def give(key: str, **fields: object) -> httpx.Response:
        return api.post("/v1/feedback", json=thumb(first, **fields), headers={"Idempotency-Key": key})

    event = give("a").json()
    assert event["status"] == "recorded"
    assert give("a").json() == {"id": event["id"], "status": "duplicate"}
    assert error_of(give("a", value=-1), 409)["code"] == "idempotency_key_reused"
    edit = {"target": {"id": first}, "kind": "edit", "value": "better", "supersedes": event["id"], "reason": ["wrong"]}
    assert api.post("/v1/feedback", json=edit, headers={"Idempotency-Key": "b"}).json()["status"] == "superseded"
    mine = [(vote.kind, vote.value) for vote in house.store.current_votes() if vote.target_id == first]
    assert mine == [("edit", "better")]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"target": {"id": "chatcmpl-nothing", "index": 0}}, 404),
        ({"target": {"id": "chatcmpl-nothing", "index": -1}}, 422),
        ({"target": "x"}, 422),
        ({"kind": "star"}, 422),
        ({"kind": ["thumb"]}, 422),
        ({"value": 2}, 422),
        ({"value": True}, 422),
        ({"kind": "edit", "value": " "}, 422),
        ({"kind": "choice", "value": {"over": [{"id": "x", "index": 10**40}], "outcome": "win"}}, 422),
        ({"reason": ["bored"]}, 422),
        ({"reason": "wrong"}, 422),
        ({"supersedes": "nothing"}, 404),
        ({"extra": 1}, 422),
        ({"end_user": "somebody"}, 403),
        ({"end_user": 5}, 422),
    ],
)
def test_feedback_that_is_refused(house, api, change, status):
    answer = api.post("/v1/chat/completions", json=ask("refuse")).json()["id"]
    before = house.store.last_seq()
    response = api.post("/v1/feedback", json={**thumb(answer), **change}, headers={"Idempotency-Key": f"refused {change}"[:200]})
    error_of(response, status)
    assert house.store.last_seq() == before


def test_feedback_needs_a_key_for_its_act(api):
    assert error_of(api.post("/v1/feedback", json=thumb("x")), 400)["param"] == "Idempotency-Key"


# --- the page


def test_preferred_language():
    for header, language in {"": "en", "zh-CN,zh;q=0.9,en;q=0.8": "zh", "fr, en;q=0.5, zh;q=0.7": "zh", "de": "en", ";;q=x,": "en"}.items():
        assert preferred(header) == language


def test_no_torch_and_no_training_behind_the_door():
    import subprocess
    import sys

    code = (
        "import sys, feilun.serve.app as app\n"
        "bad = [m for m in sys.modules if m.split('.')[0] == 'torch' or m.startswith(('feilun.train', 'feilun.turn'))]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    sources = Path(__file__).parents[1].joinpath("feilun/serve").glob("*.py")
    assert not [source.name for source in sources if "feilun.train" in source.read_text() or "feilun.turn" in source.read_text()]


def test_make_model_is_addressed_by_content(tmp_path):
    assert make_model(tmp_path, "a") == make_model(tmp_path, "a") != make_model(tmp_path, "b")


def test_every_field_is_in_the_docs():
    docs = Path(__file__).parents[1].joinpath("docs/api.md").read_text()
    assert [name for name in (*DONE, *INERT, *NO_OP) if f"`{name}`" not in docs] == []
