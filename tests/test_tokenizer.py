import json
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.artifacts import draft, verify
from feilun.config import TokenizerSettings
from feilun.tokenizer import CONTROL, PRE_TOKENIZE, Tokenizer, train_tokenizer
from feilun.types import UserError

TEXTS = ["9.11 和 9.8 哪个大? 9.8 更大。", "The larger of 9.11 and 9.8 is 9.8.", "你好,世界!\n再见。", "a dog and a cat " * 20] * 10
SETTINGS = TokenizerSettings(vocab_size=448, num_reserved=8)
TOKENIZER = Tokenizer.train(TEXTS, SETTINGS)

hostile_text = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from([*CONTROL, "<|reserved_0|>", "<|", "|>", "🙂", "客单价", "\n"]))
).map("".join)


@given(hostile_text)
@settings(max_examples=300, deadline=None)
def test_text_round_trips_and_never_becomes_a_control_token(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert not TOKENIZER.special_ids.intersection(ids)
    assert b"".join(map(TOKENIZER.token_bytes, ids)) == text.encode()


def test_batch_equals_single() -> None:
    assert TOKENIZER.encode_batch(TEXTS[:4]) == [TOKENIZER.encode(text) for text in TEXTS[:4]]


def test_vocabulary_is_exact_and_every_id_is_a_token() -> None:
    assert TOKENIZER.vocab_size == SETTINGS.vocab_size
    assert sorted(TOKENIZER._ids.values()) == list(range(SETTINGS.vocab_size))
    assert all(TOKENIZER.token_bytes(i) or i in TOKENIZER.special_ids for i in range(TOKENIZER.vocab_size))


def test_a_small_text_is_filled_up_with_reserved_tokens() -> None:
    small = Tokenizer.train(["ab"], SETTINGS)
    assert small.vocab_size == SETTINGS.vocab_size
    assert small.num_reserved > SETTINGS.num_reserved


def test_digits_stand_alone() -> None:
    assert [TOKENIZER.token_bytes(i) for i in TOKENIZER.encode("2024.5")] == [b"2", b"0", b"2", b"4", b".", b"5"]


def test_pre_tokenizer_is_qwens() -> None:
    qwen2 = pytest.importorskip("transformers.models.qwen2.tokenization_qwen2")
    assert qwen2.PRETOKENIZE_REGEX == PRE_TOKENIZE


def test_training_twice_gives_the_same_file(tmp_path) -> None:
    for name in ("a", "b"):
        Tokenizer.train(TEXTS, SETTINGS).save(tmp_path / name)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()


def test_save_and_load(tmp_path) -> None:
    TOKENIZER.save(tmp_path, chat=True)
    again = Tokenizer.load(tmp_path)
    assert [again.encode(text) for text in TEXTS] == [TOKENIZER.encode(text) for text in TEXTS]
    assert again.id_of("<|im_end|>") == TOKENIZER.id_of("<|im_end|>")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["eos_token"] == "<|im_end|>"
    assert config["pad_token"] == "<|endoftext|>"
    assert config["clean_up_tokenization_spaces"] is False
    assert len(config["added_tokens_decoder"]) == len(TOKENIZER.special_ids)


@pytest.mark.parametrize("vocab_size", [256, 300, 450])
def test_impossible_sizes_are_refused(vocab_size: int) -> None:
    with pytest.raises(UserError, match=re.escape(f"vocab_size={vocab_size}")):
        Tokenizer.train(TEXTS, TokenizerSettings(vocab_size=vocab_size, num_reserved=8))


def test_a_lone_surrogate_is_a_user_error() -> None:
    with pytest.raises(UserError, match="surrogate"):
        TOKENIZER.encode("a\ud83d")


def test_unknown_control_token() -> None:
    with pytest.raises(UserError, match="no control token 'dog'"):
        TOKENIZER.id_of("dog")


def test_train_tokenizer_publishes_with_the_corpus_as_parent(tmp_path) -> None:
    with draft(tmp_path, "corpus", "tiny") as work:
        for k in range(2):
            pl.DataFrame({"text": TEXTS}).write_parquet(work.path / f"train-{k}.parquet")
    made = train_tokenizer(tmp_path, "t", work.artifact.ref, SETTINGS)
    assert made.parents == (f"corpus/{work.artifact.ref}",)
    assert made.manifest["counts"]["documents"] == 2 * len(TEXTS)
    assert verify(made) == []
    assert Tokenizer.load(made.path).encode(TEXTS[0]) == TOKENIZER.encode(TEXTS[0])
    half = train_tokenizer(tmp_path, "h", work.artifact.ref, TokenizerSettings(vocab_size=448, num_reserved=8, sample_bytes=2000))
    assert 0 < half.manifest["counts"]["documents"] < 2 * len(TEXTS)
