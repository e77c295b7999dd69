"""Byte-level BPE with ChatML control tokens; Hugging Face files out and in.

Ids: 256 bytes and their merges first, then the control tokens, then reserved tokens up to a multiple of 64, so that
every row of the embedding belongs to a real token (a row without one could be sampled and would decode to nothing).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as RustTokenizer

from feilun.artifacts import Artifact, draft, find, write_json
from feilun.config import TokenizerSettings, resolved
from feilun.types import UserError

__all__ = ["CHAT_TEMPLATE", "END_OF_TEXT", "IM_END", "IM_START", "Tokenizer", "train_tokenizer"]

END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (END_OF_TEXT, IM_START, IM_END)
VOCAB_MULTIPLE = 64
NUM_BYTES = 256

# Byte-identical to Qwen2's (transformers, tokenization_qwen2.py): llama.cpp knows pre-tokenizers by this regex alone.
PRE_TOKENIZE = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""

# The words of feilun.chat in Jinja, for programs that read the directory. One line, so that no whitespace setting
# of a renderer can change the bytes.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Tokenizer:
    """Text <-> ids. Text can never become a control token: those exist only by `id_of`."""

    def __init__(self, full: RustTokenizer):
        self._full = full
        self._plain = without_added_tokens(full)
        added = full.get_added_tokens_decoder()
        self.special_ids = frozenset(added)
        self._ids: dict[str, int] = full.get_vocab(with_added_tokens=True)
        self.vocab_size = max(self._ids.values()) + 1
        self._bytes = _byte_table(self._ids, self.special_ids, self.vocab_size)
        self._names = {i: token.content.encode() for i, token in added.items()}

    @classmethod
    def train(cls, texts: Iterable[str], settings: TokenizerSettings, *, show_progress: bool = False) -> "Tokenizer":
        """A tokenizer of exactly `settings.vocab_size` tokens; where `texts` give too few merges, reserved tokens fill up."""
        check_settings(settings)
        rust = RustTokenizer(models.BPE())
        split = pre_tokenizers.Split(Regex(PRE_TOKENIZE), behavior="isolated", invert=False)
        rust.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        rust.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=settings.vocab_size - len(CONTROL) - settings.num_reserved,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=[],
            show_progress=show_progress,
        )
        rust.train_from_iterator(texts, trainer)
        num_reserved = settings.vocab_size - len(CONTROL) - rust.get_vocab_size()
        names = [*CONTROL, *(f"<|reserved_{k}|>" for k in range(num_reserved))]
        rust.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
        return cls(rust)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """The tokenizer of a directory with a byte-level `tokenizer.json`."""
        file = path / "tokenizer.json"
        if not file.is_file():
            raise UserError(f"{path} holds no tokenizer.json; name a tokenizer or model directory")
        text = file.read_text(encoding="utf-8")
        if '"ByteLevel"' not in text:
            raise UserError(f"{file} is not a byte-level BPE tokenizer; only those are supported")
        return cls(RustTokenizer.from_str(text))

    def save(self, path: Path, *, chat: bool = False, max_tokens: int | None = None) -> None:
        """Write the Hugging Face files. The end token is <|im_end|> for a chat model, <|endoftext|> for a base model."""
        path.mkdir(parents=True, exist_ok=True)
        self._full.save(str(path / "tokenizer.json"))
        write_json(path / "tokenizer_config.json", self._hugging_face_config(IM_END if chat else END_OF_TEXT, max_tokens))
        special = {"eos_token": IM_END if chat else END_OF_TEXT, "pad_token": END_OF_TEXT}
        write_json(path / "special_tokens_map.json", {**special, "additional_special_tokens": [IM_START, IM_END]})
        (path / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")

    def _hugging_face_config(self, end: str, max_tokens: int | None) -> dict[str, Any]:
        flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
        return {
            # transformers 5 would write "TokenizersBackend" here, which 4.57 (pinned by llama.cpp) cannot load.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_prefix_space": False,
            "add_bos_token": False,
            "bos_token": None,
            "eos_token": end,
            "pad_token": END_OF_TEXT,
            "unk_token": None,
            "additional_special_tokens": [IM_START, IM_END],
            "added_tokens_decoder": {str(i): {"content": self._names[i].decode(), **flags} for i in sorted(self.special_ids)},
            "clean_up_tokenization_spaces": False,
            "model_max_length": max_tokens or 1 << 20,
            "chat_template": CHAT_TEMPLATE,
        }

    def encode(self, text: str) -> list[int]:
        return self._plain.encode(whole_characters(text), add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """One list of ids a text; uses every core the library is allowed."""
        batch = [whole_characters(text) for text in texts]
        return [encoding.ids for encoding in self._plain.encode_batch_fast(batch, add_special_tokens=False)]

    def decode(self, ids: Iterable[int], *, specials: bool = True) -> str:
        """Text of the ids; control tokens by their names, or left out; bytes that are no UTF-8 become U+FFFD."""
        parts = (self._names[i] if specials and i in self._names else self._bytes[i] for i in ids)
        return b"".join(parts).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes one token stands for; empty for control and reserved tokens."""
        return self._bytes[token_id]

    def id_of(self, name: str) -> int:
        """The id of a control token."""
        found = self._ids.get(name)
        if found is None or found not in self.special_ids:
            raise UserError(
                f"this tokenizer has no control token {name!r}; it has {', '.join(n.decode() for n in list(self._names.values())[:8])}"
            )
        return found

    @property
    def num_reserved(self) -> int:
        return sum(name.startswith(b"<|reserved_") for name in self._names.values())


