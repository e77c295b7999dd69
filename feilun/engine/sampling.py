"""Picking tokens from logits: the whole batch at once, each sampled row with its own random stream.

Legend: N rows, V vocabulary.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from feilun.types import GenerationRequest

__all__ = ["Picked", "Sampler", "pick"]


class Picked(NamedTuple):
    token_ids: list[int]
    log_probs: list[float]


class Sampler:
    """How one request chooses. Its random numbers are its own: one a token, whatever else is in the batch."""

    def __init__(self, request: GenerationRequest):
        self.temperature, self.top_p = request.temperature, request.top_p
        self.random = random.Random(request.seed) if request.temperature > 0.0 else None


def pick(logits_NV: Tensor, samplers: Sequence[Sampler]) -> Picked:
    """One token a row; log-probabilities are under the untempered, untruncated distribution."""
    best_N, ids_N = logits_NV.max(-1)
    log_total_N = logits_NV.logsumexp(-1)
    rows = [i for i, sampler in enumerate(samplers) if sampler.random is not None]
    if rows:
        ids_N[rows] = _draw(logits_NV[rows], [samplers[i] for i in rows])
        best_N[rows] = logits_NV[rows, ids_N[rows]]
    return Picked(ids_N.tolist(), (best_N - log_total_N).tolist())


def _draw(logits_NV: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Inverse transform over tokens in falling order, cut to the smallest set that reaches top_p."""
    # Temperatures near 0 would overflow; below this they are greedy to the last bit anyway.
    temperatures = torch.tensor([max(sampler.temperature, 1e-4) for sampler in samplers])[:, None]
    ordered_NV, ids_NV = torch.sort(logits_NV / temperatures, dim=-1, descending=True, stable=True)
    probabilities_NV = ordered_NV.double().softmax(-1)
    reached_NV = probabilities_NV.cumsum(-1)
    top_p = torch.tensor([sampler.top_p for sampler in samplers], dtype=torch.float64)[:, None]
    kept_NV = (reached_NV - probabilities_NV) < top_p
    kept_NV[:, 0] = True
    total_N1 = (probabilities_NV * kept_NV).sum(-1, keepdim=True)
    points = torch.tensor([sampler.random.random() for sampler in samplers if sampler.random], dtype=torch.float64)[:, None]
    place_N1 = ((reached_NV <= points * total_N1) & kept_NV).sum(-1, keepdim=True)
    last_N1 = kept_NV.sum(-1, keepdim=True) - 1
    return ids_NV.gather(1, torch.minimum(place_N1, last_N1)).squeeze(1)
