"""BERT in a GGUF file: the body alone, which llama.cpp takes for embeddings of texts."""

from collections.abc import Iterator
from typing import Any

from ...models.encoder import EncoderConfig
from ..layouts.bert import BertLayout
from ..layouts.layout import Piece, both
from .metadata import EMBEDDING, Metadata, size_settings
from .values import Value

OUTER = {"embedding": "token_embd", "position_embedding": "position_embd", "token_type_embedding": "token_types"}
# ours -> theirs, within one layer
LAYER = {
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "attention_norm": "attn_output_norm",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
    "feed_forward_norm": "layer_output_norm",
}


class BertGguf(BertLayout):
    """`bert`: what the stock class holds, by other names, without head and pooler; GELU is computed by tanh."""

    embedding = EMBEDDING

    def further_reasons(self, config: EncoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        if not config.token_types:
            yield "it has no types of tokens, and bert has"
        if config.activation not in ("gelu", "gelu_tanh"):
            yield f"activation is {config.activation}, and llama.cpp's bert has gelu"

    def pieces(self, config: EncoderConfig) -> list[Piece]:
        """Every tensor of the file."""
        pieces = [Piece(f"{theirs}.weight", (f"{ours}.weight",)) for ours, theirs in OUTER.items()]
        pieces += both("embedding_norm", "token_embd_norm")
        for layer in range(config.layers):
            for ours, theirs in LAYER.items():
                pieces += both(f"blocks.{layer}.{ours}", f"blk.{layer}.{theirs}")
        return pieces

    def settings(self, config: EncoderConfig) -> dict[str, Value]:
        """The shape as the metadata spell it."""
        return {
            **size_settings(config),
            "attention.layer_norm_epsilon": config.norm_epsilon,
            "attention.causal": False,
        }

    def shape_of(self, stock: Any) -> EncoderConfig:
        """Our shape."""
        metadata: Metadata = stock
        metadata.must_be("attention.causal", False)
        metadata.given("pooling_type")  # how a text's embedding is made of its tokens', which is for those who make it
        found = {
            **metadata.plain_sizes(),
            "token_types": metadata.rows("token_types.weight"),
            "norm_epsilon": metadata.number("attention.layer_norm_epsilon"),
            "activation": "gelu",
            "masked_head": False,
            "pooler": False,
        }
        metadata.check()
        return EncoderConfig(**{**self.fixed(), **found})
