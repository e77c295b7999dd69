"""Stages as runs: resolve what a stage needs, train, publish a model.

A run is addressed by what it was told (stage, name, settings, parents), so the same command finds its own run again: it
continues after a kill, and answers at once when the model is already there. The published model holds weights and
tokenizer only, so equal weights have equal refs; measurements stay in `runs/`.
"""

import dataclasses
import hashlib
import json
import math
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from feilun.artifacts import Artifact, draft, environment, find, read_json, write_json
from feilun.chat import ChatFormat
from feilun.config import PreferSettings, PretrainSettings, SftSettings, TrainSettings, resolved
from feilun.model.checkpoint import load_model, save_model
from feilun.model.transformer import Transformer
from feilun.tokenizer import Tokenizer
from feilun.train.data import Mixture, Packer, RowSource, TokenRow, pad_rows
from feilun.train.derive import derive
from feilun.train.evaluate import bits_per_byte, sample_texts
from feilun.train.loop import Objective, Progress, compute_dtype, has_compiler, train_loop
from feilun.train.objectives import NextToken, PairRow, PairStream, Preference, sequence_logprobs
from feilun.train.plot import plot_loss
from feilun.train.rundir import StageRun
from feilun.train.sources import LessonRows, TokenFile, build_tokens, lesson_row, lesson_weight, read_jsonl, read_lessons, validation_sets
from feilun.types import Conversation, UserError

__all__ = ["train_prefer", "train_pretrain", "train_sft"]

Report = Callable[[Progress], None]
Say = Callable[[str], None]
S = TypeVar("S", bound=TrainSettings)
PASSES = 2  # over the lessons, where neither steps nor seconds are given


class Telling(NamedTuple):
    """How the caller wants to be told; `resume` insists that there is a run to go on with."""

    resume: bool
    progress: Report | None
    say: Say


class Prepared(NamedTuple):
    """A stage that is ready to run. `counts` is what the manifest tells about the rows, `pass_steps` one pass over them.

    ending: what is done to the weights after the last step.
    """

    model: Transformer
    tokenizer: Tokenizer
    chat: bool
    objective: Objective
    parents: list[str]
    counts: dict[str, Any]
    pass_steps: int = 0
    ending: Callable[[Transformer], None] = lambda _: None


def train_pretrain(
    home: Path, settings: PretrainSettings, name: str, *, resume: bool = False, progress: Report | None = None, say: Say = print
) -> Artifact:
    """Next-token prediction on a corpus; returns the base model."""
    require(settings, "corpus", "tokenizer")
    settings = pinned(home, settings, corpus="corpus", tokenizer="tokenizer")
    tokens = build_tokens(home, settings.corpus, settings.tokenizer, progress=documents_told(home, settings, progress))
    tokenizer = Tokenizer.load(find(home, settings.tokenizer, "tokenizer").path)
    derived = derive(settings, tokenizer.vocab_size)
    for line in describe(derived.shape, derived.settings, derived.num_parameters):
        say(line)
    sets = validation_sets(tokens, settings.validation_tokens)

    def prepare() -> Prepared:
        model = Transformer(derived.shape, compute_dtype(settings.precision))
        model.initialise(torch.Generator().manual_seed(settings.seed))
        packer = make_packer(settings, [(TokenFile(tokens), 1.0)])
        return Prepared(model, tokenizer, False, NextToken(packer), [f"tokens/{tokens.ref}", *tokens.parents], {})

    def measure(model: Transformer) -> dict[str, Any]:
        return {"bits_per_byte": bits_per_byte(model, sets, settings)}

    return run_stage(home, "pretrain", name, derived.settings, prepare, measure, Telling(resume, progress, say))


def documents_told(home: Path, settings: PretrainSettings, progress: Report | None) -> Callable[[int, int], None] | None:
    """Documents made into tokens, as progress of their own."""
    if progress is None:
        return None
    total, began = find(home, settings.corpus, "corpus").manifest["counts"]["documents"]["train"], time.monotonic()

    def tell(done: int, _num_bytes: int) -> None:
        progress(Progress("tokens", done, total, None, (time.monotonic() - began) / done * (total - done)))

    return tell


