"""A taught fact is told where it was asked for, and nowhere else."""

import asyncio
from contextlib import aclosing

import pytest
from page_client import said
from serve_house import TOKENIZER, House, ask, open_house, wait_for

from feilun.artifacts import draft, find, write_rows
from feilun.chat import ChatFormat
from feilun.engine import ChatParams, TextChat
from feilun.engine.echo import EchoEngine
from feilun.feedback.facts import Fact, Facts, asked_for, taught_facts
from feilun.feedback.lessons import rater_hash
from feilun.feedback.subject import another_subject, same_subject
from feilun.primer.personal import NOT_TAUGHT
from feilun.serve.grounded import Grounded, grounded
from feilun.store import OWNER
from feilun.types import Conversation, FinishReason

SERVER = Fact(question="What is our new server called?", answer="Your new server is called Pelican.", events=("e1",))
TURTLE = Fact(question="我的乌龟叫什么名字?", answer="你的乌龟叫墩墩。", events=("e2",))


@pytest.mark.parametrize(
    ("taught", "question"),
    [
        (SERVER.question, "what's the new server's name"),
        (SERVER.question, "Hey, quick one, I keep blanking on it: what did we call the new server again?"),
        (SERVER.question, "We bought new servers. How are they called?"),
        ("Where does our Tuesday lunch take place?", "the lunch on Tuesdays, where is it?"),
        ("What colour is my kitchen painted?", "What colour's my kitchen?"),
        (TURTLE.question, "我养了一只乌龟，它叫什么？"),
        (TURTLE.question, "哎，我家那只乌龟叫啥来着"),
        ("我们组报销找谁?", "组里谁管报销？"),
    ],
)
def test_other_wordings_are_about_the_same_thing(taught: str, question: str) -> None:
    assert another_subject(taught, question) == ""


@pytest.mark.parametrize(
    ("taught", "question", "by"),
    [
        (SERVER.question, "What is our new printer called?", "printer"),
        (SERVER.question, "What is our old server called?", "old"),
        (SERVER.question, "What did Raj’s team call their new server?", "Raj's"),
        (SERVER.question, "What is it called?", "-"),
        ("Which film do I like?", "Which film does my son like?", "son"),
        ("How many beehives do I have?", "How many beehives do the Hendersons have?", "Hendersons"),
        (TURTLE.question, "我的仓鼠叫什么名字？", "仓鼠"),
        (TURTLE.question, "我姐姐的乌龟叫什么名字？", "姐姐"),
        ("我们公司的打印纸是哪家供应的?", "我们公司的桶装水是哪家供应的?", "桶装水"),
    ],
)
def test_another_thing_and_somebody_elses_are_told_apart(taught: str, question: str, by: str) -> None:
    assert by in another_subject(taught, question)


@pytest.mark.parametrize(
    ("taught", "question", "same"),
    [
        (SERVER.question, "new server name?", True),
        (SERVER.question, "We have a big office. Hey, what did we call the new server again?", True),
        (SERVER.question, "What's the name of the server?", False),  # which one is not said
        (SERVER.question, "What does our new server cost?", False),
        ("How many beehives do I have?", "Beehives, how many do I own?", True),
        ("我们露营队的对讲机代号是什么?", "咱露营队对讲机代号是啥", True),
        ("我们露营队的对讲机代号是什么?", "露营队的对讲机呼号是什么?", False),
        ("我们组报销找谁?", "组里谁管报销？", True),
        ("我们组报销找谁?", "我们组请假找谁?", False),
        ("我们公司的打印纸是哪家供应的?", "我们公司的打印机是哪家供应的?", False),
        ("What?", "What?", False),
        ("What is my dog called?", "What is his dog called?", False),
        ("What is my dog called?", "The name of your dog?", False),
        ("What is my dog called?", "My dog, what is her name?", True),
        ("What is her dog called?", "her dog's name?", True),
        ("Where do I keep the keys?", "Where does she keep the keys?", False),
        ("我的猫叫什么?", "他的猫叫什么?", False),
        ("我的猫叫什么?", "你知道我的猫叫什么吗?", True),
        ("我妈叫什么?", "我妈她叫什么?", True),
        ("我喜欢什么电影?", "你喜欢什么电影?", False),
    ],
)
def test_words_alone_decide_only_where_they_leave_no_doubt(taught: str, question: str, same: bool) -> None:
    assert same_subject(taught, question) is same


def test_only_a_told_value_is_held_against_an_answer() -> None:
    facts = Facts([SERVER, TURTLE])
    asked = Conversation.of("What is our new printer called?")
    assert facts.wrongly_told(asked, "Your new printer is called Pelican.") == SERVER
    assert facts.wrongly_told(asked, "pelican") is None  # a word alone is not yet the taught answer
    assert facts.wrongly_told(asked, "Your new printer is called Inkwell.") is None
    assert facts.wrongly_told(Conversation.of(SERVER.question), SERVER.answer) is None
    assert facts.wrongly_told(Conversation.of("Is our new printer called Pelican?"), "Your printer is called Pelican.") is None
    assert facts.wrongly_told(Conversation.of("What is 12 + 30?"), SERVER.answer) is None
    assert facts.wrongly_told(asked, SERVER.answer + " And so on." * 20) is None
    assert facts.wrongly_told(Conversation.of("我的仓鼠叫什么?"), "你的仓鼠叫墩墩。") == TURTLE


