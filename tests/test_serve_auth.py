"""Who may do what: every route by every credential, the owner's door, and requests that other pages forge."""

import re

import pytest
from serve_house import ask, error_of, open_house, thumb, wait_for

OPEN = {("GET", "/health"), ("GET", "/"), ("GET", "/static/{name}")}
# What each credential gets: chat-and-feedback key, chat-only key, feedback-only key, revoked key, nobody, the owner.
MATRIX = {
    ("GET", "/v1/models"): (200, 200, 403, 401, 401, 200),
    ("GET", "/v1/models/{model}"): (200, 200, 403, 401, 401, 200),
    ("POST", "/v1/chat/completions"): (200, 200, 403, 401, 401, 200),
    ("POST", "/v1/feedback"): (200, 403, 404, 401, 401, 404),
    ("GET", "/api/status"): (403, 403, 403, 401, 401, 200),
    ("GET", "/api/growth"): (403, 403, 403, 401, 401, 200),
    ("GET", "/api/charts/{name}.svg"): (403, 403, 403, 401, 401, 404),
    ("GET", "/api/receipts/{ref}"): (403, 403, 403, 401, 401, 404),
    ("GET", "/api/download/champion"): (403, 403, 403, 401, 401, 200),
    ("GET", "/api/download/lessons"): (403, 403, 403, 401, 401, 404),
    ("GET", "/api/download/report"): (403, 403, 403, 401, 401, 200),
    ("GET", "/api/engines"): (403, 403, 403, 401, 401, 200),
    # The owner gets past the door: without a body, or of an engine that is not there.
    ("POST", "/api/engines"): (403, 403, 403, 401, 401, 400),
    ("POST", "/api/engines/test"): (403, 403, 403, 401, 401, 400),
    ("PATCH", "/api/engines/{name}"): (403, 403, 403, 401, 401, 400),
    ("DELETE", "/api/engines/{name}"): (403, 403, 403, 401, 401, 404),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house:
        house.first = house.promote("first")
        revoked = house.key("revoked", "chat", "feedback")
        house.store.revoke_key("revoked")
        house.credentials = (
            house.key("both", "chat", "feedback"),
            house.key("chatter", "chat"),
            house.key("voter", "feedback"),
            revoked,
            {},
            owner_headers(house),
        )
        wait_for(house, house.first)
        yield house


def owner_headers(house):
    from feilun.serve.auth import issue_owner_token

    with house.client() as client:
        entered = client.get("/", params={"token": issue_owner_token(house.store)})
    assert entered.status_code == 303
    return {"Cookie": entered.headers["set-cookie"].partition(";")[0], "Origin": house.url}


def test_every_route_has_a_row(house):
    from feilun.config import ServeSettings
    from feilun.serve.app import create_app

    paths = create_app(house.home, ServeSettings()).openapi()["paths"]
    routes = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert routes == OPEN | MATRIX.keys()


@pytest.mark.parametrize("route", MATRIX)
def test_who_may(house, route):
    method, path = route
    with house.client(house.credentials[0]) as both:
        target = both.post("/v1/chat/completions", json=ask("mine")).json()["id"]
    bodies = {"/v1/chat/completions": ask("x"), "/v1/feedback": thumb(target)}
    for headers, status in zip(house.credentials, MATRIX[route], strict=True):
        with house.client({**headers, "Idempotency-Key": "k"}) as client:
            response = client.request(method, path.replace("{model}", "feilun"), json=bodies.get(path))
        if status == 200:
            assert response.status_code == 200, response.text
        else:
            error_of(response, status)


def test_end_users_need_the_scope(house):
    app = house.key("app", "chat", "feedback", "assert_end_user")
    with house.client(app) as api, house.client(house.credentials[0]) as plain:
        mine = api.post("/v1/chat/completions", json=ask("x", user="ann")).json()["id"]
        assert house.store.completion(mine).principal == "key:app/ann"

        def vote(key: str, **fields):
            return api.post("/v1/feedback", json=thumb(mine, **fields), headers={"Idempotency-Key": key})

        assert error_of(vote("1"), 403)["code"] == "not_yours"
        assert error_of(vote("2", end_user="bob"), 403)["code"] == "not_yours"
        assert vote("3", end_user="ann").status_code == 200
        assert vote("3", end_user="ann").json()["status"] == "duplicate"
        assert error_of(plain.post("/v1/chat/completions", json=ask("x", user="ann")), 403)["param"] == "user"
        assert plain.post("/v1/chat/completions", json=ask("x", user="both")).status_code == 200
        assert error_of(plain.post("/v1/chat/completions", json=ask("x", user="a\nb")), 400)["param"] == "user"


def test_the_owners_link_opens_once(house):
    with house.client() as client:
        assert client.get("/").status_code == 401
        first = client.get(house.owner_url.removeprefix(house.url))
        cookie = first.headers["set-cookie"]
        assert re.search(r"HttpOnly;.*SameSite=strict", cookie)
        assert first.headers["location"] == "/"
        assert client.get("/").status_code == 200
    with house.client() as other:
        assert "set-cookie" not in other.get(house.owner_url.removeprefix(house.url)).headers
        assert other.get("/").status_code == 401
        assert "set-cookie" not in other.get("/", params={"token": "x"}).headers


def test_other_pages_cannot_use_the_session(house):
    owner = house.credentials[-1]
    for forged in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": ""}):
        with house.client({**owner, **forged}) as client:
            error_of(client.post("/v1/chat/completions", json=ask("x")), 403)
    with house.client({"Cookie": owner["Cookie"]}) as bare:
        assert error_of(bare.post("/v1/chat/completions", json=ask("x")), 403)["code"] == "origin_not_allowed"


def test_foreign_hosts_are_refused(house):
    for path in ("/", "/health", "/api/status", "/static/app.js"):
        for host in ("evil.example", "127.0.0.1.evil.example:80", "[::1", ""):
            with house.client({**house.credentials[-1], "Host": host}) as client:
                response = client.get(path)
                assert response.status_code in (400, 403), (path, host)
    with house.client({"Host": "localhost:1"}) as client:
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("header", ["Bearer", "Basic abc", "Bearer fl-' OR 1=1 --", "Bearer \xff", "fl-abc"])
def test_hostile_credentials(house, header):
    with house.client() as client:
        assert error_of(client.get("/v1/models", headers={"Authorization": header.encode("latin-1")}), 401)["code"] == "invalid_api_key"


def test_the_page_carries_nothing_that_runs_inline(house):
    with house.client({**house.credentials[-1], "Accept-Language": "zh"}) as client:
        page = client.get("/")
        assert page.headers["content-language"] == "zh"
        assert 'lang="zh-CN"' in page.text
        assert re.findall(r"<script[^>]*>", page.text) == ['<script type="module" src="/static/app.js">']
        assert not re.search(r"\son\w+=|\sstyle=|javascript:|https?://(?!www\.w3\.org)", page.text)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for name in ("app.js", "growth.js", "app.css"):
            assert client.get(f"/static/{name}").headers["content-security-policy"] == policy
        status = client.get("/api/status").json()
    assert status["champion"]["model"] == house.first


def test_status_shows_progress(house):
    assert house.store.read_note("progress") is None
    house.store.note("progress", {"stage": "pretrain", "fraction": 0.5})
    with house.client(house.credentials[-1]) as client:
        progress = client.get("/api/status").json()["progress"]
    assert progress == {"stage": "pretrain", "fraction": 0.5, "eta_seconds": None, "detail": "", "starters": [], "table": []}
