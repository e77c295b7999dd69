"""Stages as runs: resolve what a stage needs, train, publish a model.

A run is addressed by what it was told (stage, name, settings, parents), so the same command finds its own run again: it
continues after a kill, and answers at once when the model is already there. The published model holds weights and
tokenizer only, so equal weights have equal refs; measurements stay in `runs/`.
"""

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from feilun.artifacts import Artifact, draft, find, read_json, write_json
from feilun.chat import ChatFormat
from feilun.config import PreferSettings, PretrainSettings, SftSettings, TrainSettings, resolved
from feilun.model.checkpoint import load_model, save_model
from feilun.model.transformer import Transformer
from feilun.tokenizer import Tokenizer
from feilun.train.data import Mixture, Packer, RowSource, TokenRow, pad_rows
from feilun.train.derive import derive
from feilun.train.evaluate import bits_per_byte, sample_texts
from feilun.train.loop import Progress, StageRun, compute_dtype, train_loop
from feilun.train.objectives import NextToken, PairBatch, PairStream, Preference, sequence_logprobs
from feilun.train.plot import plot_loss
from feilun.train.sources import LessonRows, TokenFile, build_tokens, read_jsonl, read_lessons, validation_sets
from feilun.types import Conversation, UserError

__all__ = ["train_prefer", "train_pretrain", "train_sft"]

Report = Callable[[Progress], None]
Say = Callable[[str], None]


class Telling(NamedTuple):
    """How the caller wants to be told; `resume` insists that there is a run to go on with."""

    resume: bool
    progress: Report | None
    say: Say


class Prepared(NamedTuple):
    """A stage that is ready to run."""

    model: Transformer
    tokenizer: Tokenizer
    chat: bool
    objective: Any
    parents: list[str]


def train_pretrain(
    home: Path, settings: PretrainSettings, name: str, *, resume: bool = False, progress: Report | None = None, say: Say = print
) -> Artifact:
    """Next-token prediction on a corpus; returns the base model."""
    require(settings, "corpus", "tokenizer")
    tokens = build_tokens(home, settings.corpus, settings.tokenizer)
    tokenizer = Tokenizer.load(find(home, settings.tokenizer, "tokenizer").path)
    derived = derive(settings, tokenizer.vocab_size)
    for line in describe(derived.shape, derived.settings, derived.num_parameters):
        say(line)
    sets = validation_sets(tokens, settings.validation_tokens)

    def prepare() -> Prepared:
        model = Transformer(derived.shape, compute_dtype(settings.precision))
        model.initialise(torch.Generator().manual_seed(settings.seed))
        packer = make_packer(settings, [(TokenFile(tokens), 1.0)])
        return Prepared(model, tokenizer, False, NextToken(packer), [f"tokens/{tokens.ref}", *tokens.parents])

    def measure(model: Transformer) -> dict[str, Any]:
        return {"bits_per_byte": bits_per_byte(model, sets, settings)}

    return run_stage(home, "pretrain", name, derived.settings, prepare, measure, Telling(resume, progress, say))


def train_sft(
    home: Path, settings: SftSettings, name: str, *, resume: bool = False, progress: Report | None = None, say: Say = print
) -> Artifact:
    """Examples of answering on top of a base model; returns a chat model."""
    require(settings, "base", "lessons")

    def prepare() -> Prepared:
        start = open_start(home, settings)
        lessons = find(home, settings.lessons, "lessons")
        rows = LessonRows(read_lessons(lessons), ChatFormat(start.tokenizer))
        text, parents = text_source(home, settings)
        packer = make_packer(settings, [(rows, 1.0 - settings.text_share), *text])
        return Prepared(start.model, start.tokenizer, True, NextToken(packer), [start.ref, f"lessons/{lessons.ref}", *parents])

    return run_stage(home, "sft", name, settings, prepare, no_measure, Telling(resume, progress, say))


def train_prefer(
    home: Path, settings: PreferSettings, name: str, *, resume: bool = False, progress: Report | None = None, say: Say = print
) -> Artifact:
    """Lessons from feedback on top of a chat model, with replay; returns the candidate."""
    require(settings, "base", "lessons", "replay")

    def prepare() -> Prepared:
        start = open_start(home, settings)
        lessons, replay = find(home, settings.lessons, "lessons"), find(home, settings.replay, "lessons")
        chat = ChatFormat(start.tokenizer)
        kept = [row for row in read_lessons(replay) if row.get("task") not in settings.replay_without]
        text, parents = text_source(home, settings)
        share = 1.0 - settings.replay_share - settings.text_share
        packer = make_packer(
            settings, [(LessonRows(read_lessons(lessons), chat), share), (LessonRows(kept, chat), settings.replay_share), *text]
        )
        pairs = pair_batches(lessons, chat, start.model, settings) if settings.pair_weight else []
        objective: Any = NextToken(packer)
        if pairs:
            objective = Preference(PairStream(packer, pairs), settings.beta, settings.pair_weight, settings.nll_weight)
        return Prepared(
            start.model, start.tokenizer, True, objective, [start.ref, f"lessons/{lessons.ref}", f"lessons/{replay.ref}", *parents]
        )

    return run_stage(home, "prefer", name, settings, prepare, no_measure, Telling(resume, progress, say))


def no_measure(_: Transformer) -> dict[str, Any]:
    return {}


class Start(NamedTuple):
    model: Transformer
    tokenizer: Tokenizer
    ref: str


def open_start(home: Path, settings: SftSettings) -> Start:
    base = find(home, settings.base, "models")
    return Start(load_model(base.path, compute_dtype(settings.precision)), Tokenizer.load(base.path), f"models/{base.ref}")


