"""Engines elsewhere in a real browser: added and tested in their dialog, asked beside the own model, chosen, and held to their terms."""

import pytest
from serve_house import open_house, until

from browser.house import CHINESE_PHONE, PHONE, ask, enter, expect, say, width
from feilun.serve.remotes import read_key, remove_engine


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """Another house, whose echo is the engine elsewhere, and a key to it."""
    with open_house(tmp_path_factory.mktemp("far"), first="far") as far:
        far.secret = far.key("k", "chat")["Authorization"].removeprefix("Bearer ")
        yield far


@pytest.fixture
def clean(house):
    """No engine is left to the next test."""
    yield
    for row in house.store.engines():
        remove_engine(house.home, house.store, row.name)


def open_dialog(page):
    page.click(".picker")
    page.click("dialog >> text=engines…")
    dialog = page.locator("dialog", has=page.locator(".new-engine"))
    expect(dialog.locator("#engine-url")).to_be_visible()
    return dialog


def add(page, far, name: str):
    dialog = open_dialog(page)
    dialog.locator("#engine-url").fill(far.url)
    dialog.locator("#engine-key").fill(far.secret)
    dialog.locator("#engine-model").fill("feilun")
    dialog.locator("#engine-name").fill(name)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.locator(".new-engine [role=status]")).to_have_text(f"Added {name} (feilun)")
    return dialog


def test_an_engine_is_tested_added_allowed_and_removed(page, watch, house, far, clean):
    watch.forgive("400 (Bad Request)")
    dialog = open_dialog(page)
    form, said = dialog.locator(".new-engine"), dialog.locator(".new-engine [role=status]")
    test = form.get_by_role("button", name="Test")
    dialog.locator("#engine-url").fill("ftp://wrong")
    test.click()
    expect(said).to_contain_text("not the URL of an API")
    dialog.locator("#engine-url").fill(far.url)
    test.click()
    expect(said).to_contain_text("does not accept the key (401")
    dialog.locator("#engine-key").fill(far.secret)
    test.click()
    expect(said).to_have_text("Connected; models: 2")
    expect(dialog.locator("#engine-url")).to_have_value(f"{far.url}/v1")
    expect(dialog.locator("datalist option")).to_have_count(2)
    dialog.locator("#engine-name").fill("far")
    form.get_by_role("button", name="Add").click()
    expect(said).to_contain_text("say which one to ask for")
    dialog.locator("#engine-model").fill("feilun")
    dialog.locator("#engine-model").press("Enter")
    expect(said).to_have_text("Added far (feilun)")
    expect(dialog.locator("#engine-key")).to_have_value("")
    assert far.secret not in page.content()
    assert read_key(house.home, "far") == far.secret

    row = dialog.get_by_role("region", name="far")
    terms = row.get_by_role("switch")
    expect(terms).to_have_attribute("aria-checked", "false")
    terms.click()
    expect(terms).to_have_attribute("aria-checked", "true")
    expect(row).to_contain_text("read them first")
    assert house.store.engine("far").teach
    row.get_by_role("button", name="Test").click()
    expect(row).to_contain_text("Connected; models: 2")
    row.get_by_role("button", name="Remove").click()
    row.get_by_role("button", name="Really remove?").click()
    expect(dialog.locator(".engine")).to_have_count(0)
    assert house.store.engines() == []


def choose(page, *models: str) -> None:
    """Who answers, and who beside it."""
    page.click(".picker")
    for name, model in zip(("model", "beside"), models, strict=False):
        page.locator(f"dialog input[name={name}][value='{model}']").check()
    page.keyboard.press("Escape")


def test_both_answer_side_by_side_and_the_choice_lands(page, house, far, clean):
    add(page, far, "far")
    page.keyboard.press("Escape")
    choose(page, "feilun", "engine:far")
    expect(page.locator(".picker .name")).to_have_text("first + far")
    before = house.store.last_seq()
    say(page, "who are you?")
    sides = page.locator(".duel .side")
    expect(sides.filter(has_text="first: who are you?")).to_have_count(1)
    theirs = sides.filter(has_text="far: who are you?")
    expect(theirs).to_have_count(1)
    expect(page.locator(".duel [data-vote='1']")).to_be_enabled()
    page.keyboard.press(theirs.locator("kbd").inner_text())
    expect(theirs).to_have_class("side won")
    expect(theirs.locator(".who")).to_have_text("far")
    until(lambda: house.store.last_seq() > before)
    vote = next(vote for vote in house.store.current_votes() if vote.seq > before)
    assert (vote.kind, vote.answer, vote.model) == ("choice", "far: who are you?", "engine:far/feilun")
    assert [(sibling.text, sibling.model) for sibling in vote.over] == [("first: who are you?", house.first)]
    assert far.store.last_seq() == 0


def test_an_edit_of_its_answer_says_whether_it_teaches(page, house, far, clean):
    add(page, far, "far")
    page.keyboard.press("Escape")
    choose(page, "engine:far", "")
    ask(page, "a fact?")
    expect(page.locator("article.theirs .prose")).to_have_text("far: a fact?")
    page.locator("article.theirs").hover()
    page.get_by_role("button", name="Correct this answer").click()
    page.locator("textarea.editor").fill("a fact.")
    page.click("text=Save as a lesson")
    expect(page.locator(".lesson")).to_contain_text("saved, but not taught")
    house.store.change_engine("far", teach=True)
    page.reload()
    expect(page.locator(".lesson")).to_contain_text("saved as a lesson")


def test_it_answers_alone_and_tells_what_went_wrong(page, house, far, clean):
    add(page, far, "far")
    page.keyboard.press("Escape")
    choose(page, "engine:far", "")
    ask(page, "alone")
    expect(page.locator("article.theirs .prose")).to_have_text("far: alone")
    expect(page.locator("article.theirs .who")).to_have_text("far")
    far.engines[-1].broken = True
    try:
        say(page, "again")
        expect(page.locator("article.failed")).to_contain_text("engine far: it broke off with an error")
    finally:
        far.engines[-1].broken = False


def test_the_dialog_fits_a_phone_and_speaks_chinese(visitors, house, far, clean):
    with visitors.visiting(house, **CHINESE_PHONE) as (context, _):
        page = enter(context, house)
        page.click(".picker")
        page.click("dialog >> text=引擎……")
        page.fill("#engine-url", far.url)
        page.locator(".new-engine").get_by_role("button", name="试一下").click()
        expect(page.locator(".new-engine [role=status]")).to_contain_text("它不接受这个密钥（401")
        page.fill("#engine-key", far.secret)
        page.fill("#engine-model", "feilun")
        page.fill("#engine-name", "far")
        page.click("dialog >> text=添加 >> visible=true >> nth=-1")
        expect(page.get_by_role("region", name="far")).to_contain_text("关着")
        assert width(page) == PHONE["width"]
