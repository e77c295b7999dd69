"""The owner's Turn over HTTP: what is told, who may ask, when it is refused, and the way back."""

import time
from collections.abc import Iterator

import httpx
import pytest
from owner_house import NO_EXAMS, correct, drill, make_home, owner_turn
from serve_house import House, ask, error_of, open_house, wait_for

from feilun.artifacts import write_json
from feilun.store import Store


@pytest.fixture
def house(home) -> Iterator[House]:
    with open_house(home) as house:
        yield house


@pytest.fixture
def owner(house) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=house.url, timeout=20, headers={"Origin": house.url}) as client:
        client.get(house.owner_url)
        yield client


def watch(house: House, at: float | None = None) -> None:
    house.store.note("turn_watch", {"pid": 1, "at": time.time() if at is None else at, "request": None})


def told(owner: httpx.Client) -> dict:
    response = owner.get("/api/turn")
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.json()


def test_a_new_home_says_that_there_is_nothing(house, owner):
    assert told(owner) == {
        "watching": False, "lessons": {"new": 0, "total": 0}, "state": "idle", "turn": None, "last": None, "hindrance": "no_watcher",
        "back": None,
    }  # fmt: skip


def test_only_the_owner_may_look_and_ask(house):
    headers = house.key("app", "chat", "feedback", "exam", "assert_end_user")
    with house.client(headers) as client:
        for method, path in (("GET", "/api/turn"), ("POST", "/api/turn"), ("POST", "/api/rollback")):
            error_of(client.request(method, path, json={}), 403)
            error_of(httpx.request(method, house.url + path, json={}), 401)
    with httpx.Client(base_url=house.url) as client:
        client.get(house.owner_url)
        error_of(client.post("/api/turn"), 403)  # no Origin: not this server's page


def test_a_turn_is_asked_for_once(house, owner):
    house.promote("a")
    assert error_of(owner.post("/api/turn"), 503)["code"] == "no_watcher"
    watch(house)
    assert told(owner)["hindrance"] is None
    asked = owner.post("/api/turn")
    assert asked.status_code == 202
    assert house.store.asked_turn()["id"] == asked.json()["request"]
    assert (told(owner)["state"], told(owner)["hindrance"]) == ("asked", "turn_running")
    assert "asked for already" in error_of(owner.post("/api/turn"), 409)["message"]
    watch(house, at=time.time() - 60)
    assert not told(owner)["watching"]
    assert error_of(owner.post("/api/turn"), 409)["code"] == "turn_running"


def test_where_there_is_nothing_to_learn_from_or_nobody_to_learn(house, owner):
    watch(house)
    assert error_of(owner.post("/api/turn"), 409)["code"] == "no_model"
    watch(house, at=0.0)
    house.store.note("progress", {"stage": "turn"})
    assert "your lessons take part" in error_of(owner.post("/api/turn"), 409)["message"]
    assert told(owner)["hindrance"] == "demo_running"
    house.store.note("progress", {"stage": "done"})
    assert told(owner)["hindrance"] == "no_watcher"


def test_a_turn_is_shown_while_it_runs(house, owner):
    house.promote("a")
    watch(house)
    turn = house.store.start_turn({"name": "turn-1", "steps": ["collect", "train"], "settings": {"rise_task": "taught"}, "request": "r"})
    house.store.claim_step(turn, "collect", "me", "", 30)
    house.store.finish_step(turn, "collect", "me", {})
    house.store.claim_step(turn, "train", "me", "", 30)
    house.store.note("turn", {"turn": turn, "step": "train", "done": 3, "total": 9, "eta_seconds": 1.5})
    found = told(owner)
    assert found["state"] == "running"
    assert found["turn"].pop("started") > 0
    assert found["turn"] == {
        "id": turn, "name": "turn-1", "owner": True,
        "steps": [{"step": "collect", "status": "done"}, {"step": "train", "status": "running"}],
        "done": 3, "total": 9, "eta_seconds": 1.5, "alive": True,
    }  # fmt: skip
    assert "one turn runs at a time" in error_of(owner.post("/api/turn"), 409)["message"]
    house.store.note("turn", {"turn": "another", "step": "train", "done": 8, "total": 9, "eta_seconds": 0.1})
    assert told(owner)["turn"]["done"] == 0


