"""People with something of their own in one house, and every request of theirs watched for what is somebody else's."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from growth_house import make_exam, publish
from serve_house import House, open_house, wait_for

from feilun.config import RolloutSettings
from feilun.serve.auth import issue_owner_token
from feilun.store import TEACH, EngineRow, Mirror, NewTask, RolloutRow, Store
from feilun.turn.rollout import plan_rollout
from feilun.types import Consent

# The models hold their breath after so many tokens: only the questions that shall stay unanswered are so long.
HOLD = 200
NOWHERE = "http://127.0.0.1:9/v1"
numbers = count()


class Answer(NamedTuple):
    """What came back: a status, and headers and body as text. Of a stream that goes on, its first event."""

    status: int
    head: str
    text: str

    @property
    def code(self) -> str | None:
        return httpx.Response(self.status, text=self.text).json()["error"]["code"]


class Person:
    """One credential. `secret` stands in everything that this person says."""

    def __init__(self, house: "MatrixHouse", name: str, headers: dict[str, str]) -> None:
        self.house, self.name, self.headers, self.secret = house, name, headers, f"geheimnis-{name}-73"
        self.client = house.client(headers)
        self._things: dict[str, str] = {}

    def send(self, method: str, path: str, **more: Any) -> Answer:
        """The answer; nothing of anybody else's may be in it."""
        headers = {"Idempotency-Key": f"{self.name}-{next(numbers)}", **more.pop("headers", {})}
        with self.client.stream(method, path, headers=headers, **more) as response:
            text = ""
            for part in response.iter_text():
                text += part
                if "event: snapshot" in text and "\n\n" in text and "held-question" in text:
                    break
        head = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        strangers = [person.secret for person in self.house.people.values() if person is not self]
        assert [secret for secret in strangers if secret in head + text] == [], (method, path)
        return Answer(response.status_code, head, text)

    def json(self, method: str, path: str, **more: Any) -> Any:
        answer = self.send(method, path, **more)
        assert answer.status < 300, (method, path, answer.text)
        return httpx.Response(200, text=answer.text).json() if answer.text else None

    # --- what is this person's own

    def ask(self, text: str = "", **fields: Any) -> dict[str, Any]:
        """A question on the page, and its whole answer."""
        body = {"model": "feilun", "n": 1, "temperature": 0, "thread_id": None, "parent": None, "consent": "improve"}
        made = self.json("POST", "/api/chat", json={**body, **({"text": text} if text else {}), **fields})
        events = self.send("GET", f"/api/generations/{made['id']}").text
        _, _, end = events.partition("event: end\n")
        assert end, events
        data = next(line for line in end.splitlines() if line.startswith("data: "))
        return {**made, "answer": json.loads(data[6:])["answers"][0]["address"]}

    def own(self, slots: Mapping[str, str], *, fresh: bool = False) -> dict[str, str]:
        """{slot: id of an own thing of its kind}, which belong together; fresh ones may be destroyed."""
        things = {} if fresh else self._things
        for kind in slots.values():
            if kind not in things:
                things |= MAKERS[kind](self)
        return {slot: things[kind] for slot, kind in slots.items()}


def make_thread(person: Person) -> dict[str, str]:
    made = person.ask(f"What is {person.secret}? {next(numbers)}")
    return {
        "thread": made["thread_id"],
        "question": made["question"],
        "address": made["answer"],
        "completion": made["id"],
        "ended": made["id"],
    }


def make_sibling(person: Person) -> dict[str, str]:
    first = make_thread(person)
    second = person.ask(thread_id=first["thread"], parent=first["question"])
    return {"winner": first["completion"], "sibling": second["id"]}


def make_event(person: Person) -> dict[str, str]:
    target = make_thread(person)["completion"]
    body = {"target": {"id": target, "index": 0}, "kind": "edit", "value": f"It is {person.secret}."}
    return {"edited": target, "event": person.json("POST", "/v1/feedback", json=body)["id"]}


def make_running(person: Person) -> dict[str, str]:
    text = f"held-question {person.secret} {next(numbers)} ".ljust(2 * HOLD, ".")
    made = person.json("POST", "/api/chat", json={"text": text, "model": "feilun", "n": 1})
    return {"running": made["id"]}


def make_engine(person: Person) -> dict[str, str]:
    row = EngineRow(name=f"engine-{next(numbers)}", url=NOWHERE, model="m", teach=False)
    return {"engine": person.house.store.add_engine(row).name}


def make_receipt(person: Person) -> dict[str, str]:
    ref = publish(person.house.home, "runs", f"turn-{next(numbers)}-gate", {"receipt.json": {"verdict": "refused", "tasks": {}}})
    return {"receipt": ref.removeprefix("runs/")}


