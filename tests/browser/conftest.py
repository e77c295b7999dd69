"""One browser for all tests of the page, one visitor a test."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright
from serve_house import House, open_house

from browser.house import Visitors, enter, find_chromium, launch


# By package, not by session: while playwright is open, no other test of this process could run an event loop of its own.
@pytest.fixture(scope="package")
def visitors() -> Iterator[Visitors]:
    path = find_chromium()
    if path is None:
        reason = "no Chromium: install one (Debian: apt install chromium) or name it in FEILUN_CHROMIUM"
        if os.environ.get("FEILUN_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = launch(playwright, path)
        yield Visitors(chromium)
        chromium.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house"), first="first", context_tokens=8192) as house:
        yield house


@pytest.fixture
def visit(visitors: Visitors, house: House):
    """(context, watch) of a visitor who has not entered yet."""
    with visitors.visiting(house) as visitor:
        yield visitor


@pytest.fixture
def page(visit, house: House) -> Page:
    return enter(visit[0], house)


@pytest.fixture
def watch(visit):
    return visit[1]
