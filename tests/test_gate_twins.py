"""Two twins of one champion, really trained: on clean feedback and on inverted feedback; the same gate tells them apart."""

import shutil
from pathlib import Path

import pytest
from twin_house import NUM_GATE, build_first_generation, give_feedback, run_exam, turn_settings

from feilun.artifacts import find, read_json
from feilun.store import Store
from feilun.turn import Rooms, TurnResult, run_step, run_turn


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("twins") / "first"
    model = build_first_generation(home)
    summary = read_json(run_exam(home, model.ref, split="gate", settings=turn_settings().exam).path / "summary.json")
    # A champion that can both rise and fall, or the twins would show nothing.
    assert 0.3 < summary["say"]["mean"] < 0.7, summary
    assert summary["last"]["mean"] > 0.95, summary
    return home


def twin(first: Path, home: Path, *, inverted: bool) -> TurnResult:
    """The wheel turned once on this feedback, every step real but for the questions of the exam."""
    shutil.copytree(first, home)
    give_feedback(home, inverted=inverted)

    def step_here(home: Path, turn: str, step: str) -> list[str]:
        run_step(home, turn, step, rooms=Rooms(run_exam=run_exam))
        return ["true"]

    return run_turn(home, turn_settings(), command=step_here)


def test_the_gate_promotes_the_twin_of_clean_feedback(first, tmp_path):
    result = twin(first, tmp_path / "clean", inverted=False)
    assert result.verdict == "promoted", result.why
    verdict = read_json(find(tmp_path / "clean", result.outputs["gate"]["receipt"]).path / "receipt.json")
    assert [verdict["tasks"][task]["n"] for task in ("say", "last")] == [NUM_GATE] * 2
    assert verdict["tasks"]["say"]["candidate"] > 0.9
    with Store.open(tmp_path / "clean") as store:
        assert store.champion().model == result.candidate


def test_the_gate_refuses_the_twin_of_inverted_feedback(first, tmp_path):
    result = twin(first, tmp_path / "inverted", inverted=True)
    assert result.verdict == "refused"
    assert "must rise" in result.why[0]
    verdict = read_json(find(tmp_path / "inverted", result.outputs["gate"]["receipt"]).path / "receipt.json")
    assert [verdict["tasks"][task]["n"] for task in ("say", "last")] == [NUM_GATE] * 2
    assert verdict["tasks"]["say"]["difference"]["high"] < 0  # it really became worse
    with Store.open(tmp_path / "inverted") as store:
        assert store.champion().model == result.champion
