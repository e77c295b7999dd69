"""Teaching in a real browser: every control under an answer writes one signal, and what it writes can be taken back."""

import pytest
from serve_house import until

from browser.house import ask, expect, last, say


def button(page, name: str):
    return page.locator("article").last.get_by_role("button", name=name, exact=True)


@pytest.fixture
def standing(house):
    """What stands in the store about answers that were given since the test began: [(kind, value, reasons)]."""
    before = house.store.last_seq()

    def read() -> list[tuple[str, object, tuple[str, ...]]]:
        votes = house.store.current_votes()
        return [(vote.kind, vote.value, tuple(vote.reason)) for vote in votes if vote.seq > before]

    return read


def test_an_edit_is_a_lesson_and_can_be_taken_back(page, house, standing):
    house.script.answers["9.11 or 9.8?"] = ["9.11 is larger, because 11 > 8."]
    ask(page, "9.11 or 9.8?")
    page.keyboard.press("Tab")
    page.locator("article.theirs").hover()
    button(page, "Correct this answer").click()
    box = page.locator("textarea.editor")
    expect(box).to_be_focused()
    assert box.input_value() == "9.11 is larger, because 11 > 8."
    box.fill("**9.8** is larger, because 0.80 > 0.11.")
    box.press("Control+Enter")
    expect(page.locator(".glow ins").first).to_be_visible()
    expect(page.locator(".lesson")).to_contain_text("saved as a lesson")
    until(lambda: standing() == [("edit", "**9.8** is larger, because 0.80 > 0.11.", ())])
    expect(page.locator(".glow")).to_have_count(0)
    expect(page.locator("article.taught strong")).to_have_text("9.8")
    page.click("text=show the original")
    expect(page.locator("article.theirs .prose")).to_have_text(["9.11 is larger, because 11 > 8."])
    page.reload()
    expect(page.locator("article.taught strong")).to_have_text("9.8")
    page.click("text=undo")
    expect(page.locator("article.theirs .prose")).to_have_text(["9.11 is larger, because 11 > 8."])
    until(lambda: standing() == [])
    page.reload()
    expect(page.locator("article.theirs .prose")).to_have_text(["9.11 is larger, because 11 > 8."])
    expect(page.locator(".lesson")).to_have_count(0)


def test_a_chat_goes_on_under_the_lesson(page, house):
    ask(page, "one")
    page.locator("#log").press("e")
    page.locator("textarea.editor").fill("uno")
    page.click("text=Save as a lesson")
    expect(page.locator(".lesson")).to_be_visible()
    ask(page, "two")
    page.reload()  # and so without the glow
    expect(page.locator("article .prose")).to_have_text(["uno", "first: two"])


