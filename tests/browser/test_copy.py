"""The copywriting scene in a real browser: a brief, three drafts with their rules, one chosen or corrected."""

from dataclasses import replace

import pytest
from playwright.sync_api import Page, Request
from serve_house import until

from browser.house import CHINESE_PHONE, PHONE, enter, expect, width
from feilun.primer.copywriting import Brief, brief_text

BRIEF = Brief(lang="en", product="umbrellas", feature="light", price=59, tone="lively", limit=12)
ADS = (
    "Need light umbrellas? Only 59 yuan, come and see!",
    "Our light umbrellas, good prices, come and try!",
    "Only 95 yuan: our light goods, good quality, everyone likes it, please come in and see us.",
)
BROKEN = ([], ["price"], ["product", "price", "limit", "tone"])


@pytest.fixture
def shop(page: Page, house) -> Page:
    house.script.answers[brief_text(BRIEF)] = [*ADS, ADS[0]]
    open_scene(page)
    fill(page, BRIEF)
    return page


def open_scene(page: Page) -> None:
    page.click("nav [data-view=copy]")
    page.wait_for_selector(".brief button[type=submit]:enabled")


def fill(page: Page, brief: Brief) -> None:
    page.locator(f"input[name=ad_language][value={brief.lang}]").check(force=True)
    page.locator(f"input[name=tone][value={brief.tone}]").check(force=True)
    for name, value in (("product", brief.product), ("feature", brief.feature), ("price", brief.price), ("at_most", brief.limit)):
        page.locator(f".field:has([data-t={name}]) input").fill(str(value))


def write(page: Page) -> None:
    page.click(".brief button[type=submit]")
    page.wait_for_selector(".votes button[data-vote='3']")


def card(page: Page, text: str):
    return page.locator(".draft", has=page.locator(".prose", has_text=text))


def broken(page: Page, text: str) -> list[str]:
    return card(page, text).locator(".rules .broken").evaluate_all("items => items.map((item) => item.dataset.rule)")


def events(house, kind: str) -> list:
    return [event for event in house.store.events() if event.kind == kind]


def test_three_drafts_stand_side_by_side_with_what_each_keeps_and_breaks(shop, house):
    write(shop)
    for text, names in zip(ADS, BROKEN, strict=True):
        expect(card(shop, text)).to_have_attribute("data-broken", str(len(names)))
        assert broken(shop, text) == names
    assert "95 → 59" in card(shop, ADS[2]).locator("[data-rule=price]").inner_text()
    expect(shop.locator(".draft .who")).to_have_text(["first"] * 3)
    # The brief changes, the drafts are looked at anew.
    fill(shop, replace(BRIEF, price=95))
    expect(card(shop, ADS[0])).to_have_attribute("data-broken", "1")
    expect(card(shop, ADS[2])).to_have_attribute("data-broken", "3")
    assert broken(shop, ADS[2]) == ["product", "limit", "tone"]


def test_a_key_chooses_one_over_both_others_and_undo_takes_it_back(shop, house):
    write(shop)
    before = len(events(house, "choice"))
    shop.keyboard.press("1")
    expect(shop.locator(".draft.won")).to_have_count(1)
    until(lambda: len(events(house, "choice")) == before + 1)
    choice = events(house, "choice")[-1]
    assert choice.value["outcome"] == "win"
    assert {choice.target_index, *(item["index"] for item in choice.value["over"])} == {0, 1, 2}
    assert {item["id"] for item in choice.value["over"]} == {choice.target_id}
    shop.keyboard.press("2")  # it is settled: one choice, one signal
    shop.click(".votes [data-t=undo]")
    expect(shop.locator(".draft.won")).to_have_count(0)
    standing = [vote for vote in house.store.current_votes() if vote.kind == "choice" and vote.target_id == choice.target_id]
    assert standing == []
    shop.keyboard.press("0")
    expect(shop.locator(".votes [data-t=voted_bad]")).to_be_visible()
    assert events(house, "choice")[-1].value["outcome"] == "both_bad"


