"""A home with a small corpus, a tokenizer and lessons, for the tests of training; built once, copied by each test."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from feilun.artifacts import draft
from feilun.chat import ChatFormat
from feilun.config import CorpusSettings, ModelShape, PreferSettings, PretrainSettings, SftSettings, TokenizerSettings
from feilun.corpus import build_from_documents
from feilun.model.transformer import Transformer
from feilun.primer.text import documents
from feilun.tokenizer import Tokenizer, train_tokenizer
from feilun.train.data import TokenRow
from feilun.types import Document

LIGHT = {"threads": 1, "compile": "off", "precision": "fp32", "rows": 4, "row_tokens": 32, "checkpoint_steps": 20}
SHAPE = ModelShape(vocab_size=320, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=128)
QUESTION = "Which is larger, 9.11 or 9.8?"


def build_home(home: Path) -> None:
    corpus = build_from_documents(
        home,
        "small",
        world(),
        CorpusSettings(min_chars=1, validation_fraction=0.05, filters=False, near_duplicates=False, redact=(), repeated_line_chars=0),
    )
    train_tokenizer(home, "small", corpus.ref, TokenizerSettings(vocab_size=512, num_reserved=8))
    publish_lessons(home, "examples", [lesson(f"{n} + 1", str(n + 1)) for n in range(40)])
    edits = [lesson(QUESTION, "9.8", weight=0.5 + n % 2) for n in range(12)]
    publish_lessons(home, "edits", edits, [pair(f"Is {n} odd?", "yes", "no") for n in range(11)])


def world() -> Iterable[Document]:
    yield from documents(0, 400)


def lesson(question: str, answer: str, *, weight: float = 1.0) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "weight": weight,
        "task": "copying",
    }


def pair(question: str, chosen: str, rejected: str, *, weight: float = 1.0) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": question}], "chosen": chosen, "rejected": rejected, "weight": weight}


def publish_lessons(home: Path, name: str, rows: list[dict[str, Any]], pairs: list[dict[str, Any]] | None = None) -> str:
    import json

    with draft(home, "lessons", name) as work:
        for file, part in (("sft.jsonl", rows), ("pairs.jsonl", pairs or [])):
            (work.path / file).write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    assert work.artifact is not None
    return work.artifact.ref


def settings_of(stage: str, **changes: Any) -> Any:
    """Settings of a stage of the small home."""
    made = {
        "pretrain": lambda: PretrainSettings(
            **LIGHT | {"num_steps": 60, "depth": 1, "corpus": "small", "tokenizer": "small", "validation_tokens": 500} | changes
        ),
        "sft": lambda: SftSettings(
            **LIGHT | {"num_steps": 60, "base": "base", "lessons": "examples", "text": "small", "text_share": 0.25} | changes
        ),
        "prefer": lambda: PreferSettings(
            **LIGHT
            | {"num_steps": 60, "base": "base", "lessons": "edits", "replay": "examples", "text": "small", "text_share": 0.2}
            | {"pair_weight": 1.0, "pair_rows": 4}
            | changes
        ),
    }
    return made[stage]()


def copy_home(home: Path, target: Path) -> Path:
    shutil.copytree(home, target)
    return target


def small_model(seed: int = 0, shape: ModelShape = SHAPE) -> Transformer:
    """Every matrix random, also those that training starts at zero."""
    model, generator = Transformer(shape), torch.Generator().manual_seed(seed)
    model.initialise(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def small_tokenizer() -> Tokenizer:
    return Tokenizer.train([d.text for d in documents(0, 60)], TokenizerSettings(vocab_size=320, num_reserved=8))


def small_chat() -> ChatFormat:
    return ChatFormat(small_tokenizer())


class Rows:
    """A source of given lengths whose tokens are all different: token n of row r is 1000 * r + n + `first`."""

    def __init__(self, lengths: Iterable[int], first: int = 0):
        self.rows = [np.arange(n, dtype=np.int32) + 1000 * r + first for r, n in enumerate(lengths)]

    @property
    def num_tokens(self) -> int:
        return sum(map(len, self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TokenRow:
        ids = self.rows[index]
        return TokenRow(ids, np.ones(len(ids), np.float32))
