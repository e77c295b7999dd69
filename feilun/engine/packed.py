"""The transformer once more, for inference on a CPU: fused and prepacked weights, cached or whole-row attention.

What differs from `model.transformer`, each for speed and none in meaning (tests compare the two):
- norm weights are multiplied into the matrices that follow them; q, k, v are one matrix, gate and up are one;
- rows of q and k are reordered so that rope's pairs are neighbours, which makes rope one complex product;
- bf16 weights are laid out once for oneDNN instead of inside every call (2.3 times faster a call);
- residuals, attention and logits stay fp32: bf16 logits have steps of .06 and would make ties of near answers.

Every product here gives a row the same bits whatever rows stand beside it (measured for inner sizes up to 384 on
AVX-512 and AMX), so that an answer does not depend on who else is being served. A lone row takes another kernel,
so it is computed twice over.

Shape legend: N tokens or rows, B rows, T tokens, S keys, D width, H query heads, K key heads, G = H / K, M = G * T,
J = H + K heads that rope turns, C = B * K or N * K, E head_dim, F feed-forward width, V vocabulary, L layers, R cache rows.
"""

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from feilun.config import ModelShape
from feilun.model.transformer import Block, Transformer
from feilun.types import UserError

__all__ = ["Cache", "PackedModel", "fast_bf16"]

PRECISIONS = ("auto", "bf16", "fp32")
KEY_MULTIPLE = 32


def fast_bf16() -> bool:
    """Whether this processor multiplies bf16 natively; emulated bf16 is slower than fp32."""
    probes = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(probe() for probe in probes if probe is not None)


def round_up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


