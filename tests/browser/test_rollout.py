"""Growth while a candidate listens in: the owner judges pairs without knowing whose they are."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from rollout_house import begin_beside
from serve_house import House, ask, open_house, until

from browser.house import Visitors, expect
from browser.test_growth import growth_of


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("rolling"), first="first") as house:
        row = begin_beside(house)
        until(lambda: len(house.engines) == 2)
        house.script.answers["tea or milk?"] = ["tea", "milk"]
        with house.client(house.key("shop", "chat")) as client:
            client.post("/v1/chat/completions", json=ask("tea or milk?"))
            until(lambda: len(house.store.shadow.pairs(row.id)) == 1)
        yield house


@pytest.fixture
def page(visitors: Visitors, rolling: House) -> Iterator[Page]:
    with visitors.visiting(rolling) as (context, _watch):
        yield growth_of(context, rolling)


def test_a_pair_is_judged_undone_and_judged_in_the_other_order(page: Page, rolling: House) -> None:
    expect(page.locator(".truth")).to_contain_text("listens in: 1 of 3 real questions")
    expect(page.locator(".part-judging .asked")).to_have_text("tea or milk?")
    row, shown = rolling.store.rollout(), page.locator(".part-judging .side .prose").all_text_contents()
    assert sorted(text.strip() for text in shown) == ["milk", "tea"]
    assert page.locator(".part-judging .who").all_text_contents() == ["", ""]
    better = str(1 + [text.strip() for text in shown].index("milk"))
    page.click(f".part-judging [data-vote='{better}']")
    until(lambda: rolling.store.shadow.pairs(row.id)[0].outcome == "candidate")
    page.click(".part-judging [data-t=undo]")
    until(lambda: rolling.store.shadow.pairs(row.id)[0].outcome == "")
    page.click(f".part-judging [data-vote='{better}']")
    page.click(".part-judging [data-t=judge_next]")
    expect(page.locator(".part-judging .side .prose").first).not_to_have_text(shown[0].strip())
    page.click(f".part-judging [data-vote='{better}']")
    until(lambda: rolling.store.shadow.pairs(row.id)[0].outcome == "tie")
