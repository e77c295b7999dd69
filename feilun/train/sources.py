"""Where rows of tokens come from: a tokens artifact on disk, or lessons in memory."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feilun.artifacts import Artifact, draft, find, list_artifacts
from feilun.chat import ChatFormat
from feilun.corpus import read_documents
from feilun.tokenizer import END_OF_TEXT, Tokenizer
from feilun.train.data import TokenRow
from feilun.types import Conversation, Document, UserError

__all__ = ["LessonRows", "TokenFile", "ValidationSet", "build_tokens", "read_lessons", "validation_sets"]

PARTS = ("train", "validation")
ENCODE_BATCH = 1024


def build_tokens(home: Path, corpus_ref: str, tokenizer_ref: str, *, progress: Callable[[int, int], None] | None = None) -> Artifact:
    """The corpus as token ids on disk, once for each (corpus, tokenizer); found again if it was made before."""
    corpus, tokenizer = find(home, corpus_ref, "corpus"), find(home, tokenizer_ref, "tokenizer")
    parents = [f"corpus/{corpus.ref}", f"tokenizer/{tokenizer.ref}"]
    for made in list_artifacts(home, "tokens"):
        if list(made.parents) == parents:
            return made
    codec = Tokenizer.load(tokenizer.path)
    with draft(home, "tokens", corpus.name, parents=parents) as work:
        for part in PARTS:
            num_documents, num_tokens = write_part(work.path, part, read_documents(corpus, part), codec, progress)
            work.counts |= {f"{part}_documents": num_documents, f"{part}_tokens": num_tokens}
    assert work.artifact is not None
    return work.artifact


def write_part(
    path: Path, part: str, documents: Iterable[Document], codec: Tokenizer, progress: Callable[[int, int], None] | None
) -> tuple[int, int]:
    """`part`.bin holds <|endoftext|> text <|endoftext|> of every document; the .npz its bounds, bytes and language."""
    end = codec.id_of(END_OF_TEXT)
    lengths: list[int] = []
    num_bytes: list[int] = []
    langs: list[str] = []
    with (path / f"{part}.bin").open("wb") as stream:
        for batch in batched(documents, ENCODE_BATCH):
            for document, ids in zip(batch, codec.encode_batch([d.text for d in batch]), strict=True):
                row = np.array([end, *ids, end], dtype=np.int32)
                stream.write(row.tobytes())
                lengths.append(len(row))
                num_bytes.append(len(document.text.encode()))
                langs.append(document.lang)
            if progress is not None:
                progress(len(lengths), sum(num_bytes))
    bounds = np.concatenate(([0], np.cumsum(np.array(lengths, dtype=np.int64)))).astype(np.int64)
    np.save(path / f"{part}.bounds.npy", bounds)
    np.save(path / f"{part}.bytes.npy", np.array(num_bytes, dtype=np.int64))
    (path / f"{part}.langs.json").write_text(json.dumps(langs), encoding="utf-8")
    return len(lengths), int(bounds[-1])


def batched(items: Iterable[Document], size: int) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


class TokenFile:
    """The documents of one part of a tokens artifact, read through a memory map; every token is a target."""

    def __init__(self, tokens: Artifact, part: str = "train"):
        path = tokens.path / f"{part}.bin"
        self.bounds: NDArray[np.int64] = np.load(tokens.path / f"{part}.bounds.npy")
        self.num_bytes: NDArray[np.int64] = np.load(tokens.path / f"{part}.bytes.npy")
        self.langs: list[str] = json.loads((tokens.path / f"{part}.langs.json").read_text(encoding="utf-8"))
        size = path.stat().st_size
        self.ids = np.memmap(path, dtype=np.int32, mode="r") if size else np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> TokenRow:
        ids = np.asarray(self.ids[self.bounds[index] : self.bounds[index + 1]])
        return TokenRow(ids, np.ones(len(ids), np.float32))


class ValidationSet(NamedTuple):
    """Held-out documents of one language with the bytes of text they stand for."""

    lang: str
    rows: tuple[TokenRow, ...]
    num_bytes: int


def validation_sets(tokens: Artifact, max_tokens: int) -> list[ValidationSet]:
    """One set a language, each of about `max_tokens` at most."""
    source = TokenFile(tokens, "validation")
    found: dict[str, tuple[list[TokenRow], int, int]] = {}
    for index, lang in enumerate(source.langs):
        rows, num_bytes, num_tokens = found.get(lang, ([], 0, 0))
        if num_tokens < max_tokens:
            rows.append(source[index])
            found[lang] = (rows, num_bytes + int(source.num_bytes[index]), num_tokens + len(rows[-1].ids))
    return [ValidationSet(lang, tuple(rows), num_bytes) for lang, (rows, num_bytes, _) in sorted(found.items())]


def read_lessons(lessons: Artifact) -> list[dict[str, Any]]:
    """The rows of `sft.jsonl`: {"messages", "weight", "kind", ...}."""
    return read_jsonl(lessons.path / "sft.jsonl")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(f"{path}, line {number}: not JSON ({error.msg}); a lesson is one JSON object a line") from None
    return rows


class LessonRows:
    """Dialogues as token rows: targets are the assistant's tokens with the stop token, times the row's weight."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], chat: ChatFormat):
        self.rows = [self.row(row, chat) for row in rows]

    @staticmethod
    def row(row: Mapping[str, Any], chat: ChatFormat) -> TokenRow:
        made = chat.training(Conversation.from_json(row["messages"]))
        weights = np.array(made.mask, np.float32) * np.float32(row.get("weight", 1.0))
        return TokenRow(np.array(made.ids, np.int32), weights)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TokenRow:
        return self.rows[index]
