"""How turns ended, told to an address: signed, tried again, never in a turn's way, and without the secret in any output."""

import hashlib
import hmac
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from owner_house import NO_EXAMS, correct, make_home, owner_turn

from feilun.config import WatchSettings
from feilun.store import Store
from feilun.turn import rollback
from feilun.turn.webhook import PAUSES_SECONDS, SECRET_FILE, TOLD_NOTE, leave_watch, tell


class Receiver:
    """A server on this machine; statuses: what it answers next, then 204."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.heard.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(owner.statuses.pop(0) if owner.statuses else 204)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook?token=opensesame"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def told(self) -> list[str]:
        return [json.loads(body)["event"] for _, body in self.heard]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(home: Path, receiver: Receiver) -> Iterator[Store]:
    """A home with a turn from before there was a webhook."""
    make_home(home)
    correct(home, "cat?", "Mimi")
    owner_turn(home, NO_EXAMS)
    with Store.open(home) as store:
        leave_watch(home, store, WatchSettings(webhook=receiver.address))
        yield store


def test_ends_of_turns_and_the_way_back_are_told_once_and_signed(home, store, receiver):
    assert tell(home, store) == 0
    correct(home, "dog?", "Rex")
    owner_turn(home, NO_EXAMS)
    owner_turn(home, NO_EXAMS)
    rollback(home, "people complain")
    assert tell(home, store) == 3
    assert tell(home, store) == 0
    assert receiver.told() == ["turn.promoted", "turn.refused", "model.rolled_back"]
    promoted, refused, back = (json.loads(body) for _, body in receiver.heard)
    turn = store.turns()[1]
    assert (promoted["turn"], promoted["name"], promoted["candidate"]) == (turn.id, "turn-2", turn.steps["train"].output["candidate"])
    assert "correct an answer first" in refused["why"][0]
    assert (back["why"], back["model"]) == (["people complain"], store.champion().model)
    secret = (home / SECRET_FILE).read_text().strip().encode()
    for headers, body in receiver.heard:
        expected = hmac.new(secret, headers["Feilun-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
        assert headers["Feilun-Signature"] == f"sha256={expected}"
        assert headers["Feilun-Delivery"] == json.loads(body)["id"]
    assert stat.S_IMODE((home / SECRET_FILE).stat().st_mode) == 0o600


def test_a_failure_is_tried_again_later_and_later_and_at_last_given_up(home, store, receiver, capsys):
    correct(home, "dog?", "Rex")
    owner_turn(home, NO_EXAMS)
    receiver.statuses = [500, 302]
    assert tell(home, store, now=1000.0) == 0
    assert tell(home, store, now=1000.0 + PAUSES_SECONDS[0] - 1) == 0
    assert len(receiver.heard) == 1
    assert tell(home, store, now=1000.0 + PAUSES_SECONDS[0]) == 0
    assert tell(home, store, now=9000.0) == 1
    assert [json.loads(body) for _, body in receiver.heard] == [json.loads(receiver.heard[0][1])] * 3
    rollback(home, "x")
    now = 0.0
    for pause in (*PAUSES_SECONDS, 0.0):
        assert tell(home, store, post=unreachable, now=now) == 0
        now += pause
    assert tell(home, store, now=1e9) == 0
    said = capsys.readouterr().err
    assert "status 500; again in 5 s" in said
    assert "ConnectionRefusedError; given up after 6 tries" in said
    kept = json.dumps(store.read_note(TOLD_NOTE)) + said
    assert (home / SECRET_FILE).read_text().strip() not in kept
    assert "opensesame" not in kept


def unreachable(address: str, body: bytes, headers: object) -> int:
    raise ConnectionRefusedError(f"{address} does not answer")


def test_a_turn_does_not_wait_for_who_does_not_answer(home, store, receiver):
    """Nobody listens there any more: the turn is promoted all the same, and what was not told waits."""
    receiver.server.shutdown()
    receiver.server.server_close()
    correct(home, "dog?", "Rex")
    assert owner_turn(home, NO_EXAMS).verdict == "promoted"
    assert tell(home, store) == 0
    assert list(store.read_note(TOLD_NOTE)["tries"]) == [f"{store.turns()[-1].id}:promoted"]
