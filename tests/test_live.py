"""Generations that a page attaches to, leaves, comes back to and stops, and what a killed server leaves of them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from page_client import Event, events_of, parsed, post, said, shown, thread
from serve_house import TOKENIZER, error_of, open_house, until, wait_for

from feilun.serve import live as live_module
from feilun.serve.live import Lives
from feilun.store import Store
from feilun.store.schema import drafts

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house:
        wait_for(house, house.promote("first"))
        house.ann = house.key("ann", "chat", "feedback")
        yield house


@pytest.fixture
def page(house):
    with house.client(house.ann) as client:
        yield client
    house.go.set()
    house.script.hold = 3


@pytest.fixture
def other(house):
    with house.client(house.ann) as client:
        yield client


def held(house, num_tokens: int = 3) -> None:
    """From now on answers hold their breath after so many tokens."""
    house.script.hold = num_tokens
    house.go.clear()


# --- events


def test_a_stream_is_a_snapshot_blocks_and_an_end(house, page):
    made = post(page, "# one\n\ntwo **three**\n\n- four", n=2)
    events = events_of(page, made.id)
    assert [event.id for event in events] == list(range(len(events)))
    assert {event.name for event in events[1:-1]} <= {"blocks"}
    assert events[0].data | {"answers": []} == {
        "answers": [], "model": house.engines[0].info.model, "engine": "echo", "question": made.question, "thread_id": made.thread_id,
    }  # fmt: skip
    text = "first: # one\n\ntwo **three**\n\n- four"
    blocks = ["<p>first: # one</p>", "<p>two <strong>three</strong></p>", "<ul>\n<li>four</li>\n</ul>"]
    assert shown(events) == [(blocks, len(text))] * 2
    assert events[-1].name == "end"
    assert [answer["index"] for answer in events[-1].data["answers"]] == [0, 1]
    assert all((a["text"], a["finish_reason"]) == (text, "stop") for a in events[-1].data["answers"])
    assert events[-1].data["answers"][0]["num_tokens"] == len(TOKENIZER.encode(text)) + 1


def test_a_reload_in_mid_answer_loses_nothing(house, page):
    held(house)
    made = post(page, "slow question")
    assert snapshot(page, made.id).name == "snapshot"
    found = thread(page, made.thread_id)
    assert [(m["role"], m["text"], m["parent"]) for m in found["messages"]] == [("user", "slow question", made.thread_id)]
    assert found["running"] == [{"id": made.id, "parent": made.question, "num_answers": 1}]
    assert (found["title"], found["tip"]) == ("slow question", made.question)
    assert page.get("/api/threads").json()["threads"][0]["id"] == made.thread_id
    with page.stream("GET", f"/api/generations/{made.id}") as response:
        again = parsed(response.iter_lines())
        seen = [next(again)]
        until(lambda: house.engines[0].num_requests == 1)
        house.go.set()
        seen += again
    assert shown(seen) == [(["<p>first: slow question</p>"], 20)]
    assert seen[-1].name == "end"
    found = thread(page, made.thread_id)
    assert found["running"] == []
    assert found["tip"] == found["messages"][-1]["address"] == seen[-1].data["answers"][0]["address"]
    assert found["messages"][0]["address"] == made.question


def test_what_came_is_shown_though_nothing_follows(house, page):
    held(house, 30)
    made = post(page, "a question of some length")
    with page.stream("GET", f"/api/generations/{made.id}") as response:
        stream = parsed(response.iter_lines())
        seen = [next(stream)]
        while shown(seen)[0][1] < 30:
            seen.append(next(stream))
    assert shown(seen) == [(["<p>first: a question of some leng</p>"], 30)]


def test_two_readers_see_the_same(house, page, other):
    held(house, 10)
    made = post(page, "for two readers")
    with page.stream("GET", f"/api/generations/{made.id}") as one, other.stream("GET", f"/api/generations/{made.id}") as two:
        streams = [parsed(response.iter_lines()) for response in (one, two)]
        seen = [[next(stream)] for stream in streams]
        house.go.set()
        for events, stream in zip(seen, streams, strict=True):
            events += stream
    assert shown(seen[0]) == shown(seen[1]) == [(["<p>first: for two readers</p>"], 22)]
    assert seen[0][-1].data == seen[1][-1].data


def test_too_many_readers_are_told_so_until_one_goes(house, page):
    held(house)
    made = post(page, "crowd")
    path = f"/api/generations/{made.id}"

    def look() -> int:
        with page.stream("GET", path) as response:
            return response.status_code

    with ExitStack() as crowd:
        for _ in range(live_module.MAX_READERS - 1):
            crowd.enter_context(page.stream("GET", path))
        with page.stream("GET", path):
            refused = page.get(path)
            assert error_of(refused, 429)["code"] == "too_many_readers"
            assert refused.headers["retry-after"] == "5"
        until(lambda: look() == 200)
        house.go.set()
    until(lambda: look() == 200)
    assert events_of(page, made.id)[-1].name == "end"


def test_one_who_comes_late_gets_the_whole_and_the_end(house, page):
    made = said(page, "late")
    events = events_of(page, made["id"])
    assert [event.name for event in events] == ["snapshot", "end"]
    assert shown(events) == [(["<p>first: late</p>"], 11)]


def test_what_memory_has_forgotten_the_store_knows(house, page):
    made = said(page, "of old")
    from_memory = events_of(page, made["id"])
    record = house.store.completion(made["id"])
    house.store.record_completion(replace(record, id="stored-only"))
    from_store = events_of(page, "stored-only")
    assert [(event.name, event.id, event.data) for event in from_store] == [(event.name, event.id, event.data) for event in from_memory]


def test_leaving_stops_nothing(house, page):
    held(house)
    made = post(page, "left alone")
    with page.stream("GET", f"/api/generations/{made.id}") as response:
        next(response.iter_lines())
    house.go.set()
    assert events_of(page, made.id)[-1].data["answers"][0]["text"] == "first: left alone"


# --- stopping


def test_a_stop_keeps_what_was_seen(house, page):
    held(house, 16)  # "first: " and three signs of three bytes each
    made = post(page, "龙井茶 from 杭州", n=2)
    until(lambda: shown([snapshot(page, made.id)]) == [(["<p>first: 龙井茶</p>"], 10)] * 2)
    response = page.delete(f"/api/generations/{made.id}", params={"seen": "8,3"})
    assert response.json() == {"stopped": True}
    last = events_of(page, made.id)[-1]
    assert last.name == "end"
    assert [(a["text"], a["finish_reason"]) for a in last.data["answers"]] == [("first: 龙", "abort"), ("fir", "abort")]
    record = house.store.completion(made.id)
    assert [choice["text"] for choice in record.choices] == ["first: 龙", "fir"]
    assert shown(events_of(page, made.id)) == [(["<p>first: 龙</p>"], 8), (["<p>fir</p>"], 3)]
    assert page.delete(f"/api/generations/{made.id}").json() == {"stopped": False}
    until(lambda: house.engines[0].num_requests == 0)
    assert {m["answer"]["finish_reason"] for m in thread(page, made.thread_id)["messages"][1:]} == {"abort"}


def snapshot(page: httpx.Client, generation_id: str) -> Event:
    with page.stream("GET", f"/api/generations/{generation_id}") as response:
        return next(parsed(response.iter_lines()))


def test_a_stop_at_once_keeps_the_question(house, page):
    held(house, 0)
    made = post(page, "never mind")
    assert page.delete(f"/api/generations/{made.id}", params={"seen": "0"}).json() == {"stopped": True}
    found = thread(page, made.thread_id)
    assert [(m["text"], m["html"]) for m in found["messages"]] == [("never mind", []), ("", [])]
    assert found["messages"][1]["answer"]["finish_reason"] == "abort"
    house.go.set()
    assert said(page, thread_id=made.thread_id, parent=made.question)["answers"][0]["text"] == "first: never mind"


@pytest.mark.parametrize("seen", ["", "1,2", "-1", "x", "1.5", "٣", "9" * 12])
def test_seen_is_a_number_for_each_answer(house, page, seen):
    held(house)
    made = post(page, "counted")
    assert error_of(page.delete(f"/api/generations/{made.id}", params={"seen": seen}), 400)["param"] == "seen"
    assert page.delete(f"/api/generations/{made.id}").json() == {"stopped": True}


def test_a_failure_is_told_and_what_came_is_kept(house, page):
    engine = house.engines[0]
    engine.broken = True
    try:
        made = post(page, "breaks")
        events = events_of(page, made.id)
    finally:
        engine.broken = False
    assert (events[-1].name, list(events[-1].data)) == ("failed", ["message"])
    assert thread(page, made.thread_id)["messages"][-1]["answer"]["finish_reason"] == "abort"


def test_anothers_generation_is_unknown(house, page):
    held(house)
    made = post(page, "mine alone")
    with house.client(house.key("bob", "chat")) as bob:
        for generation in (made.id, "chatcmpl-nothing"):
            for method in ("GET", "DELETE"):
                assert error_of(bob.request(method, f"/api/generations/{generation}"), 404)["code"] == "not_found"
    assert page.delete(f"/api/generations/{made.id}").json() == {"stopped": True}


def test_a_swap_leaves_the_running_answer_its_model(tmp_path):
    with open_house(tmp_path) as house:
        wait_for(house, house.promote("old"))
        with house.client(house.key("ann", "chat")) as page:
            held(house)
            made = post(page, "asked of the old one")
            wait_for(house, house.promote("new"))
            house.go.set()
            assert events_of(page, made.id)[-1].data["answers"][0]["text"] == "old: asked of the old one"
            assert said(page, "and now")["answers"][0]["text"] == "new: and now"


# --- what is kept


class Held:
    """As much of a generation as the registry looks at."""

    def __init__(self, number: int, finished: float | None) -> None:
        self.id, self.has_ended = f"g{number}", finished is not None
        self.principal, self.thread_id, self.generation = "p", f"t{number % 2}", self
        self.finished = finished or 0.0


def test_the_registry_is_bounded_and_keeps_what_runs():
    lives, now = Lives(), time.time()
    for number in range(300):
        lives.add(Held(number, None if number < 3 else now))
    assert len(lives.ids) == 3 + live_module.MAX_ENDED
    assert lives.ids[:3] == ["g0", "g1", "g2"]
    assert [live.id for live in lives.running("p")] == ["g0", "g1", "g2"]
    assert [live.id for live in lives.running("p", "t0")] == ["g0", "g2"]
    assert lives.running("q") == []
    lives.add(Held(301, now - live_module.KEEP_SECONDS - 1))
    assert lives.get("g301") is None
    assert lives.get("g299") is not None
    lives.forget("p", "t1")
    assert all(lives.get(name).thread_id == "t0" for name in lives.ids)


# --- a killed server

SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from feilun.config import ServeSettings
from feilun.serve.app import run
from serve_house import House
house = House(Path(sys.argv[1]))
house.script.hold = 9
house.go.clear()
run(house.home, ServeSettings(port=0), engine_factory=house.load, on_start=lambda address: print(address.url, flush=True))
"""


