"""Hostile texts through the real page, in every place that shows what a model or a person said: nothing runs, nothing is fetched."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from growth_house import PRETRAIN, lines, publish
from growth_house import make_home as make_grown_home
from hostile import HOSTILE, LONG
from owner_house import NO_EXAMS, correct, drill, owner_turn
from owner_house import make_home as make_owner_home
from playwright.sync_api import Page
from rude_house import refuses, rude_house
from serve_house import House, open_house, wait_for

from browser.house import Visitors, ask, enter, expect, first_page
from feilun.serve.render import ATTRIBUTES, TAGS
from feilun.store import CompletionRecord, EngineRow, FeedbackRequest
from feilun.types import Decision

PAYLOADS = (*HOSTILE, *LONG)
IN_ONE_THREAD = 37
# A script that ran would leave a mark, however little it could do besides.
MARK = """window.ran = [];
for (const name of ["alert", "confirm", "prompt", "open", "print"]) window[name] = (...given) => ran.push([name, ...given].join(" "));"""
# No element of a payload stands in the page: what is rendered is on the allow-list, and outside of it there is only what the page makes.
LOOK = """([tags, attributes]) => {
  const faults = [...ran], told = (node, why) => faults.push(`${why}: ${node.outerHTML.slice(0, 160)}`);
  const never = "iframe, frame, object, embed, applet, base, meta[http-equiv], style, img, picture, video, audio, marquee, template";
  for (const node of document.querySelectorAll(never)) told(node, "never");
  const loads = /^on|^(srcdoc|formaction|ping|background|poster|srcset|xlink:href)$/i;
  for (const node of document.querySelectorAll("*")) for (const { name } of node.attributes) if (loads.test(name)) told(node, name);
  for (const node of document.scripts) if (node.getAttribute("src") !== "/static/app.js") told(node, "script");
  for (const node of document.querySelectorAll(".block *")) {
    if (node.closest(".listing > button")) continue;
    if (!tags.includes(node.localName)) told(node, "tag");
    for (const { name } of node.attributes) if (!attributes.includes(name)) told(node, name);
  }
  for (const link of document.links) if (!["http:", "https:", "mailto:"].includes(link.protocol)) told(link, "link");
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  faults.push(...ids.filter((id, i) => ids.indexOf(id) !== i).map((id) => `two #${id}`));
  return faults;
}"""
SEEN = sorted({"target", "rel", "class", "align", "tabindex", *(name for names in ATTRIBUTES.values() for name in names)})
OURS = re.compile(r"/(static/[\w.-]+|api/[\w/:.%@?&=,-]*|v1/feedback|\?token=[\w-]+)?")


def look(page: Page) -> None:
    assert page.evaluate(LOOK, [sorted(TAGS), SEEN]) == []


@contextmanager
def victim(visitors: Visitors, house: House) -> Iterator[Page]:
    """The owner's page; at the end nothing has run, nothing was asked of anybody, and of us only what the page asks itself."""
    with visitors.visiting(house, MARK) as (context, _watch):
        page, asked = first_page(context), list[str]()
        heard = {
            "request": lambda request: asked.append(request.url),
            "dialog": lambda dialog: pytest.fail(f"a dialog: {dialog.message}"),
            "page": lambda window: asked.append(f"a window: {window.url}"),
        }
        for name, hear in heard.items():
            context.on(name, hear)
        yield enter(context, house)
        look(page)
        for name, hear in heard.items():
            context.remove_listener(name, hear)
        assert [url for url in asked if not OURS.fullmatch(url.removeprefix(house.url))] == []


def chunks(payloads: Sequence[str]) -> list[Sequence[str]]:
    return [payloads[start : start + IN_ONE_THREAD] for start in range(0, len(payloads), IN_ONE_THREAD)]


def tell(house: House, thread: str, questions: Sequence[str], answers: Sequence[str]) -> list[str]:
    """A conversation of the owner's; the ids of its completions."""
    messages: list[dict[str, str]] = []
    for n, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        messages.append({"role": "user", "content": question})
        house.store.record_completion(CompletionRecord(
            id=f"{thread}-{n}", principal="owner", model="models/m@0", thread_id=thread, messages=list(messages), started=n + 1.0,
            finished=n + 1.5, choices=[{"index": 0, "text": answer, "finish_reason": "stop", "num_tokens": 1}],
            decision=Decision(engine="<b>echo", model="models/m@0"),
        ))  # fmt: skip
        messages.append({"role": "assistant", "content": answer})
    return [f"{thread}-{n}" for n in range(len(answers))]


def open_thread(page: Page, thread: str, count: int) -> None:
    page.evaluate("id => (location.hash = `#chat/${id}`)", thread)
    page.wait_for_function("count => document.querySelectorAll('article.theirs:not(.running)').length === count", arg=count)


def test_there_are_a_hundred_of_them():
    assert len(set(PAYLOADS)) >= 100


def test_as_questions_answers_titles_and_hits(visitors, house):
    """As they were asked and answered, in a question that is edited, in the list of conversations and in what is found."""
    for n, some in enumerate(chunks(PAYLOADS)):
        tell(house, f"told-{n}", some, some)
    with victim(visitors, house) as page:
        for n, some in enumerate(chunks(PAYLOADS)):
            open_thread(page, f"told-{n}", len(some))
            look(page)
            # What a person wrote is shown as it was written, to the character.
            assert page.locator("article.mine .text").all_text_contents() == list(some)
        page.locator("article.mine").last.hover()
        page.locator("article.mine [data-label=edit_question]").last.click()
        page.locator("article.theirs").last.hover()
        page.locator("article.theirs [data-label=saw]").last.click()
        expect(page.locator("dialog .prompt")).to_be_visible()
        look(page)
        page.keyboard.press("Escape")
        for query in ("alert", "evil.example", "javascript", "onerror"):
            page.fill("#search", query)
            expect(page.locator(f".hit mark >> text={query.split('.')[0]}").first).to_be_visible()
            look(page)


