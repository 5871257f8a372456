"""How our decoder and `Qwen3ForCausalLM` of transformers name the same tensors and settings."""

from typing import Any

import torch

from ..errors import ModelError
from ..models.decoder import DecoderConfig

# ours -> theirs, within one layer
LAYER_NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.output.weight": "self_attn.o_proj.weight",
    "attention.query_norm.weight": "self_attn.q_norm.weight",
    "attention.key_norm.weight": "self_attn.k_norm.weight",
    "feed_forward_norm.weight": "post_attention_layernorm.weight",
    "feed_forward.gate.weight": "mlp.gate_proj.weight",
    "feed_forward.up.weight": "mlp.up_proj.weight",
    "feed_forward.down.weight": "mlp.down_proj.weight",
}
OUTER_NAMES = {"embedding.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}


def _names(config: DecoderConfig) -> dict[str, str]:
    names = dict(OUTER_NAMES)
    if not config.tied_embeddings:
        names["head.weight"] = "lm_head.weight"
    for layer in range(config.layers):
        for ours, theirs in LAYER_NAMES.items():
            names[f"blocks.{layer}.{ours}"] = f"model.layers.{layer}.{theirs}"
    return names


def to_stock(tensors: dict[str, torch.Tensor], config: DecoderConfig) -> dict[str, torch.Tensor]:
    """Our tensors under the stock class's names. A tied head is left out, as transformers does."""
    return {theirs: tensors[ours] for ours, theirs in _names(config).items()}


def from_stock(tensors: dict[str, torch.Tensor], config: DecoderConfig) -> dict[str, torch.Tensor]:
    """The stock class's tensors under our names; unknown names are left as they are, for the caller to refuse."""
    ours = {theirs: ours for ours, theirs in _names(config).items()}
    renamed = {ours.get(name, name): tensor for name, tensor in tensors.items()}
    if config.tied_embeddings and "embedding.weight" in renamed:
        renamed.pop("lm_head.weight", None)  # some writers save the tied matrix twice
        renamed["head.weight"] = renamed["embedding.weight"]
    return renamed


def stock_config(config: DecoderConfig, bos_id: int | None, eos_id: int | None) -> dict[str, Any]:
    """The `config.json` of transformers. Both spellings of the rotary base are written: readers differ."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_length,
        "initializer_range": 0.02,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "use_cache": True,
        "bos_token_id": bos_id,
        "eos_token_id": eos_id,
        "pad_token_id": eos_id,
        "dtype": "float32",
    }


def config_from_stock(stock: dict[str, Any], where: str) -> DecoderConfig:
    """Our shape from a `config.json`. Raises ModelError naming every setting that our decoder doesn't hold."""
    if stock.get("model_type") != "qwen3":
        raise ModelError(f"{where}: model_type is {stock.get('model_type')!r}; this version reads 'qwen3' only")
    rope = stock.get("rope_parameters") or {}
    refused = {
        "attention_bias": (stock.get("attention_bias", False), False),
        "use_sliding_window": (stock.get("use_sliding_window", False), False),
        "hidden_act": (stock.get("hidden_act", "silu"), "silu"),
        "rope_type": (rope.get("rope_type", "default"), "default"),
        "rope_scaling": (stock.get("rope_scaling"), None),
    }
    problems = [f"{where}: {key} is {found!r}; only {can!r} is held" for key, (found, can) in refused.items() if found != can]
    required = [
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
    ]
    problems += [f"{where}: {key} is missing" for key in required if not isinstance(stock.get(key), int)]
    if problems:
        raise ModelError(*problems)
    return DecoderConfig(
        vocabulary_size=stock["vocab_size"],
        context_length=stock["max_position_embeddings"],
        layers=stock["num_hidden_layers"],
        width=stock["hidden_size"],
        heads=stock["num_attention_heads"],
        key_value_heads=stock["num_key_value_heads"],
        head_dim=stock.get("head_dim") or stock["hidden_size"] // stock["num_attention_heads"],
        feed_forward_width=stock["intermediate_size"],
        tied_embeddings=stock.get("tie_word_embeddings", False),
        rope_theta=rope.get("rope_theta", stock.get("rope_theta", 10_000.0)),
        norm_epsilon=stock.get("rms_norm_eps", 1e-6),
    )
