"""Rows, batches, objectives, measurements and guards of training."""

import json
import math
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_house import QUESTION, SHAPE, Rows, build_home, lesson, pair, publish_lessons, settings_of, small_chat, small_model

from feilun.artifacts import find
from feilun.config import PretrainSettings, TrainSettings
from feilun.model.logprob import token_logprobs
from feilun.model.transformer import Transformer, document_mask
from feilun.train import loop, run
from feilun.train.data import Batch, Mixture, Packer, TokenRow, pad_rows
from feilun.train.derive import count_parameters, derive
from feilun.train.evaluate import SAMPLE_TOKENS, bits_per_byte, each_row_once, sample_texts
from feilun.train.objectives import NextToken, PairRow, PairStream, Preference, batch_logprobs, sequence_logprobs
from feilun.train.sources import LessonRows, ValidationSet, lesson_row
from feilun.types import Conversation, UserError


def packer_of(*lengths: list[int], shares: tuple[float, ...] = (), rows: int = 4, row_tokens: int = 16, seed: int = 0) -> Packer:
    sources = tuple(Rows(part, 1_000_000 * number) for number, part in enumerate(lengths))
    return Packer(Mixture(sources, shares or (1.0,) * len(sources)), rows=rows, row_tokens=row_tokens, seed=seed)


def targets(batch: Batch) -> list[int]:
    return batch.targets[batch.weights > 0].tolist()


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# --- packing


def random_lengths(count: int, longest: int, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).integers(2, longest + 1, count).tolist()


def test_every_token_of_every_row_is_a_target_once_an_epoch() -> None:
    lengths = random_lengths(97, 60)
    packer = packer_of(lengths)
    seen: Counter[int] = Counter()
    for batch in islice(packer, 200):
        seen.update(targets(batch))
    for source, index, start in packer.buffer:  # drawn, and still waiting
        ids = packer.mixture.sources[source][index].ids[start : start + packer.row_tokens + 1]
        seen.update(ids[1:].tolist())
    epochs, place = divmod(packer.drawn, len(lengths))
    begun = packer.order(0, epochs, len(lengths))[:place]
    wanted = {1000 * row + n: epochs + (row in begun) for row, length in enumerate(lengths) for n in range(1, length)}
    assert epochs >= 2
    assert dict(seen) == {token: count for token, count in wanted.items() if count}


def test_a_target_is_the_next_token_of_its_own_row() -> None:
    for batch in islice(packer_of(random_lengths(50, 40)), 20):
        used = batch.documents >= 0
        assert torch.equal(batch.targets[used], batch.ids[used] + 1)
        assert torch.equal((batch.weights > 0), used)
        assert not batch.ids[~used].any()
        starts = batch.positions == 0
        assert torch.equal(batch.positions[:, 1:][~starts[:, 1:]], batch.positions[:, :-1][~starts[:, 1:]] + 1)


def test_best_fit_leaves_little_padding() -> None:
    for longest, most in ((12, 0.001), (60, 0.02)):
        packer = packer_of(random_lengths(3000, longest), rows=8, row_tokens=64)
        padding = [float((batch.documents < 0).float().mean()) for batch in islice(packer, 60)]
        assert sum(padding) / len(padding) <= most


def test_restored_packers_go_on_with_the_same_batches() -> None:
    lengths = random_lengths(80, 50), random_lengths(30, 20)
    packer = packer_of(*lengths, shares=(0.7, 0.3))
    for _ in range(7):
        next(packer)
    state = json.loads(json.dumps(packer.state()))  # as plain as a checkpoint needs
    wanted = list(islice(packer, 25))
    other = packer_of(*lengths, shares=(0.7, 0.3))
    other.restore(state)
    assert all(same(a, b) for a, b in zip(islice(other, 25), wanted, strict=True))
    assert not same(next(packer_of(*lengths, shares=(0.7, 0.3), seed=1)), next(packer_of(*lengths, shares=(0.7, 0.3))))


def test_the_shares_of_a_mixture_hold_from_the_start() -> None:
    packer = packer_of(random_lengths(40, 9), random_lengths(500, 9), shares=(0.25, 0.75))
    for drawn in range(1, 400):
        packer.next_row()
        assert abs(packer.cursors[0] - 0.25 * drawn) <= 1


def test_empty_and_shareless_sources_are_refused() -> None:
    with pytest.raises(UserError, match="a source of rows is empty"):
        packer_of([])
    with pytest.raises(UserError, match=r"\[1.0, -0.2\]; each must be above 0"):
        packer_of([3], [3], shares=(1.0, -0.2))