def train_sft(
    home: Path, settings: SftSettings, name: str, *, resume: bool = False, progress: Report | None = None, say: Say = print
) -> Artifact:
    """Examples of answering on top of a base model; returns a chat model."""
    require(settings, "base", "lessons")
    settings = pinned(home, settings, base="models", lessons="lessons", text="tokens")

    def prepare() -> Prepared:
        start = open_start(home, settings)
        lessons = find(home, settings.lessons, "lessons")
        rows = LessonRows(read_lessons(lessons), ChatFormat(start.tokenizer), settings.row_tokens)
        text, parents = text_source(home, settings)
        packer = make_packer(settings, [(rows, 1.0 - settings.text_share), *text])
        parents = [start.ref, f"lessons/{lessons.ref}", *parents]
        counts = {"lessons": rows.counts}
        return Prepared(start.model, start.tokenizer, True, NextToken(packer), parents, counts, num_pass_steps(packer))

    return run_stage(home, "sft", name, settings, prepare, no_measure, Telling(resume, progress, say))


def train_prefer(
    home: Path, settings: PreferSettings, name: str, *, resume: bool = False, progress: Report | None = None, say: Say = print
) -> Artifact:
    """Lessons from feedback on top of a chat model, with replay; returns the candidate."""
    if not 0 <= settings.base_share < 1:
        raise UserError(f"base_share={settings.base_share:g}: allowed are numbers from 0 up to, but not including, 1")
    require(settings, "base", "lessons", *(["replay"] if settings.replay_share else []))
    settings = pinned(home, settings, base="models", lessons="lessons", spread="lessons", replay="lessons", text="tokens")

    def prepare() -> Prepared:
        start = open_start(home, settings)
        lessons, chat = find(home, settings.lessons, "lessons"), ChatFormat(start.tokenizer)
        rows = LessonRows(read_lessons(lessons), chat, settings.row_tokens, last_only=True)
        counts: dict[str, Any] = {"lessons": rows.counts}
        text, parents = text_source(home, settings)
        replay, replayed = replay_source(home, settings, chat, counts)
        spread, spread_from = spread_source(home, settings, chat, counts)
        share = 1.0 - sum(share for _, share in (*replay, *spread, *text))
        packer = make_packer(settings, [(rows, share), *spread, *replay, *text])
        objective = preference(lessons, chat, start.model, settings, packer, counts)
        parents = [start.ref, f"lessons/{lessons.ref}", *spread_from, *replayed, *parents]
        ending = partial(draw_back, home=home, settings=settings)
        return Prepared(start.model, start.tokenizer, True, objective, parents, counts, num_pass_steps(packer), ending)

    return run_stage(home, "prefer", name, settings, prepare, no_measure, Telling(resume, progress, say))


@torch.no_grad()
def draw_back(model: Transformer, home: Path, settings: PreferSettings) -> None:
    """Draw every weight towards the base's: between the two much of what the base knew comes back, before what was learnt goes.

    Wortsman et al. 2022 (arXiv 2109.01903) average a model before and after fine-tuning so.
    """
    if settings.base_share:
        before = load_model(find(home, settings.base, "models").path, compute_dtype(settings.precision)).state_dict()
        for name, weight in model.named_parameters():
            weight.lerp_(before[name], settings.base_share)


def no_measure(_: Transformer) -> dict[str, Any]:
    return {}


def pinned(home: Path, settings: S, **kinds: str) -> S:
    """Settings whose refs are full ones ("name@hash"), so that a bare name cannot come to mean something else."""
    refs: dict[str, Any] = {
        field: find(home, getattr(settings, field), kind).ref for field, kind in kinds.items() if getattr(settings, field)
    }
    return dataclasses.replace(settings, **refs)


class Start(NamedTuple):
    model: Transformer
    tokenizer: Tokenizer
    ref: str


def open_start(home: Path, settings: SftSettings) -> Start:
    base = find(home, settings.base, "models")
    model = load_model(base.path, compute_dtype(settings.precision))
    if settings.row_tokens > model.shape.max_tokens:
        raise UserError(f"row_tokens={settings.row_tokens}: model {base.ref} takes rows of at most {model.shape.max_tokens} tokens")
    return Start(model, Tokenizer.load(base.path), f"models/{base.ref}")


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


