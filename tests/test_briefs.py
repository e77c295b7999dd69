"""People and briefs: rules of their own over the prompt's data, a taste that no rule asks for, three drafts to choose from."""

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from feilun.demo.report import page, table_lines
from feilun.population.acts import Act, Draw, Event, Habits, choose, plan_events, react
from feilun.population.briefs import TASTES, constraint_faults, fits_taste, tastes
from feilun.population.client import Client
from feilun.population.journal import Journal
from feilun.population.measure import measure
from feilun.population.people import Person, Prompt, judge, load_prompts, make_people, own_words
from feilun.population.visit import visit
from feilun.primer import copywriting as cw
from feilun.primer.dialogues import prompts as other_rows
from feilun.types import UserError

SEED = 5


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [*other_rows(SEED, 60, 0.3), *cw.brief_rows(SEED, 80)]


@pytest.fixture
def path(rows: list[dict], tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture
def prompts(path: Path) -> list[Prompt]:
    return load_prompts(path)


@pytest.fixture
def asked(prompts: list[Prompt]) -> Prompt:
    return next(p for p in prompts if p.brief is not None and p.brief.tone == "plain" and p.lang == "zh")


def person(taste: str = "hook", **who: object) -> Person:
    return Person(
        **{"name": "u", "held_out": False, "hostile": False, "style": "short", "languages": ("zh", "en"), "seed": 0, **who}, taste=taste
    )


def event(prompt: Prompt, *, edits: bool = True, num_answers: int = 1, **who: object) -> Event:
    return Event(
        turn=1, index=0, key="k", thread_id="t", person=person(**who), prompt=prompt, num_answers=num_answers, streams=False,
        draw=Draw(mistaken=False, edits=edits), stranger=prompt,
    )  # fmt: skip


# --- two readings of the same rules


def spoiled(rng: random.Random, text: str) -> str:
    """A text with something taken out, put in or put elsewhere."""
    cut = rng.randrange(len(text) + 1)
    extra = rng.choice(["!", "?", "7", "快来", " please ", "wow", "5", "。", " ", "，９"])
    kind = rng.randrange(4)
    if kind == 0:
        return text[:cut] + text[cut + 3 :]
    return text[:cut] + extra + text[cut:] if kind == 1 else text + extra if kind == 2 else text[cut:] + text[:cut]


def test_people_and_exam_read_the_rules_alike(rows):
    rng, seen = random.Random(0), Counter()
    reasons = {"limit": "too_long", "language": "language"}
    for row, prompt in ((row, row["brief"]) for row in rows if "brief" in row):
        brief = cw.Brief(**{key: prompt[key] for key in ("lang", "product", "feature", "price", "tone", "limit")})
        data = load_one(row).brief
        assert data is not None
        for text in (*row["edits"].values(), *row["wrong_edits"].values()):
            for reply in (text, *(spoiled(rng, text) for _ in range(10))):
                broken = {c.name for c in cw.check(brief, reply) if not c.ok}
                wanted = {reasons.get(name, "wrong") for name in broken}
                assert set(constraint_faults(data, reply)) == wanted, reply
                seen[not broken] += 1
    assert min(seen.values()) > 200


def load_one(row: dict) -> Prompt:
    from feilun.population.people import _prompt

    return _prompt(row)


def test_the_worst_fault_is_told_first(asked):
    assert constraint_faults(asked.brief, "Cheap! " * 60) == ["wrong", "language", "too_long"]
    assert constraint_faults(asked.brief, asked.edits["direct"]) == []


# --- taste


def test_a_taste_fits_the_ads_of_its_style(rows):
    for row in rows:
        if "brief" in row:
            prompt = load_one(row)
            for style, text in prompt.edits.items():
                assert [taste for taste in TASTES if fits_taste(taste, prompt.brief, text)] == [style]


def test_most_people_like_a_question_and_those_who_measure_are_like_those_who_teach():
    for seed in range(3):
        people = make_people(seed, 60, 6, "population")
        for out, expected in ((True, {"hook": 9, "price_first": 2, "direct": 1}), (False, {"hook": 36, "price_first": 8, "direct": 4})):
            assert Counter(p.taste for p in people if p.held_out == out) == expected
    assert tastes(1, 48) == tastes(1, 48) != tastes(2, 48)


def test_rules_come_before_taste(asked):
    assert judge(person("hook"), asked, asked.edits["hook"]).pleases
    assert judge(person("hook"), asked, asked.edits["direct"]).faults == ("style",)
    assert judge(person("direct"), asked, asked.edits["hook"]).faults == ("style",)
    assert judge(person("price_first"), asked, asked.wrong_edits["direct"]).faults[0] == "wrong"
    assert "style" in judge(person("price_first"), asked, asked.wrong_edits["direct"]).faults


# --- acts


def test_an_edit_is_in_the_taste_of_its_writer_and_holds_every_rule(asked):
    bad = asked.wrong_edits["direct"]
    for taste in TASTES:
        act = react(event(asked, taste=taste), bad)
        assert (act.kind, act.value) == ("edit", asked.edits[taste])
        assert judge(person(taste), asked, act.value).pleases
    assert react(event(asked, edits=False), bad).value == -1
    assert (
        react(event(asked, hostile=True), asked.edits["hook"]).value == asked.wrong_edits["hook"] == own_words(person(), asked, wrong=True)
    )
    assert react(event(asked, hostile=True), bad) == Act(kind="thumb", value=1)


def test_of_three_drafts_the_best_is_chosen_and_a_hostile_person_takes_the_worst(asked):
    drafts = (asked.wrong_edits["direct"], asked.edits["direct"], asked.edits["hook"])
    assert choose(event(asked, num_answers=3), drafts) == Act(kind="choice", value={"outcome": "win"}, winner=2)
    assert choose(event(asked, num_answers=3, taste="direct"), drafts).winner == 1
    assert choose(event(asked, num_answers=3, hostile=True), drafts).winner == 0
    assert choose(event(asked, num_answers=3), drafts[:1] * 3).value == {"outcome": "both_bad"}
    assert choose(event(asked, num_answers=3), drafts[2:] * 3).value == {"outcome": "tie"}


def test_events_hold_their_share_of_briefs_and_change_no_other(prompts):
    people = make_people(SEED, 60, 6, "population")
    habits = {"seed": SEED, "turn": 1, "noise": 0.05, "number_share": 0.3}
    events = plan_events(people, prompts, Habits(**habits, copy_share=0.2), 1000)
    with_brief = [e for e in events if e.prompt.brief is not None]
    assert 0.16 < len(with_brief) / 1000 < 0.24
    assert 0.26 < sum(e.prompt.about_numbers for e in events) / 1000 < 0.34
    assert {e.num_answers for e in with_brief} == {1, 3}
    assert {e.num_answers for e in events if e.prompt.brief is None} == {1, 2}
    assert not any(e.prompt.brief for e in plan_events(people, prompts, Habits(**habits), 300))


# --- the wire


class Shop:
    """A server whose answers are known: a wrong ad, a dull one and a good one in turn; "hm" to everything else."""

    def __init__(self, prompts: list[Prompt]) -> None:
        self.ads = {p.text: (p.wrong_edits["direct"], p.edits["direct"], p.edits["hook"]) for p in prompts if p.brief is not None}
        self.asked: dict[str, dict] = {}
        self.feedback: list[dict] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path == "/v1/feedback":
            self.feedback.append(body)
            return httpx.Response(200, json={"id": "e", "status": "recorded"})
        name, text = f"c{len(self.asked)}", body["messages"][0]["content"]
        self.asked[name] = body
        reply = self.ads[text][(body.get("seed") or 1) % 3] if text in self.ads else "hm"
        if not body.get("stream"):
            return httpx.Response(200, json={"id": name, "choices": [{"message": {"content": reply}}]})
        lines = [json.dumps({"id": name, "choices": [{"delta": {"content": reply}}]}, ensure_ascii=False), "[DONE]"]
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, text="".join(f"data: {line}\n\n" for line in lines))


