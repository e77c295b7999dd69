"""The labelling desk in a real browser: a rater with a key on a phone in Chinese, the owner who sees how far it is; axe on both."""

from dataclasses import asdict

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from serve_house import ask, until

from browser.axe import axe_script, findings
from browser.house import CHINESE_PHONE, enter, expect, first_page
from feilun.feedback.desk import DeskRules
from feilun.store import NewTask
from feilun.types import Consent


@pytest.fixture
def desk(house):
    house.store.desks.open("d", asdict(DeskRules(guidelines="Choose the *true* one.", price=1, currency="EUR")))
    with house.client(house.key("asker", "chat")) as client:
        for question in ("tea?", "milk?"):
            source = client.post("/v1/chat/completions", json=ask(question)).json()["id"]
            messages, sides = ({"role": "user", "content": question},), {"left": ("models/m", "yes"), "right": ("models/m", "no")}
            house.store.desks.add("d", [NewTask(source=source, consent=Consent.IMPROVE, messages=messages, **sides)])
    yield house
    house.store.desks.close()


def test_a_rater_judges_with_a_key_and_the_owner_sees_it(visitors, desk, request):
    script = axe_script(request.config.cache.mkdir("axe"))
    secret = desk.key("ann", "desk")["Authorization"].removeprefix("Bearer ")
    with visitors.visiting(desk, **CHINESE_PHONE) as (context, watch):
        watch.forgive("401")
        page = first_page(context)
        page.goto(f"{desk.url}/desk")
        expect(page.locator(".door h1")).to_have_text("请出示密钥")
        assert findings(page, script) == []
        page.fill("#key", "fl-wrong")
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert]")).to_be_visible()
        page.fill("#key", secret)
        page.keyboard.press("Enter")
        expect(page.locator(".guide em")).to_have_text("true")
        first = page.locator(".judge .asked").text_content()
        assert findings(page, script) == []
        page.keyboard.press("2")
        expect(page.locator(".judge .side.won")).to_have_count(1)
        assert page.locator(".judge .who").all_text_contents() == ["", ""]
        until(lambda: len(desk.store.desks.labels("d")) == 1)
        page.keyboard.press("Enter")
        expect(page.locator(".judge .asked")).not_to_have_text(first)
        expect(page.locator(".worth")).to_contain_text("你已标注 1 个")
    with visitors.visiting(desk) as (context, _watch):
        page = enter(context, desk)
        page.goto(f"{desk.url}/desk")
        page.locator(".judge [data-vote='1']").click()
        page.locator(".judge [data-t=desk_gold]").click()
        expect(page.locator(".judge [data-t=desk_is_gold]")).to_be_visible()
        expect(page.locator(".report tbody tr")).to_have_count(2)
        expect(page.locator(".report")).to_contain_text("1 gold questions")
        assert findings(page, script) == []
