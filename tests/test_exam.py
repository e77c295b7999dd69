import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from train_house import small_chat

from feilun.artifacts import Artifact, draft, find
from feilun.config import ExamSettings
from feilun.engine.chat import ChatParams, TextChat
from feilun.engine.echo import EchoEngine
from feilun.exam.compare import compare
from feilun.exam.run import read_answers, read_summary, run_exam, summarise
from feilun.exam.tasks import PrimerTask, holds_token, open_tasks
from feilun.primer.numbers import holds_reserved_pair
from feilun.primer.probes import PROBES, STARTERS
from feilun.stats import wilson
from feilun.types import Conversation, FinishReason, Reply, Sample, UserError

SETTINGS = ExamSettings(num_samples=12, max_tokens=8)


def reply(text: str) -> Reply:
    return Reply(text=text, finish_reason=FinishReason.STOP)


class Oracle:
    """A chat that knows the samples: right where `knows` says so, else the trap. Counts its calls."""

    def __init__(self, knows: Any, split: str = "gate", tasks: Sequence[str] = ()):
        samples = [sample for task in open_tasks(tuple(tasks)) for sample in task.samples(split, SETTINGS.num_samples)]
        self.references = {sample.prompt: sample for sample in samples}
        self.knows, self.num_calls = knows, 0

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        assert params.temperature == 0.0
        assert params.max_tokens == 8
        if [conversation.messages[-1].text for conversation in conversations] == list(PROBES):
            return [reply(f"re: {question}") for question in PROBES]
        self.num_calls += 1
        return [reply(self.say(self.references[conversation])) for conversation in conversations]

    def say(self, sample: Sample) -> str:
        return str(sample.reference["answer" if self.knows(sample) else "trap"])


def publish_model(home: Path, name: str) -> str:
    with draft(home, "models", name) as work:
        (work.path / "config.json").write_text(json.dumps({"name": name}))
    assert work.artifact is not None
    return work.artifact.ref


# --- scores


@pytest.mark.parametrize(
    ("text", "token", "found"),
    [
        ("9.8", "9.8", True), ("9.8.", "9.8", True), ("9.8。", "9.8", True), ("答案是9.8,因为", "9.8", True), ("(9.8)", "9.8", True),
        ("\n9.8 更大。", "9.8", True), ("x=9.8;", "9.8", True), ("19.8", "9.8", False), ("9.81", "9.8", False), ("9.80", "9.8", False),
        ("9.8.1", "9.8", False), ("1.9.8", "9.8", False), ("v9.8", "9.8", False), ("9.8b", "9.8", False), ("", "9.8", False),
        ("9,8", "9.8", False), ("9.81 or 9.8", "9.8", True), ("x", "", False), ("3.2.1", "3.2", False), ("the cats", "the cat", False),
        ("That is the cat.", "the cat", True), ("红色的猫。", "红色的猫", True),
        ("2001年2月13日", "2001年2月3日", False), ("2001-02-03。", "2001-02-03", True),
        ("12001年2月3日", "2001年2月3日", False), ("15", "5", False), ("等于 5。", "5", True),
    ],
)  # fmt: skip
def test_a_token_stands_alone_or_not_at_all(text: str, token: str, found: bool) -> None:
    assert holds_token(text, token) is found


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("9.8", "right"), ("9.8 更大。", "right"), ("9.8.", "right"), ("9.8。", "right"), ("9.8 and 9.8", "right"),
        ("9.11", "trap"), ("9.11 is larger.", "trap"), ("9.11。", "trap"),
        ("9.8 比 9.11 大", "garbled"), ("9.81", "garbled"), ("19.8", "garbled"), ("", "garbled"), ("9.118", "garbled"),
        ("它们一样大", "garbled"),
    ],
)  # fmt: skip
def test_comparisons_are_right_trapped_or_garbled(text: str, outcome: str) -> None:
    sample = Sample(id="x", task="number_hard", prompt=Conversation.of("?"), reference={"answer": "9.8", "trap": "9.11"})
    for task in ("number_hard", "number_near", "number_far", "version_order", "date_order"):
        score = PrimerTask(task).score(sample, reply(text))
        assert (score.value, score.reason) == (float(outcome == "right"), outcome)


