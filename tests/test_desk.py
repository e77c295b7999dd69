"""The labelling desk: who is shown what, overlap and gold, agreement and cost, and that its answers are feedback like any other."""

from collections import Counter
from dataclasses import asdict, replace

import pytest
from matrix_house import MatrixHouse
from serve_house import ask, error_of, open_house
from test_teach import ANN, BOB, CARL, NOW, asked, task

from feilun.cli import main
from feilun.feedback import LessonRules, curate
from feilun.feedback.desk import DeskRules, desk_report
from feilun.feedback.gold import gold_of
from feilun.store import Conflict, FeedbackRequest, NotFound, Store, tasks
from feilun.types import UserError

RATERS = (ANN, BOB, CARL)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path) as store:
        yield store


def open_desk(store: Store, num_tasks: int, **rules) -> None:
    store.desks.open("d", asdict(DeskRules(**rules)))
    for n in range(num_tasks):
        store.desks.add("d", [task(asked(store, ANN, f"q{n}"), f"q{n}", f"good {n}", f"poor {n}")])


def label(store: Store, rater: str, outcome: str, overlap: int = 3, gold_share: float = 0.0) -> str | None:
    """The rater's next task, judged; its question, None when there is none."""
    shown = store.desks.assign("d", rater, overlap, gold_share)
    if shown is None:
        return None
    target, value = shown.choice(outcome)
    store.record_feedback(FeedbackRequest(principal=rater, target_id=target, kind="choice", value=value))
    return shown.messages[-1]["content"]


def test_each_task_gets_as_many_raters_as_it_shall_and_nobody_twice(store):
    open_desk(store, 4)
    asked_of = {rater: [label(store, rater, "left", overlap=2) for _ in range(5)] for rater in RATERS}
    said = Counter(question for questions in asked_of.values() for question in questions if question)
    assert said == dict.fromkeys(("q0", "q1", "q2", "q3"), 2)
    assert all(len(set(mine) - {None}) == len([q for q in mine if q]) for mine in asked_of.values())
    with pytest.raises(Conflict, match="is open"):
        store.desks.open("e", {})
    store.desks.close()
    with pytest.raises(Conflict, match="already"):
        store.desks.open("d", {})
    with pytest.raises(NotFound):
        store.desks.close()


def test_two_at_once_are_not_given_more_than_is_wanted(store):
    open_desk(store, 1)
    assert store.desks.assign("d", ANN, overlap=1) is not None
    assert store.desks.assign("d", BOB, overlap=1) is None


def test_who_was_shown_a_task_long_ago_and_spoke_of_another_does_not_count_for_it(store, monkeypatch):
    open_desk(store, 1)
    left_open = store.desks.assign("d", ANN, overlap=1)
    monkeypatch.setattr("feilun.store.tasks.LEASE_SECONDS", 0.0)
    store.desks.close()
    store.desks.open("e", {})
    store.desks.add("e", [task(asked(store, ANN, "q9"), "q9", "good", "poor")])
    other = store.desks.assign("e", ANN, overlap=1)
    target, value = other.choice("left")
    store.record_feedback(FeedbackRequest(principal=ANN, target_id=target, kind="choice", value=value))
    assert store.desks.assign("e", BOB, overlap=1) is None
    assert store.desks.assign("d", BOB, overlap=1).id == left_open.id
    assert [store.desks.count_labels(desk, ANN) for desk in ("d", "e")] == [0, 1]


def test_a_judgement_that_was_taken_back_leaves_its_place_to_another(store):
    open_desk(store, 1)
    shown = store.desks.assign("d", ANN, overlap=1)
    target, value = shown.choice("left")
    said = FeedbackRequest(principal=ANN, target_id=target, kind="choice", value=value)
    event = store.record_feedback(said)
    assert store.desks.assign("d", BOB, overlap=1) is None
    back = replace(said, value=None, supersedes=event.id)
    store.record_feedback(back)
    assert store.desks.assign("d", ANN, overlap=1) is None, "nobody is asked twice"
    assert store.desks.assign("d", BOB, overlap=1).id == shown.id
    assert label(store, BOB, "right", overlap=1) == "q0"
    assert store.desks.assign("d", CARL, overlap=1) is None