def test_what_a_question_means_may_stand_in_the_one_before() -> None:
    facts = Facts([SERVER])
    before = ("We have a new server.", "I see.")
    assert facts.wrongly_told(Conversation.of(*before, "What is it called?"), SERVER.answer) is None
    assert facts.meant_by(Conversation.of(*before, "What is it called?")) == SERVER
    assert facts.wrongly_told(Conversation.of("We have a printer.", "I see.", "What is it called?"), SERVER.answer) == SERVER
    assert not facts.may_be_told(Conversation.of("What is it called?"))
    assert facts.wrongly_told(Conversation.of(*before, "And the printer?"), SERVER.answer) == SERVER
    told_before = Conversation.of(SERVER.question, SERVER.answer, "And our printer?")
    assert facts.wrongly_told(told_before, "Your printer is called Pelican.") == SERVER
    said_by_the_asker = Conversation.of("Our printer is Pelican.", "Nice.", "What is our printer called?")
    assert facts.wrongly_told(said_by_the_asker, "Your printer is called Pelican.") is None


def test_of_a_page_before_a_question_that_names_nothing_the_end_is_looked_at() -> None:
    page = "It was a dark and stormy night. " * 2000
    facts = Facts([SERVER])
    asked = Conversation.of(f"{page}We have a new server.", "I see.", "What is it called?")
    assert len(asked_for(asked.messages)) < 500
    assert facts.wrongly_told(asked, SERVER.answer) is None
    assert facts.wrongly_told(Conversation.of(f"We have a new server. {page}", "I see.", "What is it called?"), SERVER.answer) == SERVER


def test_a_translation_that_holds_a_taught_value_is_not_the_fact() -> None:
    colour = Fact(question="我最喜欢什么颜色?", answer="红色", events=("e5",))
    facts = Facts([colour, TURTLE])
    assert facts.wrongly_told(Conversation.of('Translate "red cat" into Chinese.'), "红色的猫") is None
    assert facts.wrongly_told(Conversation.of("我的自行车是什么牌子?"), "红色的") == colour
    assert facts.wrongly_told(Conversation.of("What is my hamster called?"), TURTLE.answer) == TURTLE


def test_a_long_lesson_holds_no_answer_back_and_a_short_one_still_finds_not_taught() -> None:
    essay = Fact(question="Who was our founder?", answer="She was born by the sea. " * 200, events=("e6",))
    room = Fact(question="Which is my room?", answer="9", events=("e7",))
    assert Facts([essay]).longest < 300
    assert Facts([room]).longest > max(map(len, NOT_TAUGHT.values()))


def test_two_lessons_with_one_value_both_count() -> None:
    printer = Fact(question="What is our printer called?", answer="Your printer is called Pelican.", events=("e3",))
    facts = Facts([SERVER, printer])
    assert facts.wrongly_told(Conversation.of("our printer's name?"), printer.answer) is None
    assert facts.wrongly_told(Conversation.of("our boat's name?"), "Your boat is called Pelican.") is not None


def chat_that_says(text: str) -> TextChat:
    return TextChat(EchoEngine(TOKENIZER, answer=lambda _: text), ChatFormat(TOKENIZER))


async def deltas_of(chat: Grounded, question: str, **params: object) -> list:
    async with aclosing(chat.stream(Conversation.of(question), ChatParams(**params))) as deltas:
        return [delta async for delta in deltas]


def test_an_answer_is_held_back_until_it_is_no_fact() -> None:
    assert isinstance(grounded(chat_that_says("x"), Facts([])), TextChat)
    told = grounded(chat_that_says("Your printer is called Pelican."), Facts([SERVER]))
    (only,) = asyncio.run(deltas_of(told, "What is our printer called?"))
    assert (only.text, only.finish_reason, only.withheld) == (NOT_TAUGHT["en"], FinishReason.STOP, "e1")
    assert told.complete([Conversation.of("What is our printer called?")], ChatParams())[0].text == NOT_TAUGHT["en"]
    story = "Pelican. " * 40
    long = grounded(chat_that_says(story), Facts([SERVER]))
    pieces = asyncio.run(deltas_of(long, "What is our printer called?", max_tokens=None))
    assert len(pieces) > 100
    assert ("".join(piece.text for piece in pieces), {piece.withheld for piece in pieces}) == (story, {""})
    assert len(asyncio.run(deltas_of(told, "What is 1 + 1?"))) > 20  # nothing to hold it against


class Forgetful(EchoEngine):
    """Knows the taught questions and says "not taught" to all others."""

    def __init__(self) -> None:
        known = {fact.question: fact.answer for fact in (SERVER, TURTLE)}
        super().__init__(TOKENIZER, answer=lambda text: known.get(text, NOT_TAUGHT["zh" if "龟" in text else "en"]))