def make_turn(person: Person) -> dict[str, str]:
    turn = person.house.store.start_turn({"name": f"turn-{next(numbers)}"})
    person.house.store.finish_turn(turn, "refused", "for the matrix")
    return {"turn": turn}


def make_pair(person: Person) -> dict[str, str]:
    """An answer that was mirrored in the shadow of a rollout, for the owner to judge."""
    store, person = person.house.store, person.house.people["owner"]
    said = make_thread(person)["completion"]
    row = store.rollout() or begun(store)
    side = {"seconds": 0.1, "chars": 3, "finish_reason": "stop", "fault": ""}
    store.shadow.record(row.id, Mirror(said, row.who(person.name), side, side, 1.0), "mirrored")
    return {"pair": said}


def begun(store: Store) -> RolloutRow:
    turn = store.start_turn({"name": f"turn-{next(numbers)}"})
    champion = store.champion()
    assert champion is not None
    row = store.start_rollout(turn, "models/none@0", champion.epoch, plan_rollout(RolloutSettings(shadow_share=1e-12), None, "salt"))
    store.finish_turn(turn, "rolling_out", "for the matrix")
    return row


def make_session(person: Person) -> dict[str, str]:
    """A session of the owner's that nobody else uses; another's request bears none."""
    return {"session": person.house.owner_headers()["Cookie"] if person.name in ("owner", "bare") else "none=none"}


def make_task(person: Person) -> dict[str, str]:
    """Of a question that is nobody's secret, shown to this person alone."""
    asked = ({"role": "user", "content": f"task {next(numbers)}"},)
    source = make_thread(person.house.people["bob"])["completion"]
    given = NewTask(source=source, consent=Consent.IMPROVE, messages=asked, left=("models/m", "yes"), right=("models/m", "no"))
    person.house.store.desks.add(TEACH, [given])
    task = person.house.store.desks.assign(TEACH, "owner" if person.name in ("owner", "bare") else f"key:{person.name}")
    assert task is not None
    return {"task": task.id}


def make_chart(person: Person) -> dict[str, str]:
    make_exam(person.house.home, person.house.first, "final", 0.5)
    return {"chart": "exam-number_hard"}


MAKERS: dict[str, Callable[[Person], dict[str, str]]] = {
    **dict.fromkeys(("thread", "question", "address", "completion", "ended"), make_thread),
    "winner": make_sibling, "sibling": make_sibling, "event": make_event, "edited": make_event, "running": make_running, "pair": make_pair,
    "engine": make_engine, "session": make_session,
    "receipt": make_receipt, "turn": make_turn, "task": make_task,
    "chart": make_chart, "model": lambda person: {"model": person.house.first},
    "new engine": lambda person: {"new engine": f"engine-{next(numbers)}"}, "file": lambda person: {"file": "app.css"},
}  # fmt: skip


def unknown(known: str) -> str:
    """An id of the same shape that was never given."""
    return known[:-6] + ("000000" if known[-6:] != "000000" else "111111")


class MatrixHouse(House):
    people: dict[str, Person]
    first: str

    def settle(self) -> None:
        """Let in the owner, three users, and two who have lost or never had a key."""
        both = ("chat", "feedback")
        scopes = {"ann": both, "bob": both, "chatter": ("chat",), "voter": ("feedback",), "labeller": ("desk",), "revoked": both}
        headers = {name: self.key(name, *wanted) for name, wanted in scopes.items()}
        self.store.revoke_key("revoked")
        self.people = {}
        for name, given in {"owner": self.owner_headers(), **headers, "anonymous": {}}.items():
            self.people[name] = Person(self, name, given)

    def all_that_is_stored(self) -> list[list[Any]]:
        """Every row of every table but those that a server renews by itself, to be compared."""
        with closing(sqlite3.connect(self.home / "feilun.db")) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
            kept = [name for name in tables if name not in ("notes", "drafts") and not name.startswith("passages")]
            assert {"completions", "events", "champions"} <= set(kept)
            return [database.execute(f"SELECT * FROM {name}").fetchall() for name in kept]

    def owner_headers(self) -> dict[str, str]:
        with self.client() as client:
            entered = client.get("/", params={"token": issue_owner_token(self.store)})
        return {"Cookie": entered.headers["set-cookie"].partition(";")[0], "Origin": self.url}


@contextmanager
def open_matrix_house(home: Path) -> Iterator[MatrixHouse]:
    with open_house(home, kind=MatrixHouse) as house:
        assert isinstance(house, MatrixHouse)
        house.script.hold, house.script.context_tokens = HOLD, 4096
        house.first = house.promote("first")
        wait_for(house, house.first)
        house.go.clear()
        house.settle()
        yield house
        for person in house.people.values():
            person.client.close()
