"""Asking in a real browser: streaming, stopping, coming back, branching, finding again."""

import pytest
from serve_house import until

from browser.house import ask, enter, expect, first_page, last, say


@pytest.fixture
def held(house):
    """The models hold their breath after twelve bytes, until the test lets them go on."""
    house.script.hold = 12
    house.go.clear()
    yield house
    house.go.set()
    house.script.hold = 3


def thread_of(page) -> str:
    return page.evaluate("decodeURIComponent(location.hash.split('/')[1])")


def test_the_link_opens_once(house, visit):
    context, watch = visit
    watch.forgive("401")
    page = first_page(context)
    page.goto(house.url)
    expect(page.locator("h1")).to_have_text("This door needs the owner's link")
    page = enter(context, house)
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
    expect(page.locator(".empty h1")).to_be_visible()
    expect(page.locator(".starters button").first).to_be_visible()


def test_an_answer_streams_and_is_announced_when_it_is_whole(page, held):
    held.script.answers["list"] = ["- one\n- **two**\n\n`end`"]
    say(page, "list")
    running = page.locator("article.running")
    expect(running.locator("strong, li").first).to_be_visible()
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#send")).to_be_hidden()
    assert page.locator("#said").inner_text() == ""
    assert running.get_attribute("aria-busy") == "true"
    held.go.set()
    expect(page.locator("article.theirs:not(.running) code")).to_have_text("end")
    expect(page.locator("article.theirs li strong")).to_have_text("two")
    expect(page.locator("#said")).to_contain_text("two")
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator(".threads [aria-current]")).to_have_text("list")
    expect(page.locator("article.theirs .who")).to_have_text("first")


def test_stop_keeps_what_was_seen(page, held):
    say(page, "stop me")
    expect(page.locator("article.running .prose")).to_have_text("first: stop")
    page.keyboard.press("Escape")
    expect(page.locator("article.theirs .tools")).to_be_visible()
    seen = last(page)
    assert "first: stop me".startswith(seen)
    expect(page.locator("article.theirs footer")).to_contain_text("stopped")
    held.go.set()
    page.reload()
    expect(page.locator("article.theirs .prose")).to_have_text([seen])
    expect(page.locator("article.theirs footer")).to_contain_text("stopped")


def test_a_stop_that_comes_too_late_shows_the_whole_answer(page, held):
    say(page, "too late")
    expect(page.locator("article.running .prose")).to_have_text("first: too l")

    def dawdle(route) -> None:
        held.go.set()
        until(lambda: held.store.search("owner", "first: too late", 1))
        route.continue_()

    page.route("**/api/generations/*seen=*", dawdle)
    page.keyboard.press("Escape")
    expect(page.locator("article.theirs .tools")).to_be_visible()
    expect(page.locator("article.theirs .prose")).to_have_text(["first: too late"])
    page.unroute("**/api/generations/*seen=*")


def test_a_reload_in_mid_answer_loses_nothing(page, held):
    say(page, "come back")
    expect(page.locator("article.running .prose")).to_have_text("first: come")
    page.reload()
    expect(page.locator("article.running .prose")).to_have_text("first: come")
    expect(page.locator("article.mine .text")).to_have_text(["come back"])
    held.go.set()
    expect(page.locator("article.theirs:not(.running) .prose")).to_have_text("first: come back")


def test_a_second_tab_follows_the_same_answer(page, held):
    say(page, "two tabs")
    expect(page.locator("article.running")).to_be_visible()
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("article.running .prose")).to_have_text("first: two t")
    held.go.set()
    for tab in (page, other):
        expect(tab.locator("article.theirs:not(.running) .prose")).to_have_text("first: two tabs")
    ask(other, "and now")
    expect(page.locator("article.theirs .prose").last).to_have_text("first: and now")


def test_other_chats_go_on_while_one_looks_elsewhere(page, held):
    say(page, "slow one")
    expect(page.locator("article.running")).to_be_visible()
    page.click("#new-chat")
    expect(page.locator(".empty h1")).to_be_visible()
    expect(page.locator("#send")).to_be_visible()
    page.locator(".thread", has_text="slow one").click()
    expect(page.locator("article.running .prose")).to_have_text("first: slow")
    held.go.set()
    expect(page.locator("article.theirs:not(.running) .prose")).to_have_text("first: slow one")