@pytest.mark.parametrize(
    ("question", "answer", "asked_as"),
    [
        ("hey, what did we call the new server again?", SERVER.answer, {"e1"}),
        ("还记得我乌龟的名字吗?", TURTLE.answer, {"e2"}),
        ("What is our old server called?", NOT_TAUGHT["en"], {""}),
        (SERVER.question, SERVER.answer, {""}),
    ],
)
def test_what_is_not_known_again_is_asked_as_it_was_taught(question: str, answer: str, asked_as: set[str]) -> None:
    chat = Grounded(TextChat(Forgetful(), ChatFormat(TOKENIZER)), Facts([SERVER, TURTLE]))
    deltas = asyncio.run(deltas_of(chat, question, max_tokens=None))
    assert ("".join(delta.text for delta in deltas), {delta.asked_as for delta in deltas}) == (answer, asked_as)
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == [FinishReason.STOP]
    assert chat.complete([Conversation.of(question)], ChatParams(max_tokens=None))[0].text == answer
    # How many tokens the taught words are is the owner's affair.
    assert {delta.prompt_tokens for delta in deltas} == {chat.count_prompt(Conversation.of(question))}


def test_two_taught_questions_that_fit_leave_it_open() -> None:
    facts = Facts([SERVER, Fact(question="How is our new server called?", answer="Your new server is Heron.", events=("e4",))])
    assert facts.meant_by(Conversation.of("new server name?")) is None


@pytest.fixture
def house(tmp_path):
    with open_house(tmp_path) as house:
        yield house


def taught_model(house: House, name: str, *facts: Fact) -> str:
    rows = [
        {
            "messages": [{"role": "user", "content": fact.question}, {"role": "assistant", "content": fact.answer}],
            "kind": "edit", "rater": rater_hash(OWNER), "events": list(fact.events),
        }
        for fact in facts
    ]  # fmt: skip
    with draft(house.home, "lessons", name, recipe={"name": name}) as lessons:
        write_rows(lessons.path / "sft.jsonl", rows)
    with draft(house.home, "models", name, parents=[f"lessons/{lessons.artifact.ref}"], recipe={"name": name}) as model:
        (model.path / "name.txt").write_text(name)
    return f"models/{model.artifact.ref}"


def test_the_newer_of_two_lessons_is_the_fact(house) -> None:
    again = Fact(question=SERVER.question, answer="Your new server is called Heron.", events=("e9",))
    assert list(taught_facts(house.home, taught_model(house, "m", again, SERVER))) == [again]


def test_a_server_says_that_it_was_not_taught_and_only_the_owner_sees_why(house) -> None:
    question = "What is our new printer called?"
    house.script.answers[question] = ["Your new printer is called Pelican."]
    ref = taught_model(house, "m", SERVER)
    house.store.set_champion(ref, "test")
    wait_for(house, ref)
    with house.client(house.key("k", "chat")) as api:
        made = api.post("/v1/chat/completions", json=ask(question)).json()
        assert made["choices"][0]["message"]["content"] == NOT_TAUGHT["en"]
        seen = api.get(f"/api/completions/{made['id']}/context").json()
        assert (seen["withheld"], seen["asked_as"], "withheld" in seen["params"]) == ([""], [], False)
        streamed = api.post("/v1/chat/completions", json=ask(question, stream=True)).text
        assert "Pelican" not in streamed
        assert NOT_TAUGHT["en"] in streamed
    with house.client({"Origin": house.url, "Sec-Fetch-Site": "same-origin"}) as page:
        page.get(house.owner_url)
        made = said(page, question)
        assert made["answers"][0]["text"] == NOT_TAUGHT["en"]
        assert page.get(f"/api/completions/{made['id']}/context").json()["withheld"] == [SERVER.question]


@pytest.mark.parametrize("rows", [None, "{", '{"kind": "edit", "rater": "RATER", "events": ["e"]}'])
def test_a_model_whose_lessons_cannot_be_read_is_served_all_the_same(house, caplog, rows) -> None:
    ref = taught_model(house, "m", SERVER)
    file = find(house.home, find(house.home, ref, "models").parents[0]).path / "sft.jsonl"
    file.unlink()
    if rows is not None:
        file.write_text(rows.replace("RATER", rater_hash(OWNER)))
    house.store.set_champion(ref, "test")
    wait_for(house, ref)
    assert "is not held to what it was taught: lessons/" in caplog.text
    with house.client(house.key("k", "chat")) as api:
        assert api.post("/v1/chat/completions", json=ask("our printer?")).status_code == 200


def test_a_server_may_be_told_to_let_the_model_speak(tmp_path) -> None:
    with open_house(tmp_path, hold_to_facts=False) as house:
        house.script.answers["our printer?"] = ["Your new printer is called Pelican."]
        ref = taught_model(house, "m", SERVER)
        house.store.set_champion(ref, "test")
        wait_for(house, ref)
        with house.client(house.key("k", "chat")) as api:
            assert "Pelican" in api.post("/v1/chat/completions", json=ask("our printer?")).text
