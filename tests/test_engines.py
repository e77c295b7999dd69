"""Engines elsewhere at the server's door: added, tested, asked, blamed and removed; their keys shown to nobody."""

import json
import stat

import pytest
from rude_house import chunk, events, head, refuses, rude_house, says
from serve_house import ask, error_of, open_house, thumb, until, wait_for
from test_serve_auth import owner_headers

from feilun.cli import build_parser
from feilun.cli.engines import keep_engines
from feilun.serve.remotes import read_key, remove_engine, write_key
from feilun.store import EngineRow, Store
from feilun.types import UserError

KEY = "sk-secret-0123456789"
MODELS = {"data": [{"id": "Qwen/Qwen3-8B"}]}
USAGE = json.dumps({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 2}})
ANSWER = events(chunk("far: "), chunk("hi", "stop"), USAGE)


def listing_and(script, models=MODELS):
    return lambda call: (refuses(200, models) if call.method == "GET" else script)(call)


@pytest.fixture(scope="module")
def open_doors(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house, rude_house(listing_and(says(ANSWER))) as far:
        wait_for(house, house.promote("own"))
        house.owner, house.api = owner_headers(house), house.key("k", "chat", "feedback")
        yield house, far


@pytest.fixture
def house(open_doors):
    """A house without an engine elsewhere."""
    house, _ = open_doors
    yield house
    for row in house.store.engines():
        remove_engine(house.home, house.store, row.name)


@pytest.fixture
def far(open_doors):
    """An endpoint that has not been asked yet."""
    _, far = open_doors
    far.script = listing_and(says(ANSWER))
    far.calls.clear()
    return far


def add(house, far, **fields):
    with house.client(house.owner) as owner:
        return owner.post("/api/engines", json={"name": "qwen", "url": far.url, "key": KEY, **fields})


def engines(house):
    with house.client(house.owner) as owner:
        return owner.get("/api/engines").json()["engines"]


# adding, testing, removing


def test_an_engine_is_added_listed_changed_and_removed(house, far):
    added = add(house, far)
    assert added.status_code == 201
    row = {"name": "qwen", "kind": "remote", "model": "Qwen/Qwen3-8B", "url": far.url, "teach": False, "problem": None}
    assert added.json() == {**row, "ok": True, "models": ["Qwen/Qwen3-8B"]}
    own = {"name": "feilun", "kind": "own", "model": house.store.champion().model, "url": None, "teach": True, "ok": True, "problem": None}
    assert engines(house) == [own, {**row, "ok": None}]
    with house.client(house.owner) as owner:
        assert owner.patch("/api/engines/qwen", json={"teach": True}).json()["teach"] is True
        assert house.store.engine("qwen").teach
        assert owner.delete("/api/engines/qwen").status_code == 204
        assert engines(house) == [own]
        assert error_of(owner.delete("/api/engines/qwen"), 404)["code"] == "engine_not_found"
        assert error_of(owner.patch("/api/engines/qwen", json={"teach": True}), 404)["code"] == "engine_not_found"
        assert error_of(owner.post("/v1/chat/completions", json=ask("hi", model="engine:qwen")), 404)["code"] == "model_not_found"
    assert read_key(house.home, "qwen") == ""


def test_a_key_is_kept_in_a_file_for_the_owner_alone_and_shown_nowhere(house, far, caplog):
    added = add(house, far)
    path = house.home / "keys" / "engine-qwen.key"
    assert (path.read_text().strip(), stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (KEY, 0o600, 0o700)
    far.script = refuses(401, {"error": {"message": f"wrong: {KEY}"}})
    with house.client(house.owner) as owner:
        failed = owner.post("/v1/chat/completions", json=ask("hi", model="engine:qwen"))
        tested = owner.post("/api/engines/test", json={"name": "qwen"})
        unknown = owner.post("/api/engines", json={"name": "b", "url": far.url, "key": KEY, "secret": KEY})
        wrong = owner.post("/api/engines", json={"name": "b", "url": far.url, "key": f"{KEY} with spaces"})
    seen = [added.text, failed.text, tested.text, unknown.text, wrong.text, json.dumps(engines(house)), caplog.text]
    assert "[key]" in failed.text
    assert KEY not in "".join(seen)
    assert KEY.encode() not in b"".join(file.read_bytes() for file in house.home.glob("feilun.db*"))


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"name": "feilun"}, 400, "means something else"), ({"name": "echo"}, 400, "means something else"),
        ({"name": "Qwen"}, 400, "a-z"), ({"name": "../x"}, 400, "a-z"), ({"name": ""}, 400, "a-z"), ({"name": 3}, 400, "a string"),
        ({"name": None}, 400, "name is missing"), ({"url": None}, 400, "url is missing"), ({"url": "file:///etc"}, 400, "not the URL"),
        ({"url": "http://u:p@h/v1"}, 400, "name or password"), ({"teach": 1}, 400, "true or false"),
        ({"colour": "x"}, 400, "unknown field"), ({"model": "a\nb"}, 400, "printable"), ({"model": "x" * 300}, 400, "printable"),
        ({"key": "a b"}, 400, "without spaces"),
        ({"key": "ключ"}, 400, "ASCII"),
    ],
)  # fmt: skip
def test_what_cannot_be_added(house, far, fields, status, words):
    refused = add(house, far, **fields)
    assert words in error_of(refused, status)["message"]
    assert (len(engines(house)), far.calls) == (1, [])


