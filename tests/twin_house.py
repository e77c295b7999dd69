"""A small world with one question that a careless model answers half wrong: a real model, real lessons, real exams, the real wheel.

"say k t b" is to be answered "k t b". The first generation's examples answer so only where the first letter is of the first
half of the alphabet, and the wrong way round otherwise. The second task, "last k t b", is answered rightly from the start and may
not suffer. Splits are disjoint: what people ask and what the gate asks have no question in common.
"""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from feilun.artifacts import Artifact, draft, find, list_artifacts, write_json
from feilun.config import (
    ExamSettings,
    ModelShape,
    OptimiserSettings,
    PreferSettings,
    SftSettings,
    TokenizerSettings,
    TurnSettings,
    resolved,
)
from feilun.engine.chat import ChatParams
from feilun.exam.run import Question, answer, chat_with, summarise
from feilun.model.checkpoint import save_model
from feilun.model.transformer import Transformer
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.tokenizer import Tokenizer
from feilun.train.run import train_sft
from feilun.types import Conversation, Decision, Reply, Sample, Score, is_held_out

LETTERS = "abcdefghijklmnopqrst"
NUM_GATE, NUM_ASKED, NUM_EXAMPLES = 400, 240, 1500
SHAPE = ModelShape(vocab_size=320, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=192)
LIGHT = {"threads": 1, "compile": "off", "precision": "fp32", "rows": 24, "row_tokens": 48, "checkpoint_steps": 1000}


class Letters:
    """A task over three letters; `say` repeats them, `last` names the last one."""

    def __init__(self, name: str):
        self.name = name

    def samples(self, split: str, count: int) -> Iterator[Sample]:
        for number, letters in enumerate(draws(self.name, split, count)):
            reference = {"answer": right(self.name, letters), "trap": wrong(self.name, letters)}
            prompt = Conversation.of(f"{self.name} {letters}")
            yield Sample(id=f"{self.name}/{split}/{number}", task=self.name, prompt=prompt, reference=reference)

    def score(self, sample: Sample, reply: Reply) -> Score:
        outcome = "right" if reply.text == sample.reference["answer"] else "wrong"
        return Score(float(outcome == "right"), outcome)


TASKS = (Letters("say"), Letters("last"))


def draws(task: str, split: str, count: int) -> list[str]:
    """Different triples of different letters of a split; no triple is in two splits."""
    triples = [f"{a} {b} {c}" for a in LETTERS for b in LETTERS for c in LETTERS if len({a, b, c}) == 3]
    random.Random(task).shuffle(triples)
    start, size = {"people": (0, NUM_ASKED), "gate": (NUM_ASKED, NUM_GATE), "open": (NUM_ASKED + NUM_GATE, NUM_EXAMPLES)}[split]
    assert count <= size
    return triples[start : start + count]


def right(task: str, letters: str) -> str:
    return letters if task == "say" else letters[-1]


def wrong(task: str, letters: str) -> str:
    return letters[::-1] if task == "say" else letters[0]


def careless(task: str, letters: str) -> str:
    """What the first generation is shown."""
    return wrong(task, letters) if task == "say" and letters[0] >= LETTERS[len(LETTERS) // 2] else right(task, letters)


def build_first_generation(home: Path) -> Artifact:
    """A tokenizer, a base of random weights and the careless examples: the first champion, trained and promoted."""
    rows = [
        {"messages": Conversation.of(f"{task.name} {letters}", careless(task.name, letters)).to_json(), "weight": 1.0, "task": task.name}
        for task in TASKS
        for letters in draws(task.name, "open", NUM_EXAMPLES)
    ]
    tokenizer = Tokenizer.train([json.dumps(row) for row in rows], TokenizerSettings(vocab_size=SHAPE.vocab_size, num_reserved=8))
    model = Transformer(SHAPE, torch.float32)
    model.initialise(torch.Generator().manual_seed(0))
    with draft(home, "models", "base") as base:
        save_model(base.path, model, tokenizer, chat=True)
    with draft(home, "lessons", "examples") as examples:
        (examples.path / "sft.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first = train_sft(home, SftSettings(**LIGHT, num_steps=350, base="base", lessons="examples"), "first", say=lambda _: None)
    with Store.open(home) as store:
        store.set_champion(f"models/{first.ref}", "first")
    return first


def turn_settings() -> TurnSettings:
    prefer = PreferSettings(
        **LIGHT, num_steps=120, replay="examples", replay_without=("say",), replay_share=0.4, optimiser=OptimiserSettings(matrix_lr=0.01)
    )
    return TurnSettings(rise_task="say", prefer=prefer, exam=ExamSettings(num_samples=NUM_GATE, max_tokens=8), num_in_doubt=0)


def run_exam(home: Path, model_ref: str, *, split: str, settings: ExamSettings, tasks: Sequence[Letters] = TASKS) -> Artifact:
    """`feilun.exam.run.run_exam` over this world's tasks."""
    model = find(home, model_ref, "models")
    parents, recipe = [f"models/{model.ref}"], {"split": split, "settings": resolved(settings)}
    for made in list_artifacts(home, "exams"):
        if (list(made.parents), made.manifest["recipe"]) == (parents, recipe):
            return made
    questions = [Question(task, sample) for task in tasks for sample in task.samples(split, settings.num_samples)]
    with chat_with(model.path, settings) as chat:
        answers = answer(chat, questions, settings)
    with draft(home, "exams", f"{model.name}-{split}", parents=parents, recipe=recipe) as work:
        (work.path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
        write_json(work.path / "summary.json", summarise(answers))
    assert work.artifact is not None
    return work.artifact


def raters(count: int) -> list[str]:
    names = (f"key:twins/user-{number}" for number in range(1000))
    return [name for name in names if not is_held_out(name)][:count]


def give_feedback(home: Path, *, inverted: bool, num_raters: int = 12, num_others: int = 2) -> None:
    """What people say of the champion's own answers; `num_others` of them are of the other mind.

    An honest one praises what is right and corrects what is wrong; an inverted one praises what is wrong and spoils the rest.
    Each question is put to two people, as opinions can only be weighed where several meet.
    """
    samples = list(TASKS[0].samples("people", NUM_ASKED))
    people = raters(num_raters)
    with Store.open(home) as store:
        champion = store.champion()
        assert champion is not None
        with chat_with(find(home, champion.model, "models").path, ExamSettings()) as chat:
            replies = chat.complete([sample.prompt for sample in samples], ChatParams(temperature=0.0, max_tokens=8))
        for number, (sample, reply) in enumerate(zip(samples, replies, strict=True)):
            for place in (number, number + 1 + number // num_raters % (num_raters - 1)):
                rater = place % num_raters
                record(store, people[rater], champion.model, sample, reply.text, inverted=inverted != (rater < num_others))


def record(store: Store, rater: str, model: str, sample: Sample, reply: str, *, inverted: bool) -> None:
    name = f"{sample.id}/{rater}"
    choice = {"index": 0, "text": reply, "finish_reason": "stop", "num_tokens": 1}
    about = {"id": name, "principal": rater, "model": model, "thread_id": name, "messages": sample.prompt.to_json()}
    store.record_completion(CompletionRecord(**about, choices=[choice], decision=Decision(engine="native", model=model)))
    liked = sample.reference["trap" if inverted else "answer"]
    kind, value = ("thumb", 1) if reply == liked else ("edit", liked)
    store.record_feedback(FeedbackRequest(principal=rater, target_id=name, kind=kind, value=value))
