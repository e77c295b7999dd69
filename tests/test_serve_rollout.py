"""A server while a candidate comes to people: the shadow that nobody hears, lots that hold, models that fail, the sentence on Growth."""

import shutil
import time
from collections.abc import Iterator

import pytest
from rollout_house import begin_beside
from serve_house import House, ask, error_of, open_house, thumb, until, wait_for

from feilun.artifacts import find
from feilun.config import RolloutSettings
from feilun.serve.auth import issue_owner_token
from feilun.store import RolloutMove, RolloutRow
from feilun.turn import rolling

USERS = [f"u{number}" for number in range(24)]


@pytest.fixture
def house(tmp_path) -> Iterator[House]:
    with open_house(tmp_path / "home", first="first") as house:
        yield house


def to_share(house: House, share: float) -> RolloutRow:
    while (row := house.store.rollout()).share < share:
        row = rolling.advance(house.home, house.store)
    return row


def spoken(house: House, client, users=USERS) -> dict[str, str]:
    """user -> the model that spoke."""
    return {user: client.post("/v1/chat/completions", json=ask("hello", user=user)).json()["model"] for user in users}


def by_lot(row: RolloutRow, users=USERS) -> dict[str, str]:
    return {user: row.candidate if row.number_of(f"key:shop/{user}") < row.share else row.champion for user in users}


def shop(house: House):
    return house.client(house.key("shop", "chat", "feedback", "assert_end_user"))


def test_the_shadow_hears_the_questions_and_nobody_hears_it(house):
    row = begin_beside(house)
    with shop(house) as client:
        until(lambda: len(house.engines) == 2)
        house.script.answers["slow?"] = ["a word"]
        answers = [client.post("/v1/chat/completions", json=ask(f"question {n}", user="u")).json() for n in range(3)]
        private = client.post("/v1/chat/completions", json=ask("secret", user="u", metadata={"consent": "serve"})).json()
        until(lambda: len(house.store.shadow.pairs(row.id)) == 3)
    assert {answer["model"] for answer in (*answers, private)} == {row.champion}
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [f"first: question {n}" for n in range(3)]
    pairs = house.store.shadow.pairs(row.id)
    assert [pair.completion_id for pair in pairs] == [answer["id"] for answer in answers]
    assert [(pair.champion["chars"], pair.candidate["chars"]) for pair in pairs] == [(17, 18)] * 3
    assert {pair.candidate["fault"] for pair in pairs} == {""}
    assert len(house.store.completions_of("key:shop/u")) == 4  # nothing of the shadow stands beside the answers
    assert rolling.look(house.home, house.store).stage == "canary"


def test_a_candidate_that_breaks_is_a_fault_of_the_pair(house):
    row = begin_beside(house)
    with shop(house) as client:
        until(lambda: len(house.engines) == 2)
        house.engines[1].broken = True
        for n in range(3):
            assert client.post("/v1/chat/completions", json=ask(f"question {n}", user="u")).status_code == 200
        until(lambda: len(house.store.shadow.pairs(row.id)) == 3)
    assert {pair.candidate["fault"] for pair in house.store.shadow.pairs(row.id)} == {"error"}
    found = rolling.look(house.home, house.store)
    assert (found.stage, "faults: 0.0% -> 100.0%" in found.why) == ("rolled_back", True)


def test_what_finds_no_quiet_moment_is_dropped_and_counted(house, monkeypatch):
    monkeypatch.setattr("feilun.serve.mirror.PATIENCE_SECONDS", 0.05)
    row = begin_beside(house)
    with open_house(house.home) as other, shop(other) as client:
        wait_for(other, house.first)
        until(lambda: len(other.engines) == 2)
        other.go.clear()
        with client.stream("POST", "/v1/chat/completions", json=ask("a long question", user="slow", stream=True)) as stream:
            parts = stream.iter_bytes()
            next(parts)
            assert client.post("/v1/chat/completions", json=ask("?", user="quick", max_tokens=2)).status_code == 200
            until(lambda: house.store.shadow.drops(row.id) == {"busy": 1})
            other.go.set()
            assert b"[DONE]" in b"".join(parts)
        until(lambda: [pair.candidate["chars"] for pair in house.store.shadow.pairs(row.id)] == [len("second: a long question")])