def test_what_a_turn_taught_and_why_the_next_was_refused(tmp_path):
    home = tmp_path / "home"
    make_home(home)
    correct(home, "cat?", "Mimi")
    with open_house(home) as house, httpx.Client(base_url=house.url, timeout=20, headers={"Origin": house.url}) as owner:
        owner.get(house.owner_url)
        assert told(owner)["lessons"] == {"new": 1, "total": 1}
        made = owner_turn(home)
        found = told(owner)
        assert found["lessons"] == {"new": 0, "total": 1}
        last = found["last"]
        assert (last["verdict"], last["turn"], last["receipt"]) == ("promoted", made.turn, made.outputs["gate"]["receipt"])
        assert last["taught"] == [{"question": "cat?", "wanted": "Mimi", "before": "no idea", "after": "Mimi", "kept": True}]
        assert [row["task"] for row in last["exams"]] == ["copying", "number_hard", "number_near"]
        assert last["exams"][0]["low"] < 0 < last["exams"][0]["high"]
        assert all(row["passed"] and row["champion"] == row["candidate"] for row in last["exams"])
        assert last["reasons"][0] == {"code": "learnt", "learnt": 1, "wrong": 1, "needed": 1}
        assert found["back"]["model"] == made.champion
        owner_turn(home)
        assert told(owner)["last"]["reasons"] == [{"code": "nothing_new", "total": 1}]
        correct(home, "dog?", "Rex")
        drill(home, stubborn=["dog?"])
        owner_turn(home, NO_EXAMS)
        refused = told(owner)["last"]
        assert refused["verdict"] == "refused"
        assert "0 are now answered as you taught" in refused["why"][0]
        assert [(row["question"], row["kept"]) for row in refused["taught"]] == [("cat?", True), ("dog?", False)]


def test_what_was_forgotten_is_not_shown(tmp_path):
    home = tmp_path / "home"
    make_home(home)
    correct(home, "cat?", "Mimi")
    owner_turn(home, NO_EXAMS)
    with open_house(home) as house, httpx.Client(base_url=house.url, timeout=20) as owner:
        owner.get(house.owner_url)
        assert len(told(owner)["last"]["taught"]) == 1
        house.store.forget("owner")
        assert told(owner)["last"]["taught"] == []
        assert told(owner)["lessons"] == {"new": 0, "total": 0}


def test_a_request_without_a_turn_has_its_answer_until_the_next_turn(house, owner):
    with Store.open(house.home) as store:
        store.answer_request(store.ask_turn("owner"), "there is no champion")
    last = told(owner)["last"]
    assert (last["verdict"], last["why"]) == ("failed", ["there is no champion"])
    assert last["reasons"] == [{"code": "said", "text": "there is no champion"}]


def test_a_receipt_that_is_gone_takes_no_page_down(tmp_path):
    home = tmp_path / "home"
    make_home(home)
    correct(home, "cat?", "Mimi")
    made = owner_turn(home, NO_EXAMS)
    for path in (home / "runs").glob("*/receipt.json"):
        write_json(path, [])
    with open_house(home) as house, httpx.Client(base_url=house.url, timeout=20) as owner:
        owner.get(house.owner_url)
        last = told(owner)["last"]
        assert (last["verdict"], last["taught"]) == ("promoted", [])
        assert last["why"] == list(made.why)
        assert told(owner)["lessons"] == {"new": 1, "total": 1}


def test_roll_back(house, owner):
    assert error_of(owner.post("/api/rollback", json={}), 409)["code"] == "nothing_before"
    first, second = house.promote("a"), house.promote("b")
    assert told(owner)["back"] == {"epoch": 1, "model": first}
    assert owner.post("/api/rollback", json={"reason": " it was better "}).json() == {"epoch": 3, "model": first}
    assert house.store.history()[-1].reason == "it was better"
    assert house.store.champion().model != second
    assert told(owner)["back"] is None
    for body in ([], {"reason": 1}, {"reason": "x" * 501}, {"other": "x"}):
        error_of(owner.post("/api/rollback", json=body), 400)


def test_lessons_are_counted_anew_when_something_was_said(house, owner):
    wait_for(house, house.promote("a"))
    assert told(owner)["lessons"]["new"] == 0
    answer = owner.post("/v1/chat/completions", json=ask("cat?")).json()["id"]
    edit = {"target": {"id": answer, "index": 0}, "kind": "edit", "value": "Mimi"}
    owner.post("/v1/feedback", json=edit, headers={"Idempotency-Key": "k"}).raise_for_status()
    assert told(owner)["lessons"] == {"new": 1, "total": 1}
