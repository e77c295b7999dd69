"""Answers of an engine elsewhere teach only while its terms allow it."""

import json
from pathlib import Path
from typing import Any

import pytest

from feilun.artifacts import Artifact
from feilun.feedback import build_lessons
from feilun.feedback.owner import owner_lessons
from feilun.store import CompletionRecord, Conflict, EngineRow, FeedbackRequest, NotFound, Store, StoreError, engine_of
from feilun.types import Decision

OWN, REMOTE, OTHER = "models/own@1", "engine:qwen/Qwen/Qwen3-8B", "engine:other/big"
URL = "http://127.0.0.1:9/v1"


def answered(store: Store, name: str, model: str, text: str, question: str = "which tea?") -> str:
    """One answer in one thread of the owner's; answers to the same question are siblings."""
    record = CompletionRecord(
        id=name, principal="owner", model=model, thread_id="t1", messages=[{"role": "user", "content": question}],
        choices=[{"index": 0, "text": text, "finish_reason": "stop"}], decision=Decision(engine="e", model=model),
    )  # fmt: skip
    store.record_completion(record)
    return name


def say(store: Store, target: str, kind: str, value: Any) -> None:
    store.record_feedback(FeedbackRequest(principal="owner", target_id=target, kind=kind, value=value))


def choose(store: Store, winner: str, *losers: str) -> None:
    say(store, winner, "choice", {"over": [{"id": loser, "index": 0} for loser in losers], "outcome": "win"})


def build(store: Store, home: Path) -> Artifact:
    # A thread with an owner's edit always teaches.
    say(store, answered(store, f"edit-{store.last_seq()}", OWN, "tap water", "which water?"), "edit", "spring water")
    return build_lessons(store, home, "lessons", gold=None)


def rows(made: Artifact, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.path / name).read_text(encoding="utf-8").splitlines()]


def taught(made: Artifact) -> list[str]:
    return sorted(row["messages"][-1]["content"] for row in rows(made, "sft.jsonl"))