def test_each_person_keeps_the_model_of_their_lot_and_harm_gives_everybody_the_champion(house):
    begin_beside(house, RolloutSettings(shadow_pairs=0, shares=(0.3, 0.5), stage_users=5, stage_answers=5))
    row = to_share(house, 0.5)
    with shop(house) as client:
        until(lambda: spoken(house, client) == by_lot(row))
        assert len(set(by_lot(row).values())) == 2
        assert spoken(house, client) == by_lot(row)
        crowds = house.store.crowds(row.id, "canary", 1)
        assert {arm: crowd.users for arm, crowd in crowds.items()} == {
            "champion": list(by_lot(row).values()).count(row.champion),
            "candidate": list(by_lot(row).values()).count(row.candidate),
        }
        assert spoken(house, client, ["u1"]) == by_lot(row, ["u1"])
        user = next(user for user in USERS if row.number_of(f"key:shop/{user}") >= row.share_before)
        said = client.post("/v1/chat/completions", json=ask("bad?", user=user)).json()
        judged = client.post("/v1/feedback", json=thumb(said["id"], -1, end_user=user), headers={"Idempotency-Key": "k"})
        assert judged.status_code == 200
        assert {harm.signal for harm in house.store.first_harms(row.id, "canary", None)} == {"complaint", "regenerate"}
        record = house.store.completion(said["id"])
        assert (record.decision.policy, record.model) == ("canary", by_lot(row)[user])
        house.store.move_rollout(row, RolloutMove(stage="rolled_back", gate="g3", body={}, why="harm", set_aside="harm"))
        until(lambda: set(spoken(house, client).values()) == {row.champion})
    until(lambda: house.engines[1].closed)


def test_the_holdback_keeps_the_old_champion_for_its_lot(house):
    begin_beside(house)
    row = to_share(house, 0.6)
    assert (row.stage, house.store.champion().model) == ("holdback", row.candidate)
    wait_for(house, row.candidate)
    with shop(house) as client:
        until(lambda: spoken(house, client) == by_lot(row))
        assert set(by_lot(row).values()) == {row.champion, row.candidate}
        rolling.abort(house.home, house.store, "enough")
        until(lambda: set(spoken(house, client).values()) == {row.candidate})


def test_a_server_that_starts_in_the_middle_goes_on_by_the_same_lots(house):
    begin_beside(house)
    row = to_share(house, 0.5)
    with open_house(house.home) as other:
        wait_for(other, house.first)
        with shop(other) as client:
            until(lambda: spoken(other, client) == by_lot(row))


def test_a_candidate_that_cannot_be_loaded_harms_nobody_and_ends_the_rollout(house):
    row = begin_beside(house)
    shutil.rmtree(find(house.home, row.candidate, "models").path)
    until(lambda: (house.store.read_note("rollout_failure") or {}).get("rollout") == row.id)
    with shop(house) as client:
        assert set(spoken(house, client, ["u1"]).values()) == {row.champion}
    found = rolling.look(house.home, house.store)
    assert (found.stage, "could not be loaded" in found.why) == ("aborted", True)


def test_growth_says_where_it_stands_and_the_owner_judges_blind(house):
    row = begin_beside(house, RolloutSettings(shadow_share=1.0, shadow_pairs=9))
    with shop(house) as client, house.client({"Origin": house.url}) as owner:
        owner.get("/", params={"token": issue_owner_token(house.store)})
        until(lambda: len(house.engines) == 2)
        house.script.answers["who?"] = ["one answer", "another answer"]
        client.post("/v1/chat/completions", json=ask("who?", user="u"))
        until(lambda: len(house.store.shadow.pairs(row.id)) == 1)
        text = owner.get("/api/growth").json()["truth"][-1]["text"]
        assert " listens in: 1 of 9 real questions were put to it" in text["en"]
        assert "正在旁听：已把 1 / 9 个真实提问" in text["zh"]
        seen = owner.get("/api/rollout/pair").text
        assert not any(word in seen for word in ("champion", "candidate", row.champion, row.candidate))
        pair = owner.get("/api/rollout/pair").json()["pair"]
        assert sorted(pair["answers"]) == ["another answer", "one answer"]
        better = pair["answers"].index("one answer")
        body = {"pair": pair["id"], "slot": pair["slot"], "chosen": better}
        assert owner.post("/api/rollout/judgement", json={**body, "chosen": True}).status_code == 400
        assert owner.post("/api/rollout/judgement", json={**body, "slot": 3}).status_code == 400
        assert owner.post("/api/rollout/judgement", json=body).json() == {"status": "recorded"}
        assert owner.post("/api/rollout/judgement", json=body).status_code == 409
        assert house.store.shadow.pairs(row.id)[0].outcome == "champion"
        house.store.note("turn_watch", {"pid": 1, "at": time.time()})
        assert owner.get("/api/turn").json()["hindrance"] == "rolling_out"
        assert error_of(owner.post("/api/turn", json={}), 409)["code"] == "rolling_out"
        to_share(house, 0.05)
        status = owner.get("/api/rollout").json()["rollout"]
        assert (status["stage"], status["share"], status["withheld"]) == ("canary", 0.05, 0)
        assert ": it answers 5 % of the people" in owner.get("/api/growth").json()["truth"][-1]["text"]["en"]