def test_a_lost_connection_is_made_again(page, house, watch):
    watch.forgive("net::ERR")
    cuts = []

    def cut_once(route) -> None:
        cuts.append(route.request.url)
        route.abort() if len(cuts) == 1 else route.continue_()

    page.route("**/api/generations/*", cut_once)
    ask(page, "hold on")
    assert len(cuts) >= 2
    assert last(page) == "first: hold on"


def test_a_network_that_fails_in_mid_answer_costs_nothing(page, visit, held, watch):
    watch.forgive("net::ERR")
    say(page, "tunnel")
    expect(page.locator("article.running .prose")).to_have_text("first: tunne")
    visit[0].set_offline(True)
    expect(page.locator("#notice")).to_contain_text("The server cannot be reached")
    held.go.set()
    visit[0].set_offline(False)
    expect(page.locator("article.theirs:not(.running) .prose")).to_have_text("first: tunnel")
    expect(page.locator("#notice")).to_be_hidden()


def test_an_unreachable_server_keeps_the_question(page, watch):
    watch.forgive("net::ERR")
    page.route("**/api/chat", lambda route: route.abort())
    say(page, "keep this")
    expect(page.locator(".toast")).to_contain_text("That failed")
    assert page.input_value("#ask") == "keep this"
    page.unroute("**/api/chat")
    page.keyboard.press("Enter")
    expect(page.locator("article.theirs .prose")).to_have_text(["first: keep this"])
    assert page.input_value("#ask") == ""


def test_an_engine_that_breaks_says_so_and_is_asked_again(page, house):
    house.engines[-1].broken = True
    say(page, "break")
    expect(page.locator(".failed")).to_contain_text("That failed")
    house.engines[-1].broken = False
    page.click("text=Try again")
    expect(page.locator("article.theirs .prose")).to_have_text(["first: break"])


def test_who_goes_on_after_a_question_that_got_no_answer_asks_beside_it(page, house):
    ask(page, "one")
    house.engines[-1].broken = True
    say(page, "break")
    expect(page.locator(".failed")).to_be_visible()
    house.engines[-1].broken = False
    say(page, "after")
    expect(page.locator("article.theirs .prose")).to_have_text(["first: one", "first: after"])
    expect(page.locator("article.mine .text")).to_have_text(["one", "after"])
    page.locator("article.mine").last.get_by_role("button", name="Previous").click()
    expect(page.locator("article.mine .text")).to_have_text(["one", "break"])
    page.reload()
    page.locator("article.mine").last.get_by_role("button", name="Previous").click()
    expect(page.locator("article.theirs footer").last).to_contain_text("This question has no answer yet.")
    say(page, "and on")
    expect(page.locator("article.theirs .prose")).to_have_text(["first: one", "first: and on"])


def test_enter_waits_for_the_answer_that_is_running(page, held):
    say(page, "wait for me")
    expect(page.locator("article.running .prose")).to_have_text("first: wait")
    say(page, "too early")
    expect(page.locator(".toast")).to_contain_text("An answer is still running")
    held.go.set()
    expect(page.locator("article.theirs:not(.running) .prose")).to_have_text(["first: wait for me"])
    assert page.input_value("#ask") == "too early"
    page.keyboard.press("Enter")
    expect(page.locator("article.theirs:not(.running) .prose")).to_have_text(["first: wait for me", "first: too early"])


