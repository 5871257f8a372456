"""GPT-2 in a GGUF file, with queries, keys and values in one matrix."""

from collections.abc import Iterator
from typing import Any, ClassVar

from ...models.decoder import DecoderConfig
from ..layouts.gpt2 import GPT2Layout
from ..layouts.layout import Piece
from ..layouts.stock_config import LONGEST_CONTEXT
from .metadata import Metadata
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

    embedding = "token_embd.weight"
    head: ClassVar = "output.weight"

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        yield from super().further_reasons(config)
        if config.activation != "gelu_tanh":
            yield f"activation is {config.activation}, and llama.cpp's gpt2 has gelu_tanh"

    def pieces(self, config: DecoderConfig) -> list[Piece]:
        """Every tensor of the file."""
        names: dict[str, tuple[str, ...]] = {
            "token_embd.weight": ("embedding.weight",),
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
            "context_length": config.context_length,
            "embedding_length": config.width,
            "block_count": config.layers,
            "feed_forward_length": config.feed_forward_width,
            "attention.head_count": config.heads,
            "attention.layer_norm_epsilon": config.norm_epsilon,
        }

    def shape_of(self, stock: Any) -> DecoderConfig:
        """Our shape."""
        metadata: Metadata = stock
        width, heads = metadata.size("embedding_length"), metadata.size("attention.head_count")
        if width % heads:
            metadata.wrong(f"embedding_length ({width}) must be a multiple of attention.head_count ({heads})")
        metadata.must_be("attention.head_count_kv", heads)
        metadata.must_be("vocab_size", metadata.rows(self.embedding))
        found = {
            "vocabulary_size": metadata.rows(self.embedding),
            "context_length": metadata.size("context_length", largest=LONGEST_CONTEXT),
            "layers": metadata.size("block_count", largest=len(metadata.shapes)),
            "width": width,
            "heads": heads,
            "key_value_heads": heads,
            "head_dim": max(1, width // heads),
            "feed_forward_width": metadata.size("feed_forward_length"),
            "tied_embeddings": self.head not in metadata.shapes,
            "norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
            "activation": "gelu_tanh",
        }
        metadata.check()
        return DecoderConfig(**{**self.fixed(), **found})
