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
    for rows, draw in ((_rows(samplers, cut=False), _draw), (_rows(samplers, cut=True), _draw_cut)):
        if rows:
            ids_N[rows] = draw(logits_NV[rows], [samplers[i] for i in rows])
            best_N[rows] = logits_NV[rows, ids_N[rows]]
    return Picked(ids_N.tolist(), (best_N - log_total_N).tolist())


def _rows(samplers: Sequence[Sampler], cut: bool) -> list[int]:
    return [i for i, sampler in enumerate(samplers) if sampler.random is not None and (sampler.top_p < 1.0) == cut]


def _reached(logits_NV: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Running totals of the tempered probabilities."""
    # Temperatures near 0 would overflow; below this they are greedy to the last bit anyway.
    temperatures_N1 = torch.tensor([max(sampler.temperature, 1e-4) for sampler in samplers])[:, None]
    return (logits_NV / temperatures_N1).softmax(-1).cumsum(-1, dtype=torch.float64)


def _places(reached_NV: Tensor, totals_N1: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Inverse transform: the first token whose running total is above a random share of the whole."""
    shares_N1 = torch.tensor([sampler.random.random() for sampler in samplers if sampler.random], dtype=torch.float64)[:, None]
    places_N = torch.searchsorted(reached_NV, shares_N1 * totals_N1, right=True).squeeze(1)
    # A share may round up to the whole.
    return places_N.clamp_(max=reached_NV.shape[1] - 1)


def _draw(logits_NV: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    reached_NV = _reached(logits_NV, samplers)
    return _places(reached_NV, reached_NV[:, -1:], samplers)


def _draw_cut(logits_NV: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """From the smallest set of likeliest tokens that reaches top_p."""
    ordered_NV, ids_NV = torch.sort(logits_NV, dim=-1, descending=True, stable=True)
    reached_NV = _reached(ordered_NV, samplers)
    top_p_N1 = torch.tensor([sampler.top_p for sampler in samplers], dtype=torch.float64)[:, None]
    last_N1 = torch.searchsorted(reached_NV, top_p_N1).clamp_(max=reached_NV.shape[1] - 1)
    places_N = _places(reached_NV, reached_NV.gather(1, last_N1), samplers)
    return ids_NV.gather(1, torch.minimum(places_N[:, None], last_N1)).squeeze(1)
