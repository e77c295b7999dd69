"""The routes of the copywriting scene."""

from collections.abc import Iterator

import httpx
import pytest
from serve_house import House, ask, error_of, open_house, wait_for

from feilun.exam.tasks import open_tasks
from feilun.primer import copywriting as cw

BRIEF = {"lang": "zh", "product": "伞", "feature": "轻便", "price": 59, "tone": "lively", "limit": 20}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("shop") / "home") as house:
        wait_for(house, house.promote("echo"))
        yield house


@pytest.fixture(scope="module")
def client(house: House) -> Iterator[httpx.Client]:
    with house.client(house.key("reader", "chat")) as client:
        yield client


def check(client: httpx.Client, brief: object, text: object) -> httpx.Response:
    return client.post("/api/copywriting/check", json={"brief": brief, "text": text})


def test_every_rule_is_told_with_what_was_found(client):
    found = check(client, BRIEF, "轻便的伞,只要69元,快来看看!").json()
    assert [(rule["name"], rule["ok"]) for rule in found["constraints"]] == [
        ("product", True), ("feature", True), ("price", False), ("limit", True), ("tone", True), ("language", True),
    ]  # fmt: skip
    assert found["constraints"][2] == {"name": "price", "ok": False, "found": "69", "wanted": "59"}
    assert cw.parse_brief(found["question"]) == cw.Brief(**BRIEF)


def test_the_question_is_one_that_the_model_knows(client, house):
    question = check(client, BRIEF, "").json()["question"]
    answer = client.post("/v1/chat/completions", json=ask(question)).json()
    assert answer["choices"][0]["message"]["content"] == f"echo: {question}"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"brief": {**BRIEF, "price": 0}, "text": ""}, "brief"), ({"brief": {**BRIEF, "tone": "sad"}, "text": ""}, "brief"),
        ({"brief": {**BRIEF, "price": "59"}, "text": ""}, "brief"), ({"brief": None, "text": ""}, "brief"),
        ({"brief": [], "text": ""}, "brief"),
        ({"brief": BRIEF, "text": 3}, "text"), ({"brief": BRIEF, "text": "x" * 20_001}, "text"), ({"brief": BRIEF}, None), ([], None),
        ({"brief": BRIEF, "text": "", "more": 1}, None),
    ],
)  # fmt: skip
def test_what_is_no_brief_is_refused_by_name(client, body, param):
    error = error_of(client.post("/api/copywriting/check", json=body), 400)
    assert (error["param"], error["code"]) == (param, "invalid_value")


def test_choices_name_everything_twice_and_show_no_exam(client):
    found = client.get("/api/copywriting/choices").json()
    assert set(found) == {"zh", "en"}
    asked = {
        sample.reference["brief"]["product"] + sample.reference["brief"]["feature"]
        for sample in open_tasks(("copywriting",))[0].samples("gate", 402)
    }
    for lang, other in (("zh", "en"), ("en", "zh")):
        part = found[lang]
        assert all(part["names"][name] in found[other]["names"] for name in part["names"])
        assert all(product in part["names"] and features for product, features in part["products"].items())
        assert set(part["tones"]) == {"plain", "lively", "formal"}
        assert len(part["briefs"]) == 12
        for brief in part["briefs"]:
            assert cw.Brief(**brief).lang == lang
            assert brief["feature"] in part["products"][brief["product"]]
            assert brief["product"] + brief["feature"] not in asked


def test_both_routes_want_a_key_that_may_chat(house):
    with house.client() as stranger, house.client(house.key("voter", "feedback")) as voter:
        for client, status in ((stranger, 401), (voter, 403)):
            error_of(client.get("/api/copywriting/choices"), status)
            error_of(check(client, BRIEF, ""), status)
