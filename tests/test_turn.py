import ast
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from turn_house import BETTER, CHILD, FIRST, FORGETFUL, SETTINGS, drill, home, say, turn_of

__all__ = ["home"]

import feilun.turn
from feilun.artifacts import draft, find, read_json, write_json
from feilun.config import ExamSettings
from feilun.feedback.gold import read_gold
from feilun.store import Store
from feilun.turn import STEPS, abandon, decide, promote, receipt_faults, rollback, rolling, run_step
from feilun.turn.gate import MIN_ANSWERS
from feilun.turn.lease import Busy, is_dead, own_name, take
from feilun.types import UserError

# the gate


def answers(shares: dict[str, float], n: int = MIN_ANSWERS, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    return [{"id": f"{t}-{i}", "task": t, "value": float(rng.random() < share)} for t, share in shares.items() for i in range(n)]


def test_gate_promotes_what_rose_and_held():
    found = decide(answers(FIRST), answers(BETTER), SETTINGS)
    assert found.verdict == "promoted"
    assert all(task.passed and task.n == MIN_ANSWERS for task in found.tasks.values())
    assert found.tasks["number_hard"].difference.low > 0.5
    assert json.loads(json.dumps(found.to_json()))["tasks"]["copying"]["difference"]["n"] == MIN_ANSWERS
    assert found.why[0].startswith("number_hard: ")


def test_gate_refuses_a_fall_elsewhere():
    found = decide(answers(FIRST), answers(FORGETFUL), SETTINGS)
    assert found.verdict == "refused"
    assert [name for name, task in found.tasks.items() if not task.passed] == ["copying"]
    assert "may not fall by more than 0.05" in found.why[0]


def test_gate_refuses_a_small_fall_that_might_be_a_great_one():
    noisy = dataclasses.replace(SETTINGS, max_fall=0.5)
    found = decide(answers({"number_hard": 0.1, "b": 0.55}), answers({"number_hard": 0.9, "b": 0.5}, seed=1), noisy)
    assert found.verdict == "refused"
    assert found.tasks["b"].difference.low <= -0.1


@pytest.mark.parametrize("after", [0.05, 0.06, 0.0])
def test_gate_refuses_without_a_clear_rise(after):
    found = decide(answers(FIRST), answers({**FIRST, "number_hard": after}), SETTINGS)
    assert found.verdict == "refused"
    assert "must rise" in found.why[0]


def test_gate_tells_clean_from_inverted_feedback():
    """The twin trained on inverted feedback answers wrongly what the clean one answers rightly."""
    champion, clean = answers({**FIRST, "number_hard": 0.5}), answers({**FIRST, "number_hard": 0.85})
    inverted = [{**row, "value": 1 - row["value"]} if row["task"] == "number_hard" else row for row in clean]
    assert decide(champion, clean, SETTINGS).verdict == "promoted"
    assert decide(champion, inverted, SETTINGS).verdict == "refused"


def test_gate_refuses_too_few_missing_doubled_and_unpaired():
    before, after = answers(FIRST), answers(BETTER)
    few = decide(answers(FIRST, 399), answers(BETTER, 399), SETTINGS)
    assert few.verdict == "refused"
    assert all("too few answers: 399" in why for why in few.why)
    assert "no answers of the candidate" in decide(before, [r for r in after if r["task"] != "copying"], SETTINGS).why[0]
    assert "no answers of the champion" in decide([], [], SETTINGS).why[0]
    assert "stands twice" in decide(before, [*after, after[0]], SETTINGS).why[0]
    assert "only one of the two" in decide(before, [{**after[0], "id": "other"}, *after[1:]], SETTINGS).why[0]


def test_gate_takes_chance_for_a_rise_at_most_as_often_as_it_says():
    promoted = 0
    for seed in range(300):
        promoted += (
            decide(answers({"number_hard": 0.5}, seed=seed), answers({"number_hard": 0.5}, seed=1000 + seed), SETTINGS).verdict
            == "promoted"
        )
    assert promoted <= 15


# the wheel


def ran(home: Path) -> Counter:
    return Counter((home / "ran.log").read_text().split("\n")[:-1])


def assert_one_promotion(home: Path, result) -> None:
    with Store.open(home) as store:
        assert [row.model for row in store.history()] == [result.champion, result.candidate]
        assert len(store.turns()) == 1
        assert store.unfinished_turn() is None
        assert store.turns()[0].state == "promoted"
        assert store.candidate() == result.candidate
    assert result.verdict == "promoted"
    for kind, made in (("lessons", "turn-1"), ("models", "turn-1"), ("runs", "turn-1-gate"), ("runs", "turn-1-account")):
        assert len(list((home / kind).glob(f"{made}@*"))) == 1
    assert not list(home.glob("*/.turn*"))


def test_a_turn_promotes_with_a_receipt_and_goes_back(home):
    seen = []
    result = turn_of(home, apart=STEPS, progress=seen.append)
    assert_one_promotion(home, result)
    assert [p.step for p in seen if p.state == "done"] == list(STEPS[:-1])
    assert result.cpu_seconds > 0
    assert all(output["cpu_seconds"] > 0 for output in result.outputs.values())
    assert result.outputs["collect"]["new_events"] == 1
    receipt = read_json(find(home, result.outputs["gate"]["receipt"]).path / "receipt.json")
    assert (receipt["verdict"], receipt["candidate"], receipt["upto_seq"]) == (
        "promoted",
        result.candidate,
        result.outputs["collect"]["upto_seq"],
    )
    assert receipt["rule"]["must_rise"] == "number_hard"
    with Store.open(home) as store:
        plan, checked, decided, told = store.receipts()
        assert (plan.gate, checked.gate, decided.gate, told.gate) == ("plan", "g0", "g1", "account")
        assert (receipt["plan_hash"], receipt["previous"]) == (plan.body["plan"], checked.hash)
        assert decided.body["verdict"] == "promoted"
        assert decided.body["inputs"]["receipt"] == result.outputs["gate"]["receipt"]
        assert receipt["held_out"] == decided.body["figures"]["held_out"] == result.outputs["exam"]["held_out"]
        assert receipt_faults(home, store) == []
    assert rollback(home, "people complain").model == result.champion
    assert promote(home, "candidate").model == result.candidate


def test_the_next_turn_starts_from_the_new_champion_and_reuses_its_exam(home):
    first = turn_of(home)
    with Store.open(home) as store:
        say(store, "event-2")
    drill(home, candidate=FORGETFUL)
    second = turn_of(home)
    assert second.verdict == "refused"
    assert "copying" in second.why[0]
    assert second.champion == first.candidate
    assert second.outputs["exam"]["champion"][:2] == first.outputs["exam"]["candidate"][:2]
    assert ran(home)["examined before"] == 3
    assert second.outputs["collect"]["new_events"] == 1
    assert "promote" not in second.outputs
    with Store.open(home) as store:
        assert store.champion().model == first.candidate
        assert store.candidate() == second.candidate
    assert find(home, second.candidate).parents[0] == first.candidate


def test_a_staged_turn_ends_with_a_rollout_and_leaves_the_champion(home):
    staged = dataclasses.replace(SETTINGS, rollout="staged")
    drill(home, kill=["promote", "after"])
    with pytest.raises(UserError, match="killed by signal 9"):
        turn_of(home, staged, apart=("promote",))
    with Store.open(home) as store:
        assert rolling.look(home, store).stage == "shadow"  # nothing moves before the turn has ended
    result = turn_of(home, staged)
    assert result.verdict == "rolling_out"
    with Store.open(home) as store:
        row = store.rollout()
        assert (row.candidate, row.champion, row.id) == (result.candidate, result.champion, result.outputs["promote"]["rollout"])
        assert (len(store.rollouts()), store.champion().model) == (1, result.champion)
        assert [receipt.gate for receipt in store.receipts()] == ["plan", "g0", "g1", "rollout", "account"]
        assert receipt_faults(home, store) == []
        assert rolling.new_events(home, store, row) == ()
    with pytest.raises(UserError, match="is being rolled out"):
        turn_of(home)


MOMENTS = [
    ("collect", "after"),
    ("curate", "before"),
    ("train", "before"),
    ("train", "after"),
    ("exam", "after"),
    ("gate", "after"),
    ("promote", "after"),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda m: "-".join(m))
def test_kill_9_then_the_same_command(home, moment):
    drill(home, kill=moment)
    with pytest.raises(UserError, match=f"step {moment[0]} of turn .* was killed by signal 9"):
        turn_of(home, apart=moment[:1])
    result = turn_of(home, apart=moment[:1])
    assert_one_promotion(home, result)
    counts = ran(home)
    assert {step: counts[f"{step} after"] for step in STEPS} == {step: 1 + ([step, "after"] == list(moment)) for step in STEPS}


def test_a_full_disk_is_tried_again_and_bad_input_ends_the_turn(home):
    drill(home, **{"raise": ["train", "before"]})
    with pytest.raises(UserError, match="OSError: no space left"):
        turn_of(home, apart=["train"])
    drill(home, bad="train")
    result = turn_of(home, apart=["train"])
    assert result.verdict == "failed"
    assert "told to refuse" in result.why[0]
    assert ran(home)["curate after"] == 1
    with Store.open(home) as store:
        assert store.unfinished_turn() is None
        assert len(store.history()) == 1


def wait_until(ready, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_turn import turn_of
turn_of(Path(sys.argv[1]), apart=["train"])
"""


def test_a_killed_parent_takes_its_child_along_and_two_turns_are_one_too_many(home):
    drill(home, hang=["train", "before"])
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(home), str(CHILD.parent)], stderr=subprocess.DEVNULL)
    wait_until((home / "drilled").exists)
    wait_until(lambda: (home / "drilled").read_text() != "")
    step_pid = int((home / "drilled").read_text())
    with Store.open(home) as store:
        running = store.unfinished_turn()
    with pytest.raises(UserError, match=f"turn {running.id} is running .process {parent.pid}"):
        turn_of(home)
    with pytest.raises(UserError, match="is running"):
        abandon(home, "impatience")
    parent.kill()
    parent.wait()
    owner = running.steps["train"].owner
    assert f":{step_pid}:" in owner
    wait_until(lambda: is_dead(owner))
    assert not list((home / "models").glob("turn-1@*"))
    assert_one_promotion(home, turn_of(home))


def test_a_child_that_lost_its_lease_stops_before_publishing(home):
    drill(home, hang=["train", "before"])
    with pytest.raises(UserError, match="ended with status 75"):
        turn_of(home, apart=["train"], progress=StealOnce(home))
    assert not list((home / "models").glob("turn-1@*"))


class StealOnce:
    """Takes the lease of step train from the hanging child, in a thread beside run_turn."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, progress) -> None:
        if (progress.step, progress.state) == ("train", "running") and progress.total == 0:
            threading.Thread(target=self.steal, args=(progress.turn,)).start()

    def steal(self, turn_id: str) -> None:
        wait_until((self.home / "drilled").exists)
        with Store.open(self.home) as store:
            assert store.claim_step(turn_id, "train", "elsewhere:1:1", "", 0.0)


def started(store: Store) -> str:
    return store.start_turn({"steps": ["collect"]})


def test_leases_of_the_dead_and_the_silent_are_taken_over(home):
    with Store.open(home) as store:
        turn_id, me = started(store), own_name()
        place = me.rsplit(":", 2)[0]
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        assert store.claim_step(turn_id, "collect", f"{place}:{gone.pid}:1", "h", 30.0)
        assert take(store, turn_id, "collect", me, "h", 30.0)
        assert store.claim_step(turn_id, "collect", "another-host:1:1", "h", 0.0)
        with pytest.raises(Busy, match="another-host"):
            take(Keeping(store, turn_id), turn_id, "collect", me, "h", 0.2)
        assert take(store, turn_id, "collect", me, "h", 0.2)
        store.finish_step(turn_id, "collect", me, {})
        assert not take(store, turn_id, "collect", me, "h", 0.2)


class Keeping:
    """A store in which the other owner's heart beats whenever somebody looks."""

    def __init__(self, store: Store, turn_id: str) -> None:
        self.store, self.turn_id = store, turn_id

    def claim_step(self, *arguments) -> bool:
        self.store.heartbeat(self.turn_id, "collect", "another-host:1:1")
        return self.store.claim_step(*arguments)

    def turn(self, turn_id: str):
        return self.store.turn(turn_id)


def test_who_is_dead():
    me = own_name()
    assert not is_dead(me)
    assert is_dead(me.rpartition(":")[0] + ":1")  # the number was given to a later process
    assert not is_dead("another-host:1:1")
    assert not is_dead("nonsense")


def test_an_unfinished_turn_keeps_its_plan_until_it_is_abandoned(home):
    drill(home, kill=["collect", "after"])
    with pytest.raises(UserError):
        turn_of(home, apart=["collect"])
    others = dataclasses.replace(SETTINGS, exam=ExamSettings(max_tokens=9))
    with pytest.raises(UserError, match=r"exam\.max_tokens: 48 then, 9 now"):
        turn_of(home, others)
    assert abandon(home, "new settings").verdict == "failed"
    assert turn_of(home, others).verdict == "promoted"
    with pytest.raises(UserError, match="nothing to abandon"):
        abandon(home, "again")


def test_a_champion_changed_during_the_turn_is_not_overrun(home):
    drill(home, kill=["gate", "after"])
    with pytest.raises(UserError):
        turn_of(home, apart=["gate"])
    with draft(home, "models", "by-hand") as work:
        write_json(work.path / "model.json", FIRST)
    promote(home, "by-hand")
    result = turn_of(home)
    assert (result.verdict, result.outputs["promote"]["epoch"]) == ("refused", None)
    assert "the champion changed" in result.why[0]
    with Store.open(home) as store:
        assert store.champion().model == f"models/{work.artifact.ref}"


def test_lessons_that_do_not_pass_are_not_trained_on(home):
    drill(home, g0=["2 events behind the lessons were erased"])
    result = turn_of(home)
    assert (result.verdict, result.why) == ("refused", ("2 events behind the lessons were erased",))
    assert list(result.outputs) == ["collect", "curate"]
    with Store.open(home) as store:
        assert [(row.gate, row.body.get("verdict")) for row in store.receipts()][:2] == [("plan", None), ("g0", "refused")]
        assert receipt_faults(home, store) == []


def test_a_flatterer_is_refused_though_its_exams_rose(home):
    drill(home, candidate={**BETTER, "firm": 0.4})
    result = turn_of(home)
    assert result.verdict == "refused"
    assert [why.partition(":")[0] for why in result.why] == ["sycophancy"]


def test_no_lessons_no_training_no_champion_no_turn(home, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(UserError, match="no champion"):
        turn_of(empty)
    with Store.open(empty) as store:
        store.set_champion(f"models/{find(home, 'first').ref}", "first")
    drill(empty)
    result = turn_of(empty)
    assert result.verdict == "refused"
    assert "no lessons" in result.why[0]
    assert list(result.outputs) == ["collect", "curate"]


def test_dry_run_writes_nothing(home):
    result = turn_of(home, dry_run=True)
    assert (result.verdict, result.turn) == ("planned", "")
    assert "1 events" in result.why[1]
    with Store.open(home) as store:
        assert store.turns() == []
    drill(home, kill=["curate", "after"])
    with pytest.raises(UserError):
        turn_of(home, apart=["curate"])
    assert "go on with turn" in turn_of(home, dry_run=True).why[0]


def test_promote_checks_what_it_promotes(home):
    with pytest.raises(UserError, match="no candidate"):
        promote(home, "candidate")
    with draft(home, "models", "torn") as work:
        write_json(work.path / "model.json", FIRST)
    (work.artifact.path / "model.json").write_text("{}")
    with pytest.raises(UserError, match="not whole"):
        promote(home, "torn")
    with pytest.raises(UserError, match="no other model"):
        rollback(home, "nothing before")


def test_steps_come_in_order(home):
    with Store.open(home) as store:
        turn_id = started(store)
    with pytest.raises(UserError, match="needs step collect first"):
        run_step(home, turn_id, "curate")
    with pytest.raises(UserError, match="unknown; allowed"):
        run_step(home, turn_id, "polish")


def test_gold(tmp_path):
    assert read_gold(tmp_path / "gold.jsonl") is None
    (tmp_path / "gold.jsonl").write_text('{"prompt": "2+2?", "answers": ["4", "four"]}\n', encoding="utf-8")
    assert read_gold(tmp_path / "gold.jsonl") == {"2+2?": ("4", "four")}
    (tmp_path / "gold.jsonl").write_text('{"prompt": "2+2?"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"gold\.jsonl"):
        read_gold(tmp_path / "gold.jsonl")


def test_importing_the_wheel_loads_no_torch():
    code = "import sys, feilun.turn; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


def test_the_wheel_cannot_judge_an_answer():
    """No scorer of number order here: no number is read out of a text, no exam or primer is asked what is right."""
    for path in Path(feilun.turn.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not names & {"Decimal", "Fraction", "score", "reply"}, path
        modules = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not any(m.startswith(("feilun.primer", "feilun.exam.tasks", "re")) for m in modules), path
