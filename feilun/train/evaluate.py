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

SAMPLE_PROMPTS = ("小明", "The", "1 + 1 =")
SAMPLE_TOKENS = 40


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
def sample_texts(model: Transformer, tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """(prompt, its greedy continuation) of each fixed prompt. Draws no random number and changes no weight."""
    end = tokenizer.id_of(END_OF_TEXT)
    starts = [[end, *tokenizer.encode(prompt)] for prompt in SAMPLE_PROMPTS]
    rows, row_tokens = len(starts), max(map(len, starts)) + SAMPLE_TOKENS
    ids = torch.full((rows, row_tokens), end)
    for row, start in enumerate(starts):
        ids[row, : len(start)] = torch.tensor(start)
    sizes, every = torch.tensor([len(start) for start in starts]), torch.arange(rows)
    mask = torch.ones(1, 1, row_tokens, row_tokens, dtype=torch.bool).tril()
    # Rows end at different places; what stands behind the end of one is seen by nothing before it.
    for _ in range(SAMPLE_TOKENS):
        size = int(sizes.max())
        hidden = model(ids[:, :size], torch.arange(size)[None], mask[:, :, :size, :size])
        ids[every, sizes] = model.logits(hidden[every, sizes - 1]).argmax(-1)
        sizes += 1
    written = [row[len(start) : len(start) + SAMPLE_TOKENS] for row, start in zip(ids.tolist(), starts, strict=True)]
    cut = [row[: row.index(end)] if end in row else row for row in written]
    return [(prompt, tokenizer.decode(row)) for prompt, row in zip(SAMPLE_PROMPTS, cut, strict=True)]
