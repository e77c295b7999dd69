"""An engine elsewhere: whatever an endpoint says, the answer is whole or the fault is told, soon, and by name."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from rude_house import Call, RudeServer, chunk, events, head, refuses, rude_house, says

from feilun.engine import ChatParams, EngineFault
from feilun.engine.endpoint import Endpoint, Patience, bases, check_url
from feilun.engine.remote import RemoteChat, find_models
from feilun.types import Conversation, FinishReason, UserError

HELLO = Conversation.of("你好")
KEY = "sk-secret-0123456789"
SHORT = Patience(connect_seconds=1.0, first_byte_seconds=0.2, byte_seconds=0.2, text_seconds=0.2, answer_seconds=0.6, tail_seconds=0.1)
WHOLE = events(
    chunk("你"), chunk("好!"), chunk(None, "stop"), json.dumps({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
)


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with rude_house(says(WHOLE)) as server:
        yield server


def remote(server: RudeServer, patience: Patience | None = None) -> RemoteChat:
    return RemoteChat(Endpoint(name="qwen", url=server.url, key=KEY), "Qwen/Qwen3-8B", ref="engine:qwen/Qwen/Qwen3-8B", patience=patience)


async def deltas_of(chat: RemoteChat, params: ChatParams):
    async with aclosing(chat.stream(HELLO, params)) as stream:
        return [delta async for delta in stream]


def ask(chat: RemoteChat, **params):
    deltas = asyncio.run(deltas_of(chat, ChatParams(**params)))
    assert [delta.finish_reason is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]
    return "".join(delta.text for delta in deltas), deltas[-1]


def fault_of(chat: RemoteChat, **params) -> EngineFault:
    with pytest.raises(EngineFault) as caught:
        ask(chat, **params)
    assert str(caught.value).startswith("engine qwen: ")
    assert chat.problem == str(caught.value)
    return caught.value


# what is asked and answered


def test_an_answer_comes_piece_by_piece_with_its_usage(server):
    chat = remote(server)
    deltas = asyncio.run(deltas_of(chat, ChatParams(temperature=0.5, seed=1 << 40, max_tokens=9, stop=("X",), top_p=0.9)))
    assert [delta.text for delta in deltas] == ["你", "好!", ""]
    last = deltas[-1]
    assert (last.finish_reason, last.prompt_tokens, last.num_tokens, last.model) == (FinishReason.STOP, 7, 2, "engine:qwen/Qwen/Qwen3-8B")
    assert (chat.info.engine, chat.info.model, chat.count_prompt(HELLO), chat.problem) == ("qwen", last.model, None, "")
    call = server.calls[0]
    assert (call.method, call.path, call.headers["authorization"]) == ("POST", "/v1/chat/completions", f"Bearer {KEY}")
    assert call.body == {
        "model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": "你好"}], "temperature": 0.5, "top_p": 0.9, "seed": 0,
        "max_tokens": 9, "stop": ["X"], "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_what_is_not_asked_for_is_left_to_the_endpoint(server):
    ask(remote(server), max_tokens=None)
    assert server.calls[0].body.keys() == {"model", "messages", "temperature", "stream", "stream_options"}


def test_a_batch_is_answered_in_order(server):
    server.script = lambda call: call.send(head() + events(chunk(call.body["messages"][0]["content"], "stop")))
    texts = [f"question {n}" for n in range(20)]
    replies = remote(server).complete([Conversation.of(text) for text in texts], ChatParams())
    assert [(reply.text, reply.finish_reason, reply.num_tokens) for reply in replies] == [(text, FinishReason.STOP, 0) for text in texts]
    server.script = refuses(401)
    with pytest.raises(EngineFault, match="does not accept the key"):
        remote(server).complete([HELLO, HELLO], ChatParams())


ODD = {
    "one byte at a time": None,
    "carriage returns": WHOLE.replace(b"\n", b"\r\n"),
    "no empty lines": WHOLE.replace(b"\n\n", b"\n"),
    "no space": WHOLE.replace(b"data: ", b"data:"),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "keep-alives and other fields": b": ping\n\nevent: message\nid: 1\nretry: 5\n" + WHOLE.replace(b"\n\n", b"\n\n: PROCESSING\n\n"),
    "an end without a line end": WHOLE.removesuffix(b"\n\n"),
    "no [DONE]": WHOLE.removesuffix(b"data: [DONE]\n\n"),
    "no finish reason": events(chunk("你好!")),
    "an empty finish reason": events(chunk("你好!", "")),
    "a finish reason of its own": events(chunk("你好!", "eos_token")),
    "something after [DONE]": WHOLE + b"data: rubbish\n\n",
    "something after the finish reason": events(chunk("你好!", "stop"), "rubbish"),
    "an event over several lines": events('{"choices":\ndata: [{"delta": {"content":\ndata: "你好!"}}]}'),
    "a message in place of a delta": events(json.dumps({"choices": [{"message": {"content": "你好!"}, "finish_reason": "stop"}]})),
    "typed parts": events(json.dumps({"choices": [{"delta": {"content": [{"type": "text", "text": "你好!"}, {"type": "x"}, 1]}}]})),
    "a refusal": events(json.dumps({"choices": [{"delta": {"content": None, "refusal": "你好!"}}]})),
    "nothings": events("{}", '{"choices": null, "usage": null}', '{"choices": [null, {"delta": null}]}', chunk("你好!", "stop")),
    "thoughts": events(json.dumps({"choices": [{"delta": {"reasoning_content": "hm", "content": None}}]}), chunk("你好!", "stop")),
    "another answer among it": events(json.dumps({"choices": [{"index": 1, "delta": {"content": "no"}}]}), chunk("你好!", "stop")),
    "halves of a pair": events(r'{"choices": [{"delta": {"content": "你好!\ud83d"}}]}', r'{"choices": [{"delta": {"content": "\ude42"}}]}'),
    "half of a pair": events(r'{"choices": [{"delta": {"content": "你好!\ud83d"}}]}', chunk("", "stop")),
    "mad usage": events(chunk("你好!", "stop", usage={"prompt_tokens": -1, "completion_tokens": True})),
}  # fmt: skip


@pytest.mark.parametrize("how", ODD)
def test_odd_but_whole_answers_are_understood(server, how):
    def one_by_one(call: Call) -> None:
        call.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head() + WHOLE:
            call.send(bytes([byte]))

    server.script = one_by_one if ODD[how] is None else says(ODD[how])
    text, last = ask(remote(server))
    assert (text, last.finish_reason) == ("你好!" + {"halves of a pair": "🙂"}.get(how, ""), FinishReason.STOP)


def test_an_endpoint_that_does_not_stream_is_understood(server):
    said = {
        "choices": [{"message": {"role": "assistant", "content": "你好!"}, "finish_reason": "length"}],
        "usage": {"completion_tokens": 3},
    }
    server.script = lambda call: call.send(head(kind="application/json; charset=utf-8") + json.dumps(said, indent=1).encode())
    text, last = ask(remote(server))
    assert (text, last.finish_reason, last.num_tokens) == ("你好!", FinishReason.LENGTH, 3)


@pytest.mark.parametrize("reason", ["length", "max_tokens"])
def test_an_answer_cut_by_its_length_says_so(server, reason):
    server.script = says(events(chunk("half", reason)))
    assert ask(remote(server))[1].finish_reason is FinishReason.LENGTH


def test_no_proxy_of_the_environment_is_asked(server, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(remote(server))[0] == "你好!"


# stop, cancel, limits


def endless(gone: list[bool]):
    def script(call: Call) -> None:
        call.send(head() + events(chunk("one "), chunk("two "), end=""))
        gone.append(call.has_gone())

    return script


def until(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_a_stop_string_is_held_to_even_when_the_endpoint_does_not_know_it(server):
    gone: list[bool] = []
    server.script = endless(gone)
    text, last = ask(remote(server), stop=("e t",))
    assert (text, last.finish_reason) == ("on", FinishReason.STOP)
    until(lambda: gone == [True])


def test_leaving_an_answer_closes_its_connection_at_once(server):
    gone: list[bool] = []
    server.script = endless(gone)

    async def close() -> None:
        stream = remote(server).stream(HELLO, ChatParams())
        assert (await anext(stream)).text == "one "
        await stream.aclose()
        await asyncio.to_thread(until, lambda: gone == [True])

    async def cancel() -> None:
        task = asyncio.create_task(deltas_of(remote(server), ChatParams()))
        await asyncio.to_thread(until, lambda: len(server.calls) == 2)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until, lambda: gone == [True, True])

    asyncio.run(close())
    asyncio.run(cancel())


def test_an_answer_without_an_end_is_cut(server):
    def script(call: Call) -> None:
        call.send(head())
        while not server.calls[1:]:
            call.send(events(chunk("x" * 60_000), end=""))

    server.script = script
    text, last = ask(remote(server))
    assert last.finish_reason is FinishReason.LENGTH
    assert 1 << 20 < len(text) < 2 << 20


def test_after_the_end_nothing_is_waited_for_long(server):
    def script(call: Call) -> None:
        call.send(head() + events(chunk("你好!", "stop"), end=""))
        assert call.has_gone()

    server.script = script
    assert ask(remote(server, Patience(tail_seconds=0.1)))[0] == "你好!"


def test_a_connection_that_breaks_after_the_end_takes_nothing_away(server):
    server.script = lambda call: call.send(head(Content_Length=9999) + events(chunk("你好!", "stop"), end=""))
    assert ask(remote(server))[0] == "你好!"


# faults


FAULTS = {
    "wrong key": (refuses(401, {"error": {"message": "Incorrect API key"}}), r"does not accept the key \(401: Incorrect API key\)", 502),
    "forbidden": (refuses(403, {"detail": "region"}), "the key may not do this .403: region", 502),
    "no such model": (refuses(404, {"error": "model not found"}), "no such model or address .404: model not found", 502),
    "bad request": (refuses(400, {"object": "error", "message": "too\nlong\x00"}), "refused the request .400: too long", 502),
    "busy": (refuses(429, {"error": {"message": "slow down"}}, Retry_After=7), "busy .429: slow down.; try again in 7 seconds", 503),
    "busy without a time": (refuses(429, Retry_After="Wed, 21 Oct"), "busy .429.; try again shortly", 503),
    "broken": (refuses(500, "Traceback"), "it failed .500: Traceback", 503),
    "a page of a gateway": (refuses(502, "<html>Bad", kind="text/html"), "it failed .502: a web page, not an API", 503),
    "elsewhere": (refuses(307, Location="http://127.0.0.1:1/v1"), "sends elsewhere .307: http://127.0.0.1:1/v1", 502),
    "a page": (lambda call: call.send(head(kind="text/html") + b"<html>"), "a web page", 502),
    "an error": (says(events(chunk("half"), '{"error": {"message": "overloaded"}}')), "broke off with an error: overloaded", 502),
    "a bare error": (says(b'{"error": "overloaded"}'), "broke off with an error: overloaded", 502),
    "an error object": (says(events('{"object": "error", "message": "bad"}')), "broke off with an error: bad", 502),
    "an end in the middle": (says(events(chunk("half"), end="")), "broke off in the middle", 502),
    "an end before the beginning": (says(b""), "ended its answer before it began", 502),
    "only [DONE]": (says(events()), "ended its answer before it began", 502),
    "half a line": (says(events(chunk("half"), end='data: {"choi')), "an event that is not JSON: '{\"choi'", 502),
    "a cut connection": (lambda call: call.send(head(Content_Length=9999) + events(chunk("half"), end="")), "connection .* broke", 502),
    "no HTTP": (lambda call: call.send(b"SSH-2.0-OpenSSH\r\n"), "connection .* broke", 502),
    "a door shut": (lambda call: None, "connection .* broke", 502),
    "not JSON": (says(b"data: hello\n\n"), "an event that is not JSON: 'hello'", 502),
    "no object": (says(b"data: [1]\n\n"), r"something that is no object: \[1\]", 502),
    "another encoding": (says(events(chunk("half")).replace(b"half", "你好".encode("gbk"))), "not UTF-8", 502),
    "a line without end": (says(b"data: " + b"x" * (2 << 20)), "a line of more than 1048576 bytes", 502),
    "lines without end": (says(b"data: {\n" * 100), "64 lines", 502),
    "a deep event": (says(b"data: " + b"[" * 100_000 + b"\n\n"), "not JSON", 502),
    "whole, not JSON": (lambda call: call.send(head(kind="application/json") + b"{"), "an answer that is not JSON", 502),
    "whole, no object": (lambda call: call.send(head(kind="application/json") + b"[]"), "no object", 502),
    "gzip that is none": (lambda call: call.send(head(Content_Encoding="gzip") + WHOLE), "connection .* broke", 502),
    "withheld": (says(events(chunk("half"), chunk(None, "content_filter"))), "finish_reason 'content_filter'", 502),
    "a tool": (says(events(chunk(None, "tool_calls"))), "finish_reason 'tool_calls'", 502),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_told_by_name(server, what):
    script, words, status = FAULTS[what]
    server.script = script
    fault = fault_of(remote(server))
    assert fault.http_status == status
    assert re.search(words, str(fault)), str(fault)
    assert len(server.calls) == 1
    assert fault.retry_after_seconds == (7 if what == "busy" else None)


def wait(call: Call) -> None:
    call.has_gone()


def keep_alive(call: Call) -> None:
    call.send(head())
    while True:
        call.send(b": PROCESSING\n\n")
        time.sleep(0.02)


def dribble(call: Call) -> None:
    call.send(head())
    while True:
        call.send(events(chunk("x"), end=""))
        time.sleep(0.02)


SILENCES = {
    "before the head": wait,
    "within the head": lambda call: (call.send(head()[:20]), wait(call)),
    "before the first piece": lambda call: (call.send(head()), wait(call)),
    "in the middle": lambda call: (call.send(head() + events(chunk("half"), end="")), wait(call)),
    "but for keep-alives": keep_alive,
    "without an end": dribble,
    "in a refusal": lambda call: (call.send(head(500, Content_Length=99)), wait(call)),
}


@pytest.mark.parametrize("when", SILENCES)
def test_silence_ends(server, when):
    server.script = SILENCES[when]
    fault = fault_of(remote(server, SHORT))
    assert "stayed silent for too long" in str(fault)
    assert fault.http_status == 503


def test_a_closed_port_and_a_wrong_protocol_are_named(server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    chat = RemoteChat(Endpoint(name="qwen", url=closed), "m", ref="engine:qwen/m", patience=SHORT)
    assert str(fault_of(chat)) == f"engine qwen: connection refused at {closed}"
    secure = RemoteChat(Endpoint(name="qwen", url=server.url.replace("http", "https")), "m", ref="engine:qwen/m")
    server.script = lambda call: call.send(b"HTTP/1.1 400 X\r\n\r\n")
    assert "no secure connection" in str(fault_of(secure))


def test_the_key_is_shown_to_nobody(server, caplog):
    server.script = lambda call: refuses(401, {"error": {"message": f"Bad header {call.headers['authorization']}"}})(call)
    chat = remote(server)
    with caplog.at_level("DEBUG"):
        assert str(fault_of(chat)) == "engine qwen: it does not accept the key (401: Bad header Bearer [key])"
    assert KEY not in caplog.text + repr(chat.endpoint)


# fields that an endpoint does not know


def picky(*unknown: str, words: str = "Unsupported parameter: '{}' is not supported with this model."):
    def script(call: Call) -> None:
        found = [field for field in unknown if field in call.body]
        if found:
            refuses(400, {"error": {"message": words.format(found[0])}})(call)
        else:
            says(events(chunk("你好!", "stop")))(call)

    return script


def test_a_field_that_the_endpoint_does_not_know_is_left_out_from_then_on(server, caplog):
    server.script = picky("stream_options", "seed", "max_tokens", words="extra_forbidden: {}: Extra inputs are not permitted")
    chat = remote(server)
    assert ask(chat, seed=1, max_tokens=5)[0] == "你好!"
    assert "does not know max_tokens, seed, stream_options" in caplog.text
    assert len(server.calls) == 4
    assert ask(chat, seed=1, max_tokens=5)[0] == "你好!"
    assert len(server.calls) == 5
    body = server.calls[-1].body
    assert body["max_completion_tokens"] == 5
    assert not {"stream_options", "seed", "max_tokens"} & body.keys()


@pytest.mark.parametrize("words", ["max_tokens is too large: at most 4", "Unsupported parameter: 'messages'", "messages: unknown"])
def test_another_refusal_is_not_asked_again(server, words):
    server.script = picky("messages", words=words)
    assert "400" in str(fault_of(remote(server)))
    assert len(server.calls) == 1


def test_a_field_that_stays_refused_is_told(server):
    server.script = refuses(400, {"error": {"message": "seed is not supported", "param": "seed"}})
    chat = remote(server)
    assert "seed is not supported" in str(fault_of(chat, seed=1))
    assert len(server.calls) == 2
    server.script = says(WHOLE)
    ask(chat, seed=1)
    assert server.calls[-1].body["seed"] == 1


# addresses and models


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" https://api.example.com/v1/ ", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("https://api.example.com/v1/models/", "https://api.example.com/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("HTTPS://Example.com/v1", "https://Example.com/v1"),
        ("http://例子.测试/v1", "http://例子.测试/v1"),
    ],
)
def test_the_url_of_an_api(given, kept):
    assert check_url(given) == kept


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not the URL"), ("127.0.0.1:8000", "not"), ("ftp://host/v1", "not the URL"), ("file:///etc/passwd", "not the URL"),
        ("javascript:alert(1)", "not the URL"), ("http://", "not the URL"), ("http://user:pass@host/v1", "name or password"),
        ("http://sk-key@host/v1", "name or password"), ("http://host/v1?key=x", "after [?]"), ("http://host/v1#x", "after [?]"),
        ("http://host:99999/v1", "not a URL"), ("http://host:0/v1", "not the URL"), ("http://a b/v1", "not"), ("http://h/v1\nx", "not"),
        ("http://[::1/v1", "not a URL"), ("http://a..b/v1", "not a URL"), ("http://host/" + "v" * 3000, "characters"),
    ],
)  # fmt: skip
def test_what_is_no_url_of_an_api(url, words):
    with pytest.raises(UserError, match=words):
        check_url(url)


def test_an_api_is_found_with_and_without_its_v1():
    assert bases("http://h") == ("http://h/v1", "http://h")
    assert bases("http://h/v1") == ("http://h/v1",)
    assert bases("http://h/api/paas/v4") == ("http://h/api/paas/v4",)
    assert bases("http://h/api") == ("http://h/api", "http://h/api/v1")


def listing(call: Call) -> None:
    here = call.path in ("/v1/models", "/api/v1/models")
    refuses(200, {"data": [{"id": "a"}, {"id": "Qwen/b"}, {"id": 3}, "c", {"id": "x\ny"}]})(call) if here else refuses(404, "no")(call)


def find(url: str, patience: Patience | None = None):
    return asyncio.run(find_models(Endpoint(name="qwen", url=url, key=KEY), patience=patience or Patience()))


@pytest.mark.parametrize(("given", "found"), [("", "/v1"), ("/v1", "/v1"), ("/api", "/api/v1")])
def test_the_models_of_an_endpoint(server, given, found):
    server.script, root = listing, server.url.removesuffix("/v1")
    assert find(root + given) == (root + found, ("a", "Qwen/b"))
    assert server.calls[-1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (refuses(404, "nothing"), "no list of models at http://127.0.0.1:[0-9]+/v1/models; is the URL right"),
        (refuses(200, "<html>", kind="text/html"), "no list of models"),
        (refuses(200, {"data": "none"}), "no list of models"),
        (refuses(401, {"error": {"message": "no key"}}), "does not accept the key .401: no key"),
        (refuses(302, Location="http://127.0.0.1:1/"), "sends elsewhere"),
        (refuses(503, "loading"), "busy .503: loading"),
        (wait, "silent"),
    ],
)
def test_why_no_models_were_found(server, script, words):
    server.script = script
    with pytest.raises(EngineFault, match=words):
        find(server.url, SHORT if script is wait else None)


def test_an_endpoint_may_list_nothing(server):
    server.script = refuses(200, {"object": "list", "data": []})
    assert find(server.url) == (server.url, ())
