"""What a model may lose: from the champion, from the best before it, and where a first look leaves that open."""

import shutil

import pytest
from turn_house import FIRST, SETTINGS, drill, home, say, turn_of

from feilun.artifacts import find, read_json
from feilun.feedback.account import account_of
from feilun.store import Store
from feilun.turn import promote, receipt_faults
from feilun.turn.line import line_of

__all__ = ["home"]

RISEN = {"number_hard": 0.5, "number_near": 0.9, "copying": 0.92}
# Each step loses .03 of copying, as much as a turn may; together it is more.
LOWER = {"number_hard": 0.9, "number_near": 0.9, "copying": 0.89}


def turn_to(home, candidate):
    with Store.open(home) as store:
        say(store, f"event-{len(store.events()) + 1}")
    drill(home, candidate=candidate)
    return turn_of(home)


def receipt_of(home, result):
    return read_json(find(home, result.outputs["gate"]["receipt"]).path / "receipt.json")


def test_what_is_lost_little_by_little_is_refused_by_the_best_before(home):
    first = turn_to(home, RISEN)
    assert first.verdict == "promoted"
    second = turn_to(home, LOWER)
    assert second.verdict == "refused"
    assert second.outputs["exam"]["best"]["copying"]["model"] == first.champion
    told = receipt_of(home, second)
    assert told["tasks"]["copying"]["difference"]["mean"] == pytest.approx(-0.03)
    assert told["tasks"]["copying"]["from_best"]["mean"] == pytest.approx(-0.06)
    assert f"{first.champion}, the best before it, -0.060" in second.why[0]
    assert [name for name, task in told["tasks"].items() if not task["passed"]] == ["copying"]
    with Store.open(home) as store:
        assert receipt_faults(home, store) == []
        turn = store.turn(second.turn)
    assert f"; against {first.champion}, the best before it: -6.0% (" in account_of(home, turn, "en")
    assert f"；与此前最好的 {first.champion} 相比：-6.0%（" in account_of(home, turn, "zh")


def test_what_is_promoted_by_hand_begins_a_line(home):
    first = turn_to(home, RISEN)
    with Store.open(home) as store:
        assert line_of(store, first.candidate) == [first.candidate, first.champion]
        assert line_of(store, first.champion) == [first.champion]
    low = turn_to(home, LOWER)
    promote(home, "candidate")
    second = turn_to(home, {**LOWER, "number_hard": 0.99, "copying": 0.87})
    assert (second.champion, second.outputs["exam"]["best"]) == (low.candidate, {})
    assert second.verdict == "promoted"
    with Store.open(home) as store:
        assert line_of(store, second.candidate) == [second.candidate, low.candidate]


@pytest.mark.parametrize(("later", "verdict"), [(0.94, "promoted"), (0.88, "refused")])
def test_where_it_is_open_what_was_lost_more_is_asked(home, later, verdict):
    """The first 400 say -.04, and the interval holds the margin of -.05; the next 600 settle it."""
    ended = turn_to(home, {"number_hard": 0.5, "number_near": 0.9, "copying": 0.91, "later": {"copying": later}})
    more = ended.outputs["exam"]["more"]
    assert more.keys() == {ended.champion, ended.candidate}
    assert {task for tasks in more.values() for task in tasks} == {"copying"}
    told = receipt_of(home, ended)["tasks"]
    assert {name: task["n"] for name, task in told.items() if name in FIRST} == {"number_hard": 400, "number_near": 400, "copying": 1000}
    assert ended.verdict == verdict
    assert set(more[ended.candidate].values()) < set(find(home, ended.outputs["gate"]["receipt"]).parents)


def test_a_model_that_was_deleted_is_not_compared_with_and_ends_no_turn(home):
    first = turn_to(home, RISEN)
    shutil.rmtree(find(home, first.champion).path)
    second = turn_to(home, {**LOWER, "number_hard": 0.9, "copying": 0.9})
    assert second.outputs["exam"]["best"] == {}
    assert second.verdict == "promoted"


def test_what_surely_fell_is_not_asked_again(home):
    ended = turn_to(home, {"number_hard": 0.5, "number_near": 0.87, "copying": 0.7})
    assert (ended.verdict, ended.outputs["exam"]["more"]) == ("refused", {})
    assert SETTINGS.num_in_doubt == 1000
