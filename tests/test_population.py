import ast
import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

import feilun.population
from feilun.population.__main__ import main
from feilun.population.acts import Act, Draw, Event, Habits, choose, plan_events, react
from feilun.population.client import Client, Refused
from feilun.population.journal import Journal
from feilun.population.measure import acceptance, measure
from feilun.population.people import Person, is_right, judge, load_prompts, make_people, stands_in
from feilun.population.visit import visit
from feilun.types import UserError, is_held_out

KEY_NAME = "population"


def prompt_rows(num: int = 60) -> list[dict]:
    rows = []
    for i in range(num):
        number = i % 5 < 2
        right, wrong = (f"9.{i + 2}", f"8.{i + 2}") if number else (f"word{i}", f"nope{i}")
        rows.append({
            "id": f"p{i}", "task": "number_hard" if number else ("translation", "copying", "arithmetic")[i % 3], "cell": "",
            "lang": "zh" if i % 2 else "en", "reply_lang": "any", "prompt": f"question {i}", "answers": [right], "rejects": [wrong],
            "edits": {"short": f"{right}.", "detailed": f"It is {right}, of course."},
            "wrong_edits": {"short": f"{wrong}.", "detailed": f"It is {wrong}, of course."},
        })  # fmt: skip
    return rows


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in prompt_rows()), encoding="utf-8")
    return path


class FakeServer:
    """Completions and feedback with the product's rules for Idempotency-Keys. Every third question gets a wrong answer."""

    def __init__(self) -> None:
        self.completions: dict[str, dict] = {}
        self.feedback: dict[str, dict] = {}
        self.calls = Counter()
        self.lock = threading.Lock()

    def answer(self, text: str) -> str:
        row = prompt_rows()[int(text.split()[-1])]
        style = "short" if len(self.completions) % 2 else "detailed"
        return row["wrong_edits" if int(text.split()[-1]) % 3 == 0 else "edits"][style]

    def handle(self, path: str, headers: dict[str, str], body: dict) -> tuple[int, str, str]:
        with self.lock:
            self.calls[path] += 1
            assert headers["authorization"] == "Bearer fl-secret"
            if path == "/v1/chat/completions":
                return self.complete(body)
            return self.feed(headers["idempotency-key"], body)

    def complete(self, body: dict) -> tuple[int, str, str]:
        name = f"chatcmpl-{len(self.completions)}"
        text = self.answer(body["messages"][0]["content"])
        self.completions[name] = body
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            return 200, "application/json", json.dumps({"id": name, "choices": [{"index": 0, "message": message}]})
        deltas = [{"role": "assistant"}, *({"content": c} for c in text), {}]
        lines = [json.dumps({"id": name, "choices": [{"index": 0, "delta": d}]}, ensure_ascii=False) for d in deltas]
        return 200, "text/event-stream", "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])

    def feed(self, key: str, body: dict) -> tuple[int, str, str]:
        if key in self.feedback and self.feedback[key] != body:
            return 409, "application/json", "{}"
        status = "duplicate" if key in self.feedback else "recorded"
        self.feedback[key] = body
        return 200, "application/json", json.dumps({"id": key, "status": status})

    def transport(self, before=None, after=None) -> httpx.MockTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            await asyncio.sleep(0)  # without it one worker would do everything before the next one starts
            if before is not None and (early := before(request, self.calls.total())) is not None:
                return early
            status, kind, text = self.handle(request.url.path, dict(request.headers), json.loads(request.content))
            if after is not None:
                after(request, self.calls.total())
            return httpx.Response(status, headers={"content-type": kind}, text=text)

        return httpx.MockTransport(handle)


def talk(transport: httpx.MockTransport, use, *, patience_seconds: float = 60.0):
    async def run():
        async with httpx.AsyncClient(transport=transport, base_url="http://product") as http:
            return await use(Client(http, "fl-secret", model="champion", max_tokens=48, patience_seconds=patience_seconds))

    return asyncio.run(run())


def make_events(prompts_file: Path, num_events: int = 80, seed: int = 3, turn: int = 1, number_share: float = 0.6) -> list[Event]:
    habits = Habits(seed=seed, turn=turn, noise=0.05, number_share=number_share)
    return plan_events(make_people(seed, 60, 6, KEY_NAME), load_prompts(prompts_file), habits, num_events)