def test_an_offer_that_somebody_else_took_is_made_anew(store):
    open_desk(store, 2)
    offer = store._database.read(lambda c: tasks.choose(c, "d", BOB, 1, 0.0))
    assert store.desks.assign("d", ANN, overlap=1).id == offer.task
    assert store._database.write(lambda c: tasks.show(c, offer, BOB)) is None
    assert store.desks.assign("d", BOB, overlap=1).id != offer.task


def test_the_order_is_drawn_and_a_tie_names_the_first_shown(store):
    open_desk(store, 40)
    orders = []
    while (shown := store.desks.assign("d", ANN, overlap=1)) is not None:
        target, value = shown.choice("tie")
        first = shown.right if shown.swapped else shown.left
        store.record_feedback(FeedbackRequest(principal=ANN, target_id=target, kind="choice", value=value))
        vote = store.current_votes()[-1]
        assert (vote.answer, vote.value["outcome"]) == (first, "tie")
        orders.append(shown.swapped)
    assert len(orders) == 40
    assert 5 < sum(orders) < 35, "one of 10,000 fair draws lies outside"
    assert [said.swapped for said in store.desks.labels("d")] == orders


def test_gold_is_for_everybody_is_mixed_in_and_measures(store, tmp_path):
    open_desk(store, 4)
    shown = store.desks.assign("d", CARL)
    store.desks.mark_gold(shown.id, "left")
    question = shown.messages[-1]["content"]
    good = shown.left
    asked_of_bob = [label(store, BOB, "left", overlap=3, gold_share=0.5) for _ in range(4)]
    assert asked_of_bob.count(question) == 1
    wrong = [label(store, ANN, "right", overlap=3, gold_share=0.5) for _ in range(4)]
    assert wrong.count(question) == 1
    assert gold_of(tmp_path, store) == {question: (good,)}
    found = {rater.rater: rater for rater in desk_report(tmp_path, store, store.desks.listed()[-1]).raters}
    assert (found[BOB].gold_right, found[BOB].gold_asked) == (1, 1)
    assert (found[ANN].gold_right, found[ANN].gold_asked) == (0, 1)
    assert found[BOB].trust > found[ANN].trust
    store.desks.mark_gold(shown.id, None)
    assert gold_of(tmp_path, store) is None


def test_agreement_and_cost_are_those_of_the_labels(store, tmp_path):
    open_desk(store, 6, overlap=2, price=0.25, currency="EUR")
    for rater in (ANN, BOB):
        for _ in range(6):
            shown = store.desks.assign("d", rater, 2)
            outcome = "left" if int(shown.messages[-1]["content"][1:]) % 2 else "right"
            target, value = shown.choice(outcome)
            store.record_feedback(FeedbackRequest(principal=rater, target_id=target, kind="choice", value=value))
    found = desk_report(tmp_path, store, store.desks.listed()[-1])
    assert (found.tasks, found.settled, found.labels, found.shared) == (6, 6, 12, 6)
    assert (found.agreement, found.cost, found.cost_a_task, found.currency) == (1.0, 3.0, 0.5, "EUR")
    assert [(rater.rater, rater.labels, rater.cost) for rater in found.raters] == [(ANN, 6, 1.5), (BOB, 6, 1.5)]
    assert 0 <= found.hours < 0.1
    assert [rater.agrees for rater in found.raters] == [1.0, 1.0]
    for vote in store.current_votes(principal=BOB)[:3]:
        value = {"over": [{"id": vote.target_id, "index": 0}], "outcome": "win"}
        store.record_feedback(FeedbackRequest(principal=BOB, target_id=vote.over[0].id, kind="choice", value=value))
    told = desk_report(tmp_path, store, store.desks.listed()[-1])
    assert told.labels == 12, "a change of mind is no further label"
    assert told.agreement < 0.2
    assert [rater.agrees for rater in told.raters] == [0.5, 0.5]
    assert told.low <= told.agreement <= told.high


def test_labels_teach_as_any_other_choice_weighed_over_raters(store):
    open_desk(store, 1)
    for rater in RATERS:
        label(store, rater, "left")
    (lesson,) = curate(store.current_votes(), None, LessonRules()).lessons
    assert {vote.principal for vote in lesson.votes} == set(RATERS)
    assert (lesson.text, lesson.vote.model) == ("good 0", NOW)
    alone = curate(store.current_votes()[:1], None, LessonRules()).lessons[0]
    assert lesson.weight > alone.weight


