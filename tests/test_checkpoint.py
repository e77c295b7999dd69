import json
import random
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from feilun.artifacts import read_json, write_json
from feilun.chat import ChatFormat
from feilun.config import ModelShape, TokenizerSettings
from feilun.model.checkpoint import load_model, load_shape, save_model
from feilun.model.transformer import Transformer, document_mask
from feilun.tokenizer import Tokenizer
from feilun.types import Conversation, Message, UserError

TOKENIZER = Tokenizer.train(
    ["9.11 和 9.8 哪个大? The larger number is 9.8. 你好 hello\n" * 20], TokenizerSettings(vocab_size=384, num_reserved=8)
)
QWEN3 = ModelShape(vocab_size=384, width=64, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=64, ffn_width=128, rope_theta=1e6)
SHAPES = {
    "qwen3": QWEN3,
    "qwen3-untied": ModelShape(
        vocab_size=384, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=128, tie_embeddings=False
    ),
    "qwen2": ModelShape(
        vocab_size=384, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=128, qk_norm=False, attention_bias=True
    ),
    "llama": ModelShape(
        vocab_size=384, width=64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=32, ffn_width=128, qk_norm=False, tie_embeddings=False
    ),
}


def made(shape: ModelShape) -> Transformer:
    """Every parameter random, so that a swapped or skipped one shows."""
    model, generator = Transformer(shape), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.2 if parameter.ndim == 2 else 0.3))
            if parameter.ndim == 1:
                parameter.add_(1.0)
    return model


def logits(model: Transformer, ids_BT: torch.Tensor) -> torch.Tensor:
    B, T = ids_BT.shape
    with torch.no_grad():
        return model.logits(model(ids_BT, torch.arange(T).expand(B, T), document_mask(torch.zeros(B, T, dtype=torch.long))))


@pytest.fixture(scope="module")
def transformers():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


@pytest.fixture(params=SHAPES)
def saved(request, tmp_path):
    model = made(SHAPES[request.param])
    save_model(tmp_path, model, TOKENIZER, chat=True)
    return tmp_path, model


def test_round_trip_is_bit_equal(saved) -> None:
    path, model = saved
    again = load_model(path)
    assert again.shape == model.shape
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(logits(again, torch.arange(12)[None]), logits(model, torch.arange(12)[None]))
    assert all(p.requires_grad for p in again.parameters())


def test_saving_twice_gives_the_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        save_model(tmp_path / name, made(QWEN3), TOKENIZER, chat=False)
    assert all((tmp_path / "b" / file.name).read_bytes() == file.read_bytes() for file in (tmp_path / "a").iterdir())


