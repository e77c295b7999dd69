"""The shell in a real browser: languages, light and dark, narrow screens, keys, and a house that has no model yet."""

import pytest
from serve_house import open_house

from browser.house import PHONE, ask, enter, expect, width

RICH = """# A title that is rather long for a narrow screen

A very_long_word_that_nobody_could_ever_break_because_it_has_no_spaces_in_it_at_all_and_goes_on_and_on.

| a | b | c | d | e | f | g |
|---|---|---|---|---|---|---|
| one thousand | two thousand | three thousand | four thousand | five thousand | six thousand | seven thousand |

```python
print("a line of code that is much too long for a telephone and therefore scrolls inside its own box", 1, 2, 3)
```

$$\\sum_{i=1}^{n} i = \\frac{n(n+1)}{2}$$
"""


def test_the_language_changes_under_the_hands(page, visit):
    ask(page, "words")
    page.locator("article.theirs").hover()
    expect(page.get_by_role("button", name="Correct this answer")).to_be_visible()
    page.click("#language")
    expect(page.get_by_role("button", name="改正这个回答")).to_be_visible()
    expect(page.locator("#ask")).to_have_attribute("placeholder", "问点什么……")
    expect(page.locator(".threads h2")).to_have_text("今天")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.title() == "飞轮"
    page.reload()
    expect(page.locator("#view-chat")).to_have_text("对话")
    expect(page.locator("article.theirs")).to_be_visible()
    page.click("#language")
    expect(page.locator("#view-chat")).to_have_text("Chat")


def test_dark_follows_the_system_and_the_reader(page, visit):
    def paper() -> str:
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    light = paper()
    page.emulate_media(color_scheme="dark")
    dark = paper()
    assert dark != light
    page.click("#theme")
    assert paper() == light
    page.reload()
    page.wait_for_selector("body[data-seen]")
    assert paper() == light
    page.click("#theme")
    assert paper() == dark
    assert "feilun_theme" not in page.evaluate("document.cookie")


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_a_telephone_scrolls_in_one_direction(visitors, house, language):
    house.script.answers["rich"] = [RICH, "short"]
    with visitors.visiting(house, viewport=PHONE, locale=language, has_touch=True) as (context, _watch):
        page = enter(context, house)
        assert width(page) == PHONE["width"]
        heights = page.locator("nav button").evaluate_all("tabs => tabs.map((tab) => tab.offsetHeight)")
        assert len(heights) > 2
        assert max(heights) < 40, "a tab's name is broken over two lines"
        ask(page, "rich")
        assert width(page) == PHONE["width"]
        page.locator("[data-vote='-1']").click()
        expect(page.locator(".reasons")).to_be_visible()
        assert width(page) == PHONE["width"]
        page.locator("[data-label=another]").click()
        expect(page.locator(".votes button").first).to_be_enabled()
        assert width(page) == PHONE["width"]
        assert page.evaluate("document.getElementById('log').scrollWidth") <= PHONE["width"]
        page.locator(".votes .skip").click()
        page.locator("[data-label=saw]").last.click()
        expect(page.locator("dialog .prompt")).to_be_visible()
        assert width(page) == PHONE["width"]
        page.keyboard.press("Escape")
        page.click("#drawer")
        expect(page.locator("#search")).to_be_focused()
        assert width(page) == PHONE["width"]
        page.locator(".thread").first.click()
        expect(page.locator("#history")).to_be_hidden()


def test_keys(page):
    ask(page, "keys")
    page.locator("#log").focus()
    page.keyboard.press("/")
    expect(page.locator("#ask")).to_be_focused()
    page.keyboard.type("/?")
    assert page.input_value("#ask") == "/?"
    page.fill("#ask", "")
    page.locator("#log").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("e")
    expect(page.locator("textarea.editor")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("textarea.editor")).to_have_count(0)


def test_signing_out_locks_every_tab(page, watch):
    watch.forgive("401")
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("body[data-seen]")
    page.bring_to_front()  # a hidden tab draws once a second, and every click waits for two drawings
    page.fill("#ask", "half a thought")
    page.click("#leave")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#ask")).to_have_value("half a thought")
    page.click("#leave")
    page.locator("dialog").get_by_role("button", name="Sign out").click()
    for tab in (page, other):
        expect(tab.locator("h1")).to_have_text("This door needs the owner's link")
    assert page.evaluate("sessionStorage.length") == 0


def test_every_control_has_a_name(page):
    ask(page, "names")
    for control in page.locator("button:visible, textarea:visible, input:visible").all():
        name = control.evaluate("(node) => node.ariaLabel || node.textContent.trim() || node.title")
        assert name, control.evaluate("(node) => node.outerHTML")


def test_views_have_addresses(page):
    ask(page, "where")
    chat = page.url
    page.click("#view-growth")
    expect(page.locator("#growth")).to_be_visible()
    page.reload()
    expect(page.locator("#growth")).to_be_visible()
    expect(page.locator("#chat")).to_be_hidden()
    page.go_back()
    assert page.url == chat
    expect(page.locator("article.mine .text")).to_have_text(["where"])


def test_a_house_without_a_model_opens_its_chat_by_itself(visitors, tmp_path):
    with open_house(tmp_path) as empty, visitors.visiting(empty) as (context, _watch):
        page = enter(context, empty, ready=False)
        expect(page.locator("#growth")).to_be_visible()
        page.click("#view-chat")
        page.fill("#ask", "too early")
        expect(page.locator("#send")).to_be_disabled()
        empty.promote("newborn")
        expect(page.locator("#send")).to_be_enabled()
        page.keyboard.press("Enter")
        expect(page.locator("article.theirs .prose")).to_have_text(["newborn: too early"])


def test_a_newcomer_is_taken_to_the_chat_when_it_exists(visitors, tmp_path):
    with open_house(tmp_path) as empty, visitors.visiting(empty) as (context, _watch):
        page = enter(context, empty, ready=False)
        expect(page.locator("#chat")).to_be_hidden()
        empty.promote("newborn")
        expect(page.locator("#chat")).to_be_visible()
        expect(page.locator(".picker")).to_contain_text("newborn")