def edit_first(page, text: str) -> None:
    first = page.locator("article.mine").first
    first.hover()
    first.get_by_role("button", name="Edit the question").click()
    expect(first.locator("textarea")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_an_edited_question_is_a_branch(page):
    ask(page, "blue")
    ask(page, "blue again")
    edit_first(page, "green")
    expect(page.locator("article.theirs .prose")).to_have_text(["first: green"])
    expect(page.locator("article.mine .pager")).to_have_text(["2/2"])
    page.locator("article.mine").get_by_role("button", name="Previous").click()
    expect(page.locator("article.mine .text")).to_have_text(["blue", "blue again"])
    expect(page.locator("article.theirs .prose").last).to_have_text("first: blue again")
    expect(page.locator("article.mine").first.get_by_role("button", name="Next")).to_be_focused()
    page.reload()
    expect(page.locator("article.mine .pager")).to_be_visible()


def test_an_answer_that_ends_leaves_the_reader_on_the_branch_they_went_to(page, held):
    held.go.set()
    ask(page, "blue")
    ask(page, "blue again")
    held.go.clear()
    edit_first(page, "green for long")
    expect(page.locator("article.running .prose")).to_have_text("first: green")
    page.locator("article.mine").get_by_role("button", name="Previous").click()
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.locator("article.running .prose")).to_have_text("first: green")
    held.go.set()
    for tab, texts in ((other, ["first: green for long"]), (page, ["first: blue", "first: blue again"])):
        expect(tab.locator("#send")).to_be_visible()
        expect(tab.locator("article.theirs .prose")).to_have_text(texts)
    ask(other, "and on")
    expect(page.locator("article.theirs .prose")).to_have_text(["first: blue", "first: blue again"])
    page.locator("article.mine").first.get_by_role("button", name="Next").click()
    expect(page.locator("article.theirs .prose")).to_have_text(["first: green for long", "first: and on"])


def test_search_finds_old_words_and_opens_them(page):
    ask(page, "我家的花猫喜欢晒太阳")
    page.click("#new-chat")
    ask(page, "the weather in Nanjing")
    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("花猫")
    expect(page.locator(".hit mark").first).to_have_text("花猫")
    page.keyboard.press("Enter")
    expect(page.locator("article.mine .text")).to_have_text(["我家的花猫喜欢晒太阳"])
    expect(page.locator("article.found")).to_be_visible()
    page.fill("#search", "nanjing")
    expect(page.locator(".hit mark").first).to_have_text("Nanjing")
    page.locator("#search").press("Escape")
    expect(page.locator(".hit")).to_have_count(0)
    expect(page.locator(".thread", has_text="the weather in Nanjing")).to_be_visible()


def test_a_chat_is_deleted_for_good(page, house):
    ask(page, "forget this secret")
    thread = thread_of(page)
    row = page.locator(".threads li", has_text="forget this secret")
    row.hover()
    row.get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    expect(page.locator(".empty h1")).to_be_visible()
    assert thread not in page.url
    page.fill("#search", "secret")
    expect(page.locator(".threads")).to_contain_text("0 found")


def test_consent_is_the_chats_own(page, house):
    page.get_by_role("switch", name="May be learnt from").click()
    ask(page, "only answer")
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    page.reload()
    expect(page.locator("article.mine")).to_be_visible()
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "false")
    page.locator("#log").press("e")
    page.locator("textarea.editor").fill("a private correction")
    page.click("text=Save as a lesson")
    expect(page.locator(".lesson")).to_contain_text("saved, but not taught")
    page.click("#new-chat")
    expect(page.get_by_role("switch")).to_have_attribute("aria-checked", "true")


def test_the_box(page):
    page.fill("#ask", "line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    page.reload()
    expect(page.locator("#ask")).to_have_value("line one\nline two")
    page.locator("#ask").dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
    expect(page.locator("article")).to_have_count(0)
    page.locator("#ask").press("Enter")
    expect(page.locator("article.mine .text")).to_have_text(["line one\nline two"])
    expect(page.locator("#ask")).to_have_value("")


def test_the_reader_is_left_where_he_reads(page, house):
    house.script.answers["long"] = ["\n\n".join(f"paragraph {i}" for i in range(80))]
    house.script.hold = 600
    house.go.clear()
    try:
        say(page, "long")
        expect(page.locator("article.running .prose")).to_contain_text("paragraph 30")
        at_end = "Math.abs(log.scrollHeight - log.scrollTop - log.clientHeight) < 4"
        until(lambda: page.evaluate(f"{{ const log = document.getElementById('log'); {at_end} }}"))
        page.locator("#log").hover()
        page.mouse.wheel(0, -300)
        expect(page.locator(".down")).to_be_visible()
        before = page.evaluate("document.getElementById('log').scrollTop")
        house.go.set()
        expect(page.locator("article.theirs .tools")).to_have_count(1)
        assert page.evaluate("document.getElementById('log').scrollTop") == before
        page.click(".down")
        expect(page.locator(".down")).to_be_hidden()
        expect(page.locator("text=paragraph 79")).to_be_in_viewport()
    finally:
        house.go.set()
        house.script.hold = 3
