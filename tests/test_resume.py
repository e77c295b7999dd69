"""Training killed anywhere and started again ends with the same weights, bit for bit."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from train_house import SHAPE, Rows, build_home, copy_home, settings_of, small_chat, small_model

from feilun.artifacts import Artifact, read_json
from feilun.config import ModelShape, TrainSettings
from feilun.train import run
from feilun.train.data import Mixture, Packer
from feilun.train.evaluate import sample_texts
from feilun.train.loop import Progress, has_compiler, sample_steps, train_loop
from feilun.train.objectives import NextToken
from feilun.train.rundir import StageRun
from feilun.types import UserError

HERE = Path(__file__).parent
STAGES = {"pretrain": run.train_pretrain, "sft": run.train_sft, "prefer": run.train_prefer}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("train") / "home"
    build_home(made)
    run.train_pretrain(made, settings_of("pretrain", num_steps=30), "base", say=quiet)
    shutil.rmtree(made / "runs")
    return made


@pytest.fixture(scope="module")
def undisturbed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each stage: the model that comes out when nothing happens, by checkpoint interval."""
    made: dict[str, Any] = {}
    for stage, train in STAGES.items():
        place = copy_home(home, tmp_path_factory.mktemp(stage) / "home")
        made[stage] = place, train(place, settings_of(stage), "made", say=quiet)
    return made


def quiet(_: str) -> None:
    pass


def weights(model: Artifact) -> bytes:
    return (model.path / "model.safetensors").read_bytes()


def logged_steps(home: Path, stage: str, name: str = "metrics.jsonl") -> list[int]:
    (file,) = (home / "runs").glob(f"{stage}-*/{name}")
    return [json.loads(line)["step"] for line in file.read_text().split("\n") if line]


def read_samples(home: Path) -> str:
    (file,) = (home / "runs").glob("pretrain-*/samples.jsonl")
    return file.read_text(encoding="utf-8")