class PackedLinear:
    """x [N, in] -> [N, out] in bf16 or fp32; the dtype of the result is that of the weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None, bf16: bool):
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.bias = None if bias is None else bias.to(self.dtype)
        self.packed = _prepack(weight.to(self.dtype)) if bf16 else None
        self.weight_IO = weight.to(self.dtype).t().contiguous() if self.packed is None else None

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if x.shape[0] == 1:
            return self._product(x.repeat(2, 1))[:1]
        return self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        if self.packed is not None:
            out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
            return out
        assert self.weight_IO is not None
        return x @ self.weight_IO if self.bias is None else torch.addmm(self.bias, x, self.weight_IO)


def _prepack(weight_OI: Tensor) -> Tensor | None:
    """oneDNN's own layout; None where this build has no such operator (it is not part of torch's public interface)."""
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI.contiguous(), 64)
        torch.ops.mkldnn._linear_pointwise(weight_OI[:2].contiguous(), packed, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return packed


class PackedBlock(NamedTuple):
    qkv: PackedLinear
    norm_JE: Tensor | None
    out: PackedLinear
    gate_up: PackedLinear
    down: PackedLinear


class Cache:
    """Keys and values of the live rows, always rows 0..n-1 without gaps; grows as rows and keys are needed."""

    def __init__(self, shape: ModelShape):
        self.shape = shape
        self.keys_LRKSE = self._empty(0, 0)
        self.values_LRKSE = self._empty(0, 0)

    def _empty(self, rows: int, keys: int) -> Tensor:
        return torch.zeros(self.shape.num_layers, rows, self.shape.num_kv_heads, keys, self.shape.head_dim)

    def reserve(self, rows: int, keys: int) -> None:
        """Make room for `rows` rows of `keys` keys, keeping what is there."""
        have_rows, have_keys = self.keys_LRKSE.shape[1], self.keys_LRKSE.shape[3]
        if rows <= have_rows and keys <= have_keys:
            return
        # Doubling keeps the copies rare; the context bounds it.
        limit = round_up(self.shape.max_tokens, KEY_MULTIPLE)
        new_keys = have_keys if keys <= have_keys else max(round_up(keys, KEY_MULTIPLE), min(2 * have_keys, limit))
        new_rows = have_rows if rows <= have_rows else max(rows, 2 * have_rows)
        self.keys_LRKSE = self._grown(self.keys_LRKSE, new_rows, new_keys)
        self.values_LRKSE = self._grown(self.values_LRKSE, new_rows, new_keys)

    def _grown(self, old: Tensor, rows: int, keys: int) -> Tensor:
        new = self._empty(rows, keys)
        new[:, : old.shape[1], :, : old.shape[3]] = old
        return new

    def move(self, sources: list[int], targets: list[int], num_keys: int) -> None:
        """Copy whole rows onto others, to close gaps."""
        for held in (self.keys_LRKSE, self.values_LRKSE):
            held[:, targets, :, :num_keys] = held[:, sources, :, :num_keys]


class AttentionPlan(Protocol):
    """How the tokens of one forward pass see each other; arguments may be views, the result [N, H * E] has `dtype`."""

    def __call__(self, layer: int, q_NHE: Tensor, k_NKE: Tensor, v_NKE: Tensor, dtype: torch.dtype) -> Tensor: ...


class RowAttention:
    """Whole rows [B, T], padded at the right, causal; keys and values are kept at `first_row` of a cache if one is given."""

    def __init__(self, B: int, T: int, cache: Cache | None = None, first_row: int = 0):
        self.B, self.T, self.cache, self.first_row = B, T, cache, first_row
        self.bias_TT = torch.full((T, T), float("-inf")).triu_(1)

    def __call__(self, layer: int, q_NHE: Tensor, k_NKE: Tensor, v_NKE: Tensor, dtype: torch.dtype) -> Tensor:
        B, T, (N, H, E), K = self.B, self.T, q_NHE.shape, k_NKE.shape[1]
        k_CTE = self._kept(None if self.cache is None else self.cache.keys_LRKSE[layer], k_NKE)
        v_CTE = self._kept(None if self.cache is None else self.cache.values_LRKSE[layer], v_NKE)
        q_CME = q_NHE.view(B, T, H, E).transpose(1, 2).reshape(B * K, -1, E)
        scores_CMT = torch.bmm(q_CME, k_CTE.transpose(1, 2))
        scores_CMT.view(B, H, T, T).add_(self.bias_TT)
        out_CME = torch.bmm(scores_CMT.softmax(-1), v_CTE)
        return out_CME.view(B, H, T, E).transpose(1, 2).to(dtype, memory_format=torch.contiguous_format).reshape(N, H * E)

    def _kept(self, held_RKSE: Tensor | None, new_NKE: Tensor) -> Tensor:
        """[C = B * K, T, E]: a view of the cache where there is one."""
        B, T, (_, K, E) = self.B, self.T, new_NKE.shape
        new_BKTE = new_NKE.view(B, T, K, E).transpose(1, 2)
        if held_RKSE is None:
            return new_BKTE.reshape(B * K, T, E)
        rows_BKSE = held_RKSE[self.first_row : self.first_row + B]
        rows_BKSE[:, :, :T] = new_BKTE
        return rows_BKSE.view(B * K, -1, E)[:, :T]


class StepAttention:
    """One new token for each of rows 0..N-1 of a cache, at its own position."""

    def __init__(self, cache: Cache, positions_N: Tensor, num_keys: int):
        K, S = cache.shape.num_kv_heads, cache.keys_LRKSE.shape[3]
        self.cache, self.num_keys = cache, num_keys
        rows_K = torch.arange(positions_N.shape[0] * K) * S
        self.index = rows_K + positions_N.repeat_interleave(K)
        hidden_NS = torch.arange(num_keys) > positions_N[:, None]
        self.bias_N11S = torch.zeros(hidden_NS.shape).masked_fill_(hidden_NS, float("-inf"))[:, None, None]

    def __call__(self, layer: int, q_NHE: Tensor, k_NKE: Tensor, v_NKE: Tensor, dtype: torch.dtype) -> Tensor:
        N, H, E = q_NHE.shape
        K = k_NKE.shape[1]
        k_CSE = self._stored(self.cache.keys_LRKSE[layer], k_NKE)
        v_CSE = self._stored(self.cache.values_LRKSE[layer], v_NKE)
        scores_CGS = torch.bmm(q_NHE.reshape(N * K, H // K, E), k_CSE.transpose(1, 2))
        scores_CGS.view(N, K, H // K, -1).add_(self.bias_N11S)
        return torch.bmm(scores_CGS.softmax(-1), v_CSE).view(N, H * E).to(dtype)

    def _stored(self, held_RKSE: Tensor, new_NKE: Tensor) -> Tensor:
        """[C = N * K, keys, E], a view of the cache with the new keys or values in it."""
        N, K, E = new_NKE.shape
        held_RKSE.view(-1, E).index_copy_(0, self.index, new_NKE.reshape(N * K, E))
        return held_RKSE[:N].view(N * K, -1, E)[:, : self.num_keys]


class PackedModel:
    """Weights copied out of a Transformer; later changes to it do not show here."""

    def __init__(self, model: Transformer, precision: str = "auto"):
        if precision not in PRECISIONS:
            raise UserError(f"precision {precision!r} is unknown; allowed: {', '.join(PRECISIONS)}")
        self.shape = shape = model.shape
        self.num_turned = shape.num_heads + shape.num_kv_heads
        self.bf16 = precision == "bf16" or (precision == "auto" and fast_bf16())
        with torch.inference_mode():
            self.embedding_VD = model.model.embed_tokens.weight.float().clone()
            self.blocks = [_pack(block, shape, self.bf16) for block in model.model.layers if isinstance(block, Block)]
            self.norm_D = model.model.norm.weight.float().clone()
            self.head = PackedLinear(model.head_weight.float(), None, bf16=False)
            assert isinstance(model.inverse_frequency, Tensor)
            angles = torch.arange(round_up(shape.max_tokens, KEY_MULTIPLE))[:, None] * model.inverse_frequency.float()
            self.turns_Se = torch.polar(torch.ones_like(angles), angles)

    def prefill(self, ids_BT: Tensor, lengths_B: Tensor, cache: Cache, first_row: int) -> Tensor:
        """Fill rows `first_row`.. of the cache; logits [B, V] after the last token of each row."""
        B, T = ids_BT.shape
        last_B = torch.arange(B) * T + lengths_B - 1
        return self.logits(self._run(ids_BT.reshape(-1), torch.arange(T).repeat(B), RowAttention(B, T, cache, first_row), last_B))

    def step(self, ids_N: Tensor, positions_N: Tensor, cache: Cache, num_keys: int) -> Tensor:
        """One token for every live row; logits [N, V]. num_keys: more than every position, at most what is reserved."""
        return self.logits(self._run(ids_N, positions_N, StepAttention(cache, positions_N, num_keys)))

    def hidden(self, ids_BT: Tensor) -> Tensor:
        """Final hidden states [B, T, D] of whole rows."""
        B, T = ids_BT.shape
        return self._run(ids_BT.reshape(-1), torch.arange(T).repeat(B), RowAttention(B, T)).view(B, T, -1)

    def logits(self, hidden_ND: Tensor) -> Tensor:
        return self.head(hidden_ND)

    def _run(self, ids_N: Tensor, positions_N: Tensor, attention: AttentionPlan, wanted: Tensor | None = None) -> Tensor:
        """Final hidden states of all tokens, or of the `wanted` ones: the last block's second half runs for those alone."""
        shape, (H, K, J) = self.shape, (self.shape.num_heads, self.shape.num_kv_heads, self.num_turned)
        x_ND = self.embedding_VD[ids_N]
        turns_N1e = self.turns_Se[positions_N][:, None]
        for layer, block in enumerate(self.blocks):
            heads_NXE = block.qkv(self._normed(x_ND)).view(-1, J + K, shape.head_dim)
            qk_NJE = self._turned(heads_NXE[:, :J].float(), block.norm_JE, turns_N1e)
            mixed = attention(layer, qk_NJE[:, :H], qk_NJE[:, H:], heads_NXE[:, J:].float(), block.out.dtype)
            if wanted is not None and layer == shape.num_layers - 1:
                x_ND, mixed = x_ND[wanted], mixed[wanted]
            x_ND = x_ND + block.out(mixed)
            gate_up = block.gate_up(self._normed(x_ND))
            x_ND = x_ND + block.down(F.silu(gate_up[:, : shape.ffn_width]).mul_(gate_up[:, shape.ffn_width :]))
        return self._normed(x_ND) * self.norm_D

    def _normed(self, x: Tensor) -> Tensor:
        """RMS norm without weight; as torch's, in fewer passes over x."""
        norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x * norm.square_().div_(x.shape[-1]).add_(self.shape.rms_norm_eps).rsqrt_()

    def _turned(self, qk_NJE: Tensor, norm_JE: Tensor | None, turns_N1e: Tensor) -> Tensor:
        """QK-norm, then rope: neighbours are a complex number, turned by its position."""
        if norm_JE is not None:
            qk_NJE = self._normed(qk_NJE).mul_(norm_JE)
        pairs = torch.view_as_complex(qk_NJE.reshape(*qk_NJE.shape[:2], -1, 2))
        return torch.view_as_real(pairs * turns_N1e).flatten(-2)