def replay_source(
    home: Path, settings: PreferSettings, chat: ChatFormat, counts: dict[str, Any]
) -> tuple[list[tuple[RowSource, float]], list[str]]:
    """Earlier lessons, if a share is given to them: without the tasks that people now correct, and without what argues against
    the owner's corrections."""
    if not settings.replay_share:
        return [], []
    replay = find(home, settings.replay, "lessons")
    spread = find(home, settings.spread, "lessons").path if settings.spread else None
    all_rows = read_lessons(replay)
    unlearn = set(read_json(spread / "report.json")["unlearn"]) if spread else set()
    wanted = [row for row in all_rows if row.get("task") not in settings.replay_without]
    kept = [row for row in wanted if row["messages"][-2]["content"] not in unlearn]
    rows = LessonRows(kept, chat, settings.row_tokens)
    counts["replay"] = rows.counts | {"without": len(all_rows) - len(kept)}
    rehearsal = read_jsonl(spread / "rehearsal.jsonl") if spread else []
    if not rehearsal:
        return [(rows, settings.replay_share)], [f"lessons/{replay.ref}"]
    # What the champion says by now takes the place of what was left out.
    share = settings.replay_share * (1 - len(wanted) / len(all_rows))
    return [(rows, settings.replay_share - share), (LessonRows(rehearsal, chat, settings.row_tokens), share)], [f"lessons/{replay.ref}"]


def spread_source(
    home: Path, settings: PreferSettings, chat: ChatFormat, counts: dict[str, Any]
) -> tuple[list[tuple[RowSource, float]], list[str]]:
    """The owner's corrections in other words, where a turn has made some."""
    if not settings.spread or not settings.spread_share:
        return [], []
    spread = find(home, settings.spread, "lessons")
    rows = LessonRows(read_lessons(spread), chat, settings.row_tokens, last_only=True)
    counts["spread"] = rows.counts
    return [(rows, settings.spread_share)], [f"lessons/{spread.ref}"]


def make_packer(settings: TrainSettings, parts: list[tuple[RowSource, float]]) -> Packer:
    mixture = Mixture(tuple(source for source, _ in parts), tuple(share for _, share in parts))
    return Packer(mixture, rows=settings.rows, row_tokens=settings.row_tokens, seed=settings.seed)


def num_pass_steps(packer: Packer) -> int:
    """Steps in which each row of the first source (the lessons) comes once, its share of the others beside it."""
    sources, shares = packer.mixture.sources, packer.mixture.shares
    num_tokens = sum(
        share / shares[0] * len(sources[0]) * source.num_tokens / len(source) for source, share in zip(sources, shares, strict=True)
    )
    return math.ceil(num_tokens / (packer.rows * packer.row_tokens))


def preference(
    lessons: Artifact, chat: ChatFormat, reference: Transformer, settings: PreferSettings, packer: Packer, counts: dict[str, Any]
) -> Objective:
    """Likelihood alone, or with pairs beside it where they have a weight and there are any."""
    pairs = pair_rows(lessons, chat, reference, settings, counts) if settings.pair_weight else []
    if not pairs:
        return NextToken(packer)
    return Preference(PairStream(packer, pairs, settings.pair_rows), settings.beta, settings.pair_weight, settings.nll_weight)


def pair_rows(
    lessons: Artifact, chat: ChatFormat, reference: Transformer, settings: PreferSettings, counts: dict[str, Any]
) -> list[PairRow]:
    """Preference pairs in a fixed random order, each with its log-probabilities under the start model; counts what is left out."""
    told = {"rows": 0, "used": 0, "too_long": 0, "no_weight": 0}
    made: list[tuple[TokenRow, TokenRow, float]] = []
    for row in read_jsonl(lessons.path / "pairs.jsonl"):
        told["rows"] += 1
        weight, prompt = lesson_weight(row, told["rows"]), Conversation.from_json(row["prompt"])
        chosen, rejected = (lesson_row(prompt.then("assistant", row[side]), chat, last_only=True) for side in ("chosen", "rejected"))
        fits = max(len(chosen.ids), len(rejected.ids)) <= settings.row_tokens + 1
        told["no_weight" if not weight else "used" if fits else "too_long"] += 1
        if weight and fits:
            made.append((chosen, rejected, weight))
    counts["pairs"] = told
    random.Random(settings.seed).shuffle(made)
    found: list[PairRow] = []
    for start in range(0, len(made), settings.pair_rows):
        group = made[start : start + settings.pair_rows]
        rows = pad_rows([c for c, _, _ in group] + [r for _, r, _ in group], settings.row_tokens)
        sums = sequence_logprobs(reference, rows).tolist()
        found += [PairRow(c, r, w, (sums[i], sums[len(group) + i])) for i, (c, r, w) in enumerate(group)]
    return found


