"""Objectives as functions of per-token log-probabilities: next-token prediction, and preference over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from feilun.model.logprob import token_logprobs
from feilun.model.transformer import Transformer, document_mask
from feilun.train.data import Batch, Packer, TokenRow, pad_rows

__all__ = ["NextToken", "PairRow", "PairStream", "Preference", "batch_logprobs", "sequence_logprobs"]


def batch_logprobs(model: Transformer, batch: Batch) -> Tensor:
    """[B, T] log-probabilities of the targets, fp32."""
    hidden_BTD = model(batch.ids, batch.positions, document_mask(batch.documents))
    flat_N = token_logprobs(hidden_BTD.flatten(0, 1), model.head_weight, batch.targets.flatten())
    return flat_N.view(batch.ids.shape)


def weighted_nll(logprobs_BT: Tensor, weights_BT: Tensor) -> Tensor:
    """Negative log-likelihood per unit of weight over the whole batch (global token normalisation)."""
    return -(logprobs_BT * weights_BT).sum() / weights_BT.sum().clamp_min(1e-6)


@dataclass(frozen=True, slots=True)
class NextToken:
    """Pretrain, and sft by its weights: maximise the weighted log-likelihood of the targets."""

    packer: Packer

    def batches(self) -> Packer:
        return self.packer

    def loss(self, model: Transformer, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss = weighted_nll(batch_logprobs(model, batch), batch.weights)
        return loss, {"nll": loss.detach()}


class PairRow(NamedTuple):
    """A preference as token rows (targets: the answer alone), its weight, and both log-probabilities under the start model."""

    chosen: TokenRow
    rejected: TokenRow
    weight: float
    reference: tuple[float, float]


class PairBatch(NamedTuple):
    """P chosen rows first, then the rejected rows in the same order; reference [2P], weights [P]."""

    rows: Batch
    reference: Tensor
    weights: Tensor


class PreferenceBatch(NamedTuple):
    packed: Batch
    pairs: PairBatch


class PairStream:
    """Packed rows and, beside each batch, the next `pair_rows` preference pairs: round and round in the order given."""

    def __init__(self, packer: Packer, pairs: Sequence[PairRow], pair_rows: int):
        self.packer, self.pairs, self.pair_rows, self.place = packer, pairs, pair_rows, 0

    def __iter__(self) -> "PairStream":
        return self

    def __next__(self) -> PreferenceBatch:
        group = [self.pairs[(self.place + i) % len(self.pairs)] for i in range(self.pair_rows)]
        self.place += self.pair_rows
        rows = pad_rows([p.chosen for p in group] + [p.rejected for p in group], self.packer.row_tokens)
        reference = torch.tensor([p.reference[0] for p in group] + [p.reference[1] for p in group])
        return PreferenceBatch(next(self.packer), PairBatch(rows, reference, torch.tensor([p.weight for p in group])))

    def state(self) -> dict[str, Any]:
        return {"packer": self.packer.state(), "place": self.place}

    def restore(self, state: dict[str, Any]) -> None:
        self.packer.restore(state["packer"])
        self.place = state["place"]


@dataclass(frozen=True, slots=True)
class Preference:
    """Weighted likelihood of lessons and replay, plus DPO (Rafailov 2023, eq. 7) on pairs with an NLL term on the chosen."""

    stream: PairStream
    beta: float
    pair_weight: float
    nll_weight: float

    def batches(self) -> PairStream:
        return self.stream

    def loss(self, model: Transformer, batch: PreferenceBatch) -> tuple[Tensor, dict[str, Tensor]]:
        nll = weighted_nll(batch_logprobs(model, batch.packed), batch.packed.weights)
        weights_BT = batch.pairs.rows.weights
        sums_B = (batch_logprobs(model, batch.pairs.rows) * weights_BT).sum(-1)
        chosen, rejected = (sums_B - batch.pairs.reference).chunk(2)
        share = batch.pairs.weights / batch.pairs.weights.sum()
        margin = chosen - rejected
        dpo = -(F.logsigmoid(self.beta * margin) * share).sum()
        per_token = (sums_B / weights_BT.sum(-1)).chunk(2)[0]
        chosen_nll = -(per_token * share).sum()
        loss = nll + self.pair_weight * (dpo + self.nll_weight * chosen_nll)
        return loss, {"nll": nll.detach(), "dpo": dpo.detach(), "margin": margin.detach().mean(), "chosen": chosen.detach().mean()}


@torch.no_grad()
def sequence_logprobs(model: Transformer, rows: Batch) -> Tensor:
    """[B] weighted sums of target log-probabilities: the reference side of DPO, computed once."""
    return (batch_logprobs(model, rows) * rows.weights).sum(-1)