@pytest.mark.parametrize("rules", [{"overlap": 0}, {"gold_share": 1.0}, {"price": -1}, {"guidelines": "x" * 20_001}])
def test_rules_that_cannot_be_are_refused(rules):
    with pytest.raises(UserError, match="allowed"):
        DeskRules(**rules)


# --- by the server and the verbs


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with open_house(tmp_path_factory.mktemp("house"), kind=MatrixHouse, first="first") as house:
        open_desk(house.store, 3, overlap=2, guidelines="Choose the **true** one.", price=2)
        yield house


def test_raters_with_a_key_label_the_owner_sees_and_marks_gold(house, capsys):
    ann, bob = house.key("ann", "desk"), house.key("bob", "desk")
    with house.client(ann) as rater, house.client(bob) as other, house.client(house.owner_headers()) as owner:
        first = rater.get("/api/desk").json()
        assert "<strong>true</strong>" in str(first["desk"]["guidelines"])
        assert (first["done"], first["owner"], first["desk"]["name"]) == (0, False, "d")
        said = rater.post(
            "/api/desk/answers", json={"task": first["task"]["id"], "outcome": "first"}, headers={"Idempotency-Key": "1"}
        ).json()
        assert said.keys() == {"id", "status", "target"}, "it stays blind"
        assert rater.get("/api/desk").json()["done"] == 1
        stolen = {"task": first["task"]["id"], "outcome": "second"}
        assert error_of(other.post("/api/desk/answers", json=stolen, headers={"Idempotency-Key": "2"}), 404)
        for scope in ("chat", "feedback"):
            with house.client(house.key(f"no-{scope}", scope)) as stranger:
                assert error_of(stranger.get("/api/desk"), 403)["code"] == "missing_scope"
        assert error_of(rater.post("/v1/chat/completions", json=ask("x")), 403)["code"] == "missing_scope"
        assert error_of(rater.get("/api/desk/progress"), 403)["code"] == "owner_only"

        mine = owner.get("/api/desk").json()
        assert mine["owner"] is True
        body = {"task": mine["task"]["id"], "outcome": "both_bad"}
        assert owner.post("/api/desk/answers", json=body, headers={"Idempotency-Key": "3"}).status_code == 200
        marked = owner.post("/api/desk/gold", json={"task": mine["task"]["id"], "right": "both_bad"})
        assert marked.json()["gold"] == "both_bad"
        assert error_of(owner.post("/api/desk/gold", json={"task": first["task"]["id"], "right": "third"}), 422)
        assert error_of(rater.post("/api/desk/gold", json={"task": first["task"]["id"], "right": None}), 403)
        seen = set()
        while (now := other.get("/api/desk").json()["task"]) is not None:
            seen.add(now["id"])
            body = {"task": now["id"], "outcome": "second"}
            assert other.post("/api/desk/answers", json=body, headers={"Idempotency-Key": now["id"]}).status_code == 200
        assert mine["task"]["id"] in seen
        told = owner.get("/api/desk/progress").json()["desk"]
        assert (told["gold"], told["labels"], told["cost"]) == (1, 1 + 1 + len(seen), 2.0 * (1 + len(seen)))
        assert main(["--home", str(house.home), "desk", "status"]) == 0
        shown = capsys.readouterr().out
        assert f"labels {told['labels']}" in shown
        assert "key:bob" in shown
        assert main(["--home", str(house.home), "desk", "close"]) == 0
        assert rater.get("/api/desk").json()["desk"] is None


def test_the_verbs_refuse_what_cannot_be(tmp_path, capsys):
    assert main(["--home", str(tmp_path), "desk", "status"]) == 0
    assert "no desk yet" in capsys.readouterr().out
    assert main(["--home", str(tmp_path), "desk", "close"]) == 2
    assert main(["--home", str(tmp_path), "desk", "open", "d", "--guidelines", str(tmp_path / "none.md")]) == 2
    assert main(["--home", str(tmp_path), "desk", "open", "d", "--overlap", "0"]) == 2
    assert main(["--home", str(tmp_path), "desk", "open", "d"]) == 2
    assert "no champion" in capsys.readouterr().err
    with Store.open(tmp_path) as store:
        assert store.desks.listed() == []
