"""The learn view in a real browser: a question, two unnamed answers, a key, names afterwards, the next one."""

from playwright.sync_api import Page
from serve_house import ask, until

from browser.house import expect
from feilun.store import OWNER, TEACH, NewTask
from feilun.types import Consent


def add_task(house, question: str, left: str, right: str) -> None:
    """A task of Teach whose question a visitor asked."""
    with house.client(house.key(f"asker-{question[:4].strip()}", "chat")) as client:
        source = client.post("/v1/chat/completions", json=ask(question)).json()["id"]
    messages = ({"role": "user", "content": question},)
    given = NewTask(
        source=source, consent=Consent.IMPROVE, messages=messages, left=("models/now@1", left), right=("models/before@1", right)
    )
    assert house.store.desks.add(TEACH, [given]) == 1


def test_keys_choose_names_are_told_afterwards_and_the_next_comes(page: Page, house):
    add_task(house, "red or blue?", "**red**", "blue")
    page.click("nav [data-view=learn]")
    expect(page.locator(".judge .asked")).to_have_text("red or blue?")
    expect(page.locator(".judge .side")).to_have_count(2)
    assert page.locator(".judge .who").all_text_contents() == ["", ""]
    second = page.locator(".judge .side .prose").nth(1).text_content().strip()
    expect(page.locator(".worth")).to_contain_text("more choices until the next lesson is worth training")
    page.keyboard.press("2")
    expect(page.locator(".judge .side.won")).to_have_count(1)
    names = {"red": "now", "blue": "before"}
    expect(page.locator(".judge .side.won .who")).to_contain_text(names[second])
    (vote,) = house.store.current_votes(principal=OWNER)
    assert (vote.kind, vote.answer.strip("*")) == ("choice", second)
    page.click(".judge [data-t=undo]")
    until(lambda: not house.store.current_votes(principal=OWNER))
    expect(page.locator(".judge .side.won")).to_have_count(0)  # a key that comes before the page has heard of it is no vote
    page.keyboard.press("0")
    until(lambda: [vote.value["outcome"] for vote in house.store.current_votes(principal=OWNER)] == ["both_bad"])
    add_task(house, "tea or milk?", "tea", "milk")
    page.keyboard.press("Enter")
    expect(page.locator(".judge .asked")).to_have_text("tea or milk?")