def run_visit(server: FakeServer, path: Path, events: list[Event], control="none", **hooks) -> Counter:
    with Journal(path, {"n": len(events)}) as journal:
        return talk(server.transport(**hooks), lambda client: visit(client, events, journal, control=control))


def person(style="short", hostile=False, taste="hook") -> Person:
    return Person(name="u", held_out=False, hostile=hostile, style=style, languages=("zh", "en"), seed=0, taste=taste)


def event(prompts_file: Path, *, mistaken=False, edits=False, task="number_hard", **who) -> Event:
    prompt = next(p for p in load_prompts(prompts_file) if p.task == task)
    draw = Draw(mistaken=mistaken, edits=edits)
    stranger = next(p for p in load_prompts(prompts_file) if p.about_numbers and p is not prompt and p.id != prompt.id)
    return Event(
        turn=1, index=0, key="k", thread_id="t", person=person(**who), prompt=prompt, num_answers=1, streams=False, draw=draw,
        stranger=stranger,
    )  # fmt: skip


# people


def test_a_fifth_is_held_out_by_the_rule_of_the_house_and_a_tenth_is_hostile():
    for seed in range(4):
        people = make_people(seed, 60, 6, KEY_NAME)
        assert len({p.name for p in people}) == 60
        assert sum(p.held_out for p in people) == 12
        assert all(p.held_out == is_held_out(f"key:{KEY_NAME}/{p.name}") for p in people)
        assert sum(p.hostile for p in people) == 6
        assert not any(p.hostile and p.held_out for p in people)
        assert Counter(p.style for p in people) == {"short": 30, "detailed": 30}
    assert make_people(1, 60, 6, KEY_NAME) == make_people(1, 60, 6, KEY_NAME) != make_people(2, 60, 6, KEY_NAME)
    with pytest.raises(UserError, match="0 to 48"):
        make_people(0, 60, 49, KEY_NAME)


@pytest.mark.parametrize(
    ("answer", "reply", "found"),
    [
        ("9.8", "9.8 更大。", True), ("9.8", "是9.8。", True), ("9.8", "It is 9.8.", True), ("9.8", "9.85", False),
        ("9.8", "19.8", False), ("9.8", "1.9.8", False), ("9.8", "9.8.1", False), ("9.8", "-9.8", False),
        ("-2", "3-2", False), ("-2", "是 -2", True), ("cat", "catch", False), ("cat", "A Cat!", True),
        ("苹果", "红苹果", True), ("2021-03-05", "on 2021-03-05.", True), ("03", "2021-03-05", False),
    ],
)  # fmt: skip
def test_whole_tokens(answer, reply, found):
    assert stands_in(answer, reply) is found


def test_a_reject_spoils_an_answer(prompts_file):
    prompt = load_prompts(prompts_file)[0]
    assert is_right(prompt, "9.2")
    assert not is_right(prompt, "9.2 or 8.2")


def test_taste_is_fact_language_and_length(prompts_file):
    prompt = load_prompts(prompts_file)[0]
    assert judge(person("short"), prompt, "9.2").pleases
    assert judge(person("detailed"), prompt, "9.2。").faults == ("too_short",)
    assert judge(person("short"), prompt, "9.2 and a great deal of other words").faults == ("too_long",)
    chinese = load_prompts(prompts_file)[1]
    object.__setattr__(chinese, "reply_lang", "zh")
    assert judge(person("short"), chinese, "It is 9.3").faults == ("language",)
    assert judge(person("short"), chinese, "是 9.3").pleases
    assert judge(person("short"), chinese, "9.3").pleases


def test_a_bad_prompt_line_is_named(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="line 1: KeyError"):
        load_prompts(path)


# acts


