"""The one training loop: batches, loss, step, log, checkpoint, resume. What is learnt is the objective's business.

A run directory holds `resolved.json` (written before step 0), `metrics.jsonl`, and `checkpoint.pt`, which is replaced
atomically and holds weights, optimiser, loader and step; a killed run continues from it and ends bit-equal.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from feilun.artifacts import write_json
from feilun.config import TrainSettings
from feilun.model.optim import Optimiser, schedule
from feilun.model.transformer import Transformer

__all__ = ["Objective", "Progress", "StageRun", "compute_dtype", "train_loop"]

LOG_STEPS = 25
CALIBRATION_STEPS = 12
CHECKPOINT = "checkpoint.pt"


class Objective(Protocol):
    """What a stage optimises."""

    def batches(self) -> "BatchStream": ...

    def loss(self, model: Transformer, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """(scalar loss, metrics as scalars); called under torch.compile where that pays."""
        ...


class BatchStream(Protocol):
    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Progress:
    stage: str
    step: int
    num_steps: int
    loss: float
    eta_seconds: float


class StageRun:
    """The run directory of one stage: what it was told, where it stands, what it measured."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT

    def begin(self, settings: dict[str, Any]) -> None:
        """Write what the run was told, or make sure that a resumed run is told the same."""
        told = self.path / "resolved.json"
        if told.exists():
            before = json.loads(told.read_text(encoding="utf-8"))
            assert before == json.loads(json.dumps(settings)), f"{self.path} belongs to a run with other settings"
        else:
            write_json(told, settings)

    def save(self, state: dict[str, Any]) -> None:
        temporary = self.path / f".{CHECKPOINT}.{os.getpid()}"
        with temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.checkpoint)

    def log(self, row: dict[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def rewind_log(self, step: int) -> None:
        """Drop rows after `step`: they are about to be measured again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            kept = [
                line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}") and json.loads(line)["step"] <= step
            ]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def compute_dtype(precision: str) -> torch.dtype:
    """ "auto" is bf16 where the processor multiplies it natively, else fp32."""
    if precision == "auto":
        native = torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]


def wants_compile(setting: str, num_steps: int) -> bool:
    """Compile when asked, or on "auto" when the run is long enough to repay it and a C++ compiler is there."""
    if setting == "auto":
        return num_steps >= 100 and any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return setting == "on"


def train_loop(
    model: Transformer,
    objective: Objective,
    settings: TrainSettings,
    run: StageRun,
    *,
    stage: str,
    progress: Callable[[Progress], None] | None = None,
) -> int:
    """Train to the last step; return the number of steps. Continues from the run's checkpoint if there is one."""
    optimiser = Optimiser(model, settings.optimiser, model.compute_dtype)
    stream = objective.batches()
    step, num_steps, spent = 0, settings.num_steps, 0.0
    if run.checkpoint.exists():
        saved = torch.load(run.checkpoint, weights_only=False)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        stream.restore(saved["stream"])
        step, num_steps, spent = saved["step"], saved["num_steps"], saved["seconds"]
        run.rewind_log(step)
    loss_fn = torch.compile(objective.loss) if wants_compile(settings.compile, num_steps or 10**6) else objective.loss
    started, clock = time.monotonic() - spent, StepClock()

    def save() -> None:
        run.save({
            "model": model.state_dict(), "optimiser": optimiser.state_dict(), "stream": stream.state(),
            "step": step, "num_steps": num_steps, "seconds": time.monotonic() - started,
        })  # fmt: skip

    while not num_steps or step < num_steps:
        loss, metrics = loss_fn(model, next(stream))
        loss.backward()
        if not num_steps and step >= CALIBRATION_STEPS:
            num_steps = clock.affordable(step, settings.budget_seconds - (time.monotonic() - started))
            save_horizon(run, num_steps)
        optimiser.step(schedule(step, num_steps or 10**6, settings.optimiser.warmup_fraction, settings.optimiser.cooldown_fraction))
        optimiser.zero_grad()
        step += 1
        clock.tick()
        if step % LOG_STEPS == 0 or step == num_steps:
            run.log(
                {
                    "step": step,
                    **{name: round(float(value), 5) for name, value in metrics.items()},
                    "seconds": round(time.monotonic() - started, 2),
                }
            )
            if progress is not None:
                progress(Progress(stage, step, num_steps, float(loss.detach()), clock.seconds_per_step * ((num_steps or step) - step)))
        if step % settings.checkpoint_steps == 0 and step < num_steps:
            save()
    return num_steps


def save_horizon(run: StageRun, num_steps: int) -> None:
    """A run on a time budget fixes its number of steps once; from then on it is a run of that many steps."""
    write_json(run.path / "horizon.json", {"num_steps": num_steps})


class StepClock:
    """Seconds a step, from the recent ones (the first hold compilation)."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.seconds_per_step = 0.0
        self.ticks = 0

    def tick(self) -> None:
        now = time.monotonic()
        taken, self.last = now - self.last, now
        self.ticks += 1
        if self.ticks > 2:
            self.seconds_per_step = taken if not self.seconds_per_step else 0.9 * self.seconds_per_step + 0.1 * taken

    def affordable(self, step: int, seconds_left: float) -> int:
        return step + max(1, int(seconds_left / max(self.seconds_per_step, 1e-6)))