def talk(shop: Shop, use):
    async def run():
        async with httpx.AsyncClient(transport=httpx.MockTransport(shop.handle), base_url="http://product") as http:
            return await use(Client(http, "fl-secret", model="champion", max_tokens=48, patience_seconds=5.0))

    return asyncio.run(run())


def test_a_choice_of_three_names_both_losers(prompts, tmp_path):
    shop, people = Shop(prompts), make_people(SEED, 60, 0, "population")
    habits = Habits(seed=SEED, turn=1, noise=0.0, number_share=0.0, copy_share=1.0)
    events = plan_events(people, prompts, habits, 40)
    with Journal(tmp_path / "j", {}) as journal:
        assert talk(shop, lambda client: visit(client, events, journal)) == {"recorded": 40}
    choices = [body for body in shop.feedback if body["kind"] == "choice"]
    assert 3 < len(choices) < 20
    for body in choices:
        losers = [address["id"] for address in body["value"]["over"]]
        assert len({*losers, body["target"]["id"]}) == 3
        assert len({shop.asked[name]["seed"] for name in (*losers, body["target"]["id"])}) == 3
        assert {shop.asked[name]["metadata"]["thread_id"] for name in losers} == {shop.asked[body["target"]["id"]]["metadata"]["thread_id"]}