def test_a_name_is_given_once(house, far):
    add(house, far)
    write_key(house.home, "qwen", "the-first-key")
    again = error_of(add(house, far, key="another"), 409)
    assert (again["code"], read_key(house.home, "qwen")) == ("engine_exists", "the-first-key")
    with house.client(house.owner) as owner:
        answer = owner.post("/v1/chat/completions", json=ask("hi", model="engine:qwen"))
        assert answer.status_code == 200
        owner.delete("/api/engines/qwen")
    with rude_house(far.script) as other:
        assert "take another name" in error_of(add(house, other), 409)["message"]
    assert add(house, far).status_code == 201


def test_without_a_model_it_must_be_clear_which(house, far):
    far.script = listing_and(says(ANSWER), {"data": [{"id": f"m{n}"} for n in range(12)]})
    assert "serves m0, m1, m2, m3, m4, m5, m6, m7 and 4 more; say which" in error_of(add(house, far), 400)["message"]
    far.script = listing_and(says(ANSWER), {"data": []})
    assert "lists no model" in error_of(add(house, far), 400)["message"]
    far.script = refuses(401, {"error": {"message": "no"}})
    refused = error_of(add(house, far), 502)
    assert (refused["code"], "does not accept the key" in refused["message"]) == ("engine_failed", True)
    assert len(engines(house)) == 1


def test_with_a_model_it_may_be_away_and_the_problem_is_told(house, far):
    far.script = refuses(503, "loading")
    added = add(house, far, model="later").json()
    assert (added["ok"], added["model"], "busy (503: loading)" in added["problem"]) == (False, "later", True)
    far.script = listing_and(says(ANSWER))
    with house.client(house.owner) as owner:
        tested = owner.post("/api/engines/test", json={"name": "qwen"}).json()
        assert "does not list 'later', but Qwen/Qwen3-8B" in tested["problem"]
        assert engines(house)[1]["ok"] is False
        assert owner.post("/v1/chat/completions", json=ask("hi", model="engine:qwen")).status_code == 200
        assert engines(house)[1]["ok"] is True


def test_a_url_is_tested_before_it_is_added(house, far):
    with house.client(house.owner) as owner:

        def test(**fields):
            return owner.post("/api/engines/test", json=fields)

        found = {"ok": True, "problem": None, "url": far.url, "models": ["Qwen/Qwen3-8B"]}
        assert test(url=far.url.removesuffix("/v1"), key=KEY).json() == found
        assert far.calls[-1].headers["authorization"] == f"Bearer {KEY}"
        assert test(url=far.url, model="other").json()["ok"] is False
        error_of(test(url="gopher://x"), 400)
        error_of(test(name="none"), 404)
        error_of(test(), 404)
    assert len(engines(house)) == 1


# answers