def test_a_batch_without_targets_is_refused() -> None:
    class Silent(Rows):
        def __getitem__(self, index: int) -> TokenRow:
            ids, weights = super().__getitem__(index)
            return TokenRow(ids, weights * 0)

    packer = Packer(Mixture((Silent([8, 9]),), (1.0,)), rows=2, row_tokens=8, seed=0)
    with pytest.raises(UserError, match="a batch holds no token to learn"):
        next(packer)


# --- document masks and log-probabilities


def test_a_packed_document_is_read_as_if_it_were_alone() -> None:
    model, rng = small_model(), np.random.default_rng(0)
    rows = Rows([9, 14, 5, 30, 11, 7, 2, 20])
    rows.rows = [rng.integers(0, 320, len(ids)).astype(np.int32) for ids in rows.rows]
    batch = next(Packer(Mixture((rows,), (1.0,)), rows=2, row_tokens=24, seed=0))
    hidden = model(batch.ids, batch.positions, document_mask(batch.documents))
    for line in range(2):
        for number in range(int(batch.documents[line].max()) + 1):
            where = batch.documents[line] == number
            size = int(where.sum())
            alone = model(batch.ids[line][where][None], torch.arange(size)[None], torch.ones(1, 1, size, size, dtype=torch.bool).tril())
            torch.testing.assert_close(hidden[line][where], alone[0], atol=2e-5, rtol=1e-4)


def test_chunked_log_probabilities_equal_full_ones_with_their_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, head = torch.randn(37, 16, generator=generator), torch.randn(64, 16, generator=generator)
    wanted_ids = torch.randint(0, 64, (37,), generator=generator)

    def by_hand(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return (h @ w.T).log_softmax(-1)[torch.arange(37), wanted_ids]

    def with_gradient(function: Any) -> list[torch.Tensor]:
        h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        value = function(h, w)
        (value * torch.arange(37)).sum().backward()
        assert h.grad is not None
        assert w.grad is not None
        return [value.detach(), h.grad, w.grad]

    wanted = with_gradient(by_hand)
    for chunk_logits in (64 * 5, 64, 1, 1 << 24):
        monkeypatch.setattr("feilun.model.logprob.CHUNK_LOGITS", chunk_logits)
        for found, value in zip(with_gradient(lambda h, w: token_logprobs(h, w, wanted_ids)), wanted, strict=True):
            torch.testing.assert_close(found, value, atol=1e-5, rtol=1e-4)


def test_bf16_computes_a_finite_loss_near_that_of_fp32() -> None:
    batch = next(Packer(Mixture((byte_rows([40, 22, 9]),), (1.0,)), rows=2, row_tokens=24, seed=0))
    full, half = small_model(), Transformer(SHAPE, torch.bfloat16)
    half.load_state_dict(full.state_dict())
    losses = [NextToken.loss(NextToken(None), model, batch)[0] for model in (full, half)]  # type: ignore[arg-type]
    gap = abs(float((losses[0] - losses[1]).detach()))
    losses[1].backward()
    assert losses[1].dtype == torch.float32
    assert gap < 0.1
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in half.parameters())


def byte_rows(lengths: list[int]) -> Rows:
    rows = Rows(lengths)
    rows.rows = [np.random.default_rng(len(ids)).integers(0, 320, len(ids)).astype(np.int32) for ids in rows.rows]
    return rows


# --- bits per byte


def test_bits_per_byte_is_what_a_direct_computation_gives() -> None:
    model, rows = small_model(), byte_rows([5, 33, 70, 12])
    sets = [ValidationSet("zh", tuple(rows[i] for i in range(4)), 211)]
    nats = 0.0
    with torch.no_grad():
        for ids in rows.rows:
            for start in range(0, len(ids) - 1, 32):  # a long row is read in pieces of the trained length
                piece = torch.tensor(ids[start : start + 33].tolist())
                size = len(piece) - 1
                hidden = model(piece[None, :-1], torch.arange(size)[None], torch.ones(1, 1, size, size, dtype=torch.bool).tril())
                nats -= float(model.logits(hidden)[0].double().log_softmax(-1)[torch.arange(size), piece[1:]].sum())
    wanted = nats / math.log(2) / 211
    for num_rows in (1, 3, 8):
        settings = TrainSettings(rows=num_rows, row_tokens=32)
        assert bits_per_byte(model, sets, settings) == {"zh": pytest.approx(wanted, rel=1e-5)}


def test_measuring_reads_every_target_once() -> None:
    rows = Rows([5, 33, 70, 12, 2])
    pieces = list(each_row_once([rows[i] for i in range(5)], TrainSettings(rows=3, row_tokens=16)))
    assert sorted(t for batch in pieces for t in targets(batch)) == sorted(n for ids in rows.rows for n in ids[1:].tolist())


