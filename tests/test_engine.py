"""What only the native engine promises, and the text layer."""

import asyncio
import math
import random
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.chat import ChatFormat
from feilun.config import ModelShape, TokenizerSettings
from feilun.engine import EngineClosed, PromptTooLong, engine_class
from feilun.engine.batch import Batch
from feilun.engine.chat import ChatParams, TextAssembler, TextChat
from feilun.engine.echo import EchoEngine
from feilun.engine.native import NativeEngine
from feilun.engine.packed import PackedLinear, PackedModel
from feilun.engine.sampling import Sampler, pick
from feilun.model.checkpoint import save_model
from feilun.model.transformer import Transformer, document_mask
from feilun.tokenizer import Tokenizer
from feilun.types import Conversation, FinishReason, GenerationRequest, UserError

TOKENIZER = Tokenizer.train(
    ["9.11 和 9.8 哪个大? The larger number is 9.8. 你好 hello\n" * 20], TokenizerSettings(vocab_size=384, num_reserved=8)
)
SHAPE = ModelShape(vocab_size=384, width=64, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=32, ffn_width=128, max_tokens=96)
QWEN2 = ModelShape(
    vocab_size=384, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=64, qk_norm=False, attention_bias=True,
    tie_embeddings=False, max_tokens=96,
)  # fmt: skip


def model(shape: ModelShape = SHAPE) -> Transformer:
    made, generator = Transformer(shape), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (parameter.ndim == 1))
    return made


MODEL = model()


def engine(precision: str = "fp32", max_batch: int = 8, shape: ModelShape = SHAPE) -> NativeEngine:
    return NativeEngine(MODEL if shape is SHAPE else model(shape), TOKENIZER, ref="models/m@1", max_batch=max_batch, precision=precision)


def prompt(seed: int, length: int) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(384), k=length))


def request(number: int, ids: tuple[int, ...], **settings) -> GenerationRequest:
    return GenerationRequest(id=str(number), ids=ids, **{"max_tokens": 12, **settings})


def logits_of(made: Transformer, ids: tuple[int, ...]) -> torch.Tensor:
    T = len(ids)
    with torch.no_grad():
        return made.logits(made(torch.tensor([ids]), torch.arange(T)[None], document_mask(torch.zeros(1, T, dtype=torch.long))))[0]


