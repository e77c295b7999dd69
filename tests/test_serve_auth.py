"""The owner's door, end users, hostile credentials; who may do what is in test_route_matrix.py."""

import re

import pytest
from serve_house import ask, error_of, open_house, thumb, wait_for


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house")) as house:
        house.first = house.promote("first")
        house.credentials = (house.key("both", "chat", "feedback"), owner_headers(house))
        wait_for(house, house.first)
        yield house


def owner_headers(house):
    from feilun.serve.auth import issue_owner_token

    with house.client() as client:
        entered = client.get("/", params={"token": issue_owner_token(house.store)})
    assert entered.status_code == 303
    return {"Cookie": entered.headers["set-cookie"].partition(";")[0], "Origin": house.url}


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


def test_signing_out_ends_this_session_and_no_other(house):
    here, there = owner_headers(house), owner_headers(house)
    with house.client(here) as client:
        left = client.delete("/api/session")
        assert left.status_code == 204
        assert re.match(r'feilun_session_\d+="";.*Max-Age=0', left.headers["set-cookie"])
        # The cookie is worth nothing even to who kept it.
        assert client.get("/").status_code == 401
        assert error_of(client.get("/api/status"), 401)["code"] == "missing_api_key"
    with house.client(there) as client:
        assert client.get("/api/status").status_code == 200


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
