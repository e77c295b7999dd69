"""The server's sentences in the reader's language: known ones, whole, for pages alone."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from page_client import events_of, post
from rude_house import refuses, rude_house
from serve_house import error_of, open_house

import feilun
from feilun.serve.auth import issue_owner_token
from feilun.serve.language import CHINESE, said
from feilun.store import EngineRow

HOLE = re.compile(r"\{(\w+)\}")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in Path(feilun.__file__).parent.rglob("*.py") if path.name != "language.py")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house"), first="first") as house:
        yield house


@pytest.fixture
def owner(house):
    with house.client({"Accept-Language": "zh-CN,en;q=0.5", "Origin": house.url}) as client:
        client.get("/", params={"token": issue_owner_token(house.store)})
        yield client


def test_a_known_sentence_is_said_whole():
    """None hides behind another one, and what its holes held is still there."""
    for english, chinese in CHINESE.items():
        holes = {hole: f"x{number}" for number, hole in enumerate(HOLE.findall(english))}
        assert said(english.format(**holes), "zh") == chinese.format(**holes)
        assert said(english.format(**holes), "en") == english.format(**holes)
        assert set(HOLE.findall(chinese)) <= holes.keys()


def test_a_known_sentence_is_one_that_is_said():
    """Its words stand in the code in this order, with one seam at most, so that neither can change without the other."""
    for english in CHINESE:
        for part in re.split(r"\{\w+\}", english):
            words = part.split()
            pairs = [" ".join(pair) for pair in pairwise(words)]
            assert len([pair for pair in pairs if pair not in SOURCE]) <= 1, english


@pytest.mark.parametrize("sentence", ["", "nobody ever said this", "engine ", "一句中文", "engine a: " + "; try again shortly" * 200])
def test_what_is_not_known_stays_as_it_is(sentence):
    assert said(sentence, "zh") == sentence


def test_a_sentence_inside_a_sentence():
    wanted = "引擎 far：它正忙（429: slow down）；请在 7 秒后再试"
    assert said("engine far: it is busy (429: slow down); try again in 7 seconds", "zh") == wanted
    assert said("abandoned: given up after 3 tries: no such thing", "zh") == "放弃了：试了 3 次都没有成：no such thing"


def test_a_page_gets_its_language_and_a_program_english(house, owner):
    wanted = "不是接口地址"
    assert wanted in error_of(owner.post("/api/engines", json={"name": "x", "url": "ftp://x"}), 400)["message"]
    assert "之前没有别的模型可退" in error_of(owner.post("/api/rollback", json={}), 409)["message"]
    owner.cookies.set("feilun_lang", "en")
    assert "to go back to" in error_of(owner.post("/api/rollback", json={}), 409)["message"]
    with house.client({**house.key("program", "chat"), "Accept-Language": "zh"}) as program:
        asked = program.post("/api/chat", json={"text": "x", "model": "engine:none"})
        assert error_of(asked, 404)["message"] == "there is no engine 'none'"


def test_why_an_answer_failed_is_said_in_the_readers_language(house, owner):
    with rude_house(refuses(401, {"error": {"message": "who?"}})) as rude:
        house.store.add_engine(EngineRow(name="rude", url=rude.url, model="m", teach=False))
        failed = events_of(owner, post(owner, "hello", model="engine:rude").id)[-1]
    assert (failed.name, failed.data["message"]) == ("failed", "引擎 rude：它不接受这个密钥（401: who?）")
    rows = owner.get("/api/engines").json()["engines"]
    assert rows[1]["problem"] == failed.data["message"]


def test_a_request_without_a_turn_says_why_in_the_readers_language(house, owner):
    request = house.store.ask_turn("owner")
    house.store.answer_request(request, "there is no champion to start from; promote a model first: feilun promote REF")
    reasons = owner.get("/api/turn").json()["last"]["reasons"]
    assert reasons == [{"code": "said", "text": "没有可以出发的模型；请先换上一个：feilun promote REF"}]