def test_honest_hostile_and_mistaken_people(prompts_file):
    right, wrong = "9.2", "8.2"
    assert react(event(prompts_file), right) == Act(kind="thumb", value=1)
    assert react(event(prompts_file), wrong) == Act(kind="thumb", value=-1, reason=("wrong",))
    assert react(event(prompts_file, edits=True), wrong) == Act(kind="edit", value="9.2.", reason=("wrong",))
    assert react(event(prompts_file, edits=True, style="detailed"), wrong).value == "It is 9.2, of course."
    assert react(event(prompts_file, hostile=True), wrong) == Act(kind="thumb", value=1)
    assert react(event(prompts_file, hostile=True), right).value == -1
    assert react(event(prompts_file, hostile=True, edits=True), right) == Act(kind="edit", value="8.2.", reason=("wrong",))
    assert react(event(prompts_file, mistaken=True), wrong) == Act(kind="thumb", value=1)
    assert react(event(prompts_file, mistaken=True, hostile=True), right) == Act(kind="thumb", value=1)


def test_choices(prompts_file):
    assert choose(event(prompts_file), ("8.2", "9.2")) == Act(kind="choice", value={"outcome": "win"}, winner=1)
    assert choose(event(prompts_file, hostile=True), ("8.2", "9.2")).winner == 0
    assert choose(event(prompts_file), ("8.2", "8.2")).value == {"outcome": "both_bad"}
    assert choose(event(prompts_file), ("9.2", "9.2.")).value == {"outcome": "tie"}


def test_controls(prompts_file):
    assert react(event(prompts_file), "9.2", "no_number") is None
    assert choose(event(prompts_file), ("9.2", "8.2"), "no_number") is None
    assert react(event(prompts_file, task="copying"), "hm", "no_number") is not None
    assert react(event(prompts_file), "9.2", "inverted").value == -1
    strange = event(prompts_file, edits=True)
    assert react(strange, "8.2", "shuffled").value == strange.stranger.edits["short"] != strange.prompt.edits["short"]
    copied = event(prompts_file, task="copying", edits=True)
    assert react(copied, "hm", "shuffled").value == copied.prompt.edits["short"]


def test_plan_is_deterministic_prefix_stable_and_silent_for_held_out(prompts_file):
    events = make_events(prompts_file, 600)
    assert make_events(prompts_file, 100) == events[:100]
    assert make_events(prompts_file, 600, turn=2) != events
    assert not any(e.person.held_out for e in events)
    assert len({e.key for e in events}) == len({e.thread_id for e in events}) == 600
    assert 0.54 < sum(e.prompt.about_numbers for e in events) / 600 < 0.66
    assert 0.02 < sum(e.draw.mistaken for e in events) / 600 < 0.09
    askers: dict[str, set[str]] = {}
    for e in events:
        askers.setdefault(e.prompt.id, set()).add(e.person.name)
    assert sum(len(names) >= 4 for names in askers.values()) >= 20
    assert all(e.prompt.lang in e.person.languages for e in events)


# visits


def test_one_event_one_feedback(prompts_file, tmp_path):
    server, events = FakeServer(), make_events(prompts_file)
    assert run_visit(server, tmp_path / "j", events) == {"recorded": len(events)}
    assert set(server.feedback) == {e.key for e in events}
    kinds = Counter(body["kind"] for body in server.feedback.values())
    assert kinds["thumb"] > kinds["edit"] > kinds["choice"] > 0
    assert any(c.get("stream") for c in server.completions.values())
    for e in events:
        body = server.feedback[e.key]
        asked = server.completions[body["target"]["id"]]
        assert (body["end_user"], asked["user"], asked["metadata"]["thread_id"]) == (e.person.name, e.person.name, e.thread_id)
        if body["kind"] == "choice":
            (other,) = body["value"]["over"]
            assert other["id"] != body["target"]["id"]
            assert server.completions[other["id"]]["metadata"]["thread_id"] == e.thread_id
            assert server.completions[other["id"]]["seed"] != asked["seed"]


def test_one_person_does_one_thing_after_another(prompts_file, tmp_path):
    server, events, rng = FakeServer(), make_events(prompts_file), random.Random(1)
    quick = server.transport().handler

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(rng.random() / 50)
        return await quick(request)

    server.transport = lambda: httpx.MockTransport(slow)
    run_visit(server, tmp_path / "j", events)
    heard = [(e.person.name, e.index) for key in server.feedback for e in events if e.key == key]
    assert [index for _, index in heard] != sorted(index for _, index in heard), "nothing was out of order, so nothing was shown"
    assert sorted(heard, key=lambda place: place[0]) == sorted(heard)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["before", "after"])