def test_copies_must_be_whole_and_sums_may_stand_in_a_sentence() -> None:
    copying = Sample(id="x", task="copying", prompt=Conversation.of("?"), reference={"answer": "猫 9.8", "trap": "9.8 猫"})
    scores = [PrimerTask("copying").score(copying, reply(text)).reason for text in (" 猫 9.8\n", "猫 9.8。", "9.8 猫", "猫 9.8 猫 9.8")]
    assert scores == ["right", "wrong", "wrong", "wrong"]
    total = Sample(id="x", task="arithmetic", prompt=Conversation.of("?"), reference={"answer": "15", "trap": "16"})
    assert [PrimerTask("arithmetic").score(total, reply(text)).value for text in ("It is 15.", "15", "150", "16", "115")] == [1, 1, 0, 0, 0]


# --- summaries


def row(task: str, cell: str, value: float, reason: str) -> dict[str, Any]:
    return {"task": task, "cell": cell, "value": value, "reason": reason}


def test_summaries_carry_count_interval_reasons_and_cells() -> None:
    rows = (
        [row("a", "1-2", 1.0, "right")] * 6
        + [row("a", "1-3", 0.0, "trap")] * 3
        + [row("a", "1-3", 0.0, "garbled")]
        + [row("b", "", 1.0, "right")]
    )
    summary = summarise(rows)
    interval = wilson(6, 10)
    assert {key: summary["a"][key] for key in ("mean", "low", "high", "n")} == pytest.approx(interval.to_json())
    assert summary["a"]["reasons"] == {"garbled": 1, "right": 6, "trap": 3}
    assert {cell: part["n"] for cell, part in summary["a"]["cells"].items()} == {"1-2": 6, "1-3": 4}
    assert summary["b"]["cells"] == {}
    assert summary["b"]["low"] < 0.5


# --- exams


def test_an_exam_is_an_artifact_with_answers_and_summary_and_is_found_again(home: Path) -> None:
    model = publish_model(home, "first")
    chat = Oracle(lambda sample: not sample.task.startswith("number_"))
    made = run_exam(home, model, split="gate", settings=SETTINGS, chat=chat)
    assert made.kind == "exams"
    assert made.name == "first-gate"
    assert made.parents == (f"models/{model}",)
    summary, answers = read_summary(made), read_answers(made)
    assert len(answers) == 12 * len(summary) == 12 * 9
    assert summary["number_hard"]["mean"] == 0
    assert summary["number_hard"]["reasons"] == {"trap": 12}
    assert summary["date_order"]["cells"] == {}
    assert summary["date_order"]["mean"] == 1.0
    assert {cell: part["n"] for cell, part in summary["number_near"]["cells"].items()} == {"equal": 4, "longer": 4, "shorter": 4}
    assert all(set(answer) == {"id", "task", "cell", "prompt", "reply", "value", "reason"} for answer in answers)
    assert run_exam(home, f"models/{model}", split="gate", settings=SETTINGS, chat=chat).ref == made.ref
    assert chat.num_calls == 1
    run_exam(home, model, split="gate", settings=SETTINGS, tasks=("copying",), chat=chat)
    assert chat.num_calls == 2


def test_every_exam_holds_the_probes_which_are_not_scored(home: Path) -> None:
    made = run_exam(home, publish_model(home, "first"), split="gate", settings=SETTINGS, tasks=("copying",), chat=Oracle(lambda _: True))
    rows = [json.loads(line) for line in (made.path / "probes.jsonl").read_text(encoding="utf-8").split("\n") if line]
    assert rows == [{"prompt": question, "reply": f"re: {question}"} for question in PROBES]
    assert len(read_answers(made)) == 12
    assert set(read_summary(made)) == {"copying"}
    assert made.manifest["recipe"]["probes"] == list(PROBES)


def test_probes_show_nothing_that_an_exam_asks() -> None:
    assert 10 <= len(set(PROBES)) == len(PROBES) <= 14
    assert set(STARTERS) < set(PROBES)
    assert not any(holds_reserved_pair(question) for question in PROBES)
    asked = {sample.prompt.messages[-1].text for split in ("gate", "final") for task in open_tasks() for sample in task.samples(split, 402)}
    assert not asked & set(PROBES)


