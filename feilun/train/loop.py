"""The one training loop: batches, loss, step, log, checkpoint, resume. What is learnt is the objective's business.

A run directory holds `resolved.json` (written before step 0), `metrics.jsonl`, and `checkpoint.pt`, which is replaced
atomically and holds weights, optimiser, loader, step and torch's random state; a killed run continues from it and ends
bit-equal. That holds for the same machine, build, thread count and compiler: sums over threads are cut by thread count,
and compiled and eager kernels round differently. Nothing here draws random numbers while it trains; an objective that
does draws from torch's default generator, which is seeded and saved.
"""

import itertools
import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from feilun.config import TrainSettings
from feilun.model.optim import Optimiser, schedule
from feilun.model.transformer import Transformer
from feilun.train.rundir import StageRun
from feilun.types import UserError

__all__ = ["Objective", "Progress", "compute_dtype", "has_compiler", "train_loop"]

LOG_STEPS = 25
CALIBRATION_STEPS = 12
# Babble becomes words in the first few hundred steps of thousands; samples cost about two steps each.
SAMPLE_SHARES = (0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 0.75)
SAMPLE_EVERY_STEPS = 10
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
# Compilation costs about half a minute; shorter runs do not repay it.
COMPILE_FROM_STEPS = 100
COMPILE_FROM_SECONDS = 90.0


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
    """`loss` is None where nothing is trained yet (tokens being made, step 0); `run` names the folder under `runs/`, "" before it."""

    stage: str
    step: int
    num_steps: int
    loss: float | None
    eta_seconds: float
    run: str = ""


Report = Callable[[Progress], None]
Sample = Callable[[Transformer], list[tuple[str, str]]]