def killed(home: Path, stage: str, step: int, checkpoint_steps: int) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "train_child.py", home, stage, str(step), str(checkpoint_steps)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("when", ["after a checkpoint", "before the first checkpoint"])
def test_a_killed_stage_ends_bit_equal(home: Path, undisturbed: dict[str, Any], tmp_path: Path, stage: str, when: str) -> None:
    place = copy_home(home, tmp_path / "home")
    interval = 20 if when == "after a checkpoint" else 1000
    killed(place, stage, 50 if interval == 20 else 25, interval)
    (run_path,) = (place / "runs").glob(f"{stage}-*")
    assert (run_path / "checkpoint.pt").exists() == (interval == 20)
    assert not list((place / "models").glob("made@*"))
    (run_path / ".checkpoint.pt.1").write_bytes(b"half a checkpoint of a process that was killed while it wrote")
    with (run_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 55, "nl')
    if stage == "pretrain":
        with (run_path / "samples.jsonl").open("a") as stream:
            stream.write('{"step": 55, "prompt": "", "text": "a cut row {}')

    made = STAGES[stage](place, settings_of(stage, checkpoint_steps=interval), "made", resume=True, say=quiet)

    assert weights(made) == weights(undisturbed[stage][1])
    assert logged_steps(place, stage) == [25, 50, 60]
    if stage == "pretrain":
        assert read_samples(place) == read_samples(undisturbed[stage][0])
        assert sorted(set(logged_steps(place, stage, "samples.jsonl"))) == [0, 15, 30, 45, 60]
    assert not list(run_path.glob("*checkpoint*"))
    assert (run_path / "loss.png").exists()


def test_an_equal_command_finds_its_model(undisturbed: dict[str, Any]) -> None:
    for stage, (place, made) in undisturbed.items():
        reports: list[Progress] = []
        again = STAGES[stage](place, settings_of(stage), "made", progress=reports.append, say=quiet)
        assert again.ref == made.ref
        assert not reports
        (resolved,) = (place / "runs").glob(f"{stage}-*/resolved.json")
        assert read_json(resolved)["settings"]["num_steps"] == 60


def test_equal_homes_give_equal_refs_and_the_manifest_names_every_parent(home: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    place = copy_home(home, tmp_path / "home")
    made = run.train_sft(place, settings_of("sft"), "made", say=quiet)
    first = undisturbed["sft"][1]
    assert made.ref == first.ref
    assert [parent.partition("/")[0] for parent in made.parents] == ["models", "lessons", "tokens", "corpus", "tokenizer"][
        : len(made.parents)
    ]
    assert made.manifest["counts"]["lessons"] == {"rows": 40, "used": 40, "shortened": 0, "too_long": 0, "no_weight": 0}
    pairs = undisturbed["prefer"][1].manifest["counts"]["pairs"]
    assert pairs == {"rows": 11, "used": 11, "too_long": 0, "no_weight": 0}


def test_a_bare_name_and_its_ref_are_one_run(home: Path, undisturbed: dict[str, Any]) -> None:
    place, made = undisturbed["sft"]
    (lessons,) = (place / "lessons").glob("examples@*")
    (base,) = (place / "models").glob("base@*")
    again = run.train_sft(place, settings_of("sft", lessons=lessons.name, base=f"models/{base.name}"), "made", say=quiet)
    assert again.ref == made.ref
    assert len(list((place / "runs").glob("sft-*"))) == 1


def test_resume_without_a_run_is_an_error(home: Path) -> None:
    with pytest.raises(UserError, match="--resume: no run of sft 'never'"):
        run.train_sft(home, settings_of("sft"), "never", resume=True, say=quiet)
    assert not list((home / "runs").glob("sft-never-*"))


# --- the loop itself, with a process that dies at any step


class Dying:
    """A stream that raises before batch number `at` (counted over the whole process), as a kill would end it."""

    def __init__(self, packer: Packer, at: int):
        self.packer, self.left = packer, at
        self.state, self.restore = packer.state, packer.restore

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return next(self.packer)


MIXED = (5, 9, 40, 7, 3, 12, 18) * 3


class Objective:
    def __init__(self, at: int = -1, lengths: Sequence[int] = MIXED, num_tokens: int = 320, **batch: int):
        source = Rows(lengths)
        source.rows = [ids % num_tokens for ids in source.rows]
        packer = Packer(Mixture((source,), (1.0,)), **{"rows": 2, "row_tokens": 16, "seed": 3} | batch)
        self.stream, self.loss = Dying(packer, at), NextToken(packer).loss

    def batches(self) -> Dying:
        return self.stream


def light(**changes: Any) -> TrainSettings:
    made: dict[str, Any] = {"threads": 1, "compile": "off", "num_steps": 30, "checkpoint_steps": 7, "rows": 2, "row_tokens": 16}
    return TrainSettings(**made | changes)


def loop(
    path: Path, settings: TrainSettings, at: int = -1, objective: Objective | None = None, shape: ModelShape = SHAPE, **asked: Any
) -> dict[str, torch.Tensor]:
    model, place = small_model(shape=shape), StageRun(path)
    path.mkdir(parents=True, exist_ok=True)
    train_loop(model, objective or Objective(at), settings, place, stage="test", **asked)
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_loop_that_dies_three_times_at_random_steps_ends_the_same(tmp_path: Path) -> None:
    whole = loop(tmp_path / "whole", light())
    rng = random.Random(5)
    for trial in range(3):
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                loop(tmp_path / f"cut{trial}", light(), rng.randrange(1, 10))
        assert same(loop(tmp_path / f"cut{trial}", light()), whole)
    assert len(list(tmp_path.glob("cut*"))) == 3


@pytest.mark.skipif(not has_compiler(), reason="no C++ compiler found")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch 2.13 imports it to compile
def test_two_compiled_runs_on_two_threads_are_bit_equal(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        # Each token stands in a batch many times, for either thread.
        first, again = (
            loop(tmp_path / name, light(compile="on", num_steps=10), objective=crowded(), shape=replace(SHAPE, num_layers=1))
            for name in ("first", "again")
        )
    finally:
        torch.set_num_threads(before)
    assert same(first, again)
    assert not torch.are_deterministic_algorithms_enabled()


def crowded() -> Objective:
    return Objective(lengths=[90] * 40, num_tokens=40, rows=16, row_tokens=96)


def test_samples_change_no_weight_and_are_written_once_through_a_kill(tmp_path: Path) -> None:
    tokenizer = small_chat().tokenizer

    def sample(model: Any) -> list[tuple[str, str]]:
        return sample_texts(model, tokenizer)

    silent = loop(tmp_path / "silent", light())
    assert same(loop(tmp_path / "whole", light(), sample=sample), silent)
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path / "cut", light(), 17, sample=sample)
    assert same(loop(tmp_path / "cut", light(), sample=sample), silent)
    written = [(tmp_path / name / "samples.jsonl").read_text(encoding="utf-8") for name in ("whole", "cut")]
    assert written[0] == written[1]
    rows = [json.loads(line) for line in written[0].split("\n") if line]
    assert {row["step"] for row in rows} == {0, 15, 30}
    assert {row["prompt"] for row in rows} == {"小明", "The", "1 + 1 ="}
    assert not (tmp_path / "silent" / "samples.jsonl").exists()


def test_samples_come_close_together_at_first_and_never_too_close() -> None:
    assert sorted(sample_steps(5000)) == [0, 50, 150, 300, 600, 1250, 2500, 3750, 5000]
    assert sorted(sample_steps(20)) == [0, 10, 20]
    assert sorted(sample_steps(1)) == [0, 1]


def test_a_run_on_a_budget_fixes_its_steps_once_and_is_a_run_of_that_many(tmp_path: Path) -> None:
    budget = light(num_steps=0, budget_seconds=0.4, checkpoint_steps=3)
    whole = loop(tmp_path / "whole", budget)
    num_steps = read_json(tmp_path / "whole" / "horizon.json")["num_steps"]
    assert num_steps >= 1
    assert same(loop(tmp_path / "steps", light(num_steps=num_steps)), whole)
    for at in (0, 1):  # after the horizon was written: before any step, and later
        cut = tmp_path / f"cut{at}"
        cut.mkdir()
        shutil.copy(tmp_path / "whole" / "horizon.json", cut)
        with pytest.raises(KeyboardInterrupt):
            loop(cut, budget, at)
        assert same(loop(cut, budget), whole)
        assert read_json(cut / "horizon.json")["num_steps"] == num_steps


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    class Breaking(Objective):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            whole = self.loss

            def loss(model: Any, batch: Any) -> Any:
                self.calls += 1
                value, metrics = whole(model, batch)
                return value * (float("nan") if self.calls == 11 else 1.0), metrics

            self.loss = loss

    place = StageRun(tmp_path)
    with pytest.raises(UserError, match=r"sft stopped: the loss at step 11 is nan; the last checkpoint is kept in .*lower optimiser"):
        train_loop(small_model(), Breaking(), light(), place, stage="sft")
    saved = torch.load(place.checkpoint, weights_only=False)
    assert saved["step"] == 7
    assert all(torch.isfinite(tensor).all() for tensor in saved["model"].values())


def test_broken_weights_never_reach_a_checkpoint(tmp_path: Path) -> None:
    class Steep(Objective):
        """A finite loss whose gradient is not a number: 0 * d sqrt(0)."""

        def __init__(self) -> None:
            super().__init__()
            whole = self.loss
            self.loss = lambda model, batch: (whole(model, batch)[0] + (model.model.norm.weight * 0).sqrt().sum(), {})  # type: ignore[assignment]

    place = StageRun(tmp_path)
    with pytest.raises(UserError, match=r"after step 1 1 weights are not finite \(model.norm.weight first\); there is no checkpoint yet"):
        train_loop(small_model(), Steep(), light(checkpoint_steps=1), place, stage="test")
    assert not place.checkpoint.exists()


def test_the_checkpoint_holds_the_random_state(tmp_path: Path) -> None:
    """An objective that draws noise resumes where its generator was."""

    class Noisy(Objective):
        def __init__(self, at: int = -1):
            super().__init__(at)
            whole = self.loss
            self.loss = lambda model, batch: (whole(model, batch)[0] * (1 + 0.5 * torch.rand(())), {})  # type: ignore[assignment]

    def noisy(path: Path, at: int = -1) -> dict[str, torch.Tensor]:
        path.mkdir(exist_ok=True)
        model = small_model()
        train_loop(model, Noisy(at), light(), StageRun(path), stage="test")
        return model.state_dict()

    with pytest.raises(KeyboardInterrupt):
        noisy(tmp_path / "cut", 17)
    assert same(noisy(tmp_path / "cut"), noisy(tmp_path / "whole"))


def test_a_second_process_waits_for_the_first_and_says_so(tmp_path: Path) -> None:
    import threading

    said: list[str] = []
    told, free = threading.Event(), threading.Event()

    def second() -> None:
        def say(text: str) -> None:
            said.append(text)
            told.set()

        with StageRun(tmp_path / "run").held(say):
            free.set()

    with StageRun(tmp_path / "run").held(quiet):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        assert not free.is_set()
    thread.join(10)
    assert free.is_set()
    assert "another process is at work" in said[0]
