"""`MptForCausalLM` (MosaicML 2023), the class for ALiBi: LayerNorm without a shift, GELU, and no bias anywhere."""

from collections.abc import Iterator
from typing import Any, ClassVar

from ...models.decoder import DecoderConfig
from .decoders import DecoderLayout, task_heads
from .layout import Piece
from .stock_config import LONGEST_CONTEXT, MOST_LAYERS, StockConfig

# theirs -> ours, within one layer
INNER = {
    "norm_1": ("attention_norm",),
    "attn.Wqkv": ("attention.query", "attention.key", "attention.value"),
    "attn.out_proj": ("attention.output",),
    "norm_2": ("feed_forward_norm",),
    "ffn.up_proj": ("feed_forward.up",),
    "ffn.down_proj": ("feed_forward.down",),
}
EXPANSION = 4  # of the feed-forward layers, whatever config.json says


class MptLayout(DecoderLayout):
    """MPT."""

    model_type = "mpt"
    architectures = ("MptForCausalLM",)
    heads = task_heads("Mpt", "classifier")
    prefix = "transformer."
    embedding = "transformer.wte.weight"
    holds: ClassVar = {"positions": ("alibi",), "norm": ("layer",), "gated": (False,), "activation": ("gelu",)}
    plain_heads = True

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        if config.feed_forward_width != EXPANSION * config.width:
            yield f"feed_forward_width is {config.feed_forward_width}, and mpt has {EXPANSION} times the width"

    def pieces(self, config: DecoderConfig) -> list[Piece]:
        """Every tensor of the class."""
        pieces = [Piece(self.embedding, ("embedding.weight",)), Piece("transformer.norm_f.weight", ("norm.weight",))]
        for layer in range(config.layers):
            for theirs, ours in INNER.items():
                names = tuple(f"blocks.{layer}.{name}.weight" for name in ours)
                pieces.append(Piece(f"transformer.blocks.{layer}.{theirs}.weight", names))
        return pieces if config.tied_embeddings else [*pieces, Piece(self.head, ("head.weight",))]

    def settings(self, config: DecoderConfig) -> dict[str, Any]:
        """The shape as config.json spells it."""
        return {
            "d_model": config.width,
            "n_heads": config.heads,
            "n_layers": config.layers,
            "expansion_ratio": EXPANSION,
            "max_seq_len": config.context_length,
            "layer_norm_epsilon": config.norm_epsilon,
            "attn_config": {"alibi": True, "alibi_bias_max": 8, "attn_type": "multihead_attention", "qk_ln": False},
            "no_bias": True,
            "learned_pos_emb": False,
            "use_cache": True,
        }

    def shape_of(self, stock: StockConfig) -> DecoderConfig:
        """Our shape."""
        stock.must_be("expansion_ratio", EXPANSION)
        stock.must_be("no_bias", True)
        attention = stock.section("attn_config")
        attention.must_be("alibi", True)
        attention.must_be("alibi_bias_max", 8)
        attention.must_be("attn_type", "multihead_attention")
        for key in ("qk_ln", "prefix_lm"):
            attention.must_be(key, False)
        for key in ("clip_qkv", "softmax_scale"):
            if attention.given(key) is not None:
                attention.wrong(f"{key} is told, which isn't held")
        if stock.given("logit_scale") is not None:
            stock.wrong("logit_scale is told, which isn't held")
        sizes = stock.plain_heads("d_model", "n_heads")
        values = {
            "vocabulary_size": stock.size("vocab_size"),
            "context_length": stock.size("max_seq_len", largest=LONGEST_CONTEXT),
            "layers": stock.size("n_layers", largest=MOST_LAYERS),
            **sizes,
            "feed_forward_width": EXPANSION * sizes["width"],
            "tied_embeddings": stock.flag("tie_word_embeddings", True),
            "norm_epsilon": stock.number("layer_norm_epsilon", 1e-5),
        }
        stock.check()
        return DecoderConfig(**{**self.fixed(), **values})