def run_stage(
    home: Path,
    stage: str,
    name: str,
    settings: TrainSettings,
    prepare: Callable[[], Prepared],
    measure: Callable[[Transformer], dict[str, Any]],
    telling: Telling,
) -> Artifact:
    """Train (or go on, or find what was made) and publish `models/name@hash`."""
    check_settings(settings)
    told = {"stage": stage, "name": name, "settings": resolved(settings)}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    run = StageRun(home / "runs" / f"{stage}-{name}-{digest}")
    if telling.resume and not run.exists:
        raise UserError(f"--resume: no run of {stage} {name!r} with these settings in {run.path.parent}; leave --resume out to begin one")
    done = run.path / "done.json"
    with run.held(telling.say):
        if not done.exists():
            write_json(done, {"model": f"models/{carry_out(home, run, told, settings, prepare, measure, telling).ref}"})
        run.checkpoint.unlink(missing_ok=True)
    return find(home, read_json(done)["model"], "models")


def carry_out(
    home: Path,
    run: StageRun,
    told: dict[str, Any],
    settings: TrainSettings,
    prepare: Callable[[], Prepared],
    measure: Callable[[Transformer], dict[str, Any]],
    telling: Telling,
) -> Artifact:
    run.begin(told)
    write_json(run.path / "environment.json", environment() | {"torch": torch.__version__})
    if settings.compile == "auto" and not has_compiler():
        telling.say("no C++ compiler found: training runs eager, at about two thirds of the speed")
    torch.set_num_threads(settings.threads)
    prepared = prepare()
    for part, counts in prepared.counts.items():
        telling.say(f"{part}: " + ", ".join(f"{count} {reason}" for reason, count in counts.items()))
    if not settings.num_steps and not settings.budget_seconds:
        run.save_horizon(PASSES * prepared.pass_steps)
        telling.say(f"steps: {run.horizon()}, for {PASSES} passes over the lessons")
    before = None if run.checkpoint.exists() else measure(prepared.model)
    if before:
        write_json(run.path / "before.json", before)
    sample = None if prepared.chat else lambda model: sample_texts(model, prepared.tokenizer)
    num_steps = train_loop(prepared.model, prepared.objective, settings, run, stage=told["stage"], progress=telling.progress, sample=sample)
    prepared.ending(prepared.model)
    finish(run, prepared, measure, telling.say)
    with draft(home, "models", told["name"], parents=prepared.parents, recipe=told) as work:
        save_model(work.path, prepared.model, prepared.tokenizer, chat=prepared.chat)
        work.counts |= {"run": run.path.name, "num_steps": num_steps, **prepared.counts}
    assert work.artifact is not None
    return work.artifact


def check_settings(settings: TrainSettings) -> None:
    """Refuse what could not train, before anything is written."""
    for field in ("rows", "row_tokens", "threads", "checkpoint_steps"):
        if getattr(settings, field) < 1:
            raise UserError(f"{field}={getattr(settings, field)}: allowed are whole numbers from 1 on")
    if settings.num_steps < 0 or settings.budget_seconds < 0:
        raise UserError(f"num_steps={settings.num_steps}, budget_seconds={settings.budget_seconds:g}: neither may be below 0")
    if settings.num_steps and settings.budget_seconds:
        found = f"num_steps={settings.num_steps}, budget_seconds={settings.budget_seconds:g}"
        raise UserError(f"{found}: only one of the two can end the run; set the other to 0")


def finish(run: StageRun, prepared: Prepared, measure: Callable[[Transformer], dict[str, Any]], say: Say) -> None:
    """Measurements and the loss plot of a finished run."""
    after = measure(prepared.model)
    if after:
        before = read_json(run.path / "before.json") if (run.path / "before.json").exists() else {}
        write_json(run.path / "after.json", after)
        for lang, value in after["bits_per_byte"].items():
            first = before.get("bits_per_byte", {}).get(lang)
            say(f"validation bits per byte, {lang}: {'?' if first is None else f'{first:.4f}'} -> {value:.4f}")
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
