import dataclasses

import pytest
import torch
from train_house import SHAPE, small_model

from feilun.config import ModelShape
from feilun.model.transformer import Transformer, document_mask, rope_frequencies
from feilun.types import UserError

IDS = torch.randint(0, 320, (2, 12), generator=torch.Generator().manual_seed(3))
VARIANTS = {
    "qwen3": SHAPE,
    "untied": dataclasses.replace(SHAPE, tie_embeddings=False),
    "bias": dataclasses.replace(SHAPE, qk_norm=False, attention_bias=True),
    "plain": dataclasses.replace(SHAPE, qk_norm=False, num_kv_heads=2),
}


def causal(size: int, rows: int = 2) -> torch.Tensor:
    return torch.ones(size, size, dtype=torch.bool).tril().expand(rows, 1, size, size)


def positions(size: int, rows: int = 2, first: int = 0) -> torch.Tensor:
    return torch.arange(first, first + size).expand(rows, size)


@torch.no_grad()
def hidden(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    return model(ids, positions(ids.shape[1]), causal(ids.shape[1]))


@pytest.mark.parametrize("name", VARIANTS)
def test_no_position_sees_what_comes_after_it(name: str) -> None:
    model = small_model(shape=VARIANTS[name])
    changed = IDS.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 320
    before, after = hidden(model, IDS), hidden(model, changed)
    torch.testing.assert_close(before[:, :7], after[:, :7], atol=1e-6, rtol=1e-5)
    assert all(not torch.allclose(before[:, t], after[:, t], atol=1e-4) for t in range(7, 12))


@torch.no_grad()
def test_rope_turns_by_position_and_attention_sees_only_distances() -> None:
    model = small_model()
    rope = model.rope(torch.tensor([[0, 1, 5]]))
    half = SHAPE.head_dim // 2
    assert torch.equal(rope.cos_BT1E[0, 0, 0], torch.ones(SHAPE.head_dim))
    assert not rope.sin_BT1E[0, 0].any()
    wanted = torch.tensor([5 * 10_000.0 ** (-2 * i / SHAPE.head_dim) for i in range(half)])
    torch.testing.assert_close(rope.sin_BT1E[0, 2, 0], torch.cat((wanted.sin(), wanted.sin())), atol=1e-6, rtol=1e-5)
    moved = model(IDS, positions(12, first=40), causal(12))
    torch.testing.assert_close(moved, hidden(model, IDS), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(model(IDS, positions(12) * 3, causal(12)), hidden(model, IDS), atol=1e-3)
    assert float(rope_frequencies(SHAPE)[0]) == 1.0


def test_documents_see_themselves_and_padding_sees_padding_alone() -> None:
    mask = document_mask(torch.tensor([[0, 0, 1, 1, -1]]))[0, 0]
    wanted = torch.tensor([[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    assert torch.equal(mask, wanted)


def test_a_tied_head_is_the_embedding_and_an_untied_one_is_not() -> None:
    tied, untied = Transformer(SHAPE), Transformer(VARIANTS["untied"])
    assert tied.head_weight is tied.model.embed_tokens.weight
    assert "lm_head.weight" not in tied.state_dict()
    assert untied.head_weight is untied.lm_head.weight
    assert "lm_head.weight" in untied.state_dict()
    assert not any("inverse" in name for name in tied.state_dict())


def test_flags_decide_which_parameters_there_are() -> None:
    names = {name: set(Transformer(shape).state_dict()) for name, shape in VARIANTS.items()}
    assert "model.layers.0.self_attn.q_norm.weight" in names["qwen3"]
    assert "model.layers.0.self_attn.q_norm.weight" not in names["plain"]
    assert "model.layers.1.self_attn.k_proj.bias" in names["bias"]
    assert not any(name.endswith("bias") for name in names["plain"])


def test_starting_weights_follow_from_the_seed() -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        model = Transformer(SHAPE)
        model.initialise(torch.Generator().manual_seed(seed))
        return model.state_dict()

    first, again, other = start(0), start(0), start(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
    assert not first["model.layers.0.self_attn.o_proj.weight"].any()
    assert not first["model.layers.1.mlp.down_proj.weight"].any()
    assert all(torch.isfinite(tensor).all() for tensor in first.values())


@torch.no_grad()
def test_logits_are_fp32_whatever_the_body_computes_in() -> None:
    full, half = small_model(), Transformer(SHAPE, torch.bfloat16)
    half.load_state_dict(full.state_dict())
    wide, narrow = full.logits(hidden(full, IDS)), half.logits(hidden(half, IDS))
    assert wide.dtype == narrow.dtype == torch.float32
    assert wide.shape == (2, 12, 320)
    assert float((wide - narrow).abs().mean()) < 0.2


def test_shapes_that_cannot_be_are_refused() -> None:
    for changes, message in (({"num_kv_heads": 3}, "must be a multiple of num_kv_heads"), ({"vocab_size": 300}, "multiple of 64")):
        with pytest.raises(UserError, match=message):
            ModelShape(**dataclasses.asdict(SHAPE) | changes)
