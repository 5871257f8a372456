"""GPT-2: its shape in a GGUF file and in transformers, whose matrices are (in, out)."""

from collections.abc import Mapping
from typing import Any

from .counterparts import Counterpart, Counterparts
from .hyperparameters import LONGEST_CONTEXT, Hyperparameters
from .values import Value

REQUIRED = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
# The only activation that llama.cpp has here, by the names that transformers gives to it.
ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh")
FIXED = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}


def config_from(metadata: Hyperparameters, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The config.json of the stock class; what can't be is added to the metadata's problems."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": shapes.get("token_embd.weight", (1, 1))[0],
        "n_positions": metadata.size("context_length", largest=LONGEST_CONTEXT),
        "n_embd": metadata.size("embedding_length"),
        "n_layer": metadata.size("block_count", largest=len(shapes)),
        "n_head": metadata.size("attention.head_count"),
        "n_inner": metadata.size("feed_forward_length"),
        "activation_function": ACTIVATIONS[0],
        "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
        "tie_word_embeddings": "output.weight" not in shapes,
        "dtype": "float32",
    }


def metadata_from(config: Mapping[str, Any], problems: list[str]) -> dict[str, Value]:
    """The keys of the architecture, without its name; what llama.cpp doesn't hold is added to `problems`."""
    if (activation := config.get("activation_function", ACTIVATIONS[0])) not in ACTIVATIONS:
        problems.append(f"activation_function is {activation!r}, and llama.cpp's gpt2 has 'gelu_new'")
    problems += [
        f"{key} is {config[key]}, and llama.cpp's gpt2 has {value}"
        for key, value in FIXED.items()
        if config.get(key, value) != value
    ]
    return {
        "context_length": config["n_positions"],
        "embedding_length": config["n_embd"],
        "block_count": config["n_layer"],
        "feed_forward_length": _inner(config),
        "attention.head_count": config["n_head"],
        "attention.layer_norm_epsilon": float(config.get("layer_norm_epsilon", 1e-5)),
    }


def counterparts(config: Mapping[str, Any]) -> Counterparts:
    """Every tensor of this shape, by GGUF's name."""
    vocabulary, width, inner = config["vocab_size"], config["n_embd"], _inner(config)
    table = {
        "token_embd.weight": Counterpart("transformer.wte.weight", (vocabulary, width)),
        "position_embd.weight": Counterpart("transformer.wpe.weight", (config["n_positions"], width)),
        "output_norm.weight": Counterpart("transformer.ln_f.weight", (width,)),
        "output_norm.bias": Counterpart("transformer.ln_f.bias", (width,)),
    }
    if not config.get("tie_word_embeddings", True):
        table["output.weight"] = Counterpart("lm_head.weight", (vocabulary, width))
    matrices = {
        "attn_qkv": ("attn.c_attn", (width, 3 * width)),
        "attn_output": ("attn.c_proj", (width, width)),
        "ffn_up": ("mlp.c_fc", (width, inner)),
        "ffn_down": ("mlp.c_proj", (inner, width)),
    }
    for layer in range(config["n_layer"]):
        ours, stock = f"blk.{layer}", f"transformer.h.{layer}"
        for name, stock_name in (("attn_norm", "ln_1"), ("ffn_norm", "ln_2")):
            for part in ("weight", "bias"):
                table[f"{ours}.{name}.{part}"] = Counterpart(f"{stock}.{stock_name}.{part}", (width,))
        for name, (stock_name, shape) in matrices.items():
            table[f"{ours}.{name}.weight"] = Counterpart(f"{stock}.{stock_name}.weight", shape, transposed=True)
            table[f"{ours}.{name}.bias"] = Counterpart(f"{stock}.{stock_name}.bias", shape[1:])
    return table


def _inner(config: Mapping[str, Any]) -> int:
    return int(config.get("n_inner") or 4 * config["n_embd"])
