"""BERT, the encoder: its shape in a GGUF file and in transformers. A file has no head: llama.cpp takes it for embeddings."""

from collections.abc import Mapping
from typing import Any

from .counterparts import Counterpart, Counterparts
from .hyperparameters import LONGEST_CONTEXT, Hyperparameters
from .values import Value

REQUIRED = (
    "vocab_size",
    "max_position_embeddings",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
)
HEADS = ("pooler.", "cls.")  # what stock classes have and a GGUF file hasn't
BUFFERS = ("embeddings.position_ids",)  # 0, 1, 2, …, which older folders hold


def config_from(metadata: Hyperparameters, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The config.json of the stock class; what can't be is added to the metadata's problems."""
    metadata.expect("attention.causal", False)
    metadata.ignore("pooling_type")
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": shapes.get("token_embd.weight", (1, 1))[0],
        "max_position_embeddings": metadata.size("context_length", largest=LONGEST_CONTEXT),
        "hidden_size": metadata.size("embedding_length"),
        "num_hidden_layers": metadata.size("block_count", largest=len(shapes)),
        "num_attention_heads": metadata.size("attention.head_count"),
        "intermediate_size": metadata.size("feed_forward_length"),
        "type_vocab_size": shapes.get("token_types.weight", (1, 1))[0],
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "layer_norm_eps": metadata.number("attention.layer_norm_epsilon"),
        "dtype": "float32",
    }


def metadata_from(config: Mapping[str, Any], problems: list[str]) -> dict[str, Value]:
    """The keys of the architecture, without its name; what llama.cpp doesn't hold is added to `problems`."""
    if (activation := config.get("hidden_act", "gelu")) not in ("gelu", "gelu_new"):
        problems.append(f"hidden_act is {activation!r}, and llama.cpp's bert has 'gelu'")
    if (positions := config.get("position_embedding_type", "absolute")) != "absolute":
        problems.append(f"position_embedding_type is {positions!r}, and llama.cpp's bert has 'absolute'")
    return {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.layer_norm_epsilon": float(config.get("layer_norm_eps", 1e-12)),
        "attention.causal": False,
    }


def counterparts(config: Mapping[str, Any]) -> Counterparts:
    """Every tensor of this shape, by GGUF's name."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    embeddings = {
        "token_embd": ("word_embeddings", config["vocab_size"]),
        "position_embd": ("position_embeddings", config["max_position_embeddings"]),
        "token_types": ("token_type_embeddings", config.get("type_vocab_size", 2)),
    }
    table = {
        f"{name}.weight": Counterpart(f"embeddings.{stock}.weight", (rows, width)) for name, (stock, rows) in embeddings.items()
    }
    layers = {
        "attn_q": ("attention.self.query", (width, width)),
        "attn_k": ("attention.self.key", (width, width)),
        "attn_v": ("attention.self.value", (width, width)),
        "attn_output": ("attention.output.dense", (width, width)),
        "attn_output_norm": ("attention.output.LayerNorm", (width,)),
        "ffn_up": ("intermediate.dense", (inner, width)),
        "ffn_down": ("output.dense", (width, inner)),
        "layer_output_norm": ("output.LayerNorm", (width,)),
    }
    blocks = {"token_embd_norm": ("embeddings.LayerNorm", (width,))}
    for layer in range(config["num_hidden_layers"]):
        blocks |= {f"blk.{layer}.{name}": (f"encoder.layer.{layer}.{stock}", shape) for name, (stock, shape) in layers.items()}
    for name, (stock, shape) in blocks.items():
        table[f"{name}.weight"] = Counterpart(f"{stock}.weight", shape)
        table[f"{name}.bias"] = Counterpart(f"{stock}.bias", shape[:1])
    return table
