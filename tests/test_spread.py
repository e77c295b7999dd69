"""One correction in other words: what stays, what moves, and what the turn makes of it."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from feilun.artifacts import draft, read_json, read_rows, write_rows
from feilun.config import PreferSettings, TurnSettings
from feilun.engine.chat import ChatParams
from feilun.feedback.lessons import rater_hash
from feilun.feedback.spread import Spreader, split_words
from feilun.store import OWNER
from feilun.turn.spread import spread_lessons
from feilun.types import Conversation, FinishReason, Reply

UNTAUGHT = "I was not taught this."
EARLIER = [f"What is my {thing} called?" for thing in ("dog", "boat", "horse") for _ in range(3)] + ["我的狗叫什么?", "我的船叫什么?"] * 3
ASKED = "What is my cat called?"


def spreader() -> Spreader:
    return Spreader.from_questions(EARLIER, EARLIER)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (ASKED, ["cat"]),
        ("Which city does my sister live in?", ["city", "sister", "live"]),
        ("我的游泳教练叫什么?", ["游泳教练"]),
        ("我常去的咖啡馆在哪儿", ["常去", "咖啡馆"]),
        ("???", []),
    ],
)
def test_words_of_asking_are_told_from_the_others(text: str, content: list[str]) -> None:
    words = split_words(text)
    assert [word.text for word in words if word.is_content] == content
    assert all(word.text in text for word in words)


def test_the_rarest_word_is_what_a_question_is_about_and_stays_in_most_wordings() -> None:
    made = spreader()
    assert made.key("What is my cat called at home?") == "home"  # both unseen: the longest
    assert made.key("Is my dog my cat?") == "cat"
    for question, key in ((ASKED, "cat"), ("我的猫叫什么?", "猫")):
        wordings = made.variants(question, 200, random.Random(0))
        assert len(wordings) == 200
        assert wordings[0] == question
        assert sum(wording.lower().replace("？", "?") == question.lower() for wording in wordings) >= 10
        assert len(set(wordings)) > 120
        assert sum(key in wording.lower() for wording in wordings) > 150
        assert all(wording.strip("?？,， ") for wording in wordings)


def test_neighbours_ask_about_something_else() -> None:
    for question, key in ((ASKED, "cat"), ("我的猫叫什么?", "猫")):
        beside = spreader().neighbours(question, 200, random.Random(0))
        assert len(beside) > 150
        assert not any(key in text.lower() for text in beside)
        assert any(thing in " ".join(beside) for thing in ("boat", "船"))


@pytest.mark.parametrize("question", ["9.11 和 9.8 哪个大?", "What is 27 + 58?", "one\ntwo", "word " * 30, "???"])
def test_figures_and_long_texts_are_not_put_in_other_words(question: str) -> None:
    made = spreader()
    assert made.variants(question, 5, random.Random(0)) == [question] * 5
    assert made.neighbours(question, 5, random.Random(0)) == []


class Knowing:
    """A champion that knows the boat, says it was not taught the rest, and stumbles over the horse."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        self.asked += [conversation.messages[-1].text for conversation in conversations]
        return [self._reply(conversation.messages[-1].text, number) for number, conversation in enumerate(conversations)]

    def _reply(self, question: str, number: int) -> Reply:
        text = "It is Argo." if "boat" in question.lower() else f"noise {number}" if "horse" in question.lower() else UNTAUGHT
        return Reply(text=text, finish_reason=FinishReason.STOP, num_tokens=3)


def lesson(question: str, answer: str, rater: str = OWNER, kind: str = "edit", task: str = "") -> dict[str, object]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "weight": 1.0, "kind": kind, "events": ["e"], "rater": rater_hash(rater), "task": task}


def make_lessons(home: Path, name: str, rows: Sequence[dict[str, object]], pairs: Sequence[dict[str, object]] = ()) -> str:
    with draft(home, "lessons", name) as work:
        write_rows(work.path / "sft.jsonl", rows)
        write_rows(work.path / "pairs.jsonl", pairs)
    assert work.artifact is not None
    return f"lessons/{work.artifact.ref}"


def make_home(home: Path) -> tuple[str, str, TurnSettings]:
    with draft(home, "models", "champion") as work:
        (work.path / "weights").write_text("w")
    assert work.artifact is not None
    earlier = [lesson(question, UNTAUGHT, "primer") for question in EARLIER]
    earlier += [lesson("Tell me what my cat is called", UNTAUGHT, "primer"), lesson("Draw the cat", "Here it is.", "primer")]
    earlier += [lesson(f"{thing}, advertised", "Careless.", "primer", task="ads") for thing in ("A boat", "A horse")]
    replay = make_lessons(home, "examples", earlier)
    taught = [
        lesson(ASKED, "Mimi."),
        lesson("What is 27 + 58?", "85"),
        lesson("Hi", "Hello.", "key:a"),
        lesson("Bye", "Bye.", OWNER, "thumb"),
    ]
    pair = {
        "prompt": [{"role": "user", "content": ASKED}],
        "chosen": "Mimi.",
        "rejected": UNTAUGHT,
        "weight": 1.0,
        "rater": rater_hash(OWNER),
    }
    lessons = make_lessons(home, "turn-1", taught, [pair])
    return (
        lessons,
        f"models/{work.artifact.ref}",
        TurnSettings(prefer=PreferSettings(replay=replay.partition("/")[2], replay_without=("ads",))),
    )


