"""Where rows of tokens come from: a tokens artifact on disk, or lessons in memory."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feilun.artifacts import Artifact, draft, find, list_artifacts
from feilun.chat import ChatFormat, TrainingRow
from feilun.corpus import read_documents
from feilun.tokenizer import END_OF_TEXT, Tokenizer
from feilun.train.data import TokenRow
from feilun.types import Conversation, Document, UserError

__all__ = ["LessonRows", "TokenFile", "ValidationSet", "build_tokens", "read_lessons", "validation_sets"]

PARTS: tuple[Literal["train", "validation"], ...] = ("train", "validation")
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
    done_bytes = 0
    langs: list[str] = []
    with (path / f"{part}.bin").open("wb") as stream:
        for batch in batched(documents, ENCODE_BATCH):
            for document, ids in zip(batch, codec.encode_batch([d.text for d in batch]), strict=True):
                row = np.array([end, *ids, end], dtype=np.int32)
                stream.write(row.tobytes())
                lengths.append(len(row))
                num_bytes.append(len(document.text.encode()))
                done_bytes += num_bytes[-1]
                langs.append(document.lang)
            if progress is not None:
                progress(len(lengths), done_bytes)
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

    @property
    def num_tokens(self) -> int:
        return int(self.bounds[-1])

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
    """Dialogues as token rows: targets are the assistant's tokens with the stop token, times the row's weight.

    A dialogue longer than a batch row loses its earliest turns (a system message stays); where the last turn alone is
    too long it is left out, because half an answer without its question would teach the wrong thing. `counts` tells.
    last_only: only the last answer is a target, as feedback speaks of that one alone.
    """

    def __init__(self, lessons: Iterable[Mapping[str, Any]], chat: ChatFormat, row_tokens: int, *, last_only: bool = False):
        self.counts = {"rows": 0, "used": 0, "shortened": 0, "too_long": 0, "no_weight": 0}
        self.rows: list[TokenRow] = []
        for lesson in lessons:
            self.counts["rows"] += 1
            weight, conversation = lesson_weight(lesson, self.counts["rows"]), lesson_messages(lesson, self.counts["rows"])
            if weight == 0:
                self.counts["no_weight"] += 1
                continue
            fitted = shorten(conversation, chat, row_tokens + 1)
            if fitted is None:
                self.counts["too_long"] += 1
                continue
            self.counts["used"] += 1
            self.counts["shortened"] += fitted.shortened
            self.rows.append(token_row(fitted.made, chat, weight, last_only=last_only))
        if not self.rows:
            raise UserError(f"no lesson holds a token to learn; {describe_counts(self.counts, row_tokens)}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def num_tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)

    def __getitem__(self, index: int) -> TokenRow:
        return self.rows[index]


def describe_counts(counts: Mapping[str, int], row_tokens: int) -> str:
    return (
        f"{counts['rows']} rows: {counts['no_weight']} of weight 0, {counts['too_long']} longer than row_tokens={row_tokens}; "
        "give lessons with weights above 0, or raise row_tokens"
    )


def lesson_weight(lesson: Mapping[str, Any], number: int) -> float:
    weight = lesson.get("weight", 1.0)
    if not isinstance(weight, (int, float)) or not math.isfinite(weight) or weight < 0:
        raise UserError(f"lesson {number}: weight {weight!r} is not allowed; a number of 0 or more is")
    return float(weight)


def lesson_messages(lesson: Mapping[str, Any], number: int) -> Conversation:
    try:
        conversation = Conversation.from_json(lesson.get("messages"))
    except UserError as error:
        raise UserError(f"lesson {number}: {error}") from None
    if not any(message.role == "assistant" for message in conversation.messages):
        raise UserError(f"lesson {number} has no assistant message: there is nothing to learn from it; leave it out")
    return conversation


def lesson_row(conversation: Conversation, chat: ChatFormat, weight: float = 1.0, *, last_only: bool = False) -> TokenRow:
    """Ids and target weights of one dialogue; every answer in it must end with a stop token that is a target."""
    return token_row(chat.training(conversation), chat, weight, last_only=last_only)


def token_row(made: TrainingRow, chat: ChatFormat, weight: float, *, last_only: bool) -> TokenRow:
    ids, mask = np.array(made.ids, np.int32), np.array(made.mask, np.float32)
    if last_only:
        last = int(np.flatnonzero(mask)[-1])
        start = int(np.flatnonzero(mask[:last] == 0)[-1]) + 1
        mask[:start] = 0
    if not np.isin(ids[mask > 0], chat.stop_ids).any():
        raise UserError("a lesson's stop token is never a target, so answers would not end; its chat format must learn <|im_end|>")
    return TokenRow(ids, mask * np.float32(weight))


class Fitted(NamedTuple):
    """Encoded once, for a turn has thousands of lessons and few are too long."""

    made: TrainingRow
    shortened: bool


def shorten(conversation: Conversation, chat: ChatFormat, max_tokens: int) -> Fitted | None:
    """The conversation without as many of its earliest turns as needed to fit; None if its last turn does not."""
    whole, made = conversation, chat.training(conversation)
    while len(made.ids) > max_tokens:
        head = [m for m in conversation.messages if m.role == "system"]
        body = [m for m in conversation.messages if m.role != "system"]
        answers = [place for place, message in enumerate(body) if message.role == "assistant"]
        if len(answers) < 2:
            return None
        conversation = Conversation((*head, *body[answers[0] + 1 :]))
        made = chat.training(conversation)
    return Fitted(made, conversation != whole)