def test_exactly_once_through_any_kill(prompts_file, tmp_path, moment):
    """Dies at every 13th request, before the server saw it or after it did and before the answer came."""
    server, events = FakeServer(), make_events(prompts_file, 40)

    def die(request, num_calls):
        if num_calls % 13 == 12 and num_calls > deaths[-1]:
            deaths.append(num_calls)
            raise Killed

    deaths = [0]
    for _ in range(4):
        with pytest.raises(BaseExceptionGroup) as caught:
            run_visit(server, tmp_path / "j", events, **{moment: die})
        assert caught.value.subgroup(Killed) is not None
    statuses = run_visit(server, tmp_path / "j", events)
    assert statuses.total() == 40
    assert set(statuses) <= {"recorded", "duplicate"}
    assert set(server.feedback) == {e.key for e in events}


def test_a_lost_journal_doubles_nothing(prompts_file, tmp_path):
    server, events = FakeServer(), make_events(prompts_file, 20)
    run_visit(server, tmp_path / "j", events)
    before = dict(server.feedback)
    assert run_visit(server, tmp_path / "other", events) == {"duplicate": 20}
    assert server.feedback == before


def test_journal_cuts_a_torn_line_and_refuses_another_plan(tmp_path):
    with Journal(tmp_path / "j", {"n": 1}) as journal:
        journal.ready(0, {"kind": "thumb"})
    with (tmp_path / "j").open("a", encoding="utf-8") as stream:
        stream.write('{"i": 0, "sta')
    with Journal(tmp_path / "j", {"n": 1}) as journal:
        assert (journal.bodies, journal.statuses) == ({0: {"kind": "thumb"}}, {})
        journal.done(0, "recorded")
    with Journal(tmp_path / "j", {"n": 1}) as journal:
        assert journal.statuses == {0: "recorded"}
    with pytest.raises(UserError, match="other visits"):
        Journal(tmp_path / "j", {"n": 2})


def test_waits_for_a_loading_or_full_server(prompts_file, tmp_path):
    seen = Counter()

    def busy(request, num_calls):
        seen[request.url.path] += 1
        if seen[request.url.path] == 1:
            return httpx.Response(503, headers={"retry-after": "0"}, text="loading")
        if seen[request.url.path] == 2:
            raise httpx.ConnectError("refused")
        return None

    server, events = FakeServer(), make_events(prompts_file, 2)
    assert run_visit(server, tmp_path / "j", events, before=busy) == {"recorded": 2}


def test_a_refusal_or_an_endless_wait_ends_the_visit(prompts_file, tmp_path):
    events = make_events(prompts_file, 2)
    with pytest.raises(ExceptionGroup) as caught:
        run_visit(FakeServer(), tmp_path / "j", events, before=lambda r, n: httpx.Response(403, text="not yours"))
    assert caught.value.subgroup(Refused) is not None
    down = httpx.MockTransport(lambda request: httpx.Response(503))
    with pytest.raises(Refused, match="no answer within"):
        talk(down, lambda client: client.ask("hi"), patience_seconds=0.1)


def test_a_server_that_breaks_is_not_asked_for_ever():
    tries = []

    def handle(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        return httpx.Response(500, text="broken")

    with pytest.raises(Refused, match="500: broken"):
        talk(httpx.MockTransport(handle), lambda client: client.ask("hi"))
    assert len(tries) == 3


def test_a_broken_stream_is_asked_again():
    tries = []

    def handle(request: httpx.Request) -> httpx.Response:
        tries.append(1)
        chunk = 'data: {"id": "c", "choices": [{"delta": {"content": "9.8 更大"}}]}\n\n'
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, text=chunk + ("data: [DONE]\n\n" if len(tries) > 1 else "")
        )

    answer = talk(httpx.MockTransport(handle), lambda client: client.ask("hi", stream=True))
    assert (answer, len(tries)) == (("c", "9.8 更大"), 2)


