"""What a base model is worth: validation bits per byte by language, and unedited samples."""

import math
from collections.abc import Iterator, Sequence

import torch

from feilun.config import TrainSettings
from feilun.model.transformer import Transformer
from feilun.tokenizer import END_OF_TEXT, Tokenizer
from feilun.train.data import Batch, TokenRow, pad_rows
from feilun.train.objectives import batch_logprobs
from feilun.train.sources import ValidationSet

__all__ = ["bits_per_byte", "sample_texts"]

SAMPLE_PROMPTS = ("", "从前", "The", "1 + 1 =")
SAMPLE_TOKENS = 60
SAMPLE_TEMPERATURE = 0.8


def each_row_once(rows: Sequence[TokenRow], settings: TrainSettings) -> Iterator[Batch]:
    """Every row exactly once, cut at the length that the model trains with."""
    size = settings.row_tokens
    pieces = [
        TokenRow(row.ids[start : start + size + 1], row.weights[start : start + size + 1])
        for row in rows
        for start in range(0, max(1, len(row.ids) - 1), size)
    ]
    for start in range(0, len(pieces), settings.rows):
        yield pad_rows(pieces[start : start + settings.rows], size)


@torch.no_grad()
def bits_per_byte(model: Transformer, sets: Sequence[ValidationSet], settings: TrainSettings) -> dict[str, float]:
    """{language: bits per UTF-8 byte of its validation text}."""
    found = {}
    for part in sets:
        nats = sum(-float((batch_logprobs(model, batch) * batch.weights).sum()) for batch in each_row_once(part.rows, settings))
        found[part.lang] = nats / math.log(2) / max(1, part.num_bytes)
    return found


@torch.no_grad()
def sample_texts(model: Transformer, tokenizer: Tokenizer, seed: int = 0) -> list[str]:
    """One unedited continuation of each prompt, sampled at temperature 0.8 with a fixed seed."""
    generator = torch.Generator().manual_seed(seed)
    end = tokenizer.id_of(END_OF_TEXT)
    texts = []
    for prompt in SAMPLE_PROMPTS:
        ids = [end, *tokenizer.encode(prompt)]
        for _ in range(SAMPLE_TOKENS):
            size = len(ids)
            mask = torch.ones(1, 1, size, size, dtype=torch.bool).tril()
            hidden = model(torch.tensor([ids]), torch.arange(size)[None], mask)
            weights = (model.logits(hidden[0, -1]) / SAMPLE_TEMPERATURE).softmax(-1)
            ids.append(int(torch.multinomial(weights, 1, generator=generator)))
            if ids[-1] == end:
                break
        texts.append(tokenizer.decode(ids[1:]))
    return texts
