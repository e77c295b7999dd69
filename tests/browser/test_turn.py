"""The Turn in a real browser: press it, see what was taught while another tab is streaming, read a refusal, go back."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from owner_house import NO_EXAMS, SETTINGS, correct, drill, judge, make_home, watched
from playwright.sync_api import Page
from serve_house import House, open_house, wait_for

from browser.house import CHINESE_PHONE, PHONE, enter, expect, say, width
from feilun.turn import leave_settings


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house whose owner has corrected two answers; one who may turn the wheel is not there yet."""
    home = tmp_path / "home"
    ref = make_home(home)
    correct(home, "我的猫叫什么?", "你的猫叫咪咪。")
    correct(home, "What is my dog called?", "Your dog is called Rex.")
    with open_house(home) as house:
        leave_settings(house.store, SETTINGS)
        wait_for(house, ref)
        yield house


def open_panel(page: Page) -> None:
    page.click("#part-turn button")
    page.locator("dialog .turning").wait_for()


def press_turn(page: Page, ending: str) -> None:
    """Press the button, and wait for the turn to end so."""
    page.locator(".turning .primary").click()
    expect(page.locator(".turning h3")).to_have_text(ending, timeout=30_000)


def test_the_champion_changes_while_another_tab_is_streaming_and_goes_back(page, visit, house):
    other = visit[0].new_page()
    other.goto(house.url)
    house.go.clear()
    say(other, "tell me")
    expect(other.locator("article.running .prose")).to_contain_text("fir")
    page.bring_to_front()  # a hidden tab draws once a second, and every click waits for two drawings
    expect(page.locator("#part-turn button")).to_have_accessible_name("Turn 2")
    expect(page.locator("#part-turn button")).to_have_attribute("title", "Turn (new lessons: 2)")
    with watched(house.home):
        open_panel(page)
        press = page.locator(".turning .primary")
        expect(press).to_have_text("Turn (new lessons: 2)")
        press_turn(page, "Learnt, and answering now")
        expect(press).to_be_focused()
        expect(page.locator(".turning [role=status]")).to_have_text("Learnt, and answering now")
    lessons = page.locator(".turning .taught li")
    expect(lessons).to_have_count(2)
    expect(lessons.first).to_contain_text("no idea → 你的猫叫咪咪。")
    expect(lessons.first).to_contain_text("learnt")
    expect(page.locator(".turning table tbody tr")).to_have_count(3)
    expect(press).to_be_disabled()
    expect(page.locator(".turning .asking .fine")).to_contain_text("Nobody waits for requests")
    promoted = house.store.champion().model
    wait_for(house, promoted)
    house.go.set()
    expect(other.locator("article.theirs:not(.running) .prose")).to_have_text("first: tell me")
    say(other, "and now?")
    expect(other.locator("article.theirs:not(.running) .prose").last).to_have_text("turn-1: and now?")

    back = page.locator(".turning .back button")
    expect(page.locator(".turning .back")).to_contain_text("to first")
    back.click()
    page.get_by_role("button", name="Cancel").click()
    assert house.store.champion().model == promoted
    back.click()
    page.locator("dialog .choices .primary").click()
    expect(page.locator("#toasts")).to_have_text("Back to first.")
    wait_for(house, house.store.history()[0].model)
    expect(press).to_have_text("Turn (new lessons: 2)")


def test_a_refusal_explains_itself_in_the_readers_language_and_nothing_changes(page, visit, house):
    judge(house.home, "colour?", liked="blue")
    drill(house.home, candidate={"copying": 0.5}, stubborn=["What is my dog called?"])
    champion = house.store.champion().model
    with watched(house.home):
        open_panel(page)
        press_turn(page, "Not let through the gate")
    expect(page.locator(".turning .reasons")).to_contain_text("Copying fell from 95 % to 50 %; it may fall by 5 % at most")
    expect(page.locator(".turning .fallen th")).to_have_text(re.compile("Copying.*fell"))
    expect(page.locator(".turning .taught li").last).to_contain_text("You wanted: Your dog is called Rex.")
    assert house.store.champion().model == champion
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator("#part-turn button")).to_be_focused()
    page.click("#language")
    open_panel(page)
    expect(page.locator(".turning h3")).to_have_text("没有过关")
    expect(page.locator(".turning .reasons")).to_contain_text("从 95 % 掉到 50 %")
    assert not page.locator(".turning").get_by_text(re.compile("turn_|undefined|null")).count()


def test_a_turn_is_followed_and_told_to_whoever_has_gone_on(page, house):
    plan = {"settings": {"rise_task": "taught"}, "champion": {"model": "models/first@1"}}
    turn = house.store.start_turn({"name": "turn-1", "steps": ["collect", "train", "gate"], "request": "r", **plan})
    house.store.claim_step(turn, "collect", "me", "", 30)
    house.store.finish_step(turn, "collect", "me", {})
    house.store.claim_step(turn, "train", "me", "", 30)
    house.store.note("turn", {"turn": turn, "step": "train", "done": 3, "total": 12, "eta_seconds": 8.2})
    expect(page.locator("#part-turn b")).to_have_text("25 %")
    open_panel(page)
    expect(page.locator(".turning [aria-current=step]")).to_have_text("Training")
    expect(page.locator(".turning .steps .done")).to_have_text("Collecting your lessons")
    expect(page.locator(".turning progress")).to_have_attribute("aria-label", "Training")
    expect(page.locator(".turning")).to_contain_text("training for about 9 s more")
    expect(page.locator(".turning [role=status]")).to_have_text("Training")
    page.keyboard.press("Escape")
    house.store.finish_turn(turn, "failed", "abandoned: given up after 3 tries: no space left on device")
    expect(page.locator(".toast")).to_contain_text("This turn changed nothing.")
    page.click(".toast button")
    expect(page.locator(".turning .reasons")).to_have_text("abandoned: given up after 3 tries: no space left on device")


def test_on_a_phone_in_the_dark_nothing_is_wider_than_the_screen(visitors, house):
    leave_settings(house.store, NO_EXAMS)
    with visitors.visiting(house, **CHINESE_PHONE) as (context, _watch):
        page = enter(context, house)
        with watched(house.home):
            open_panel(page)
            press_turn(page, "学会了，已经换上")
        expect(page.locator(".turning .reasons")).to_contain_text("没有考试")
        assert width(page) <= PHONE["width"]
        assert page.evaluate("document.querySelector('.sheet').scrollWidth <= document.querySelector('.sheet').clientWidth")
