"""Qwen3-dense transformer; parameter names are Hugging Face names from step 0.

Shape legend: B rows, T tokens, S keys (as many as T), D width, H query heads, K key/value heads,
G = H / K, E head_dim, F feed-forward width, V vocabulary.
Source of the layout: Qwen3 technical report (arXiv 2505.09388); QK-norm per head before rope, rotate-half rope,
RMSNorm in fp32.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from feilun.config import ModelShape

__all__ = ["Block", "Transformer", "document_mask", "rope_frequencies"]


class Rope(NamedTuple):
    cos_BT1E: Tensor
    sin_BT1E: Tensor


class Linear(nn.Module):
    """Bias-free (or biased) linear map: fp32 master weight, computed in the dtype of its input."""

    def __init__(self, num_in: int, num_out: int, bias: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))
        self.bias = nn.Parameter(torch.zeros(num_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight.to(x.dtype) * wide.to(x.dtype)


def rotate(x_BTHE: Tensor, rope: Rope) -> Tensor:
    first, second = x_BTHE.chunk(2, dim=-1)
    rotated = torch.cat((-second, first), dim=-1)
    return x_BTHE * rope.cos_BT1E + rotated * rope.sin_BT1E


def attend(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask_B1TS: Tensor) -> Tensor:
    """Masked attention with the G query heads of a key head folded into rows.

    SDPA with enable_gqa and a mask is an order of magnitude slower on CPU at one query (measured: 2,485 against
    171 microseconds a layer at B=32), and plain matmuls fuse under torch.compile.
    """
    B, H, T, E = q_BHTE.shape
    K = k_BKSE.shape[1]
    G = H // K
    q_BKME = q_BHTE.reshape(B, K, G * T, E)
    scores = (q_BKME @ k_BKSE.transpose(-1, -2)) * E**-0.5
    scores_BKGTS = scores.view(B, K, G, T, -1).float()
    scores_BKGTS = scores_BKGTS.masked_fill(~mask_B1TS[:, :, None], float("-inf"))
    weights = scores_BKGTS.softmax(-1).to(q_BHTE.dtype).view(B, K, G * T, -1)
    out_BHTE: Tensor = (weights @ v_BKSE).view(B, H, T, E)
    return out_BHTE


class Attention(nn.Module):
    def __init__(self, shape: ModelShape):
        super().__init__()
        self.H, self.K, self.E = shape.num_heads, shape.num_kv_heads, shape.head_dim
        D, bias = shape.width, shape.attention_bias
        self.q_proj = Linear(D, self.H * self.E, bias)
        self.k_proj = Linear(D, self.K * self.E, bias)
        self.v_proj = Linear(D, self.K * self.E, bias)
        self.o_proj = Linear(self.H * self.E, D)
        if shape.qk_norm:
            self.q_norm = RMSNorm(self.E, shape.rms_norm_eps)
            self.k_norm = RMSNorm(self.E, shape.rms_norm_eps)
        self.qk_norm = shape.qk_norm

    def forward(self, x_BTD: Tensor, rope: Rope, mask_B1TS: Tensor) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BTHE = self.q_proj(x_BTD).view(B, T, self.H, self.E)
        k_BTKE = self.k_proj(x_BTD).view(B, T, self.K, self.E)
        v_BKTE = self.v_proj(x_BTD).view(B, T, self.K, self.E).transpose(1, 2)
        if self.qk_norm:
            q_BTHE, k_BTKE = self.q_norm(q_BTHE), self.k_norm(k_BTKE)
        q_BHTE, k_BKTE = rotate(q_BTHE, rope).transpose(1, 2), rotate(k_BTKE, rope).transpose(1, 2)
        out_BHTE = attend(q_BHTE, k_BKTE, v_BKTE, mask_B1TS)
        out_BTD: Tensor = self.o_proj(out_BHTE.transpose(1, 2).reshape(B, T, self.H * self.E))
        return out_BTD


class FeedForward(nn.Module):
    def __init__(self, shape: ModelShape):
        super().__init__()
        self.gate_proj = Linear(shape.width, shape.ffn_width)
        self.up_proj = Linear(shape.width, shape.ffn_width)
        self.down_proj = Linear(shape.ffn_width, shape.width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out_BTD: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out_BTD


class Block(nn.Module):
    def __init__(self, shape: ModelShape):
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width, shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.rms_norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x_BTD: Tensor, rope: Rope, mask_B1TS: Tensor) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), rope, mask_B1TS)
        out_BTD: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return out_BTD


class Body(nn.Module):
    def __init__(self, shape: ModelShape):
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = RMSNorm(shape.width, shape.rms_norm_eps)


class Transformer(nn.Module):
    """ids [B, T] -> final hidden states [B, T, D]; `head_weight` [V, D] turns them into logits.

    Computes in `compute_dtype` over fp32 master weights. The caller gives positions and a boolean mask
    (True = may attend), so packed documents and padded batches share one forward; decoding with a cache is the engine's.
    """

    inverse_frequency: Tensor

    def __init__(self, shape: ModelShape, compute_dtype: torch.dtype = torch.float32):
        super().__init__()
        self.shape = shape
        self.compute_dtype = compute_dtype
        self.model = Body(shape)
        if not shape.tie_embeddings:
            self.lm_head = Linear(shape.width, shape.vocab_size)
        # Not a parameter: Hugging Face checkpoints hold no rope table.
        self.register_buffer("inverse_frequency", rope_frequencies(shape), persistent=False)

    @property
    def head_weight(self) -> Tensor:
        return self.model.embed_tokens.weight if self.shape.tie_embeddings else self.lm_head.weight

    def initialise(self, generator: torch.Generator) -> None:
        """Embeddings N(0, .02), matrices uniform 1/sqrt(fan-in), output projections zero (nanochat's choice)."""
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "bias")):
                nn.init.zeros_(parameter)
            elif name.endswith(("embed_tokens.weight", "lm_head.weight")):
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif parameter.ndim == 2:
                bound = 3**0.5 * parameter.shape[1] ** -0.5
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
            else:
                nn.init.ones_(parameter)

    def rope(self, positions_BT: Tensor) -> Rope:
        angles_BTE = positions_BT[..., None].float() * self.inverse_frequency
        angles_BTE = torch.cat((angles_BTE, angles_BTE), dim=-1)[:, :, None]
        return Rope(angles_BTE.cos().to(self.compute_dtype), angles_BTE.sin().to(self.compute_dtype))

    def forward(self, ids_BT: Tensor, positions_BT: Tensor, mask_B1TS: Tensor) -> Tensor:
        x_BTD = F.embedding(ids_BT, self.model.embed_tokens.weight).to(self.compute_dtype)
        rope = self.rope(positions_BT)
        for block in self.model.layers:
            x_BTD = block(x_BTD, rope, mask_B1TS)
        hidden_BTD: Tensor = self.model.norm(x_BTD)
        return hidden_BTD

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V] in fp32."""
        return F.linear(hidden, self.head_weight.to(hidden.dtype)).float()


def rope_frequencies(shape: ModelShape) -> Tensor:
    exponents = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    return 1.0 / shape.rope_theta**exponents


def document_mask(documents_BT: Tensor) -> Tensor:
    """[B, T] document numbers (-1 = padding) -> [B, 1, T, T]: causal, and only inside one document."""
    T = documents_BT.shape[1]
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    causal_TT = torch.ones(T, T, dtype=torch.bool, device=documents_BT.device).tril()
    return (same_BTT & causal_TT)[:, None]