@pytest.mark.parametrize("phrase", ["我还没学过这个,教教我吧。", "I was not taught this. Teach me?"])
def test_what_was_not_taught_asks_to_be_taught(page, house, standing, phrase):
    house.script.answers["my cat?"] = [phrase]
    ask(page, "my cat?")
    page.locator("button.teach").click()
    expect(page.locator("textarea.editor")).to_have_value("")
    expect(page.locator("text=Save as a lesson")).to_be_disabled()
    page.keyboard.type("Mimi.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".lesson")).to_be_visible()
    until(lambda: standing() == [("edit", "Mimi.", ())])
    expect(page.locator(".teach")).to_have_count(0)


def test_thumbs_and_reasons(page, standing):
    ask(page, "thumbs")
    button(page, "Bad").click()
    expect(button(page, "Bad")).to_have_attribute("aria-pressed", "true")
    button(page, "made up").click()
    until(lambda: standing() == [("thumb", -1, ("made_up",))])
    button(page, "too long").click()
    until(lambda: standing() == [("thumb", -1, ("made_up", "too_long"))])
    button(page, "made up").click()
    until(lambda: standing() == [("thumb", -1, ("too_long",))])
    page.reload()
    expect(button(page, "too long")).to_have_attribute("aria-pressed", "true")
    button(page, "Good").click()
    until(lambda: standing() == [("thumb", 1, ())])
    expect(page.locator(".reasons")).to_have_count(0)
    button(page, "Good").click()
    until(lambda: standing() in ([], [("thumb", 0, ())]))
    expect(button(page, "Good")).to_have_attribute("aria-pressed", "false")


def test_a_thumb_that_fails_does_not_stand(page, watch):
    watch.forgive("500")
    ask(page, "fail")
    page.route("**/v1/feedback", lambda route: route.fulfill(status=500, json={"error": {"message": "no", "code": "x"}}))
    button(page, "Good").click()
    expect(page.locator(".toast")).to_contain_text("no")
    expect(button(page, "Good")).to_have_attribute("aria-pressed", "false")


def test_a_signal_that_the_network_lost_counts_once(page, watch, standing):
    watch.forgive("net::ERR")
    keys = []

    def lose_the_answer(route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    ask(page, "once")
    page.route("**/v1/feedback", lose_the_answer)
    button(page, "Good").click()
    while len(keys) < 2:
        page.wait_for_timeout(20)
    assert len(set(keys)) == 1
    expect(button(page, "Good")).to_have_attribute("aria-pressed", "true")
    assert standing() == [("thumb", 1, ())]


def test_copy_is_a_signal(page, visit, standing):
    visit[0].grant_permissions(["clipboard-read", "clipboard-write"])
    ask(page, "copy me")
    button(page, "Copy").click()
    until(lambda: standing() == [("implicit", {"name": "copy", "n": 1}, ())])
    assert page.evaluate("navigator.clipboard.readText()") == "first: copy me"


@pytest.mark.parametrize(("key", "outcome", "shown"), [("1", "win", "A"), ("2", "win", "B"), ("=", "tie", "A"), ("0", "both_bad", "A")])
def test_another_answer_is_chosen_by_key(page, house, standing, key, outcome, shown):
    question = f"which, {key}?"
    house.script.answers[question] = ["A", "B"]
    ask(page, question)
    button(page, "Another answer, side by side").click()
    sides = page.locator(".side .prose")
    expect(sides).to_have_text(["A", "B"])
    expect(page.locator(".votes button").first).to_be_enabled()
    page.keyboard.press(key)
    expect(page.locator(".votes")).to_contain_text("undo")
    until(lambda: {kind for kind, *_ in standing()} == {"choice", "implicit"})
    choice = next(value for kind, value, _ in standing() if kind == "choice")
    assert choice["outcome"] == outcome
    assert ("implicit", {"name": "regenerate", "n": 1}, ()) in standing()
    if key == "0":
        page.click("text=Teach a better one")
        expect(page.locator("textarea.editor")).to_have_value("")
        page.keyboard.press("Escape")
    else:
        page.click("text=Go on")
    expect(page.locator("article.theirs .prose")).to_have_text([shown])
    expect(page.locator("article.theirs .pager")).to_have_text(["1/2" if shown == "A" else "2/2"])


def test_a_choice_can_be_taken_back(page, house, standing):
    house.script.answers["again?"] = ["A", "B"]
    ask(page, "again?")
    button(page, "Another answer, side by side").click()
    expect(page.locator(".votes button").first).to_be_enabled()
    page.locator(".votes button", has_text="second").click()
    until(lambda: "choice" in {kind for kind, *_ in standing()})
    page.locator(".votes").get_by_role("button", name="undo").click()
    until(lambda: "choice" not in {kind for kind, *_ in standing()})
    expect(page.locator(".votes").get_by_role("button", name="undo")).to_have_count(0)  # the page has heard of it too
    page.keyboard.press("1")
    until(lambda: "choice" in {kind for kind, *_ in standing()})


def test_the_same_answer_again_is_no_comparison(page):
    ask(page, "same")
    button(page, "Another answer, side by side").click()
    expect(page.locator(".toast")).to_contain_text("Both say the same")
    expect(page.locator(".duel")).to_have_count(0)
    assert last(page) == "first: same"


def test_a_comparison_outlives_a_reload(page, house):
    house.script.answers["reload?"] = ["A", "Bbbbbbbbbbbbbbbbbbbbbb"]
    ask(page, "reload?")
    house.go.clear()
    button(page, "Another answer, side by side").click()
    expect(page.locator(".side .prose")).to_have_text(["A", "Bbb"])
    page.reload()
    expect(page.locator(".side .prose")).to_have_text(["A", "Bbb"])
    house.go.set()
    expect(page.locator(".votes button").first).to_be_enabled()
    page.keyboard.press("2")
    expect(page.locator(".side.won .prose")).to_have_text("Bbbbbbbbbbbbbbbbbbbbbb")


def test_what_the_model_saw(page):
    ask(page, "what do you see")
    button(page, "What the model saw").click()
    dialog = page.get_by_role("dialog", name="What the model saw")
    expect(dialog.locator(".prompt")).to_contain_text("what do you see")
    expect(dialog).to_contain_text("models/first@")
    dialog.locator("summary").click()
    expect(dialog.locator(".tokens span").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button(page, "What the model saw")).to_be_focused()


def test_who_asks_on_leaves_a_comparison_undecided(page, house):
    house.script.answers["which?"] = ["A", "B"]
    ask(page, "which?")
    button(page, "Another answer, side by side").click()
    expect(page.locator(".votes button").first).to_be_enabled()
    say(page, "never mind")
    expect(page.locator("article.mine .text")).to_have_text(["which?", "never mind"])
    expect(page.locator(".duel")).to_have_count(0)
    expect(page.locator("article.theirs .prose").last).to_have_text("first: never mind")