def test_its_answers_are_recorded_and_judged_as_own_ones_are(house, far):
    add(house, far)
    with house.client(house.api) as api:
        rows = {row["id"]: row for row in api.get("/v1/models").json()["data"]}
        assert rows["engine:qwen"]["ref"] == "engine:qwen/Qwen/Qwen3-8B"
        assert api.get("/v1/models/engine:qwen").json()["ref"] == "engine:qwen/Qwen/Qwen3-8B"
        for model in ("engine:qwen", "engine:qwen/Qwen/Qwen3-8B"):
            answer = api.post("/v1/chat/completions", json=ask("hi", model=model, temperature=0.5, metadata={"thread_id": "t"})).json()
        assert (answer["model"], answer["choices"][0]["message"]["content"]) == ("engine:qwen/Qwen/Qwen3-8B", "far: hi")
        assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (11, 2)
        assert "max_tokens" not in far.calls[-1].body
        own = api.post("/v1/chat/completions", json=ask("hi", metadata={"thread_id": "t"})).json()
        choice = {
            "target": {"id": answer["id"], "index": 0},
            "kind": "choice",
            "value": {"over": [{"id": own["id"], "index": 0}], "outcome": "win"},
        }
        assert api.post("/v1/feedback", json=choice, headers={"Idempotency-Key": "1"}).json()["status"] == "recorded"
        assert api.post("/v1/feedback", json=thumb(answer["id"]), headers={"Idempotency-Key": "2"}).json()["status"] == "recorded"
        for model, words in (("engine:none", "no engine"), ("engine:", "no engine"), ("engine:qwen/other", "serves")):
            assert words in error_of(api.post("/v1/chat/completions", json=ask("hi", model=model)), 404)["message"]
    record = house.store.completion(answer["id"])
    assert (record.model, record.decision.engine, record.decision.model) == (answer["model"], "qwen", answer["model"])
    assert (record.prompt_tokens, record.completion_tokens) == (11, 2)
    vote = house.store.current_votes()[0]
    assert (vote.model, [sibling.model for sibling in vote.over]) == (answer["model"], [own["model"]])


def test_its_stream_is_streamed_on(house, far):
    add(house, far)
    with house.client(house.api) as api:
        body = ask("hi", model="engine:qwen", stream=True, stream_options={"include_usage": True}, n=2)
        lines = api.post("/v1/chat/completions", json=body).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    texts = ["".join(c["delta"].get("content", "") for row in chunks for c in row["choices"] if c["index"] == n) for n in (0, 1)]
    assert texts == ["far: hi", "far: hi"]
    assert (chunks[-1]["usage"]["prompt_tokens"], chunks[-1]["usage"]["completion_tokens"]) == (11, 4)
    assert {row["model"] for row in chunks} == {"engine:qwen/Qwen/Qwen3-8B"}


def test_its_faults_are_told_and_what_it_said_is_kept(house, far):
    add(house, far)
    with house.client(house.api) as api:
        far.script = refuses(429, {"error": {"message": "slow down"}}, Retry_After=7)
        busy = api.post("/v1/chat/completions", json=ask("hi", model="engine:qwen", n=3))
        assert "engine qwen: it is busy (429: slow down)" in error_of(busy, 503)["message"]
        assert (busy.headers["retry-after"], busy.json()["error"]["code"]) == ("7", "engine_failed")
        far.script = says(events(chunk("half"), end=""))
        broken = api.post("/v1/chat/completions", json=ask("hi", model="engine:qwen", stream=True)).text.split("\n\n")
    error = json.loads(broken[-3].removeprefix("data: "))["error"]
    assert (error["code"], "qwen: it broke off in the middle" in error["message"]) == ("engine_failed", True)
    record = house.store.completion(json.loads(broken[0].removeprefix("data: "))["id"])
    assert [(c["text"], c["finish_reason"]) for c in record.choices] == [("half", "abort")]
    assert "broke off" in engines(house)[1]["problem"]


def test_a_reader_who_leaves_ends_the_far_answer(house, far):
    gone = []

    def endless(call):
        call.send(head() + events(chunk("half"), end=""))
        gone.append(call.has_gone())

    far.script = listing_and(endless)
    add(house, far)
    with house.client(house.api) as api:
        with api.stream("POST", "/v1/chat/completions", json=ask("hi", model="engine:qwen", stream=True)) as response:
            assert any("half" in line for line in response.iter_lines())
        until(lambda: gone == [True])


