"""Everything that follows from `depth`, in one visible place, so that it can be printed and overridden."""

import dataclasses
import math
from typing import NamedTuple

from feilun.config import ModelShape, PretrainSettings
from feilun.types import UserError

__all__ = ["Derived", "derive"]

HEAD_DIM = 64
TOKENS_PER_PARAMETER = 8  # about what a 1-5 M parameter model still gains from on a few megabytes of text
REFERENCE_WIDTH = 128


class Derived(NamedTuple):
    shape: ModelShape
    settings: PretrainSettings
    num_parameters: int
    num_tokens: int


def derive(settings: PretrainSettings, vocab_size: int) -> Derived:
    """Shape and the settings that were left at 0.

    Width: 64 x depth from 12 layers on; below, depth^2 / 12 units of 64 (small models of one budget learn more from
    layers than from width). Steps: `num_steps`, or `budget_seconds`, or 8 tokens a parameter. Rates of the
    embeddings fall as 1 / sqrt(width).
    """
    if settings.depth < 1:
        raise UserError(f"depth={settings.depth}: allowed are whole numbers from 1 on")
    units = settings.depth if settings.depth >= 12 else max(2, round(settings.depth**2 / 12))
    heads = units + units % 2
    shape = ModelShape(
        vocab_size=vocab_size, width=64 * units, num_layers=settings.depth, num_heads=heads, num_kv_heads=max(2, heads // 2),
        head_dim=HEAD_DIM, ffn_width=3 * 64 * units, max_tokens=max(512, settings.row_tokens),
    )  # fmt: skip
    num_parameters = count_parameters(shape)
    batch_tokens = max(1, settings.rows * settings.row_tokens)
    num_steps = settings.num_steps
    if not num_steps and not settings.budget_seconds:
        num_steps = math.ceil(TOKENS_PER_PARAMETER * num_parameters / batch_tokens)
    scale = (REFERENCE_WIDTH / shape.width) ** 0.5
    optimiser = dataclasses.replace(settings.optimiser, other_lr=settings.optimiser.other_lr * scale)
    return Derived(shape, dataclasses.replace(settings, num_steps=num_steps, optimiser=optimiser), num_parameters, num_steps * batch_tokens)


def count_parameters(shape: ModelShape) -> int:
    attention = shape.width * shape.head_dim * (2 * shape.num_heads + 2 * shape.num_kv_heads) + 2 * shape.head_dim
    layer = attention + 3 * shape.width * shape.ffn_width + 2 * shape.width
    return shape.vocab_size * shape.width * (1 if shape.tie_embeddings else 2) + shape.num_layers * layer + shape.width
