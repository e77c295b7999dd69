"""Every screen under axe-core, in both languages, light and dark, wide and on a phone: no serious finding."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from growth_house import make_home as make_grown_home
from owner_house import correct, make_home, owner_turn
from playwright.sync_api import BrowserContext, Page
from serve_house import House, open_house, wait_for

from browser.axe import axe_script, findings
from browser.house import CHINESE_PHONE, USUAL, Visitors, ask, enter, first_page, say
from browser.test_learn import add_task
from feilun.store import EngineRow

LOOKS = pytest.mark.parametrize("look", [USUAL, CHINESE_PHONE], ids=["en-light-wide", "zh-dark-phone"])
RICH = """# A heading\n\nSome *words* with `code`, a [link](https://a.example/b) and ![a picture](https://a.example/c.png).\n
> said by others\n\n1. one\n2. two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n
```python\ndef double(x):  # twice\n    return 2 * x + len("x")\n```\n\n$$\\frac{1}{2} + x^2$$\n"""


@pytest.fixture(scope="module")
def script(request: pytest.FixtureRequest) -> str:
    return axe_script(request.config.cache.mkdir("axe"))


class Look:
    """One look at the product; `check` keeps what axe finds on the screen as it is, and in a light one the colours of the dark one too."""

    def __init__(self, script: str, theme: str) -> None:
        self.script, self.theme, self.found = script, theme, dict[str, str]()

    def check(self, screen: str, page: Page) -> None:
        found = findings(page, self.script)
        if self.theme == "light":
            page.evaluate("document.documentElement.dataset.theme = 'dark'")
            found += [f"dark {line}" for line in findings(page, self.script, only=("color-contrast", "link-in-text-block"))]
            page.evaluate("delete document.documentElement.dataset.theme")
        # What stands on every screen is told once.
        self.found |= {line: screen for line in found if line not in self.found}


@contextmanager
def looking(visitors: Visitors, house: House, script: str, look: dict) -> Iterator[tuple[BrowserContext, Look]]:
    with visitors.visiting(house, **look) as (context, watch):
        watch.forgive("401")
        eyes = Look(script, look["color_scheme"])
        try:
            yield context, eyes
        finally:
            house.go.set()
    assert not eyes.found, "\n".join(f"{screen}: {line}" for line, screen in eyes.found.items())


def open_view(page: Page, view: str) -> None:
    page.click(f"#view-{view}")
    page.wait_for_selector(f"#{view} :is(h1, h2) >> visible=true")


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("empty")) as house:
        yield house


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Iterator[House]:
    """Generations, and a turn under way."""
    with open_house(tmp_path_factory.mktemp("grown")) as house:
        wait_for(house, make_grown_home(house.home, house.store)[-1])
        turn = house.store.start_turn({"name": "turn-4", "steps": ["collect", "train"], "settings": {"rise_task": "taught"}})
        house.store.claim_step(turn, "collect", "me", "", 30)
        house.store.finish_step(turn, "collect", "me", {})
        house.store.claim_step(turn, "train", "me", "", 600)
        house.store.note("turn", {"turn": turn, "step": "train", "done": 3, "total": 9, "eta_seconds": 1.5})
        yield house


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Iterator[House]:
    """A turn that taught something, and something new to learn."""
    home = tmp_path_factory.mktemp("taught")
    make_home(home)
    correct(home, "cat?", "Mimi")
    owner_turn(home)
    correct(home, "dog?", "Rex")
    with open_house(home) as house:
        wait_for(house, house.store.champion().model)
        yield house


@LOOKS
def test_the_door_and_an_empty_home(visitors, empty, script, look):
    with looking(visitors, empty, script, look) as (context, eyes):
        locked = first_page(context)
        locked.goto(empty.url)
        eyes.check("locked", locked)
        page = enter(context, empty, ready=False)
        page.wait_for_selector("#growth h1")
        eyes.check("growth without data", page)
        open_view(page, "chat")
        eyes.check("chat without a model", page)


@LOOKS
def test_growth_and_a_turn_that_runs(visitors, grown, script, look):
    assert grown.store.heartbeat(grown.store.unfinished_turn().id, "train", "me")
    with looking(visitors, grown, script, look) as (context, eyes):
        page = enter(context, grown)
        open_view(page, "growth")
        page.wait_for_selector("#growth .chart svg")
        page.wait_for_selector("#growth .steps [aria-current]")
        for details in page.locator("#growth summary").all():
            details.click()
        eyes.check("growth", page)


@LOOKS
def test_the_turn_panel(visitors, taught, script, look):
    taught.store.note("turn_watch", {"pid": 1, "at": time.time() + 10, "request": None})
    with looking(visitors, taught, script, look) as (context, eyes):
        page = enter(context, taught)
        page.click(".turn-button")
        page.wait_for_selector(".turning table")
        eyes.check("a turn that taught", page)
        page.click(".turning .back .plain")
        page.wait_for_selector("dialog + dialog, dialog ~ dialog")
        eyes.check("rolling back?", page)


def press(page: Page, label: str) -> None:
    """A tool of the last answer."""
    page.locator("article").last.hover()
    page.locator(f"article [data-label={label}]").last.click()


@LOOKS
def test_the_chat(visitors, house, script, look):
    house.script.answers["rich?"] = [RICH, f"{RICH}\n\nAnd more."]
    with looking(visitors, house, script, look) as (context, eyes):
        page = enter(context, house)
        eyes.check("an empty chat", page)
        house.go.clear()
        say(page, "running?")
        page.wait_for_selector("article.theirs.running .block")
        eyes.check("an answer that runs", page)
        house.go.set()
        page.wait_for_selector("article.theirs.running", state="detached")
        ask(page, "rich?")
        press(page, "bad")
        page.wait_for_selector(".reasons")
        eyes.check("an answer and what was wrong with it", page)
        press(page, "saw")
        page.wait_for_selector("dialog summary")
        page.click("dialog summary")
        eyes.check("what the model saw", page)
        page.keyboard.press("Escape")
        press(page, "edit_answer")
        page.wait_for_selector("textarea.editor")
        eyes.check("an answer that is corrected", page)
        page.fill("textarea.editor", "**Better.**")
        page.click(".teaching .primary")
        page.wait_for_selector(".glow")
        eyes.check("a lesson that glows", page)
        page.wait_for_selector("article.taught strong")
        eyes.check("a lesson", page)
        press(page, "another")
        page.wait_for_selector(".duel .votes button:enabled")
        eyes.check("side by side", page)
        page.click(".duel [data-vote='0']")
        page.wait_for_selector(".duel .votes .primary")
        eyes.check("side by side, both bad", page)


@pytest.fixture
def elsewhere(house):
    house.store.add_engine(EngineRow(name="elsewhere", url="http://127.0.0.1:9/v1", model="m", teach=True))
    yield
    house.store.remove_engine("elsewhere")


@LOOKS
def test_conversations_dialogs_and_ads(visitors, house, elsewhere, script, look):
    with looking(visitors, house, script, look) as (context, eyes):
        page = enter(context, house)
        ask(page, "umbrella?")
        page.locator("article.mine").hover()
        page.click("article.mine [data-label=edit_question]")
        eyes.check("a question that is edited", page)
        page.keyboard.press("Escape")
        page.keyboard.press("Control+k")
        eyes.check("conversations", page)
        page.fill("#search", "umbrella")
        page.wait_for_selector(".hit mark")
        eyes.check("what was found", page)
        page.fill("#search", "")
        page.wait_for_selector(".thread[aria-current]")
        page.locator(".threads li").first.hover()
        page.locator(".threads [data-label=delete_chat]").first.click()
        page.wait_for_selector("dialog")
        eyes.check("deleting?", page)
        page.keyboard.press("Escape")
        if look is CHINESE_PHONE:  # the list lies over the rest
            page.keyboard.press("Escape")
        page.locator("#log").press("?")
        page.wait_for_selector("dialog .keys")
        eyes.check("keys", page)
        page.keyboard.press("Escape")
        page.click(".picker")
        page.wait_for_selector("dialog fieldset")
        eyes.check("who answers", page)
        page.click("dialog [data-t=manage_engines]")
        page.wait_for_selector(".engine")
        eyes.check("engines", page)
        page.locator(".engine [data-t=engine_remove]").click()
        eyes.check("an engine that is removed", page)
        page.keyboard.press("Escape")
        add_task(house, f"{look['locale']} or not?", "yes", "no")
        open_view(page, "learn")
        page.wait_for_selector(".judge .side")
        eyes.check("a question to judge", page)
        page.keyboard.press("1")
        page.wait_for_selector(".judge .side.won")
        eyes.check("a judgement", page)
        open_view(page, "copy")
        page.wait_for_selector(".brief button[type=submit]:enabled")
        eyes.check("a brief", page)
        page.click(".brief button[type=submit]")
        page.wait_for_selector(".votes button[data-vote='3']")
        page.wait_for_selector(".rules .broken")
        eyes.check("three drafts", page)
        page.click(".votes button[data-vote='2']")
        page.wait_for_selector(".draft.won")
        page.locator(".draft.won [data-label=edit_draft]").click()
        eyes.check("a draft that is corrected", page)