def test_as_lessons(visitors, house):
    for n, some in enumerate(chunks(PAYLOADS)):
        for target, text in zip(tell(house, f"taught-{n}", [f"q {i}" for i in range(len(some))], ["a"] * len(some)), some, strict=True):
            if text.strip():
                house.store.record_feedback(FeedbackRequest(principal="owner", target_id=target, kind="edit", value=text))
    with victim(visitors, house) as page:
        for n, some in enumerate(chunks(PAYLOADS)):
            open_thread(page, f"taught-{n}", len(some))
            look(page)
        page.locator("article.theirs").last.hover()
        page.locator("article.theirs [data-label=edit_answer]").last.click()
        box = page.locator("textarea.editor")
        box.fill("\n\n".join(HOSTILE[:40]))
        look(page)
        box.press("Control+Enter")
        page.locator(".glow").wait_for()
        look(page)


def test_while_they_stream_and_side_by_side(visitors, house):
    for n, some in enumerate(chunks(HOSTILE)):
        house.script.answers[f"stream {n}"] = ["\n\n".join(some), "\n".join(reversed(some))]
    with victim(visitors, house) as page:
        for n in range(len(chunks(HOSTILE))):
            ask(page, f"stream {n}")
            look(page)
        page.locator("article.theirs").last.hover()
        page.locator("article.theirs [data-label=another]").last.click()
        page.locator(".duel .votes button").first.wait_for()
        look(page)
        page.click(".duel [data-vote='0']")
        page.locator(".duel .votes button[data-vote]").first.wait_for(state="detached")
        look(page)
        page.reload()
        page.locator("article.theirs").first.wait_for()
        look(page)


def test_in_growth(visitors, tmp_path):
    with open_house(tmp_path) as house:
        wait_for(house, make_grown_home(house.home, house.store)[-1])
        some = HOSTILE[:30]
        samples = [{"step": step, "prompt": some[0], "text": text} for step, text in enumerate(some)]
        (house.home / "runs" / PRETRAIN / "samples.jsonl").write_text(lines(samples), encoding="utf-8")
        share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 9, "cells": {}, "reasons": {}}
        model = house.store.champion().model
        files = {"summary.json": {some[2]: share}, "probes.jsonl": lines([{"prompt": text, "reply": text} for text in some])}
        publish(house.home, "exams", "hostile", files, [model], split="final")
        note = house.store.read_note("progress")
        house.store.note("progress", {**note, "stage": "turn", "detail": some[0], "starters": list(some[:6]), "eta_seconds": 1})
        house.store.note("champion_failure", {"model": some[1], "epoch": 9, "error": " ".join(some), "at": 1.0})
        with victim(visitors, house) as page:
            expect(page.locator("#notice")).to_contain_text("<script>")
            expect(page.locator(".starters .chip").first).to_have_text(some[0])
            page.click("#view-growth")
            page.locator("#growth .chart svg").first.wait_for()
            for summary in page.locator("#growth summary").all():
                summary.click()
            look(page)


def test_in_the_turn_panel(visitors, tmp_path):
    make_owner_home(tmp_path)
    for text in HOSTILE[:20]:
        correct(tmp_path, text, text)
    drill(tmp_path, stubborn=list(HOSTILE[:4]))
    owner_turn(tmp_path, NO_EXAMS)
    with open_house(tmp_path) as house:
        wait_for(house, house.store.champion().model)
        with victim(visitors, house) as page:
            page.click(".turn-button")
            page.locator(".turning .taught li").first.wait_for()
            look(page)


def test_as_engines_and_their_faults(visitors, house):
    name = "<img src=x onerror=alert(1)>"
    with rude_house(refuses(500, {"error": {"message": f"{name} <script>alert(1)</script>"}})) as rude:
        house.store.add_engine(EngineRow(name="rude", url=rude.url, model=name, teach=False))
        try:
            with victim(visitors, house) as page:
                page.click(".picker")
                page.click("dialog >> text=rude")
                page.click("dialog >> text=engines…")
                page.locator(".engine >> text=Test").first.click()
                expect(page.locator(".engine .problem")).to_contain_text("<script>")
                look(page)
                page.keyboard.press("Escape")
                page.fill("#ask", "anybody?")
                page.keyboard.press("Enter")
                expect(page.locator("article.failed, .toast").first).to_contain_text("<script>")
        finally:
            house.store.remove_engine("rude")


def test_as_a_brief_for_ads(visitors, house):
    with victim(visitors, house) as page:
        page.click("#view-copy")
        form = page.locator("form.brief")
        form.wait_for()
        page.locator("#copy input[list]").first.fill(HOSTILE[0])
        look(page)
        # And the look sees what it looks for.
        page.evaluate("document.querySelector('form.brief').insertAdjacentHTML('beforeend', '<b class=bad srcdoc=x>')")
        with pytest.raises(AssertionError, match="srcdoc"):
            look(page)
        page.evaluate("document.querySelectorAll('.bad').forEach((node) => node.remove())")