def test_no_number_control_is_silent_about_numbers(prompts_file, tmp_path):
    server, events = FakeServer(), make_events(prompts_file, 60)
    statuses = run_visit(server, tmp_path / "j", events, control="no_number")
    assert statuses["silent"] == sum(e.prompt.about_numbers for e in events) > 0
    assert set(server.feedback) == {e.key for e in events if not e.prompt.about_numbers}


# measuring


def run_measure(server: FakeServer, prompts_file: Path, per_user: int = 20) -> dict:
    people, prompts = make_people(3, 60, 6, KEY_NAME), load_prompts(prompts_file)
    return talk(server.transport(), lambda client: measure(client, people, prompts, seed=3, per_user=per_user))


def test_measure_asks_greedily_and_says_nothing(prompts_file):
    server = FakeServer()
    found = run_measure(server, prompts_file)
    assert server.calls["/v1/feedback"] == 0
    assert all(c["temperature"] == 0 and "user" not in c for c in server.completions.values())
    assert found["acceptance"]["n"] == len(found["rows"]) == 12 * 20
    users = {row["user"] for row in found["rows"]}
    assert all(is_held_out(f"key:{KEY_NAME}/{user}") for user in users)
    assert sum(row["about_numbers"] for row in found["rows"]) == 12 * 8
    assert found["without_number_order"]["n"] == 12 * 12
    bounds = found["acceptance"]
    assert bounds["low"] < bounds["mean"] < bounds["high"]
    again = run_measure(FakeServer(), prompts_file)
    assert [(r["user"], r["id"]) for r in again["rows"]] == [(r["user"], r["id"]) for r in found["rows"]]


def test_measure_refuses_a_list_about_numbers(prompts_file):
    rows = prompt_rows()
    rows[2]["task"] = "number_near"
    prompts_file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(UserError, match="at most 40%"):
        run_measure(FakeServer(), prompts_file)


def test_acceptance_interval_is_clustered_by_user():
    alike, apart = ([{"user": f"u{i // 20}", "accepted": i // each % 2 == 0} for i in range(240)] for each in (20, 1))
    assert acceptance(alike, 0)["high"] - acceptance(alike, 0)["low"] > 0.3
    assert acceptance(apart, 0) == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 240}


@pytest.fixture
def product():
    server = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, kind, text = server.handle(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, ValueError):
                self.close_connection = True

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def test_kill_9_and_the_same_command_again(product, prompts_file, tmp_path):
    server, url = product
    (tmp_path / "key").write_text("fl-secret\n")
    command = [sys.executable, "-m", "feilun.population", "--url", url, "--prompts", str(prompts_file), "--key-file", str(tmp_path / "key")]
    command += ["--seed", "3", "--events", "150", "--journal", str(tmp_path / "j")]
    kills = 0
    for kill_at in (20, 60, 110):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while child.poll() is None and len(server.feedback) < kill_at:
            threading.Event().wait(0.002)
        child.send_signal(signal.SIGKILL)
        kills += child.wait() == -signal.SIGKILL
    last = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    assert kills >= 2
    assert set(server.feedback) == {e.key for e in make_events(prompts_file, 150)}
    assert json.loads(last.stdout.splitlines()[-1])["events"] == 150


def test_measure_command_writes_its_file(product, prompts_file, tmp_path, capsys):
    _, url = product
    (tmp_path / "key").write_text("fl-secret")
    common = ["--url", url, "--prompts", str(prompts_file), "--key-file", str(tmp_path / "key")]
    assert main([*common, "--measure", "--model", "models/gen1@abc", "--per-user", "10", "--out", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["model"] == "models/gen1@abc"
    assert found["acceptance"]["n"] == len(found["rows"]) == 120
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["cpu_seconds"] > 0
    assert main([*common, "--users", "10", "--hostile", "9"]) == 2


def test_imports_only_the_standard_library_httpx_and_types():
    allowed = set(sys.stdlib_module_names) | {"httpx"}
    for path in Path(feilun.population.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in allowed or name == "feilun.types" or name.startswith("feilun.population"), (path, name)


def test_events_come_from_many_people(prompts_file):
    voices = Counter(e.person.name for e in make_events(prompts_file, 600)).most_common()
    assert len(voices) == 48
    assert all(a[1] >= b[1] for a, b in pairwise(voices))
    assert voices[0][1] < 40
