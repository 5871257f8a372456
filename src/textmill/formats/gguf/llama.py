"""Llama, Qwen2 and Qwen3 (and Mistral, which llama.cpp holds as a Llama): their shape in a GGUF file and in transformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...errors import ModelError
from ...models.config import RopeScaling
from ...models.rotary import rotary_frequencies
from .counterparts import Counterpart, Counterparts
from .hyperparameters import LONGEST_CONTEXT, Hyperparameters
from .values import Value

FREQUENCIES = "rope_freqs.weight"  # by how much each pair of dimensions is slowed, where the scaling is Llama 3.1's
CLASSES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}  # of YaRN, with what both sides take them to be
# Llama 3.1's scaling. Of a GGUF file's own only the slowing comes out, so one of ours tells these beside it.
LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
TOLD = "textmill.llama3_scaling"


def config_from(metadata: Hyperparameters, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The config.json of the stock class; what can't be is added to the metadata's problems."""
    kind = metadata.architecture
    width, heads = metadata.size("embedding_length"), metadata.size("attention.head_count")
    head_dim = metadata.size("attention.key_length", max(width // heads, 1))
    metadata.expect("attention.value_length", head_dim)
    metadata.expect("rope.dimension_count", head_dim)
    metadata.expect("expert_count", 0)
    metadata.expect("expert_used_count", 0)
    metadata.ignore("vocab_size")
    metadata.ignore("rope.scaling.finetuned")
    context = metadata.size("context_length", largest=LONGEST_CONTEXT)
    window = metadata.size("attention.sliding_window") if "attention.sliding_window" in metadata else None
    if window and window < context and kind == "llama":
        kind = "mistral"
    elif window and window < context:
        metadata.problems.append(f"{kind}.attention.sliding_window is {window}; such a window isn't held here")
    theta = metadata.number("rope.freq_base", 10_000.0)
    config = {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        "vocab_size": shapes.get("token_embd.weight", (1, 1))[0],
        "hidden_size": width,
        "intermediate_size": metadata.size("feed_forward_length"),
        "num_hidden_layers": metadata.size("block_count", largest=len(shapes)),
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.size("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": context,
        "rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        "rope_parameters": {"rope_theta": theta, **_scaling_from(metadata, context)},
        "tie_word_embeddings": "output.weight" not in shapes,
        "dtype": "float32",
    }
    if kind == "llama":
        config |= {"attention_bias": "blk.0.attn_q.bias" in shapes, "mlp_bias": "blk.0.ffn_up.bias" in shapes}
    elif kind == "mistral":
        config |= {"sliding_window": window}
    elif kind == "qwen2":
        config |= {"use_sliding_window": False}
    else:
        config |= {"use_sliding_window": False, "attention_bias": False}
    return config


def _scaling_from(metadata: Hyperparameters, context: int) -> dict[str, Any]:
    """The stock class's `rope_parameters` but for the base."""
    kind = metadata.text("rope.scaling.type", "none", ("none", "linear", "yarn"))
    if kind == "none":
        metadata.expect("rope.scaling.factor", 1.0)
        metadata.ignore("rope.scaling.original_context_length")
        return {"rope_type": "default"}
    scaling: dict[str, Any] = {"rope_type": kind, "factor": metadata.number("rope.scaling.factor")}
    original = metadata.size("rope.scaling.original_context_length", context)
    metadata.expect("rope.scaling.attn_factor", 1.0)
    if kind == "yarn":
        scaling["original_max_position_embeddings"] = original
        for key, default in BETAS.items():
            if f"rope.scaling.yarn_{key}" in metadata:
                scaling[key] = metadata.number(f"rope.scaling.yarn_{key}", default)
    return scaling


def metadata_from(config: Mapping[str, Any], problems: list[str]) -> dict[str, Value]:
    """The keys of the architecture, without its name; what llama.cpp doesn't hold is added to `problems`."""
    kind, context = config["model_type"], config["max_position_embeddings"]
    window = config.get("sliding_window") if config.get("use_sliding_window", kind == "mistral") else None
    if window and window < context:
        problems.append(
            f"its layers look back over {window} tokens only, which llama.cpp's {_architecture(kind)} doesn't; a folder whose "
            f"config.json says max_position_embeddings = {window} computes the same and can be exported"
        )
    if (activation := config.get("hidden_act", "silu")) != "silu":
        problems.append(f"hidden_act is {activation!r}, and llama.cpp's {_architecture(kind)} has 'silu'")
    if config.get("attention_bias") and kind == "qwen3":
        problems.append("attention_bias is true, and llama.cpp's qwen3 has none")
    head_dim = _head_dim(config)
    metadata: dict[str, Value] = {
        "vocab_size": config["vocab_size"],
        "context_length": context,
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": _key_value_heads(config),
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": float(config.get("rms_norm_eps", 1e-6)),
        "rope.dimension_count": head_dim,
        "rope.freq_base": float(_rope(config).get("rope_theta", 10_000.0)),
    }
    return metadata | _scaling_to(config, problems)


def _scaling_to(config: Mapping[str, Any], problems: list[str]) -> dict[str, Value]:
    rope = _rope(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in ("default", "llama3"):
        return {}
    if kind not in ("linear", "yarn"):
        problems.append(f"rope_type is {kind!r}; default, linear, yarn and llama3 are written")
        return {}
    scaling: dict[str, Value] = {"rope.scaling.type": kind, "rope.scaling.factor": float(rope["factor"])}
    if kind == "yarn":
        if rope.get("attention_factor") is not None:
            problems.append(f"YaRN's attention_factor is {rope['attention_factor']}; llama.cpp takes 0.1 · ln(factor) + 1")
        original = rope.get("original_max_position_embeddings") or config["max_position_embeddings"]
        scaling["rope.scaling.original_context_length"] = original
        scaling |= {f"rope.scaling.yarn_{key}": float(rope[key]) for key in BETAS if rope.get(key) is not None}
    return scaling


def slowing(config: Mapping[str, Any]) -> torch.Tensor | None:
    """What FREQUENCIES holds for this config.json, (head_dim / 2,); None where the scaling isn't Llama 3.1's."""
    rope = _rope(config)
    if rope.get("rope_type", rope.get("type")) != "llama3":
        return None
    scaling = RopeScaling(
        "llama3",
        rope["factor"],
        rope["original_max_position_embeddings"],
        rope["low_freq_factor"],
        rope["high_freq_factor"],
    )
    theta = rope.get("rope_theta", 10_000.0)
    return rotary_frequencies(_head_dim(config), theta) / rotary_frequencies(_head_dim(config), theta, scaling)


def scaled(config: dict[str, Any], factors: torch.Tensor, told: Any) -> dict[str, Any]:
    """The config.json with the scaling of which these `factors` come: the one that a file of ours has `told`, else Llama 3.1's.
    Raises ModelError where it is neither."""
    numbers = [round(factors.max().item(), 3), 1.0, 4.0, 8192]
    if isinstance(told, np.ndarray) and told.shape == (len(LLAMA3),) and np.isfinite(told).all():
        numbers = told.tolist()
    rope = {**config["rope_parameters"], "rope_type": "llama3", **dict(zip(LLAMA3, numbers))}
    rope["original_max_position_embeddings"] = int(rope["original_max_position_embeddings"])
    changed = {**config, "rope_parameters": rope}
    expected = slowing(changed)
    if expected is None or expected.shape != factors.shape or not torch.allclose(expected, factors, rtol=1e-4):
        raise ModelError(f"{FREQUENCIES} slows rotary positions otherwise than Llama 3.1 does, which isn't held here")
    return changed


def told(config: Mapping[str, Any]) -> dict[str, Value]:
    """The metadata that say what the slowing of this config.json comes of; empty where there is none."""
    return {TOLD: [float(_rope(config)[key]) for key in LLAMA3]} if slowing(config) is not None else {}


def counterparts(config: Mapping[str, Any]) -> Counterparts:
    """Every tensor of this shape, by GGUF's name."""
    vocabulary, width, inner = config["vocab_size"], config["hidden_size"], config["intermediate_size"]
    heads, key_value_heads, head_dim = config["num_attention_heads"], _key_value_heads(config), _head_dim(config)
    queries, keys = heads * head_dim, key_value_heads * head_dim
    kind = config["model_type"]
    paired = kind in ("llama", "mistral")
    table = {
        "token_embd.weight": Counterpart("model.embed_tokens.weight", (vocabulary, width)),
        "output_norm.weight": Counterpart("model.norm.weight", (width,)),
    }
    if not config.get("tie_word_embeddings", False):
        table["output.weight"] = Counterpart("lm_head.weight", (vocabulary, width))
    attention_bias, feed_forward_bias = config.get("attention_bias", False), config.get("mlp_bias", False)
    matrices = {
        "attn_q": ("self_attn.q_proj", (queries, width), heads if paired else 0, attention_bias or kind == "qwen2"),
        "attn_k": ("self_attn.k_proj", (keys, width), key_value_heads if paired else 0, attention_bias or kind == "qwen2"),
        "attn_v": ("self_attn.v_proj", (keys, width), 0, attention_bias or kind == "qwen2"),
        "attn_output": ("self_attn.o_proj", (width, queries), 0, attention_bias),
        "ffn_gate": ("mlp.gate_proj", (inner, width), 0, feed_forward_bias),
        "ffn_up": ("mlp.up_proj", (inner, width), 0, feed_forward_bias),
        "ffn_down": ("mlp.down_proj", (width, inner), 0, feed_forward_bias),
    }
    for layer in range(config["num_hidden_layers"]):
        ours, stock = f"blk.{layer}", f"model.layers.{layer}"
        table[f"{ours}.attn_norm.weight"] = Counterpart(f"{stock}.input_layernorm.weight", (width,))
        table[f"{ours}.ffn_norm.weight"] = Counterpart(f"{stock}.post_attention_layernorm.weight", (width,))
        if kind == "qwen3":
            table[f"{ours}.attn_q_norm.weight"] = Counterpart(f"{stock}.self_attn.q_norm.weight", (head_dim,))
            table[f"{ours}.attn_k_norm.weight"] = Counterpart(f"{stock}.self_attn.k_norm.weight", (head_dim,))
        for name, (stock_name, shape, rotary_heads, bias) in matrices.items():
            table[f"{ours}.{name}.weight"] = Counterpart(f"{stock}.{stock_name}.weight", shape, rotary_heads=rotary_heads)
            if bias:
                table[f"{ours}.{name}.bias"] = Counterpart(f"{stock}.{stock_name}.bias", shape[:1], rotary_heads=rotary_heads)
    return table


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The base and the scaling, in the newer spelling of transformers or in the older one."""
    older = {"rope_theta": config.get("rope_theta", 10_000.0), **(config.get("rope_scaling") or {})}
    return {**older, **(config.get("rope_parameters") or {})}


def _head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _key_value_heads(config: Mapping[str, Any]) -> int:
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def _architecture(kind: str) -> str:
    return "llama" if kind == "mistral" else kind
