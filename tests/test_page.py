"""The page's own files: small, ours alone, and all there is to load."""

import re
from pathlib import Path

import httpx
import pytest
from serve_house import open_house, wait_for

from feilun.serve.auth import issue_owner_token
from feilun.serve.words import LANGUAGES, all_words, words_of

STATIC = Path(__file__).parents[1] / "feilun" / "serve" / "static"
TEMPLATES = STATIC.parent / "templates"
FIRST_PAINT_BYTES = 100_000
MODULE_LINES = 300
IMPORT = re.compile(r'^import\s[^"\']*?"\./([\w-]+\.js)"', re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def owner(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("page")) as house:
        wait_for(house, house.promote("first"))
        with house.client() as client:
            client.get("/", params={"token": issue_owner_token(house.store)})
            yield client


def loaded_at_first(html: str) -> set[str]:
    """Every file of the page that comes before anybody has done anything."""
    files = {*re.findall(r'(?:href|src)="/static/([^"]+)"', html), "chat.js"}
    for part, style in re.findall(r'data-part="(\w+)"( data-style)?', html):
        files |= {f"{part}.js", *([f"{part}.css"] if style else [])}
    queue = [name for name in files if name.endswith(".js")]
    while queue:
        found = set(IMPORT.findall((STATIC / queue.pop()).read_text(encoding="utf-8"))) - files
        files |= found
        queue += found
    return files


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_paint_is_small(owner, language):
    page = owner.get("/", headers={"Accept-Language": language})
    assert page.status_code == 200
    files = loaded_at_first(page.text)
    assert {"app.js", "app.css", "chat.css", "talk.js"} <= files
    assert "growth.js" not in files
    total = len(page.content) + sum(len(owner.get(f"/static/{name}").content) for name in files)
    assert total < FIRST_PAINT_BYTES, f"{total} bytes: {sorted(files)}"


def test_modules_are_short():
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in STATIC.glob("*.js")}
    assert {name: count for name, count in lines.items() if count >= MODULE_LINES} == {}
    assert max(len(line) for path in STATIC.glob("*.js") for line in path.read_text(encoding="utf-8").splitlines()) <= 240


def test_nothing_names_another_place():
    allowed = ("http://www.w3.org/", "http://127.0.0.1:")  # a name of XML that is never fetched; an example
    for path in [*STATIC.iterdir(), *TEMPLATES.iterdir()]:
        text = path.read_text(encoding="utf-8")
        named = [url for url in re.findall(r"""(?:https?:)?//[\w-]+\.[\w.-]+[^\s"'`)]*""", text) if not url.startswith(allowed)]
        assert named == [], path.name


def test_only_one_place_writes_html():
    writers = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|\beval\(|new Function")
    found = [path.name for path in sorted(STATIC.glob("*.js")) for _ in writers.findall(path.read_text(encoding="utf-8"))]
    assert found == ["api.js"]


def test_every_static_file_is_served_and_nothing_else(owner):
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for path in STATIC.iterdir():
        response = owner.get(f"/static/{path.name}")
        assert response.status_code == 200, path.name
        assert response.headers["content-type"].split(";")[0] == types[path.suffix], path.name
        again = owner.get(f"/static/{path.name}", headers={"If-None-Match": response.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("index.html", "app", "words-xx.json", "%2e%2e%2fapp.py", "..%2Fapp.py", "%00", ".hidden.js"):
        assert owner.get(f"/static/{name}").status_code == 404, name


def test_words_come_with_their_views(owner):
    page = owner.get("/", headers={"Accept-Language": "zh"}).text
    assert all_words()["zh"]["send"] in page
    assert all_words()["en"]["send"] not in page
    for language in LANGUAGES:
        assert owner.get(f"/static/words-{language}.json").json() == all_words()[language]
        assert words_of(language, ("shell", "nothing")).keys() < all_words()[language].keys()


def test_every_word_that_a_module_asks_for_exists():
    patterns = (
        r'\bword\("(\w+)"\)',
        r'\bfill\("(\w+)"',
        r'\b(?:t|label|hint): "(\w+)"',
        r'\bsay\([\w.]+, "(\w+)"\)',
        r'\btool\("\w+", "(\w+)"',
    )
    for path in STATIC.glob("*.js"):
        asked = {key for pattern in patterns for key in re.findall(pattern, path.read_text(encoding="utf-8"))}
        assert asked <= all_words()["zh"].keys(), path.name


def test_the_theme_is_the_readers(owner):
    assert "data-theme" not in owner.get("/").text
    assert 'data-theme="dark"' in owner.get("/", headers={"Cookie": f"feilun_theme=dark; {cookies(owner)}"}).text
    assert "data-theme" not in owner.get("/", headers={"Cookie": f"feilun_theme=x; {cookies(owner)}"}).text


def cookies(client: httpx.Client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