def test_samples_are_what_each_prompt_alone_would_greedily_become() -> None:
    model, tokenizer = small_model(), small_chat().tokenizer
    end = tokenizer.id_of("<|endoftext|>")
    found = sample_texts(model, tokenizer)
    assert len(found) == len({prompt for prompt, _ in found}) == 3
    for prompt, text in found:
        ids = start = [end, *tokenizer.encode(prompt)]
        while len(ids) < len(start) + SAMPLE_TOKENS and end not in ids[len(start) :]:
            size = len(ids)
            with torch.no_grad():
                hidden = model(torch.tensor([ids]), torch.arange(size)[None], torch.ones(1, 1, size, size, dtype=torch.bool).tril())
            ids = [*ids, int(model.logits(hidden[0, -1]).argmax())]
        assert text == tokenizer.decode(token for token in ids[len(start) :] if token != end)


# --- lessons as rows


def test_targets_are_the_answers_with_their_stop_token_times_the_weight() -> None:
    chat = small_chat()
    rows = LessonRows([lesson(QUESTION, "9.8", weight=0.5)], chat, 64)
    ids, weights = rows[0]
    assert chat.tokenizer.decode(ids[weights > 0].tolist()[:-1]) == "9.8"
    assert ids[weights > 0][-1] == chat.stop_ids[0]
    assert set(weights.tolist()) == {0.0, 0.5}


def test_feedback_speaks_of_the_last_answer_alone() -> None:
    chat, talk = small_chat(), Conversation.of("a", "first", "b", "second")
    both, last = lesson_row(talk, chat), lesson_row(talk, chat, last_only=True)
    assert both.weights.sum() > last.weights.sum()
    assert chat.tokenizer.decode(last.ids[last.weights > 0].tolist()[:-1]) == "second"


