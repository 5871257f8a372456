"""GPT-2 in a GGUF file, with queries, keys and values in one matrix."""

from collections.abc import Iterator
from typing import Any, ClassVar

from ...models.decoder import DecoderConfig
from ..layouts.gpt2 import GPT2Layout
from ..layouts.layout import Piece
from .metadata import EMBEDDING, Metadata, size_settings
from .values import Value

# theirs -> ours, within one layer
LAYER = {
    "attn_norm": ("attention_norm",),
    "attn_qkv": ("attention.query", "attention.key", "attention.value"),
    "attn_output": ("attention.output",),
    "ffn_norm": ("feed_forward_norm",),
    "ffn_up": ("feed_forward.up",),
    "ffn_down": ("feed_forward.down",),
}


class GPT2Gguf(GPT2Layout):
    """`gpt2`: what the stock class holds, by other names; the activation is GELU by tanh."""

    embedding = EMBEDDING
    head: ClassVar = "output.weight"

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        yield from super().further_reasons(config)
        if config.activation != "gelu_tanh":
            yield f"activation is {config.activation}, and llama.cpp's gpt2 has gelu_tanh"

    def pieces(self, config: DecoderConfig) -> list[Piece]:
        """Every tensor of the file."""
        names: dict[str, tuple[str, ...]] = {
            EMBEDDING: ("embedding.weight",),
            "position_embd.weight": ("position_embedding.weight",),
        }
        names |= {f"output_norm.{part}": (f"norm.{part}",) for part in ("weight", "bias")}
        if not config.tied_embeddings:
            names[self.head] = ("head.weight",)
        names |= {
            f"blk.{layer}.{theirs}.{part}": tuple(f"blocks.{layer}.{name}.{part}" for name in ours)
            for layer in range(config.layers)
            for theirs, ours in LAYER.items()
            for part in ("weight", "bias")
        }
        return [Piece(theirs, ours) for theirs, ours in names.items()]

    def settings(self, config: DecoderConfig) -> dict[str, Value]:
        """The shape as the metadata spell it."""
        return {
            **size_settings(config),
            "attention.layer_norm_epsilon": config.norm_epsilon,
        }

    def shape_of(self, stock: Any) -> DecoderConfig:
        """Our shape."""
        metadata: Metadata = stock
        found = {
            **metadata.plain_sizes(),
            "tied_embeddings": self.head not in metadata.shapes,
            "norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
            "activation": "gelu_tanh",
        }
        metadata.check()
        return DecoderConfig(**{**self.fixed(), **found})
