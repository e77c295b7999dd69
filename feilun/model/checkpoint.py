"""A checkpoint is a Hugging Face directory: written as Qwen3 (or Qwen2, Llama by the shape's flags), read strictly.

The traps each field answers are listed in transformers' and llama.cpp's readers: rope is written in both forms (4.x
ignores `rope_parameters`, 5.x writes nothing else), head_dim always (Hugging Face assumes 128), the end token in
config, generation_config and tokenizer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from feilun.artifacts import read_json, write_json
from feilun.config import ModelShape
from feilun.model.transformer import Transformer, rope_frequencies
from feilun.tokenizer import END_OF_TEXT, IM_END, Tokenizer
from feilun.types import UserError

__all__ = ["load_model", "load_shape", "save_model"]

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ARCHITECTURES = ("Qwen3ForCausalLM", "Qwen2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM")
MODEL_TYPES = {"Qwen3ForCausalLM": "qwen3", "Qwen2ForCausalLM": "qwen2", "LlamaForCausalLM": "llama"}
QWEN3_HEAD_DIM = 128
WRITTEN_FOR = "4.57.6"


def save_model(path: Path, model: Transformer, tokenizer: Tokenizer, *, chat: bool) -> None:
    """Write a complete Hugging Face directory in fp32. chat: the model ends its answers with <|im_end|>, not <|endoftext|>."""
    if tokenizer.vocab_size != model.shape.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model {model.shape.vocab_size}; save a model with its own tokenizer"
        )
    path.mkdir(parents=True, exist_ok=True)
    end, pad = tokenizer.id_of(IM_END if chat else END_OF_TEXT), tokenizer.id_of(END_OF_TEXT)
    write_json(path / "config.json", hugging_face_config(model.shape, end, pad))
    both_ends = [tokenizer.id_of(IM_END), pad]
    write_json(path / "generation_config.json", {"eos_token_id": both_ends, "pad_token_id": pad, "transformers_version": WRITTEN_FOR})
    tokenizer.save(path, chat=chat, max_tokens=model.shape.max_tokens)
    weights = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, path / WEIGHTS, metadata={"format": "pt"})


def hugging_face_config(shape: ModelShape, end_id: int, pad_id: int) -> dict[str, Any]:
    architecture = _architecture(shape)
    return {
        "architectures": [architecture],
        "model_type": MODEL_TYPES[architecture],
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.ffn_width,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.max_tokens,
        "rms_norm_eps": shape.rms_norm_eps,
        "tie_word_embeddings": shape.tie_embeddings,
        # Qwen2 always has the bias and knows no such field; Llama and Qwen3 would give the output projection one too.
        "attention_bias": False,
        "attention_dropout": 0.0,
        "rope_theta": shape.rope_theta,
        "rope_scaling": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": shape.num_layers,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": end_id,
        "pad_token_id": pad_id,
        "torch_dtype": "float32",
        "dtype": "float32",
        "transformers_version": WRITTEN_FOR,
    }


def _architecture(shape: ModelShape) -> str:
    if shape.qk_norm and shape.attention_bias:
        raise UserError("no Hugging Face layout has both QK-norm and a bias on q, k, v alone; set qk_norm or attention_bias to false")
    if shape.qk_norm:
        return "Qwen3ForCausalLM"
    if shape.attention_bias:
        return "Qwen2ForCausalLM"
    if shape.num_heads * shape.head_dim != shape.width:
        # transformers' Llama reads head_dim, but other readers of that layout divide width by heads.
        raise UserError(
            f"the Llama layout needs num_heads * head_dim = width, found {shape.num_heads} * {shape.head_dim} and {shape.width}"
        )
    return "LlamaForCausalLM"


def load_model(path: Path, compute_dtype: torch.dtype = torch.float32) -> Transformer:
    """The model of a Hugging Face directory, fp32 weights; every weight must be there and none may be left over."""
    shape = load_shape(path)
    with torch.device("meta"):
        model = Transformer(shape, compute_dtype)
    weights = _drop_derived(_load_weights(path), shape)
    _check_weights(path, weights, model.state_dict())
    model.load_state_dict({name: tensor.to(torch.float32, copy=True) for name, tensor in weights.items()}, strict=True, assign=True)
    model.inverse_frequency = rope_frequencies(shape)
    return model


def load_shape(path: Path) -> ModelShape:
    """The shape that a directory's config.json states; what we cannot compute exactly is an error that names the field."""
    file = path / "config.json"
    if not file.is_file():
        raise UserError(f"{path} holds no config.json; name a model directory")
    config = read_json(file)
    architecture = _readable_architecture(file, config)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim") or (QWEN3_HEAD_DIM if architecture == "Qwen3ForCausalLM" else width // heads)
    return ModelShape(
        vocab_size=config["vocab_size"],
        width=width,
        num_layers=config["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        ffn_width=config["intermediate_size"],
        max_tokens=config["max_position_embeddings"],
        rope_theta=float(_rope_theta(file, config)),
        rms_norm_eps=config.get("rms_norm_eps", 1e-6),
        qk_norm=architecture == "Qwen3ForCausalLM",
        attention_bias=architecture == "Qwen2ForCausalLM",
        tie_embeddings=config.get("tie_word_embeddings", False),
    )


def _readable_architecture(file: Path, config: Mapping[str, Any]) -> str:
    found = config.get("architectures") or ["none"]
    if found[0] not in ARCHITECTURES:
        raise UserError(f"{file}: architecture {found[0]} is not supported; supported: {', '.join(ARCHITECTURES)}")
    # Qwen configs may state a window that `use_sliding_window` switches off; Mistral's window is always on.
    if config.get("sliding_window") is not None and config.get("use_sliding_window", True):
        raise UserError(f"{file}: sliding_window={config['sliding_window']} is not supported; only full attention is")
    kinds = set(config.get("layer_types") or ["full_attention"])
    refused = {
        "layer_types": kinds if kinds != {"full_attention"} else None,
        "hidden_act": config.get("hidden_act") if config.get("hidden_act", "silu") != "silu" else None,
        "attention_bias": config.get("attention_bias") or None,
        "mlp_bias": config.get("mlp_bias") or None,
        "quantization_config": config.get("quantization_config"),
    }
    for name, value in refused.items():
        if value is not None:
            raise UserError(
                f"{file}: {name}={value} is not supported; supported are silu, no such bias, full attention and unquantised weights"
            )
    return str(found[0])


def _rope_theta(file: Path, config: Mapping[str, Any]) -> float:
    parameters = config.get("rope_parameters") or {}
    for scaling in (parameters, config.get("rope_scaling") or {}):
        kind = scaling.get("rope_type", scaling.get("type", "default"))
        if kind != "default":
            raise UserError(f"{file}: rope scaling {kind!r} is not supported; only plain rope is")
    if config.get("partial_rotary_factor", parameters.get("partial_rotary_factor", 1.0)) != 1.0:
        raise UserError(f"{file}: partial_rotary_factor is not supported; only rope over the whole head is")
    stated = {float(value) for value in (config.get("rope_theta"), parameters.get("rope_theta")) if value is not None}
    if len(stated) > 1:
        raise UserError(f"{file}: rope_theta and rope_parameters disagree ({sorted(stated)}); correct one of them")
    return stated.pop() if stated else 10_000.0


def _load_weights(path: Path) -> dict[str, Tensor]:
    index = path / INDEX
    names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() else [WEIGHTS]
    weights: dict[str, Tensor] = {}
    for name in names:
        if not (path / name).is_file():
            raise UserError(f"{path} holds no {name}; the model directory is incomplete (only safetensors weights are read)")
        try:
            weights |= load_file(path / name)
        except SafetensorError as error:
            raise UserError(f"{path / name} is damaged ({error}); fetch or make it again") from None
    return weights


def _drop_derived(weights: dict[str, Tensor], shape: ModelShape) -> dict[str, Tensor]:
    """Without rope tables of old Llama files, and without a tied head that repeats the embedding."""
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith("rotary_emb.inv_freq")}
    if shape.tie_embeddings and "lm_head.weight" in kept and torch.equal(kept["lm_head.weight"], kept["model.embed_tokens.weight"]):
        del kept["lm_head.weight"]
    return kept


def _check_weights(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    missing = sorted(wanted.keys() - found.keys())
    unexpected = sorted(found.keys() - wanted.keys())
    shapes = [
        f"{name} {tuple(found[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    faults = [
        f"{what} {', '.join(names[:4])}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("misshapen", shapes))
        if names
    ]
    if faults:
        raise UserError(f"{path}: weights do not fit config.json: {'; '.join(faults)}")