def report(made: Artifact) -> dict[str, Any]:
    return json.loads((made.path / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def store(home: Path):
    with Store.open(home) as store:
        yield store


def praise(store: Store) -> None:
    say(store, answered(store, "remote", REMOTE, "green tea"), "thumb", 1)


def edit(store: Store) -> None:
    say(store, answered(store, "remote", REMOTE, "a tea that is grean"), "edit", "green tea")


def prefer_the_remote(store: Store) -> None:
    choose(store, answered(store, "remote", REMOTE, "green tea"), answered(store, "own", OWN, "black coffee"))


@pytest.mark.parametrize("act", [praise, edit, prefer_the_remote])
def test_an_answer_from_elsewhere_teaches_only_when_its_terms_allow_it(store: Store, home: Path, act) -> None:
    act(store)
    unknown = build(store, home)
    assert (taught(unknown), report(unknown)["dropped"]) == (["spring water"], {"terms": 1})
    store.add_engine(EngineRow(name="qwen", url=URL, model="Qwen/Qwen3-8B"))
    assert taught(build(store, home)) == ["spring water"]
    store.change_engine("qwen", teach=True)
    allowed = build(store, home)
    assert (taught(allowed), report(allowed)["dropped"].get("terms")) == (["green tea", "spring water"], None)
    store.remove_engine("qwen")
    assert taught(build(store, home)) == ["spring water"]


def test_the_owner_is_told_of_the_corrections_that_will_be_taught(store: Store, home: Path) -> None:
    edit(store)
    assert owner_lessons(store, home) == (0, 0)
    store.add_engine(EngineRow(name="qwen", url=URL, model="q", teach=True))
    assert owner_lessons(store, home) == (1, 1)


def test_the_flag_of_another_engine_allows_nothing(store: Store, home: Path) -> None:
    praise(store)
    store.add_engine(EngineRow(name="qwe", url=URL, model="m", teach=True))
    assert taught(build(store, home)) == ["spring water"]


def test_what_stood_when_lessons_were_built_is_in_their_recipe(store: Store, home: Path) -> None:
    store.add_engine(EngineRow(name="qwen", url=URL, model="q"))
    store.add_engine(EngineRow(name="other", url=URL, model="o", teach=True))
    made = build(store, home)
    assert made.manifest["recipe"]["terms"] == {"qwen": False, "other": True}
    store.change_engine("qwen", teach=True)
    assert build_lessons(store, home, "lessons", gold=None).hash != made.hash


def test_an_own_answer_that_won_keeps_its_text_and_loses_the_pairs_of_others(store: Store, home: Path) -> None:
    own, second = answered(store, "own", OWN, "black coffee"), answered(store, "second", OWN, "milk")
    choose(store, own, answered(store, "remote", REMOTE, "green tea"), second, answered(store, "other", OTHER, "mate"))
    made = build(store, home)
    assert taught(made) == ["black coffee", "spring water"]
    assert {(row["chosen"], row["rejected"]) for row in rows(made, "pairs.jsonl")} == {
        ("black coffee", "milk"),
        ("spring water", "tap water"),
    }
    assert (report(made)["num_pairs"], report(made)["num_pairs_withheld"]) == (2, 2)
    assert "terms" not in report(made)["dropped"]
    store.add_engine(EngineRow(name="other", url=URL, model="big", teach=True))
    assert {row["rejected"] for row in rows(build(store, home), "pairs.jsonl")} == {"milk", "tap water", "mate"}


def test_a_text_that_the_own_model_lost_with_too_is_no_secret_of_the_other(store: Store, home: Path) -> None:
    own = answered(store, "own", OWN, "black coffee")
    choose(store, own, answered(store, "remote", REMOTE, "milk"), answered(store, "second", OWN, "milk"))
    assert {row["rejected"] for row in rows(build(store, home), "pairs.jsonl")} == {"milk", "tap water"}


def test_what_does_not_teach_is_counted_as_what_it_is(store: Store, home: Path) -> None:
    remote, own = answered(store, "remote", REMOTE, "green tea"), answered(store, "own", OWN, "coffee")
    say(store, remote, "thumb", -1)
    say(store, remote, "choice", {"over": [{"id": own, "index": 0}], "outcome": "tie"})
    made = build(store, home)
    assert (report(made)["signals"], report(made)["dropped"]) == ({"thumb_down": 1, "tie": 1}, {})


# the rows of engines


def test_a_name_stands_for_one_endpoint(store: Store) -> None:
    first = store.add_engine(EngineRow(name="qwen", url=URL, model="q"))
    assert store.engines() == [store.engine("qwen")] == [first]
    with pytest.raises(Conflict, match="remove it first"):
        store.add_engine(EngineRow(name="qwen", url=URL, model="q"))
    store.remove_engine("qwen")
    assert store.engines() == []
    with pytest.raises(NotFound):
        store.engine("qwen")
    store.add_engine(EngineRow(name="qwen", url="http://elsewhere/v1", model="q"))  # it never spoke
    store.change_engine("qwen", teach=True, model="Qwen/Qwen3-8B")
    answered(store, "remote", store.engine("qwen").ref, "green tea")
    store.remove_engine("qwen")
    with pytest.raises(Conflict, match="answers are kept"):
        store.add_engine(EngineRow(name="qwen", url=URL, model="q"))
    assert not store.add_engine(EngineRow(name="qwen", url="http://elsewhere/v1", model="q")).teach


@pytest.mark.parametrize("name", ["", "Qwen", "a/b", "a b", "é", "x" * 33, "qwen\n"])
def test_a_name_is_plain(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="1 to 32"):
        store.add_engine(EngineRow(name=name, url=URL, model="q"))


def test_whose_answer_it_is_stands_in_the_name_of_the_model() -> None:
    assert [engine_of(model) for model in (OWN, REMOTE, OTHER, "engine:x", "engines@1")] == [None, "qwen", "other", "x", None]