def test_transformers_loads_it_with_nothing_left_over_and_the_same_logits(saved, transformers) -> None:
    path, model = saved
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, dtype=torch.float32)
    assert not any(info.values()), info
    ids_BT = torch.randint(384, (3, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (theirs(ids_BT).logits - logits(model, ids_BT)).abs().max()
    assert difference < 1e-4
    assert theirs.generation_config.eos_token_id == list(ChatFormat(TOKENIZER).stop_ids)


def test_transformers_tokenizes_the_same(tmp_path, transformers) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    draw = random.Random(0)
    pieces = [
        "9.11",
        "和",
        "哪个大",
        "?",
        " the",
        " larger",
        "LARGER",
        "🙂",
        "👩‍👩‍👧",
        "\n",
        "  ",
        "\t",
        "1,024",
        "３",
        "é",
        "don't",
        "——",
        "客单价",
        "v1.10",
        "\r\n",
    ]
    strings = ["".join(draw.choices(pieces, k=draw.randint(1, 12))) for _ in range(1000)]
    assert [theirs(text)["input_ids"] for text in strings] == [TOKENIZER.encode(text) for text in strings]
    assert all(theirs.decode(TOKENIZER.encode(text)) == text for text in strings)
    assert len(theirs) == TOKENIZER.vocab_size
    assert (theirs.eos_token, theirs.pad_token, theirs.bos_token) == ("<|im_end|>", "<|endoftext|>", None)


def test_transformers_renders_the_same_chat(tmp_path, transformers) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    conversation = Conversation((Message.of("system", " 简短 "), *Conversation.of("9.11 和 9.8\n哪个大?", "9.8", "Why?\n").messages))
    ids = ChatFormat(TOKENIZER).prompt(conversation)
    assert theirs.apply_chat_template(conversation.to_json(), tokenize=False, add_generation_prompt=True) == TOKENIZER.decode(ids)
    assert theirs.apply_chat_template(conversation.to_json(), add_generation_prompt=True, return_dict=False) == ids


@pytest.mark.parametrize(("chat", "end"), [(True, "<|im_end|>"), (False, "<|endoftext|>")])
def test_the_end_token_stands_in_every_file(tmp_path, chat: bool, end: str) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=chat)
    assert read_json(tmp_path / "config.json")["eos_token_id"] == TOKENIZER.id_of(end)
    assert read_json(tmp_path / "tokenizer_config.json")["eos_token"] == end
    assert read_json(tmp_path / "special_tokens_map.json")["eos_token"] == end
    assert read_json(tmp_path / "generation_config.json")["eos_token_id"] == list(ChatFormat(TOKENIZER).stop_ids)
    assert (tmp_path / "chat_template.jinja").is_file()


def test_rope_stands_in_both_forms(tmp_path) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    config = read_json(tmp_path / "config.json")
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 1e6
    assert config["head_dim"] == 64


@pytest.mark.parametrize("drop", ["rope_theta", "rope_parameters"])
def test_either_rope_form_is_read(tmp_path, drop: str) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    config = read_json(tmp_path / "config.json")
    del config[drop]
    write_json(tmp_path / "config.json", config)
    assert load_shape(tmp_path).rope_theta == 1e6


REFUSED = {
    "architectures": (["GPT2LMHeadModel"], "architecture GPT2LMHeadModel"),
    "use_sliding_window": (True, "sliding_window=16"),
    "layer_types": (["sliding_attention"], "layer_types"),
    "rope_scaling": ({"rope_type": "yarn", "factor": 4.0}, "rope scaling 'yarn'"),
    "rope_theta": (5.0, "disagree"),
    "hidden_act": ("gelu", "hidden_act=gelu"),
    "attention_bias": (True, "attention_bias=True"),
    "partial_rotary_factor": (0.5, "partial_rotary_factor"),
    "quantization_config": ({"bits": 4}, "quantization_config"),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_cannot_be_computed_exactly_is_refused_by_name(tmp_path, field: str) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    value, words = REFUSED[field]
    write_json(tmp_path / "config.json", {**read_json(tmp_path / "config.json"), "sliding_window": 16, field: value})
    with pytest.raises(UserError, match=words):
        load_model(tmp_path)


def test_weights_are_checked_strictly(tmp_path) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    weights = load_file(tmp_path / "model.safetensors")
    norm = weights.pop("model.norm.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"missing model\.norm\.weight"):
        load_model(tmp_path)
    save_file({**weights, "model.norm.weight": norm[:3].clone(), "odd": norm}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"unexpected odd; misshapen model\.norm\.weight \(3,\) for \(64,\)"):
        load_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="damaged"):
        load_model(tmp_path)


def test_sharded_and_repeated_tied_weights_are_read(tmp_path) -> None:
    model = made(QWEN3)
    save_model(tmp_path, model, TOKENIZER, chat=True)
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    names = sorted(weights)
    (tmp_path / "model.safetensors").unlink()
    save_file({n: weights[n] for n in names[::2]}, tmp_path / "model-1.safetensors")
    save_file({n: weights[n] for n in names[1::2]}, tmp_path / "model-2.safetensors")
    where = {n: f"model-{1 + k % 2}.safetensors" for k, n in enumerate(names)}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert torch.equal(load_model(tmp_path).head_weight, model.head_weight)


def test_a_tokenizer_of_another_size_is_refused(tmp_path) -> None:
    other = Tokenizer.train(["a"], TokenizerSettings(vocab_size=448, num_reserved=8))
    with pytest.raises(UserError, match="448 tokens, the model 384"):
        save_model(tmp_path, made(QWEN3), other, chat=True)


def test_loading_leaves_the_random_state_alone(tmp_path) -> None:
    save_model(tmp_path, made(QWEN3), TOKENIZER, chat=True)
    before = torch.get_rng_state()
    load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