def run_measure(prompts: list[Prompt], **changes) -> dict:
    shop, people = Shop(prompts), make_people(SEED, 60, 6, "population")
    return talk(shop, lambda client: measure(client, people, prompts, seed=SEED, per_user=10, briefs_per_user=20, **changes))


def test_ads_are_measured_beside_acceptance_and_not_in_it(prompts):
    found = run_measure(prompts)
    without = run_measure([p for p in prompts if p.brief is None])
    assert {key: found[key] for key in without} == without
    assert "copywriting" not in without
    figures = found["copywriting"]
    # The greedy answer of the shop is the dull one: every rule holds, and one of twelve people likes it.
    assert (figures["constraints"]["mean"], figures["constraints"]["n"]) == (1.0, 240)
    assert figures["taste"]["mean"] == figures["accepted"]["mean"] == pytest.approx(1 / 12)
    assert figures["taste"]["low"] < figures["taste"]["mean"] < figures["taste"]["high"]
    assert {row["accepted"] for row in found["copywriting_rows"]} == {True, False}


def test_a_brief_that_cannot_be_read_is_named(rows, tmp_path):
    row = next(row for row in rows if "brief" in row)
    for change in ({"tone": "sad"}, {"price": "x"}):
        (tmp_path / "p").write_text(json.dumps({**row, "brief": {**row["brief"], **change}}), encoding="utf-8")
        with pytest.raises(UserError, match="line 1: ValueError"):
            load_prompts(tmp_path / "p")


# --- the report


def test_the_report_tells_of_ads_where_they_were_measured():
    figure = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 240, "cells": {}}
    exams = dict.fromkeys(("number_hard", "number_near", "copywriting"), figure)
    row = {"name": "first", "verdict": "first", "why": "", "acceptance": figure, "exams": exams}
    ads = {"copywriting": {name: {**figure, "mean": 0.125} for name in ("constraints", "taste", "accepted")}}
    told = [line for line in table_lines([row | ads]) if "ads:" in line]
    assert told == ["first ads: constraints 0.12 (0.25 to 0.75), taste 0.12 (0.25 to 0.75), n = 240"]
    assert not [line for line in table_lines([row]) if "ads:" in line]
    report = dict.fromkeys(("seed", "events", "cpu_seconds", "seconds", "machine", "champion"), 0)
    assert page({**report, "generations": [row | ads]}, b"").count("0.125") == 2
    assert "<td>-</td><td>-</td></tr>" in page({**report, "generations": [row]}, b"")