def answers(made: NativeEngine, requests: list[GenerationRequest]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in made.generate(requests):
        found.setdefault(event.request_id, []).append(event.token_id)
    return found


@pytest.mark.parametrize("shape", [SHAPE, QWEN2], ids=["qwen3", "qwen2"])
def test_packed_equals_the_transformer(shape: ModelShape) -> None:
    made, ids = model(shape), prompt(1, 40)
    packed = PackedModel(made, "fp32")
    got = packed.logits(packed.hidden(torch.tensor([ids]))[0])
    torch.testing.assert_close(got.clone(), logits_of(made, ids), atol=1e-4, rtol=1e-4)


def test_bf16_is_near_fp32() -> None:
    ids = prompt(1, 40)
    packed = PackedModel(MODEL, "bf16")
    got = packed.logits(packed.hidden(torch.tensor([ids]))[0])
    assert (got.clone().log_softmax(-1) - logits_of(MODEL, ids).log_softmax(-1)).abs().mean() < 0.1


def test_cached_decoding_equals_the_uncached_transformer() -> None:
    requests = [request(n, prompt(n, 3 + 11 * n)) for n in range(5)]
    found = answers(engine(), requests)
    for r in requests:
        ids = list(r.ids)
        for token_id in found[r.id]:
            assert token_id == int(logits_of(MODEL, tuple(ids))[-1].argmax())
            ids.append(token_id)
        assert len(found[r.id]) == 12


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_log_probs_equal_score_and_the_transformers(precision: str) -> None:
    made = engine(precision)
    ids = prompt(2, 20)
    events = list(made.generate([request(0, ids, temperature=0.9, seed=1), *(request(n, prompt(n, 9)) for n in range(1, 5))]))
    mine = [event for event in events if event.request_id == "0"]
    whole = (*ids, *(event.token_id for event in mine))
    mask = [0] * len(ids) + [1] * len(mine)
    scored = made.score([whole, prompt(8, 5)], [mask, [0] * 5])
    assert scored[1] == []
    tolerance = 1e-4 if precision == "fp32" else 0.05
    assert scored[0] == pytest.approx([event.log_prob for event in mine], abs=tolerance)
    if precision == "fp32":
        reference = logits_of(MODEL, whole).log_softmax(-1)
        expected = [float(reference[t - 1, whole[t]]) for t in range(len(ids), len(whole))]
        assert scored[0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("max_batch", [1, 3, 16])
def test_an_answer_does_not_depend_on_the_batch(precision: str, max_batch: int) -> None:
    requests = [
        request(n, prompt(n, 2 + 7 * n % 40), max_tokens=1 + 5 * n % 17, temperature=n % 3 * 0.6, seed=n, top_p=0.9) for n in range(14)
    ]
    alone = {r.id: answers(engine(precision, 1), [r])[r.id] for r in requests}
    random.Random(max_batch).shuffle(requests)
    assert answers(engine(precision, max_batch), requests) == alone


def test_joining_a_running_batch_changes_nothing() -> None:
    requests = [request(n, prompt(n, 5 + n), max_tokens=9, temperature=0.8, seed=n) for n in range(6)]
    batch = Batch(PackedModel(MODEL, "fp32"), TOKENIZER, "m", 4)
    found: dict[str, list[int]] = {}
    for turn in range(40):
        if turn % 3 == 0 and turn // 3 < len(requests):
            batch.submit(requests[turn // 3])
        for event in batch.advance():
            found.setdefault(event.request_id, []).append(event.token_id)
    assert batch.idle
    assert batch.cache is None
    assert found == answers(engine(), requests)


def test_cancelling_frees_the_row_and_leaves_the_others_alone() -> None:
    requests = [request(n, prompt(n, 5 + 9 * n), max_tokens=20) for n in range(4)]
    batch = Batch(PackedModel(MODEL, "fp32"), TOKENIZER, "m", 3)
    for r in requests:
        batch.submit(r)
    events = batch.advance() + batch.advance() + batch.advance()
    batch.cancel(frozenset({"0", "3"}))
    assert sorted(row.request.id for row in batch.rows) == ["1", "2"]
    while not batch.idle:
        events += batch.advance()
    expected = answers(engine(), requests)
    for number in ("1", "2"):
        assert [event.token_id for event in events if event.request_id == number] == expected[number]


def test_the_context_bounds_an_answer() -> None:
    made = engine()
    events = list(made.generate([request(0, prompt(0, 90), max_tokens=50)]))
    assert len(events) == 6
    assert events[-1].finish_reason is FinishReason.LENGTH
    with pytest.raises(PromptTooLong, match="96 tokens"):
        made.generate([request(0, prompt(0, 96))])


def test_stop_ids_end_an_answer() -> None:
    made = engine()
    free = answers(made, [request(0, prompt(4, 8))])["0"]
    events = list(made.generate([request(0, prompt(4, 8), stop_ids=(free[3],))]))
    assert [event.token_id for event in events] == free[: free.index(free[3]) + 1]
    assert events[-1].finish_reason is FinishReason.STOP


def test_embeddings_have_length_one_and_do_not_depend_on_padding() -> None:
    made = engine()
    rows = [prompt(1, 5), prompt(2, 60)]
    both, alone = made.embed(rows), [made.embed([row])[0] for row in rows]
    assert both[0] == pytest.approx(alone[0], abs=1e-5)
    assert math.hypot(*both[1]) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(UserError, match="0 tokens"):
        made.embed([()])


def test_load_states_the_model(tmp_path) -> None:
    save_model(tmp_path / "m", MODEL, TOKENIZER, chat=True)
    made = engine_class("native").load(tmp_path / "m", max_batch=2)
    assert made.info.model == "m"
    assert NativeEngine.load(tmp_path / "m", model="models/m@2").info.model == "models/m@2"
    assert {event.model for event in made.generate([request(0, prompt(0, 4))])} == {"m"}
    with pytest.raises(UserError, match="unknown"):
        engine_class("nothing")


def test_threads_are_set_only_when_asked() -> None:
    before = torch.get_num_threads()
    engine()
    assert torch.get_num_threads() == before
    NativeEngine(MODEL, TOKENIZER, ref="m", threads=before)
    with pytest.raises(UserError, match="threads=0"):
        NativeEngine(MODEL, TOKENIZER, ref="m", threads=0)


def test_a_broken_model_is_an_error_for_every_request() -> None:
    made = engine()
    made._model.blocks[1] = None  # type: ignore[call-overload]

    async def ask(number: int) -> None:
        with pytest.raises(EngineClosed, match="the engine stopped on"):
            async for _ in made.stream(request(number, prompt(number, 5))):
                pass

    async def all_of_them() -> None:
        await asyncio.wait_for(asyncio.gather(*(ask(n) for n in range(3))), 20)

    asyncio.run(all_of_them())


def test_sampling_follows_the_distribution() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    samplers = [Sampler(request(n, (1,), temperature=1.0, seed=n)) for n in range(4000)]
    ids = pick(logits.expand(4000, 4).contiguous(), samplers).token_ids
    shares = [ids.count(k) / 4000 for k in range(4)]
    assert shares == pytest.approx(logits.softmax(-1)[0].tolist(), abs=0.03)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = torch.tensor([[0.6, 0.25, 0.1, 0.05]]).log()
    for top_p, allowed in ((0.5, {0}), (0.7, {0, 1}), (0.86, {0, 1, 2}), (1.0, {0, 1, 2, 3})):
        samplers = [Sampler(request(n, (1,), temperature=1.0, seed=n, top_p=top_p)) for n in range(300)]
        assert set(pick(logits.expand(300, 4).contiguous(), samplers).token_ids) == allowed


def test_temperature_near_zero_is_greedy() -> None:
    samplers = [Sampler(request(n, (1,), temperature=1e-9, seed=n)) for n in range(20)]
    assert set(pick(torch.tensor([[0.0, 3.0, 2.99]]).expand(20, 3).contiguous(), samplers).token_ids) == {1}


pieces = st.lists(st.sampled_from(["客", "单价", "🙂", "👩‍👩‍👧", "a", "b", "ab", "abc", "\n", "é"]), max_size=20).map("".join)
stops = st.lists(st.sampled_from(["ab", "abc", "bca", "🙂", "单价客", "b\n"]), max_size=3).map(tuple)


def assembled(data: bytes, cuts: list[int], stop: tuple[str, ...]) -> tuple[str, bool]:
    assembler, text = TextAssembler(stop), ""
    for start, end in pairwise([0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]):
        piece = assembler.feed(data[start:end])
        text += piece.text
        if piece.stopped:
            return text, True
    return text + assembler.finish(), False


@given(pieces, st.lists(st.integers(0, 60), max_size=30), stops)
@settings(max_examples=400, deadline=None)
def test_text_is_the_same_however_its_bytes_are_cut(text: str, cuts: list[int], stop: tuple[str, ...]) -> None:
    data = text.encode()
    whole, by_byte = assembled(data, [], stop), assembled(data, list(range(len(data))), stop)
    assert assembled(data, cuts, stop) == whole == by_byte
    assert "\ufffd" not in whole[0]
    assert not any(s in whole[0] for s in stop)
    assert whole == (text, False) or (whole[1] and text.startswith(whole[0]))


def test_half_a_character_at_the_end_is_dropped() -> None:
    assert assembled("客单".encode()[:-1], [1, 2], ()) == ("客", False)


def test_a_stop_string_split_over_tokens_ends_the_stream() -> None:
    chat = TextChat(EchoEngine(TOKENIZER), ChatFormat(TOKENIZER))
    said = "客单价🙂 9.8 END more"

    async def collect() -> list:
        return [delta async for delta in chat.stream(Conversation.of(said), ChatParams(stop=("END",)))]

    deltas = asyncio.run(collect())
    assert "".join(delta.text for delta in deltas) == "客单价🙂 9.8 "
    assert deltas[-1].finish_reason is FinishReason.STOP
    assert all(delta.finish_reason is None for delta in deltas[:-1])
    assert deltas[-1].num_tokens < len(TOKENIZER.encode(said))
    assert chat.complete([Conversation.of(said)], ChatParams(stop=("END",)))[0].text == "客单价🙂 9.8 "
    assert chat.engine.num_requests == 0


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UserError, match="empty"):
        ChatParams(stop=("",))


def test_without_onednns_layout_the_product_is_the_same() -> None:
    weight, bias, x = torch.randn(64, 32), torch.randn(64), torch.randn(5, 32)
    packed, plain = PackedLinear(weight, bias, True), PackedLinear(weight, bias, True)
    plain.packed, plain.weight_IO = None, weight.bfloat16().t().contiguous()
    torch.testing.assert_close(plain(x), packed(x), atol=0.05, rtol=0.02)
    torch.testing.assert_close(packed(x).float(), torch.nn.functional.linear(x, weight, bias), atol=0.2, rtol=0.05)
