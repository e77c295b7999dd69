"""Every route x {owner, other user, other scopes, anonymous, revoked key} x every id in path, query or body: nobody sees what is another's.

The table has a row for each route. A row says who may, what its own ids answer, and how a call with given ids looks; the tests put
an own, a foreign and an unknown id in every place. A route without a row fails by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from matrix_house import HOLD, NOWHERE, Answer, MatrixHouse, Person, numbers, open_matrix_house, unknown
from serve_house import make_model

from feilun.config import ServeSettings
from feilun.serve.app import ROUTERS, create_app

OPEN, CHAT, FEEDBACK, DESK, OWNER = "open", "chat", "feedback", "desk", "owner"
PERSONAL = {"thread", "question", "address", "completion", "ended", "running", "winner", "sibling", "edited", "event"}
SCOPES = {
    "owner": {CHAT, FEEDBACK, DESK, OWNER}, "labeller": {DESK},
    "ann": {CHAT, FEEDBACK}, "bob": {CHAT, FEEDBACK}, "chatter": {CHAT}, "voter": {FEEDBACK},
}  # fmt: skip
Ids = dict[str, str]
BRIEF = {"lang": "en", "product": "mug", "feature": "light", "price": 20, "tone": "plain", "limit": 20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """slots: place -> kind of id, as `matrix_house.MAKERS` makes it; one in braces of the path is filled there, the others in `call`."""

    who: str
    slots: dict[str, str] = field(default_factory=dict)
    call: Callable[[Ids], dict[str, Any]] = lambda ids: {}
    ok: frozenset[int] = frozenset({200})
    destroys: bool = False  # its own ids are used up
    anew: bool = False  # any id may be named in it: it makes something new of the asker's own under that id


def asking(text: str = "", **fields: Any) -> dict[str, Any]:
    return {"json": {"model": "feilun", "n": 1, **({"text": text} if text else {}), **fields}}


def completing(**fields: Any) -> dict[str, Any]:
    return {"json": {"model": "feilun", "messages": [{"role": "user", "content": "hello"}], **fields}}


def judging(target: str, kind: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"json": {"target": {"id": target, "index": 0}, "kind": kind, "value": value, **fields}}


def chosen(ids: Ids) -> dict[str, Any]:
    return judging(ids["winner"], "choice", {"over": [{"id": ids["sibling"], "index": 0}], "outcome": "win"})


# (method, path, what the row is about)
ROWS: dict[tuple[str, str, str], Row] = {
    ("GET", "/health", ""): Row(who=OPEN),
    ("GET", "/", ""): Row(who=OPEN, ok=frozenset({200, 401})),
    ("DELETE", "/api/session", ""): Row(
        who=OWNER, slots={"cookie": "session"}, call=lambda ids: {"headers": {"Cookie": ids["cookie"]}}, ok=frozenset({204}), destroys=True
    ),
    ("GET", "/static/{name}", ""): Row(who=OPEN, slots={"name": "file"}),
    ("GET", "/api/rollout", ""): Row(who=OWNER),
    ("GET", "/api/rollout/pair", ""): Row(who=OWNER),
    ("POST", "/api/rollout/judgement", ""): Row(
        who=OWNER, slots={"pair": "pair"}, call=lambda ids: {"json": {"pair": ids["pair"], "slot": 0, "chosen": 0}}, destroys=True
    ),
    ("GET", "/v1/models", ""): Row(who=CHAT),
    ("GET", "/v1/models/{model}", ""): Row(who=CHAT, slots={"model": "model"}),
    ("POST", "/v1/chat/completions", ""): Row(who=CHAT, call=lambda ids: completing()),
    ("POST", "/v1/chat/completions", "stream"): Row(who=CHAT, call=lambda ids: completing(stream=True)),
    ("POST", "/v1/chat/completions", "thread"): Row(
        who=CHAT,
        slots={"thread_id": "thread"},
        call=lambda ids: completing(metadata={"thread_id": ids["thread_id"]}),
        anew=True,
    ),
    ("POST", "/v1/feedback", "thumb"): Row(
        who=FEEDBACK, slots={"target": "completion"}, call=lambda ids: judging(ids["target"], "thumb", 1)
    ),
    ("POST", "/v1/feedback", "choice"): Row(who=FEEDBACK, slots={"winner": "winner", "sibling": "sibling"}, call=chosen),
    ("POST", "/v1/feedback", "supersedes"): Row(
        who=FEEDBACK,
        slots={"target": "edited", "event": "event"},
        destroys=True,
        call=lambda ids: judging(ids["target"], "edit", "better", supersedes=ids["event"]),
    ),
    ("GET", "/api/threads", ""): Row(who=CHAT),
    ("GET", "/api/search", ""): Row(who=CHAT, call=lambda ids: {"params": {"q": "geheimnis"}}),
    ("GET", "/api/threads/{thread_id}", ""): Row(who=CHAT, slots={"thread_id": "thread"}),
    ("DELETE", "/api/threads/{thread_id}", ""): Row(who=CHAT, slots={"thread_id": "thread"}, ok=frozenset({204}), destroys=True),
    ("POST", "/api/chat", "new"): Row(who=CHAT, call=lambda ids: asking("hello")),
    ("POST", "/api/chat", "on"): Row(
        who=CHAT,
        slots={"thread": "thread", "parent": "address"},
        call=lambda ids: asking("and then?", thread_id=ids["thread"], parent=ids["parent"]),
    ),
    ("POST", "/api/chat", "again"): Row(
        who=CHAT,
        slots={"thread": "thread", "parent": "question"},
        call=lambda ids: asking(thread_id=ids["thread"], parent=ids["parent"]),
    ),
    ("GET", "/api/generations/{generation_id}", "ended"): Row(who=CHAT, slots={"generation_id": "ended"}),
    ("GET", "/api/generations/{generation_id}", "running"): Row(who=CHAT, slots={"generation_id": "running"}),
    ("DELETE", "/api/generations/{generation_id}", "ended"): Row(who=CHAT, slots={"generation_id": "ended"}),
    ("DELETE", "/api/generations/{generation_id}", "running"): Row(
        who=CHAT,
        slots={"generation_id": "running"},
        call=lambda ids: {"params": {"seen": "1"}},
        destroys=True,
    ),
    ("GET", "/api/completions/{completion_id}/context", ""): Row(who=CHAT, slots={"completion_id": "completion"}),
    ("POST", "/api/render", ""): Row(who=CHAT, call=lambda ids: {"json": {"text": "*x*"}}),
    ("GET", "/api/copywriting/choices", ""): Row(who=CHAT),
    ("POST", "/api/copywriting/check", ""): Row(who=CHAT, call=lambda ids: {"json": {"brief": BRIEF, "text": "x"}}),
    ("GET", "/api/status", ""): Row(who=OWNER),
    ("GET", "/api/growth", ""): Row(who=OWNER),
    ("GET", "/api/charts/{name}.svg", ""): Row(who=OWNER, slots={"name": "chart"}),
    ("GET", "/api/receipts/{ref}", ""): Row(who=OWNER, slots={"ref": "receipt"}),
    ("GET", "/api/download/champion", ""): Row(who=OWNER),
    ("GET", "/api/download/lessons", ""): Row(who=OWNER, ok=frozenset({404})),
    ("GET", "/api/download/report", ""): Row(who=OWNER),
    ("GET", "/api/engines", ""): Row(who=OWNER),
    ("POST", "/api/engines", ""): Row(
        who=OWNER,
        slots={"name": "new engine"},
        call=lambda ids: {"json": {"name": ids["name"], "url": NOWHERE, "model": "m"}},
        ok=frozenset({201}),
        destroys=True,
    ),
    ("POST", "/api/engines/test", ""): Row(who=OWNER, call=lambda ids: {"json": {"url": NOWHERE}}),
    ("PATCH", "/api/engines/{name}", ""): Row(who=OWNER, slots={"name": "engine"}, call=lambda ids: {"json": {"teach": True}}),
    ("DELETE", "/api/engines/{name}", ""): Row(who=OWNER, slots={"name": "engine"}, ok=frozenset({204}), destroys=True),
    ("GET", "/api/turn", ""): Row(who=OWNER),
    ("GET", "/api/turns/{name}/account", ""): Row(who=OWNER, slots={"name": "turn"}),
    ("POST", "/api/turn", ""): Row(who=OWNER, ok=frozenset({503})),
    ("GET", "/api/teach", ""): Row(who=OWNER),
    ("GET", "/api/teach/worth", ""): Row(who=OWNER),
    ("POST", "/api/teach/answers", ""): Row(
        who=OWNER, slots={"task": "task"}, call=lambda ids: {"json": {"task": ids["task"], "outcome": "tie"}}
    ),
    ("GET", "/desk", ""): Row(who=OPEN),
    ("GET", "/api/desk", ""): Row(who=DESK),
    ("POST", "/api/desk/answers", ""): Row(
        who=DESK, slots={"task": "task"}, call=lambda ids: {"json": {"task": ids["task"], "outcome": "first"}}
    ),
    ("GET", "/api/desk/progress", ""): Row(who=OWNER),
    ("POST", "/api/desk/gold", ""): Row(who=OWNER, slots={"task": "task"}, call=lambda ids: {"json": {"task": ids["task"], "right": None}}),
    ("POST", "/api/rollback", ""): Row(who=OWNER, call=lambda ids: {"json": {}}, ok=frozenset({409})),
}

KEYS = list(ROWS)
GUARDED = [key for key in KEYS if ROWS[key].who != OPEN]
PERSONAL_KEYS = [key for key in KEYS if PERSONAL & set(ROWS[key].slots.values())]
named = lambda key: " ".join(filter(None, key))  # noqa: E731


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixHouse]:
    with open_matrix_house(tmp_path_factory.mktemp("matrix")) as house:
        yield house


def send(person: Person, key: tuple[str, str, str], ids: Ids, **more: Any) -> Answer:
    method, path, _ = key
    call = ROWS[key].call(ids)
    headers = {**call.pop("headers", {}), **more.pop("headers", {})}
    return person.send(method, path.format(**ids), headers=headers, **call, **more)


def test_every_route_has_a_row(house):
    assert len(create_app(house.home, ServeSettings()).routes) == len(ROUTERS), "the app has routes besides those of its routers"
    routes = {(method, route.path_format) for router in ROUTERS for route in router.routes for method in route.methods}
    rows = {(method, path) for method, path, _ in KEYS}
    assert routes - rows == set(), "a route without a row"
    assert rows - routes == set(), "a row without a route"


@pytest.mark.parametrize("key", KEYS, ids=named)
def test_who_may(house, key):
    row = ROWS[key]
    found, wanted = {}, {}
    for name, person in house.people.items():
        has_things = name in ("owner", "ann", "bob") or not PERSONAL & set(row.slots.values())
        ids = (person if has_things else house.people["bob"]).own(row.slots, fresh=row.destroys or row.anew)
        answer = send(person, key, ids)
        found[name] = answer.status
        if row.who == OPEN:
            wanted[name] = answer.status if answer.status in row.ok else row.ok
        elif name not in SCOPES:
            wanted[name] = 401
        elif row.who not in SCOPES[name]:
            wanted[name] = 403
            assert answer.code == ("owner_only" if row.who == OWNER else "missing_scope")
        else:
            wanted[name] = next(iter(row.ok)) if has_things or row.anew else 404
    assert found == wanted


@pytest.mark.parametrize(("asker", "holder"), [("ann", "bob"), ("owner", "ann"), ("bob", "owner")])
@pytest.mark.parametrize("key", PERSONAL_KEYS, ids=named)
def test_what_is_anothers_is_as_if_it_were_not(house, key, asker, holder):
    row, asker, holder = ROWS[key], house.people[asker], house.people[holder]
    theirs, mine = holder.own(row.slots, fresh=row.anew), asker.own(row.slots)
    before = house.all_that_is_stored()
    for places in {*((slot,) for slot in row.slots), tuple(row.slots)}:
        foreign = {slot: theirs[slot] for slot in places}
        never = {slot: unknown(known) for slot, known in foreign.items()}
        one, other = send(asker, key, mine | foreign), send(asker, key, mine | never)
        if row.anew:
            # Each has a conversation of that name now, and neither sees the other's: `send` looks for that.
            assert (one.status, other.status) == (200, 200)
            assert [person.send("GET", f"/api/threads/{foreign['thread_id']}").status for person in (asker, holder)] == [200, 200]
            continue
        assert (one.status, one.code) == (404, "not_found"), one.text
        assert plain(one, foreign) == plain(other, never)
    assert row.anew or house.all_that_is_stored() == before
    if "running" in row.slots.values():
        assert "event: end" not in holder.send("GET", f"/api/generations/{theirs['generation_id']}").text


def test_feedback_does_not_wait_for_anothers_answer(house):
    """It would wait for an own one, until that is recorded."""
    running = house.people["bob"].own({"id": "running"})["id"]
    mine = house.people["ann"].own({"id": "completion"})["id"]
    for body in (judging(running, "thumb", 1), judging(mine, "choice", {"over": [{"id": running, "index": 0}], "outcome": "win"})):
        assert house.people["ann"].send("POST", "/v1/feedback", **body).code == "not_found"


def plain(answer: Answer, ids: Ids) -> list[str]:
    """Status, headers and body without what differs from call to call, and without the ids that were asked for."""
    lines = [line for line in answer.head.splitlines() if not line.startswith(("x-request-id:", "date:"))]
    text = answer.text
    for known in ids.values():
        text = text.replace(known, "ID")
    return [str(answer.status), *lines, text]


@pytest.mark.parametrize("key", [key for key in GUARDED if ROWS[key].who == OWNER and ROWS[key].slots], ids=named)
def test_a_key_learns_nothing_of_what_is_the_owners(house, key):
    there = house.people["owner"].own(ROWS[key].slots, fresh=True)
    one, other = (send(house.people["ann"], key, ids) for ids in (there, {slot: unknown(known) for slot, known in there.items()}))
    assert plain(one, {}) == plain(other, {})


def test_models_that_are_not_served_cannot_be_told_from_none(house):
    hidden = make_model(house.home, "hidden")
    for method, path, call in (
        ("GET", "/v1/models/{}", lambda model: {}),
        ("POST", "/v1/chat/completions", lambda model: completing(model=model)),
        ("POST", "/api/chat", lambda model: asking("x", model=model)),
    ):
        one, other = (house.people["ann"].send(method, path.format(model), **call(model)) for model in (hidden, unknown(hidden)))
        assert one.status == 404
        assert plain(one, {"model": hidden}) == plain(other, {"model": unknown(hidden)})


def test_search_finds_only_what_is_ones_own(house):
    for person in map(house.people.get, ("owner", "ann", "bob")):
        person.own({"x": "thread", "y": "event"})
        hits = person.json("GET", "/api/search", params={"q": person.secret})["hits"]
        assert hits
        for other in house.people.values():
            if other is not person:
                texts = str(person.json("GET", "/api/search", params={"q": other.name + "-73"}))
                assert other.secret not in texts


# --- the owner's session in other hands

FORGED = [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
]  # fmt: skip


@pytest.mark.parametrize("key", GUARDED, ids=named)
def test_another_page_cannot_use_the_owners_session(house, key):
    owner = house.people["owner"]
    ids, before = owner.own(ROWS[key].slots), house.all_that_is_stored()
    for forged in FORGED:
        answer = send(owner, key, ids, headers=forged)
        assert (answer.status, answer.code) == (403, "origin_not_allowed"), forged
    if key[0] != "GET":
        bare = Person(house, "bare", {"Cookie": owner.headers["Cookie"]})
        answer = send(bare, key, ids)
        bare.client.close()
        assert (answer.status, answer.code) == (403, "origin_not_allowed")
    assert house.all_that_is_stored() == before


@pytest.mark.parametrize("key", KEYS, ids=named)
def test_no_other_name_leads_here(house, key):
    for person in (house.people["owner"], house.people["ann"]):
        for host in ("evil.example", f"127.0.0.1.evil.example:{house.url.rpartition(':')[2]}"):
            answer = send(person, key, person.own(ROWS[key].slots), headers={"Host": host})
            assert (answer.status, answer.code) == (403, "host_not_allowed")


def test_there_is_no_second_way_to_bring_a_key(house):
    secret = house.people["ann"].headers["Authorization"].removeprefix("Bearer ")
    port = house.url.rpartition(":")[2]
    ways = [
        {"headers": {"X-Api-Key": secret}}, {"headers": {"Api-Key": secret}}, {"headers": {"Cookie": f"feilun_session_{port}={secret}"}},
        {"params": {"token": secret}}, {"params": {"api_key": secret}}, {"headers": {"Authorization": secret}},
        {"headers": {"Authorization": f"Basic {secret}"}}, {"headers": {"Proxy-Authorization": f"Bearer {secret}"}},
    ]  # fmt: skip
    for way in ways:
        assert house.people["anonymous"].send("GET", "/v1/models", **way).status == 401


@pytest.mark.parametrize("path", sorted({path for _, path, _ in KEYS}))
def test_head_and_options_tell_nothing(house, path):
    slots = next(ROWS[key].slots for key in KEYS if key[1] == path)
    ids = house.people["ann"].own(slots) if PERSONAL & set(slots.values()) else house.people["owner"].own(slots)
    for person in (house.people["anonymous"], house.people["bob"]):
        for method in ("HEAD", "OPTIONS"):
            answer = person.send(
                method, path.format(**ids), headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
            )
            assert answer.status == 405
            assert "access-control-" not in answer.head
            assert method != "HEAD" or not answer.text


# --- streams


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/generations/{}"])
def test_a_key_that_is_revoked_while_it_listens_hears_no_more(house, path):
    name = f"leaver-{next(numbers)}"
    leaver = Person(house, name, house.key(name, "chat"))
    body = completing(stream=True, messages=[{"role": "user", "content": f"held-question {leaver.secret}".ljust(2 * HOLD, ".")}])
    asked = ("POST", path, body) if path.startswith("/v1") else ("GET", path.format(leaver.own({"x": "running"})["x"]), {})
    with leaver.client.stream(asked[0], asked[1], **asked[2]) as response:
        assert response.status_code == 200
        parts = response.iter_text()
        heard = next(parts)
        house.store.revoke_key(name)
        # The answer holds its breath: only the server can end this, or the client's patience of twenty seconds would.
        heard += "".join(parts)
    assert "." * HOLD not in heard
    assert leaver.send("GET", "/v1/models").status == 401
    leaver.client.close()
