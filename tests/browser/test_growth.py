"""The growth view in a real Chromium: the sentence, the line of generations, receipts, probes, and a generation being made."""

import json
import re
from collections.abc import Iterator

import pytest
from growth_house import PRETRAIN, make_corpus, make_home, make_run
from playwright.sync_api import BrowserContext, Page
from serve_house import House, open_house, wait_for

from browser.house import CHINESE_PHONE, PHONE, Visitors, expect, first_page, width
from feilun.serve.auth import issue_owner_token

SENTENCE = "Gen 4 beats gen 2 in 61 % of blind choices (57–65 %, n = 212)."


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("grown")) as house:
        models = make_home(house.home, house.store)
        wait_for(house, models[3])
        yield house


def growth_of(context: BrowserContext, house: House) -> Page:
    """The owner's page, opened on this view; where it is redirected to, the fragment goes along."""
    page = first_page(context)
    page.goto(f"{house.url}/?token={issue_owner_token(house.store)}#growth")
    page.wait_for_selector(".truth h1")
    return page


@pytest.fixture
def page(visitors: Visitors, grown: House) -> Iterator[Page]:
    with visitors.visiting(grown) as (context, _watch):
        yield growth_of(context, grown)


def test_the_sentence_stands_on_top_in_both_languages(page: Page) -> None:
    expect(page.locator(".truth h1")).to_have_text(SENTENCE)
    expect(page.locator(".truth .fine")).to_contain_text("held-out simulated users")
    page.click("#language")
    expect(page.locator(".truth h1")).to_have_text("第 4 代在盲选中胜过第 2 代：61 % 选了它（57–65 %，n = 212）。")
    expect(page.locator("[data-chart=exam-number_hard] .t")).to_have_text("数的大小（难）")
    assert not page.locator("#growth").get_by_text("undefined").count()


def test_generations_stand_newest_first_and_a_receipt_says_why_in_plain_words(page: Page) -> None:
    numbers = page.locator(".entry").evaluate_all("nodes => nodes.map((node) => node.dataset.number)")
    assert numbers == ["4", "3", "2", "1"]
    expect(page.locator(".entry.current h3")).to_contain_text("answering now")
    refused = page.locator(".entry.refused")
    refused.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(refused.locator(".receipt tr.short")).to_contain_text("it had to rise")
    expect(refused.locator(".receipt")).to_contain_text(
        "Numbers, hard, another exam or the votes of held-out users must rise significantly (level 0.01"
    )
    expect(refused.locator(".shortfalls")).to_contain_text("Numbers, hard: 50 % → 85 %; it had to rise")
    expect(refused.locator(".receipt")).not_to_contain_text("it stands in English here")


def test_probes_are_read_with_the_keys(page: Page) -> None:
    slider, reply = page.locator("#probe-slider"), page.locator(".probes dd").first
    expect(reply).to_contain_text("95%")
    expect(reply).to_contain_text("gen 2 said")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "Gen 1")
    expect(reply).to_have_text("3%")


def test_every_chart_is_named_and_has_its_table(page: Page) -> None:
    figures = page.locator("figure")
    assert figures.count() == 5
    for figure in figures.all():
        assert figure.locator("svg[role=img]").get_attribute("aria-label")
        figure.locator("summary").click()
        assert figure.locator("tbody tr").count() > 1
    assert page.locator("svg .line").first.evaluate("node => getComputedStyle(node).stroke") == "rgb(180, 55, 31)"
    page.click("#theme")
    assert page.locator("svg .line").first.evaluate("node => getComputedStyle(node).stroke") == "rgb(242, 139, 117)"


def test_what_the_owner_takes_away_is_saved_as_a_file(page: Page) -> None:
    for name, file in (("champion", r"turn-3@\w+\.tar"), ("lessons", r"turn-3@\w+-sft\.jsonl"), ("report", r"feilun-report\.json")):
        with page.expect_download() as found:
            page.click(f'a[href="/api/download/{name}"]')
        assert re.fullmatch(file, found.value.suggested_filename)
        assert found.value.path().stat().st_size > 10


def test_nothing_is_wider_than_a_phone(visitors: Visitors, grown: House) -> None:
    with visitors.visiting(grown, **CHINESE_PHONE) as (context, _watch):
        page = growth_of(context, grown)
        page.locator(".entry.promoted summary").first.click()
        page.wait_for_selector(".receipt table")
        assert width(page) == PHONE["width"]


def test_a_first_generation_is_watched_while_it_is_made(visitors: Visitors, tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_house(tmp_path_factory.mktemp("young")) as house, visitors.visiting(house) as (context, _watch):
        corpus = make_corpus(house.home)
        make_run(house.home, PRETRAIN, {"corpus": corpus.removeprefix("corpus/")}, 50)
        note = {"stage": "pretrain", "fraction": 0.5, "eta_seconds": 30, "corpus": corpus, "run": PRETRAIN}
        house.store.note("progress", note)
        page = growth_of(context, house)
        expect(page.locator(".truth h1")).to_have_text("The first generation is being made.")
        expect(page.locator("#stage")).to_have_text("pretrain")
        expect(page.locator(".corpus")).to_contain_text("90 documents kept, 10 dropped")
        expect(page.locator(".corpus")).to_contain_text("exact duplicates 10")
        expect(page.locator(".samples li")).to_have_count(2)
        before = page.locator("[data-chart=loss-pretrain] .line").get_attribute("points")
        for file, row in (("metrics", {"step": 75, "nll": 1.5}), ("samples", {"step": 75, "prompt": "小明", "text": "你好,<b>小丽</b>。"})):
            with (house.home / "runs" / PRETRAIN / f"{file}.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
        expect(page.locator(".samples li").first).to_contain_text("你好,<b>小丽</b>。")
        assert page.locator("[data-chart=loss-pretrain] .line").get_attribute("points") != before