def compute_dtype(precision: str) -> torch.dtype:
    """ "auto" is bf16 where the processor multiplies it natively, else fp32."""
    if precision == "auto":
        native = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    if precision not in PRECISIONS:
        raise UserError(f"precision={precision!r} is unknown; allowed: auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def has_compiler() -> bool:
    return any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def wants_compile(settings: TrainSettings, num_steps: int) -> bool:
    """Compile when asked, or on "auto" when the run is long enough to repay it and a C++ compiler is there.

    A run on a budget is judged by its seconds, also when its number of steps is known by now: a resumed run must round
    as the run before it did.
    """
    if settings.compile == "auto":
        long = settings.budget_seconds >= COMPILE_FROM_SECONDS if settings.budget_seconds else num_steps >= COMPILE_FROM_STEPS
        return long and has_compiler()
    if settings.compile not in ("on", "off"):
        raise UserError(f"compile={settings.compile!r} is unknown; allowed: auto, on, off")
    return settings.compile == "on"


def train_loop(
    model: Transformer,
    objective: Objective,
    settings: TrainSettings,
    run: StageRun,
    *,
    stage: str,
    progress: Report | None = None,
    sample: Sample | None = None,
) -> int:
    """Train to the last step; return the number of steps. Continues from the run's checkpoint if there is one.

    sample: what the model writes, for `samples.jsonl`; asked at step 0 and some times on the way, and nothing else changes by it.
    """
    with deterministic():
        training = Training(model, objective, settings, run, stage, progress, sample)
        training.resume()
        if not training.num_steps:
            training.fix_horizon()
        training.begin()
        while training.step < training.num_steps:
            training.advance()
        training.check_weights()
    return training.num_steps


@contextmanager
def deterministic() -> Iterator[None]:
    """Inside, the same sums come out of the same numbers and threads.

    Compiled for a CPU, the gradient of the embeddings is added up with atomics otherwise: two threads add to the row of a token in the
    order in which they come, and the weights of two runs differ from the first step on.
    """
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def sample_steps(num_steps: int) -> frozenset[int]:
    """0, the last step, and the steps between where something is to be seen: close together at first, never closer than some steps."""
    found = [0]
    for share in SAMPLE_SHARES:
        step = round(share * num_steps)
        if step - found[-1] >= SAMPLE_EVERY_STEPS and num_steps - step >= SAMPLE_EVERY_STEPS:
            found.append(step)
    return frozenset({*found, num_steps})


class Training:
    """The moving parts of one run."""

    def __init__(
        self, model: Transformer, objective: Objective, settings: TrainSettings, run: StageRun, stage: str, progress: Report | None,
        sample: Sample | None,
    ):  # fmt: skip
        self.model, self.settings, self.run, self.stage, self.progress, self.sample = model, settings, run, stage, progress, sample
        self.optimiser, self.stream = Optimiser(model, settings.optimiser, model.compute_dtype), objective.batches()
        self.step, self.num_steps = 0, settings.num_steps or run.horizon()
        self.sampled_steps: frozenset[int] = frozenset()
        self.loss_fn = torch.compile(objective.loss) if wants_compile(settings, self.num_steps) else objective.loss
        self.started, self.clock = time.monotonic(), StepClock()
        torch.manual_seed(settings.seed)

    def resume(self) -> None:
        if self.run.checkpoint.exists():
            saved = torch.load(self.run.checkpoint, weights_only=False)
            self.model.load_state_dict(saved["model"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.stream.restore(saved["stream"])
            torch.set_rng_state(saved["random"])
            self.step, self.num_steps = saved["step"], saved["num_steps"]
            self.started -= saved["seconds"]
        self.run.rewind_logs(self.step)

    def fix_horizon(self) -> None:
        """How many steps the budget pays for, measured once on steps that change nothing, and written down.

        From then on the run is one of that many steps: killed and resumed, it ends as it would have.
        """
        begin, marks = self.stream.state(), []
        for _ in range(CALIBRATION_STEPS):
            self.backward(next(self.stream))
            self.optimiser.step(0.0)
            self.optimiser.zero_grad()
            marks.append(time.monotonic())
        seconds_per_step = statistics.median(b - a for a, b in itertools.pairwise(marks))
        left = self.settings.budget_seconds - (marks[-1] - self.started)
        self.num_steps = max(1, int(left / max(seconds_per_step, 1e-6)))
        self.run.save_horizon(self.num_steps)
        self.stream.restore(begin)
        self.optimiser = Optimiser(self.model, self.settings.optimiser, self.model.compute_dtype)
        torch.manual_seed(self.settings.seed)

    def begin(self) -> None:
        """Say where the run stands before the first step, which may compile for half a minute."""
        self.sampled_steps = sample_steps(self.num_steps)
        if not self.step:
            self.write_samples()
        if self.step < self.num_steps:
            self.tell(None)

    def backward(self, batch: Any) -> tuple[float, dict[str, Tensor]]:
        loss, metrics = self.loss_fn(self.model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise UserError(self.broken(f"the loss at step {self.step + 1} is {value}"))
        torch.autograd.backward(loss)
        return value, metrics

    def advance(self) -> None:
        """One step, its log row and, when due, a checkpoint."""
        value, metrics = self.backward(next(self.stream))
        optimiser = self.settings.optimiser
        self.optimiser.step(schedule(self.step, self.num_steps, optimiser.warmup_fraction, optimiser.cooldown_fraction))
        self.optimiser.zero_grad()
        self.step += 1
        self.clock.tick()
        if self.step % LOG_STEPS == 0 or self.step == self.num_steps:
            self.report(value, metrics)
        self.write_samples()
        if self.step % self.settings.checkpoint_steps == 0 and self.step < self.num_steps:
            self.save()

    def report(self, loss: float, metrics: dict[str, Tensor]) -> None:
        figures = {name: round(float(value), 5) for name, value in metrics.items()}
        self.run.log({"step": self.step, **figures, "seconds": round(time.monotonic() - self.started, 2)})
        self.tell(loss)

    def tell(self, loss: float | None) -> None:
        if self.progress is not None:
            eta_seconds = self.clock.seconds_per_step * (self.num_steps - self.step)
            self.progress(Progress(self.stage, self.step, self.num_steps, loss, eta_seconds, self.run.path.name))

    def write_samples(self) -> None:
        if self.sample is not None and self.step in self.sampled_steps:
            self.run.log_samples(self.step, self.sample(self.model))

    def save(self) -> None:
        self.check_weights()
        self.run.save({
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "stream": self.stream.state(),
            "random": torch.get_rng_state(), "step": self.step, "num_steps": self.num_steps, "seconds": time.monotonic() - self.started,
        })  # fmt: skip

    def check_weights(self) -> None:
        """No broken weight ever reaches a checkpoint or a model."""
        broken = [name for name, parameter in self.model.named_parameters() if not torch.isfinite(parameter).all()]
        if broken:
            raise UserError(self.broken(f"after step {self.step} {len(broken)} weights are not finite ({broken[0]} first)"))

    def broken(self, what: str) -> str:
        kept = f"the last checkpoint is kept in {self.run.checkpoint}" if self.run.checkpoint.exists() else "there is no checkpoint yet"
        return (
            f"{self.stage} stopped: {what}; {kept}; lower optimiser.matrix_lr and optimiser.other_lr, or set precision=fp32, and begin anew"
        )


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