def _pack(block: Block, shape: ModelShape, bf16: bool) -> PackedBlock:
    attention, feed = block.self_attn, block.mlp
    E, scale = shape.head_dim, shape.head_dim**-0.5
    before, after = block.input_layernorm.weight.float(), block.post_attention_layernorm.weight.float()
    pairs_E = torch.arange(E).view(2, -1).t().reshape(-1)
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    # Without QK-norm the scale of the scores can stand in q's weights; with it, it must stand in q's norm.
    scales = (1.0 if shape.qk_norm else scale, 1.0, 1.0)
    orders = (pairs_E, pairs_E, torch.arange(E))
    weights = [
        p.weight.float().view(-1, E, shape.width)[:, o].reshape(-1, shape.width) * s
        for p, o, s in zip(projections, orders, scales, strict=True)
    ]
    biases = [
        p.bias.float().view(-1, E)[:, o].reshape(-1) * s for p, o, s in zip(projections, orders, scales, strict=True) if p.bias is not None
    ]
    norm_JE = None
    if shape.qk_norm:
        q_norm, k_norm = attention.q_norm.weight.float()[pairs_E] * scale, attention.k_norm.weight.float()[pairs_E]
        norm_JE = torch.stack([q_norm] * shape.num_heads + [k_norm] * shape.num_kv_heads)
    return PackedBlock(
        qkv=PackedLinear(torch.cat(weights) * before, torch.cat(biases) if biases else None, bf16),
        norm_JE=norm_JE,
        out=PackedLinear(attention.o_proj.weight.float(), None, bf16),
        gate_up=PackedLinear(torch.cat((feed.gate_proj.weight, feed.up_proj.weight)).float() * after, None, bf16),
        down=PackedLinear(feed.down_proj.weight.float(), None, bf16),
    )