def test_another_model_or_key_counts_from_the_next_request_on(house, far):
    add(house, far)
    with house.client(house.api) as api:
        for _ in range(2):
            api.post("/v1/chat/completions", json=ask("hi", model="engine:qwen"))
        house.store.change_engine("qwen", model="larger")
        write_key(house.home, "qwen", "")
        assert api.post("/v1/chat/completions", json=ask("hi", model="engine:qwen")).json()["model"] == "engine:qwen/larger"
    assert [call.headers.get("authorization") for call in far.calls[-2:]] == [f"Bearer {KEY}", None]
    assert far.calls[-1].body["model"] == "larger"


def test_it_answers_before_there_is_an_own_model(tmp_path, far):
    with open_house(tmp_path) as house:
        house.owner = owner_headers(house)
        add(house, far)
        assert [(row["name"], row["model"], row["ok"]) for row in engines(house)] == [
            ("feilun", None, False),
            ("qwen", "Qwen/Qwen3-8B", None),
        ]
        with house.client(house.key("k", "chat")) as api:
            assert api.post("/v1/chat/completions", json=ask("hi", model="engine:qwen")).status_code == 200


def test_a_key_that_cannot_stand_in_a_header_is_never_written(tmp_path):
    with pytest.raises(UserError):
        write_key(tmp_path, "qwen", "a\r\nX-Other: b")
    assert read_key(tmp_path, "qwen") == ""


# the command line


def serve_with(home, *words):
    """The options of `feilun serve` taken as far as the engines; the server itself is not started."""
    options = build_parser().parse_args(["serve", *words])
    options.home = home
    keep_engines(options)


@pytest.fixture
def cli_home(tmp_path):
    """A home as the command line names it."""
    return tmp_path / "home"


def test_the_command_line_adds_an_engine_and_keeps_it(cli_home, far, tmp_path, monkeypatch, capsys):
    (tmp_path / "key.txt").write_text("from-a-file\n")
    monkeypatch.setenv("FEILUN_ENGINE_KEY_MY_QWEN", KEY)
    serve_with(cli_home, "--engine", f"my-qwen={far.url.removesuffix('/v1')}")
    assert capsys.readouterr().err == f"engine my-qwen: Qwen/Qwen3-8B at {far.url}\n"
    assert read_key(cli_home, "my-qwen") == KEY
    with Store.open(cli_home) as store:
        store.change_engine("my-qwen", teach=True)
    far.script, asked = refuses(503), len(far.calls)
    monkeypatch.delenv("FEILUN_ENGINE_KEY_MY_QWEN")
    serve_with(cli_home, "--engine", f"my-qwen={far.url}")
    assert read_key(cli_home, "my-qwen") == KEY
    more = ["--engine-model", "my-qwen=larger", "--engine-key", f"my-qwen={tmp_path / 'key.txt'}"]
    serve_with(cli_home, "--engine", f"my-qwen={far.url}", *more)
    with Store.open(cli_home) as store:
        row = store.engine("my-qwen")
    assert (row.model, row.teach, read_key(cli_home, "my-qwen"), len(far.calls)) == ("larger", True, "from-a-file", asked)
    serve_with(cli_home, "--engine", f"other={far.url}", "--engine-model", "other=m")
    assert "engine other: m at" in (said := capsys.readouterr().err)
    assert "it is busy (503)" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--engine", "qwen"], "NAME=VALUE"), (["--engine", "=http://h"], "NAME=VALUE"), (["--engine-model", "qwen=m"], "has no URL"),
        (["--engine", "qwen=URL", "--engine", "qwen=URL"], "twice"), (["--engine", "qwen=ftp://h"], "not the URL"),
        (["--engine", "champion=URL"], "means something else"), (["--engine", "qwen=URL"], "--engine-model qwen=MODEL"),
        (["--engine", "kept=http://127.0.0.1:9/v1"], "is at http://kept/v1, not at"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_says_what_is_wrong(cli_home, far, words, told):
    far.script = refuses(503)
    with Store.open(cli_home) as store:
        store.add_engine(EngineRow(name="kept", url="http://kept/v1", model="m"))
        with pytest.raises(UserError, match=told):
            serve_with(cli_home, *(word.replace("URL", far.url) for word in words))
        assert [row.name for row in store.engines()] == ["kept"]