def check_settings(settings: TokenizerSettings) -> None:
    least = NUM_BYTES + len(CONTROL) + settings.num_reserved
    if settings.vocab_size % VOCAB_MULTIPLE or settings.vocab_size < least:
        raise UserError(
            f"vocab_size={settings.vocab_size} is not allowed; use a multiple of {VOCAB_MULTIPLE}, at least {least} "
            f"({NUM_BYTES} bytes, {len(CONTROL)} control and {settings.num_reserved} reserved tokens)"
        )


def whole_characters(text: str) -> str:
    """`text` itself; half a UTF-16 pair, which JSON can smuggle in, is an error."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("text holds a lone surrogate (half of a UTF-16 pair); send whole characters") from None
    return text


def without_added_tokens(full: RustTokenizer) -> RustTokenizer:
    """The same tokenizer blind to control tokens; the library would otherwise recognise them in ordinary text."""
    state = json.loads(full.to_str())
    state["added_tokens"] = []
    state["post_processor"] = None
    return RustTokenizer.from_str(json.dumps(state, ensure_ascii=False))


def _byte_table(ids: Mapping[str, int], special_ids: frozenset[int], size: int) -> list[bytes]:
    to_byte = _alphabet()
    table = [b""] * size
    for token, i in ids.items():
        if i not in special_ids:
            table[i] = bytes(to_byte[character] for character in token)
    return table


def _alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: printable Latin-1 stands for itself, the rest follows from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(NUM_BYTES) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(NUM_BYTES + k): byte for k, byte in enumerate(others)}


def train_tokenizer(home: Path, name: str, corpus_ref: str, settings: TokenizerSettings, *, show_progress: bool = False) -> Artifact:
    """Train on the corpus's training shards (an even sample of documents up to `sample_bytes`) and publish the files."""
    check_settings(settings)
    corpus = find(home, corpus_ref, "corpus")
    counts = {"documents": 0, "bytes": 0}
    with draft(home, "tokenizer", name, parents=[f"corpus/{corpus.ref}"], recipe=resolved(settings)) as work:
        tokenizer = Tokenizer.train(_sample(corpus.path, settings.sample_bytes, counts), settings, show_progress=show_progress)
        tokenizer.save(work.path)
        work.counts.update(counts, vocab_size=tokenizer.vocab_size, num_reserved=tokenizer.num_reserved)
        write_json(work.path / "report.json", work.counts)
    assert work.artifact is not None
    return work.artifact


def _sample(corpus: Path, sample_bytes: int, counts: dict[str, int]) -> Iterator[str]:
    import polars as pl

    shards = sorted(corpus.glob("train-*.parquet"))
    if not shards:
        raise UserError(f"{corpus} holds no train-*.parquet; build the corpus again")
    total = int(pl.scan_parquet(shards).select(pl.col("text").str.len_bytes().cast(pl.Int64).sum()).collect().item() or 0)
    fraction = min(1.0, sample_bytes / max(total, 1))
    row = 0
    for shard in shards:
        for text in pl.read_parquet(shard, columns=["text"]).get_column("text"):
            row += 1
            if int(row * fraction) > int((row - 1) * fraction):
                counts["documents"] += 1
                counts["bytes"] += len(text.encode())
                yield text