def test_long_dialogues_lose_early_turns_or_are_left_out_and_counted() -> None:
    chat, talk = small_chat(), Conversation.of("a" * 40, "first", "what?", "second")
    system = {"messages": [{"role": "system", "content": "be kind"}, *talk.to_json()]}
    rows = LessonRows(
        [{"messages": talk.to_json()}, system, lesson("x" * 200, "no"), lesson("q", "a"), lesson("q", "a", weight=0)], chat, 48
    )
    assert rows.counts == {"rows": 5, "used": 3, "shortened": 2, "too_long": 1, "no_weight": 1}
    assert max(len(rows[i].ids) for i in range(3)) <= 49
    assert chat.tokenizer.encode("be kind")[-1] in rows[1].ids.tolist()
    assert rows[0].ids.tolist() == chat.training(Conversation.of("what?", "second")).ids


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([lesson("q", "a", weight=0)], "no lesson holds a token to learn; 1 rows: 1 of weight 0, 0 longer than row_tokens=48"),
        ([lesson("q" * 300, "a")], "1 longer than row_tokens=48; give lessons with weights above 0, or raise row_tokens"),
        ([lesson("q", "a", weight=-1)], "lesson 1: weight -1 is not allowed"),
        ([lesson("q", "a", weight=float("nan"))], "lesson 1: weight nan is not allowed"),
        ([{"messages": [{"role": "user", "content": "q"}]}], "lesson 1 has no assistant message"),
        ([{"messages": [{"role": "clown", "content": "q"}]}], "lesson 1: message role 'clown' is unknown"),
        ([{"weight": 1}], "lesson 1: messages must be a non-empty list"),
        ([], "no lesson holds a token to learn; 0 rows"),
    ],
)
def test_lessons_that_teach_nothing_are_refused(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LessonRows(rows, small_chat(), 48)


def test_a_format_that_never_learns_to_stop_is_refused() -> None:
    chat = small_chat()
    chat.stop_ids = (9999,)
    with pytest.raises(UserError, match="stop token is never a target"):
        LessonRows([lesson("q", "a")], chat, 48)


# --- preference


def preference(model: Transformer, *, pair_weight: float = 1.0, nll_weight: float = 0.0, num_pairs: int = 3) -> Preference:
    chat = small_chat()
    made = []
    for n in range(num_pairs):
        chosen, rejected = (lesson_row(Conversation.of(f"is {n} odd?", answer), chat, last_only=True) for answer in ("yes", "not at all"))
        chosen_sum, rejected_sum = sequence_logprobs(model, pad_rows([chosen, rejected], 48)).tolist()
        made.append(PairRow(chosen, rejected, 1.0 + n, (chosen_sum, rejected_sum)))
    packer = Packer(Mixture((LessonRows([lesson("q", "a")], chat, 48),), (1.0,)), rows=2, row_tokens=48, seed=0)
    return Preference(PairStream(packer, made, 2), 0.5, pair_weight, nll_weight)


def test_dpo_starts_at_log_two_and_falls() -> None:
    model = small_model()
    objective = preference(model)
    _, metrics = objective.loss(model, next(objective.batches()))
    assert float(metrics["dpo"]) == pytest.approx(math.log(2), abs=1e-4)
    assert abs(float(metrics["margin"])) < 1e-3
    parameters = list(model.parameters())
    for _ in range(8):
        loss, metrics = objective.loss(model, next(objective.batches()))
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.02 * gradient
    assert float(metrics["dpo"]) < 0.5
    assert float(metrics["margin"]) > 0.5


def test_the_loss_is_likelihood_plus_weighted_dpo_and_the_chosen_ones_likelihood() -> None:
    model = small_model(1)
    plain, full = (preference(small_model(0), pair_weight=w, nll_weight=n) for w, n in ((0.7, 0.0), (0.7, 0.3)))
    batch = next(plain.batches())
    (less, _), (more, metrics) = plain.loss(model, batch), full.loss(model, batch)
    rows = batch.pairs.rows
    per_token = (batch_logprobs(model, rows) * rows.weights).sum(-1)[:2] / rows.weights[:2].sum(-1)
    share = batch.pairs.weights / batch.pairs.weights.sum()
    assert float((more - less).detach()) == pytest.approx(0.7 * 0.3 * -float((per_token * share).sum().detach()), rel=1e-3)
    nll = -(batch_logprobs(model, batch.packed) * batch.packed.weights).sum() / batch.packed.weights.sum()
    assert float(less.detach()) == pytest.approx(float((nll + 0.7 * metrics["dpo"]).detach()), rel=1e-4)


def test_pairs_go_round_in_their_order_and_none_is_left_out() -> None:
    objective = preference(small_model(), num_pairs=5)
    seen = [batch.pairs.weights.tolist() for batch in islice(objective.batches(), 5)]
    assert list(chain(*seen)) == [1.0, 2.0, 3.0, 4.0, 5.0] * 2
    state = objective.batches().state()
    wanted = next(objective.batches())
    other = preference(small_model(), num_pairs=5)
    other.batches().restore(state)
    assert torch.equal(next(other.batches()).pairs.rows.ids, wanted.pairs.rows.ids)


# --- stages


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stages") / "home"
    build_home(made)
    run.train_pretrain(made, settings_of("pretrain", num_steps=25), "base", say=lambda _: None)
    return made


def metrics_of(home: Path, pattern: str) -> list[dict[str, Any]]:
    (file,) = (home / "runs").glob(f"{pattern}/metrics.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_pretraining_says_what_it_derives_and_measures(trained: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (base,) = (trained / "models").glob("base@*")
    run.train_pretrain(trained, settings_of("pretrain", num_steps=26), "told", say=said.append)
    assert {"vocab_size = 512", "steps = 26", "num_layers = 1"} <= set(said)
    assert sum(line.startswith("validation bits per byte") for line in said) == 2
    (path,) = (trained / "runs").glob("pretrain-told-*")
    before, after = (json.loads((path / name).read_text())["bits_per_byte"] for name in ("before.json", "after.json"))
    assert before.keys() == after.keys() == {"zh", "en"}
    assert all(after[lang] < before[lang] for lang in after)
    assert {file.name for file in path.iterdir()} >= {
        "resolved.json",
        "environment.json",
        "samples.jsonl",
        "loss.png",
        "metrics.jsonl",
        "done.json",
    }
    assert base.exists()


def test_without_a_pair_weight_no_pair_is_read(trained: Path) -> None:
    made = run.train_prefer(trained, settings_of("prefer", num_steps=2, pair_weight=0.0), "plain", say=lambda _: None)
    assert "pairs" not in made.manifest["counts"]
    assert set(metrics_of(trained, "prefer-plain-*")[0]) == {"step", "nll", "seconds"}
    made = run.train_prefer(trained, settings_of("prefer", num_steps=2), "paired", say=lambda _: None)
    assert made.manifest["counts"]["pairs"]["used"] == 11
    assert set(metrics_of(trained, "prefer-paired-*")[0]) == {"step", "nll", "dpo", "margin", "chosen", "seconds"}
    assert made.manifest["counts"]["replay"] == {"rows": 40, "used": 40, "shortened": 0, "too_long": 0, "no_weight": 0, "without": 0}


def test_a_share_of_the_base_lies_between_it_and_what_was_trained(trained: Path) -> None:
    def weights(path: Path) -> dict[str, torch.Tensor]:
        return load_file(path / "model.safetensors")

    made = {
        share: run.train_prefer(trained, settings_of("prefer", num_steps=3, base_share=share), f"share{share}", say=lambda _: None)
        for share in (0.0, 0.25)
    }
    base, whole, mixed = (weights(find(trained, "base", "models").path), weights(made[0.0].path), weights(made[0.25].path))
    assert any(not torch.equal(base[name], whole[name]) for name in base)
    for name in base:
        assert torch.allclose(mixed[name], 0.25 * base[name] + 0.75 * whole[name], atol=1e-6)


def test_without_steps_or_seconds_the_lessons_are_passed_twice(trained: Path) -> None:
    said: list[str] = []
    made = run.train_sft(trained, settings_of("sft", num_steps=0, text_share=0.0), "passes", say=said.append)
    chat_rows = LessonRows(run.read_lessons(find(trained, "examples", "lessons")), run.ChatFormat(run.Tokenizer.load(made.path)), 32)
    wanted = 2 * math.ceil(chat_rows.num_tokens / (4 * 32))
    assert f"steps: {wanted}, for 2 passes over the lessons" in said
    assert made.manifest["counts"]["num_steps"] == wanted


def test_pairs_too_long_or_without_weight_are_counted(trained: Path) -> None:
    publish_lessons(
        trained, "odd", [lesson("q", "a")], [pair("q", "yes", "no"), pair("q" * 99, "yes", "no"), pair("q", "yes", "no", weight=0)]
    )
    made = run.train_prefer(trained, settings_of("prefer", num_steps=1, lessons="odd"), "odd", say=lambda _: None)
    assert made.manifest["counts"]["pairs"] == {"rows": 3, "used": 1, "too_long": 1, "no_weight": 1}


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("sft", {"base": ""}, "SftSettings.base is not set"),
        ("sft", {"budget_seconds": 5.0}, "only one of the two can end the run"),
        ("sft", {"rows": 0}, "rows=0: allowed are whole numbers from 1 on"),
        ("sft", {"checkpoint_steps": 0}, "checkpoint_steps=0: allowed"),
        ("sft", {"num_steps": -1}, "neither may be below 0"),
        ("sft", {"row_tokens": 1024}, "takes rows of at most 512 tokens"),
        ("sft", {"text_share": 1.0}, "each must be above 0"),
        ("sft", {"compile": "yes"}, "compile='yes' is unknown; allowed: auto, on, off"),
        ("sft", {"precision": "fp8"}, "precision='fp8' is unknown; allowed: auto, bf16, fp32"),
        ("sft", {"lessons": "nobody"}, "no artifact 'nobody'"),
        ("prefer", {"base_share": 1.0}, "base_share=1: allowed are numbers from 0 up to, but not including, 1"),
        ("prefer", {"replay_share": 0.8, "text_share": 0.2}, "each must be above 0"),
        ("prefer", {"replay_without": ("copying",)}, "no lesson holds a token to learn; 0 rows"),
        ("pretrain", {"depth": 0}, "depth=0: allowed"),
    ],
)
def test_settings_that_cannot_train_are_refused(trained: Path, stage: str, changes: dict[str, Any], message: str) -> None:
    train: Any = {"sft": run.train_sft, "prefer": run.train_prefer, "pretrain": run.train_pretrain}[stage]
    with pytest.raises(UserError, match=message):
        train(trained, settings_of(stage, **changes), "refused", say=lambda _: None)


def test_whether_to_compile_follows_from_settings_alone() -> None:
    def asked(**changes: Any) -> bool:
        return loop.wants_compile(TrainSettings(**changes), changes.get("num_steps", 0))

    assert asked(compile="on")
    assert not asked(compile="off", num_steps=10**6)
    assert not asked(num_steps=20)
    assert asked(num_steps=500) == loop.has_compiler() == asked(budget_seconds=300.0)
    assert not loop.wants_compile(TrainSettings(budget_seconds=10.0), 10**6)


def test_the_dial_gives_shapes_that_fit_and_count_right() -> None:
    for depth in (1, 2, 4, 6, 12):
        derived = derive(PretrainSettings(depth=depth), 512)
        assert derived.num_parameters == count_parameters(derived.shape)
        assert derived.settings.num_steps * 32 * 64 == derived.num_tokens >= 8 * derived.num_parameters
        if depth <= 4:
            assert derived.num_parameters == sum(p.numel() for p in Transformer(derived.shape).parameters())
    assert derive(PretrainSettings(depth=2, budget_seconds=9.0), 512).settings.num_steps == 0