def test_splits_are_other_exams(home: Path) -> None:
    model = publish_model(home, "m" * 64)
    made = [
        run_exam(home, model, split=split, settings=SETTINGS, tasks=("copying",), chat=Oracle(lambda _: True, split))
        for split in ("gate", "final")
    ]
    prompts = [{answer["prompt"] for answer in read_answers(exam)} for exam in made]
    assert made[0].ref != made[1].ref
    assert not prompts[0] & prompts[1]


def test_an_engine_lifted_to_text_sits_an_exam(home: Path) -> None:
    chat_format = small_chat()
    engine = EchoEngine(chat_format.tokenizer, answer=lambda question: question.partition(":")[2].strip())
    made = run_exam(
        home, publish_model(home, "echo"), split="gate", settings=ExamSettings(num_samples=6, max_tokens=64),
        tasks=("copying",), chat=TextChat(engine, chat_format),
    )  # fmt: skip
    assert read_summary(made)["copying"]["n"] == 6
    assert read_summary(made)["copying"]["mean"] > 0.4


def test_the_own_engine_is_opened_where_no_chat_is_given(home: Path) -> None:
    import torch

    from feilun.config import ModelShape
    from feilun.model.checkpoint import save_model
    from feilun.model.transformer import Transformer

    tokenizer = small_chat().tokenizer
    model = Transformer(ModelShape(vocab_size=320, width=64, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=64))
    model.initialise(torch.Generator().manual_seed(0))
    with draft(home, "models", "tiny") as work:
        save_model(work.path, model, tokenizer, chat=True)
    settings = ExamSettings(num_samples=5, max_tokens=3, batch=2)
    made = run_exam(home, "tiny", split="people", settings=settings, tasks=("number_hard",))
    assert read_summary(made)["number_hard"]["n"] == 5


def test_unknown_splits_tasks_and_models_are_named(home: Path) -> None:
    model = publish_model(home, "first")
    for changes, message in (
        ({"split": "train"}, "split 'train' is unknown; allowed: people, gate, final"),
        ({"tasks": ("spelling",)}, "task 'spelling' is unknown; known: number_hard"),
    ):
        with pytest.raises(UserError, match=message):
            run_exam(home, model, **{"split": "gate", "settings": SETTINGS, "chat": Oracle(lambda _: True)} | changes)
    with pytest.raises(UserError, match="no artifact 'nobody'"):
        run_exam(home, "nobody", split="gate", settings=SETTINGS, chat=Oracle(lambda _: True))


# --- comparisons


def examined(home: Path, name: str, knows: Any, **changes: Any) -> Artifact:
    arguments = {"split": "gate", "settings": SETTINGS, "tasks": ("number_hard", "copying"), "chat": Oracle(knows)}
    return find(home, run_exam(home, publish_model(home, name), **arguments | changes).ref, "exams")


def test_exams_are_compared_question_by_question(home: Path) -> None:
    before = examined(home, "before", lambda sample: sample.task == "copying")
    after = examined(home, "after", lambda sample: int(sample.id.rpartition("/")[2]) < 9)
    found = compare(before, after)
    assert list(found) == ["number_hard", "copying"]
    assert found["number_hard"].mean == pytest.approx(0.75)
    assert found["number_hard"].low > 0
    assert found["number_hard"].n == 12
    assert found["copying"].mean == pytest.approx(-0.25)
    assert compare(before, before)["copying"].mean == 0


def test_exams_of_other_questions_are_not_compared(home: Path) -> None:
    first = examined(home, "one", lambda _: True)
    fewer = examined(home, "two", lambda _: True, tasks=("copying",))
    with pytest.raises(UserError, match=r"do not hold the same questions \(12 differ\); run both on the same split"):
        compare(first, fewer)
    final = examined(home, "three", lambda _: True, split="final", chat=Oracle(lambda _: True, "final"))
    with pytest.raises(UserError, match="do not hold the same questions"):
        compare(first, final)