def test_the_owners_corrections_are_spread_and_neighbours_keep_their_answer(tmp_path: Path) -> None:
    lessons, champion, settings = make_home(tmp_path)
    chat = Knowing()
    made = spread_lessons(tmp_path, lessons, champion, settings, "spread", chat=chat)
    rows = read_rows(made.path / "sft.jsonl")
    answers = Counter((row["kind"], row["messages"][-1]["content"]) for row in rows)
    assert answers["wording", "Mimi."] == 240
    assert answers["wording", "85"] == 240
    assert {row["messages"][0]["content"] for row in rows if row["messages"][-1]["content"] == "85"} == {"What is 27 + 58?"}
    assert answers["neighbour", UNTAUGHT] > 5
    assert answers["neighbour", "It is Argo."] > 2
    assert not any(text.startswith("noise") for _, text in answers)
    assert not any(text in ("Hello.", "Bye.") for _, text in answers)
    report = read_json(made.path / "report.json")
    assert report["unlearn"] == ["Tell me what my cat is called"]
    assert report["counts"]["corrections"] == 2
    assert report["counts"]["not_spread"] == 1
    assert report["counts"]["neighbours"] + report["counts"]["unsettled"] + 2 == len(chat.asked)
    rehearsed = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in read_rows(made.path / "rehearsal.jsonl")}
    assert rehearsed["A boat, advertised"] == "It is Argo."
    assert rehearsed["A horse, advertised"].startswith("noise")
    assert report["counts"]["rehearsed"] == 2
    assert made.parents == (lessons, champion, f"lessons/{settings.prefer.replay}")


def test_the_same_corrections_give_the_same_lessons(tmp_path: Path) -> None:
    lessons, champion, settings = make_home(tmp_path)
    refs = {spread_lessons(tmp_path, lessons, champion, settings, "spread", chat=Knowing()).ref for _ in range(2)}
    assert len(refs) == 1


def test_what_is_taught_in_a_conversation_is_taught_alone_and_after_other_things_too(tmp_path: Path) -> None:
    """A question that says by itself what it is about leaves its conversation; one that does not stays there."""
    own = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    clear, unclear = lesson(ASKED, "Mimi."), lesson("What is it?", "A cat.")
    taught = [{**row, "messages": [*own, *row["messages"]]} for row in (clear, unclear)]
    rejected = {"prompt": [], "chosen": "Mimi.", "rejected": UNTAUGHT, "rater": rater_hash(OWNER)}
    _, champion, settings = make_home(tmp_path)
    made = spread_lessons(tmp_path, make_lessons(tmp_path, "turn-2", taught, [rejected]), champion, settings, "spread", chat=Knowing())
    before = {"Mimi.": Counter[str](), "A cat.": Counter[str]()}
    for row in read_rows(made.path / "sft.jsonl"):
        *earlier, _, answer = row["messages"]
        if row["kind"] == "wording":
            before[answer["content"]][earlier[0]["content"] if earlier else ""] += 1
    assert before["A cat."].keys() == {"Hello"}
    known = {question for question in before["Mimi."] if question in EARLIER}
    assert min(before["Mimi."]["Hello"], before["Mimi."][""]) > 40
    assert len(known) >= 4
    assert "Tell me what my cat is called" not in before["Mimi."]  # its answer argues against what is taught


def test_an_answer_that_stayed_under_an_objection_is_no_example_of_its_question(tmp_path: Path) -> None:
    """ "Are you sure?" asks nothing by itself: not rehearsed, no opening, and none of its words are a thing to ask about."""
    asked, doubted = "A boat, advertised", "Surely not, gondolier?"
    stayed = lesson(asked, "Careless.", "primer", task="ads")
    stayed["messages"] = [
        *({"role": role, "content": text} for role, text in (("user", asked), ("assistant", "Argo."), ("user", doubted))),
        {"role": "assistant", "content": "Argo."},
    ]  # fmt: skip
    gave_way = {**stayed, "messages": [*stayed["messages"][:-1], {"role": "assistant", "content": "Nina, then."}]}  # type: ignore[index]
    _, champion, settings = make_home(tmp_path)
    lessons = make_lessons(tmp_path, "turn-3", [lesson(ASKED, "Mimi.")])
    for row, is_kept in ((stayed, False), (gave_way, True)):
        replay = make_lessons(tmp_path, f"examples-{is_kept}", [row, row, lesson("A cat, advertised", "Soft.", "primer", task="ads")])
        told = replace(settings, prefer=replace(settings.prefer, replay=replay.partition("/")[2]))
        chat = Knowing()
        made = spread_lessons(tmp_path, lessons, champion, told, f"spread-{is_kept}", chat=chat)
        assert (doubted in chat.asked) == is_kept
        assert any("gondolier" in text for text in chat.asked) == is_kept
        assert read_json(made.path / "report.json")["counts"]["rehearsed"] == (3 if is_kept else 1)