def text_source(home: Path, settings: SftSettings) -> tuple[list[tuple[RowSource, float]], list[str]]:
    """The tokens artifact `settings.text` as a source, if a share is given to it."""
    if not settings.text_share:
        return [], []
    require(settings, "text")
    tokens, model = find(home, settings.text, "tokens"), find(home, settings.base, "models")
    theirs, ours = (a.manifest["files"].get("tokenizer.json") for a in (find(home, tokens.parents[1]), model))
    if theirs != ours:
        raise UserError(f"tokens {tokens.ref} were made with another tokenizer than model {model.ref}; build them with the model's own")
    return [(TokenFile(tokens), settings.text_share)], [f"tokens/{tokens.ref}"]


def make_packer(settings: TrainSettings, parts: list[tuple[RowSource, float]]) -> Packer:
    mixture = Mixture(tuple(source for source, share in parts if share > 0), tuple(share for _, share in parts if share > 0))
    return Packer(mixture, rows=settings.rows, row_tokens=settings.row_tokens, seed=settings.seed)


def pair_batches(lessons: Artifact, chat: ChatFormat, reference: Transformer, settings: PreferSettings) -> list[PairBatch]:
    """Preference pairs in batches of `pair_rows`, each with its reference log-probabilities; too long pairs are left out."""
    made: list[tuple[TokenRow, TokenRow, float]] = []
    for row in read_jsonl(lessons.path / "pairs.jsonl"):
        prompt = Conversation.from_json(row["prompt"])
        chosen, rejected = (pair_row(chat, prompt, row[side]) for side in ("chosen", "rejected"))
        if max(len(chosen.ids), len(rejected.ids)) <= settings.row_tokens + 1:
            made.append((chosen, rejected, float(row.get("weight", 1.0))))
    random.Random(settings.seed).shuffle(made)
    size = settings.pair_rows
    batches = []
    for start in range(0, len(made) - size + 1, size):
        group = made[start : start + size]
        rows = pad_rows([c for c, _, _ in group] + [r for _, r, _ in group], settings.row_tokens)
        batches.append(PairBatch(rows, sequence_logprobs(reference, rows), torch.tensor([w for _, _, w in group])))
    return batches


def pair_row(chat: ChatFormat, prompt: Conversation, answer: str) -> TokenRow:
    return LessonRows.row({"messages": prompt.then("assistant", answer).to_json(), "weight": 1.0}, chat)


def run_stage(
    home: Path, stage: str, name: str, settings: TrainSettings, prepare: Callable[[], Prepared],
    measure: Callable[[Transformer], dict[str, Any]], telling: Telling,
) -> Artifact:  # fmt: skip
    """Train (or go on, or find what was made) and publish `models/name@hash`."""
    told = {"stage": stage, "name": name, "settings": resolved(settings)}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    run = StageRun(home / "runs" / f"{stage}-{name}-{digest}")
    done = run.path / "done.json"
    if done.exists():
        return find(home, read_json(done)["model"], "models")
    if telling.resume and not run.checkpoint.exists():
        raise UserError(
            f"--resume: no run of {stage} {name!r} with these settings has a checkpoint in {run.path.parent}; leave --resume out to begin"
        )
    run.begin(told)
    torch.set_num_threads(settings.threads)
    prepared = prepare()
    before = None if run.checkpoint.exists() else measure(prepared.model)
    if before:
        write_json(run.path / "before.json", before)
    num_steps = train_loop(prepared.model, prepared.objective, settings, run, stage=stage, progress=telling.progress)
    finish(run, prepared, measure, telling.say)
    with draft(home, "models", name, parents=prepared.parents, recipe=told) as work:
        save_model(work.path, prepared.model, prepared.tokenizer, chat=prepared.chat)
        work.counts |= {"run": run.path.name, "num_steps": num_steps}
    assert work.artifact is not None
    write_json(done, {"model": f"models/{work.artifact.ref}"})
    run.checkpoint.unlink(missing_ok=True)
    return work.artifact


def finish(run: StageRun, prepared: Prepared, measure: Callable[[Transformer], dict[str, Any]], say: Say) -> None:
    """Measurements, samples and the loss plot of a finished run."""
    after = measure(prepared.model)
    if after:
        before = read_json(run.path / "before.json") if (run.path / "before.json").exists() else {}
        write_json(run.path / "after.json", after)
        for lang, value in after["bits_per_byte"].items():
            first = before.get("bits_per_byte", {}).get(lang)
            say(f"validation bits per byte, {lang}: {'?' if first is None else f'{first:.4f}'} -> {value:.4f}")
    if not prepared.chat:
        samples = sample_texts(prepared.model, prepared.tokenizer)
        (run.path / "samples.txt").write_text("\n\n".join(samples), encoding="utf-8")
    plot_loss(run.path / "metrics.jsonl", run.path / "loss.png")


def describe(shape: Any, settings: PretrainSettings, num_parameters: int) -> list[str]:
    """Every derived value, one a line."""
    fields = {
        **dataclasses.asdict(shape),
        "parameters": num_parameters,
        "steps": settings.num_steps or f"by budget, {settings.budget_seconds:g} s",
    }
    batch = settings.rows * settings.row_tokens
    fields |= {
        "batch_tokens": batch,
        "tokens": batch * settings.num_steps or "by budget",
        "precision": str(compute_dtype(settings.precision)),
    }
    fields |= {"matrix_lr": settings.optimiser.matrix_lr, "other_lr": round(settings.optimiser.other_lr, 6), "threads": settings.threads}
    return [f"{key} = {value}" for key, value in fields.items()]


def require(settings: TrainSettings, *names: str) -> None:
    for name in names:
        if not getattr(settings, name):
            raise UserError(f"{type(settings).__name__}.{name} is not set; give --set {name}=REF or set it in the recipe")