def test_a_killed_server_leaves_an_aborted_answer(tmp_path):
    with Store.open(tmp_path) as store:
        headers = {"Authorization": f"Bearer {store.create_key('ann', frozenset({'chat'})).secret}"}
    with open_house(tmp_path) as house:
        wait_for(house, house.promote("first"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", SERVER, str(tmp_path), str(ROOT / "tests")]
    server = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        with httpx.Client(base_url=server.stdout.readline().strip(), headers=headers, timeout=20) as page:
            until(lambda: page.get("/health").json()["status"] == "ok")
            made = post(page, "who was that?", consent="serve")
        with Store.open(tmp_path) as store:
            until(lambda: draft_text(store, made.id) == "first: wh")
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == -signal.SIGKILL
    with open_house(tmp_path) as house, house.client(headers) as page:
        recovering = page.get(f"/api/generations/{made.id}")
        assert recovering.status_code in (200, 503)
        until(lambda: page.get(f"/api/threads/{made.thread_id}").status_code == 200)
        found = thread(page, made.thread_id)
        assert [(m["role"], m["text"]) for m in found["messages"]] == [("user", "who was that?"), ("assistant", "first: wh")]
        assert (found["messages"][1]["answer"]["finish_reason"], found["consent"]) == ("abort", "serve")
        assert [event.name for event in events_of(page, made.id)] == ["snapshot", "end"]


def draft_text(store: Store, draft_id: str) -> str | None:
    texts = store._database.read(lambda c: c.execute(sa.select(drafts.c.texts).where(drafts.c.id == draft_id)).scalar())
    return texts[0]["text"] if texts else None
