"""The one primitive of every objective: log-probabilities of given tokens, without a [tokens x vocabulary] tensor kept."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["token_logprobs"]

CHUNK_LOGITS = 1 << 24


def token_logprobs(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    """fp32 log p(target) of each of N positions; the head runs in chunks whose logits are recomputed in backward.

    targets_N: token ids, all valid (masking is the caller's weight). One chunk (small N x V) is not recomputed.
    """
    num_positions, num_chunk = hidden_ND.shape[0], max(1, CHUNK_LOGITS // head_VD.shape[0])
    if num_positions <= num_chunk:
        return _chunk(hidden_ND, head_VD, targets_N)
    parts = [
        checkpoint(_chunk, hidden_ND[i : i + num_chunk], head_VD, targets_N[i : i + num_chunk], use_reentrant=False)
        for i in range(0, num_positions, num_chunk)
    ]
    return torch.cat(parts)


def _chunk(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    logits_NV = F.linear(hidden_ND, head_VD.to(hidden_ND.dtype)).float()
    return -F.cross_entropy(logits_NV, targets_N, reduction="none")