def test_a_draft_is_corrected_in_place_under_the_eyes_of_the_rules(shop, house):
    write(shop)
    draft = shop.locator(".draft").nth(shop.locator(".draft .prose").all_inner_texts().index(ADS[1]))
    draft.locator("[data-label=edit_draft]").click()
    box = draft.locator("textarea")
    box.fill(ADS[1].replace("good prices", "only 59 yuan"))
    expect(draft).to_have_attribute("data-broken", "0")
    shop.keyboard.press("1")  # a digit in the box is a digit
    box.press("Backspace")
    box.press("Control+Enter")
    expect(draft.locator(".lesson")).to_be_visible()
    lesson = events(house, "edit")[-1]
    assert lesson.value == "Our light umbrellas, only 59 yuan, come and try!"
    draft.locator("[data-t=undo]").click()
    expect(draft.locator(".lesson")).to_have_count(0)
    expect(draft.locator(".prose")).to_have_text(ADS[1])
    expect(draft).to_have_attribute("data-broken", "1")
    assert not [vote for vote in house.store.current_votes() if vote.id == lesson.id]


def test_drafts_grow_while_they_are_written_and_stop_when_told(shop, house):
    house.script.hold, before = 12, house.script.hold
    house.go.clear()
    try:
        shop.click(".brief button[type=submit]")
        expect(shop.locator(".draft.running .prose").first).not_to_be_empty()
        expect(shop.locator(".brief button[type=submit]")).to_be_disabled()
        shop.keyboard.press("Escape")
        expect(shop.locator(".draft.running")).to_have_count(0)
        assert all(len(text) <= 12 for text in shop.locator(".draft .prose").all_inner_texts())
    finally:
        house.go.set()
        house.script.hold = before


def test_half_a_brief_is_not_sent(page, house):
    asked = []

    def hear(request: Request) -> None:
        asked.append(request.url)

    page.on("request", hear)
    open_scene(page)
    page.locator(".field:has([data-t=price]) input").fill("1000")
    page.click(".brief button[type=submit]")
    page.locator(".field:has([data-t=price]) input").fill("")
    page.click(".brief button[type=submit]")
    page.remove_listener("request", hear)
    assert not [url for url in asked if url.endswith("/api/chat")]
    expect(page.locator(".draft")).to_have_count(0)


def test_drafts_may_be_kept_from_teaching(shop, house):
    shop.locator(".brief .switch").click()
    write(shop)
    thread = house.store.thread("owner", house.store.threads("owner", 1, None)[0].id)
    assert (thread.messages[0].text, thread.consent) == (brief_text(BRIEF), "serve")
    card(shop, ADS[0]).locator("[data-label=edit_draft]").click()
    shop.locator(".editor").fill("Light umbrellas, 59 yuan!")
    shop.locator(".teaching .primary").click()
    expect(shop.locator(".lesson")).to_contain_text("saved, but not taught")


def test_the_shop_knows_its_goods_in_both_languages(shop):
    shop.locator("input[name=ad_language][value=zh]").check(force=True)
    values = [shop.locator(f".field:has([data-t={name}]) input").input_value() for name in ("product", "feature")]
    assert values == ["伞", "轻便"]
    assert shop.locator("#features option").count() > 5
    expect(shop.locator("[data-t=characters]")).to_be_visible()
    shop.click(".brief [data-t=another_brief]")
    assert shop.locator(".field:has([data-t=product]) input").input_value() != "伞"


def test_on_a_phone_in_the_dark_in_chinese_nothing_is_cut(visitors, house):
    house.script.answers[brief_text(BRIEF)] = [*ADS, ADS[0]]
    with visitors.visiting(house, **CHINESE_PHONE) as (context, _watch):
        page = enter(context, house)
        open_scene(page)
        fill(page, BRIEF)
        write(page)
        assert width(page) <= PHONE["width"]
        expect(page.locator(".brief h1")).to_have_text("写文案")
        expect(page.locator(".draft").first).to_be_in_viewport()
