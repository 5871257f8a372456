"""`MarianMTModel` and `MBartForConditionalGeneration`, which share all names but those of mBART's further norms."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...models.config import ModelConfig
from ...models.encoder_decoder import EncoderDecoderConfig
from ...tokens.tokenizer import Tokenizer
from .layout import Held, Layout, Piece, both
from .stock_config import ACTIVATIONS, LONGEST_CONTEXT, MOST_LAYERS, STOCK_ACTIVATIONS, StockConfig

# ours -> theirs, within one layer
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
INNER = {
    **{f"attention.{ours}": f"self_attn.{theirs}" for ours, theirs in ATTENTION.items()},
    "attention_norm": "self_attn_layer_norm",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
    "feed_forward_norm": "final_layer_norm",
}
CROSS = {
    **{f"cross_attention.{ours}": f"encoder_attn.{theirs}" for ours, theirs in ATTENTION.items()},
    "cross_attention_norm": "encoder_attn_layer_norm",
}
# What both classes have in common.
CLASSIC: Held = {
    "windows": ((),),
    "norm": ("layer",),
    "norm_bias": (True,),
    "norm_epsilon": (1e-5,),
    "first_attention_norm": (True,),
    "embedding_scale": (False, True),
    "query_key_norm": (False,),
    "query_key_value_bias": (True,),
    "attention_output_bias": (True,),
    "gated": (False,),
    "feed_forward_bias": (True,),
    "tied_embeddings": (True,),
}
EMBEDDING, HEAD, BIAS = "model.shared.weight", "lm_head.weight", "final_logits_bias"


class EncoderDecoderLayout(Layout):
    """What the classes have in common. `outer` are the names of the modules beside a half's layers."""

    config_class = EncoderDecoderConfig
    prefix = "model."
    usual = CLASSIC
    plain_heads = True
    outer: ClassVar[Mapping[str, str]] = {}

    def pieces(self, config: EncoderDecoderConfig) -> list[Piece]:
        """Every tensor of the class."""
        names: dict[str, str] = {}
        for half, shape, inner in zip(("encoder", "decoder"), config.halves, (INNER, INNER | CROSS), strict=True):
            names |= {f"{half}.{ours}": f"model.{half}.{theirs}" for ours, theirs in self.outer.items()}
            for layer in range(shape.layers):
                ours, theirs = f"{half}.blocks.{layer}", f"model.{half}.layers.{layer}"
                names |= {f"{ours}.{one}": f"{theirs}.{other}" for one, other in inner.items()}
        modules = [piece for ours, theirs in names.items() for piece in both(ours, theirs)]
        shared = [Piece(EMBEDDING, ("embedding.weight",)), Piece(BIAS, ("head.bias",), one_row=True)]
        return [*shared, *self.positions(), *modules]

    def positions(self) -> list[Piece]:
        """What tells where a token stands."""
        table = {"learned": "position_embedding.weight", "sinusoidal": "sinusoids.table"}[self.holds["positions"][0]]
        return [Piece(f"model.{half}.embed_positions.weight", (f"{half}.{table}",)) for half in ("encoder", "decoder")]

    def copies(self, config: EncoderDecoderConfig) -> dict[str, str]:
        """The embeddings, which are one in both halves and the head."""
        return dict.fromkeys((HEAD, "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"), EMBEDDING)

    def from_stock(self, tensors: Iterable[tuple[str, Tensor]], config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
        """The class's tensors under our names. A file without the head's bias means zeros."""
        yield "head.bias", torch.zeros(config.vocabulary_size)
        yield from super().from_stock(tensors, config)

    def stock_config(self, config: EncoderDecoderConfig, tokenizer: Tokenizer, dtype: str = "float32") -> dict[str, Any]:
        """The whole `config.json`; no text is forced to end where it is as long as it may be."""
        whole = super().stock_config(config, tokenizer, dtype)
        start = config.start_id(whole["pad_token_id"], whole["eos_token_id"])
        return {**whole, "decoder_start_token_id": start, "forced_eos_token_id": None}

    def generation_settings(self, config: EncoderDecoderConfig, tokenizer: Tokenizer) -> dict[str, Any]:
        """Where the decoder starts; and that padding is no text, where it isn't the end."""
        stock = self.stock_config(config, tokenizer)
        padding = {"bad_words_ids": [[tokenizer.pad_id]]} if tokenizer.pad_id not in {None, *tokenizer.end_ids} else {}
        return {"decoder_start_token_id": stock["decoder_start_token_id"], **padding}

    def settings(self, config: EncoderDecoderConfig) -> dict[str, Any]:
        """The shape as config.json spells it."""
        sizes = {"ffn_dim": config.feed_forward_width, "attention_heads": config.heads, "layerdrop": 0.0}
        return {
            "d_model": config.width,
            **{f"{half}_layers": shape.layers for half, shape in zip(("encoder", "decoder"), config.halves, strict=True)},
            **{f"{half}_{name}": size for half in ("encoder", "decoder") for name, size in sizes.items()},
            "max_position_embeddings": config.context_length,
            "activation_function": STOCK_ACTIVATIONS[config.activation],
            "scale_embedding": config.embedding_scale,
            "init_std": 0.02,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "is_encoder_decoder": True,
            "use_cache": True,
        }

    def shape_of(self, stock: StockConfig) -> EncoderDecoderConfig:
        """Our shape."""
        stock.must_be("tie_word_embeddings", True)
        sizes, feed_forward_width = stock.plain_heads("d_model", "encoder_attention_heads"), stock.size("encoder_ffn_dim")
        stock.must_be("decoder_attention_heads", sizes["heads"])
        stock.must_be("decoder_ffn_dim", feed_forward_width)
        layers, decoder_layers = (stock.size(f"{half}_layers", largest=MOST_LAYERS) for half in ("encoder", "decoder"))
        values = {
            "vocabulary_size": stock.size("vocab_size"),
            "context_length": stock.size("max_position_embeddings", largest=LONGEST_CONTEXT),
            "layers": layers,
            "decoder_layers": None if decoder_layers == layers else decoder_layers,
            **sizes,
            "feed_forward_width": feed_forward_width,
            "activation": stock.one_of("activation_function", ACTIVATIONS, "gelu"),
            "embedding_scale": stock.flag("scale_embedding", False),
        }
        self.check_ids(stock)
        stock.check()
        return EncoderDecoderConfig(**{**self.fixed(), **values})

    def check_ids(self, stock: StockConfig) -> None:
        """Refuse numbers of tokens that the class would use otherwise than we do."""


class MarianLayout(EncoderDecoderLayout):
    """The original Transformer: post-norm, sinusoidal positions; the decoder starts with padding."""

    model_type = "marian"
    architectures = ("MarianMTModel",)
    holds: ClassVar = {
        "positions": ("sinusoidal",),
        "position_offset": (0,),
        "post_norm": (True,),
        "embedding_norm": (False,),
        "decoder_start": ("pad",),
    }

    def may_lack(self, config: EncoderDecoderConfig) -> set[str]:
        """The sines, which are computed, and the bias."""
        return {BIAS, *(piece.theirs for piece in self.positions())}

    def check_ids(self, stock: StockConfig) -> None:
        """One vocabulary for both halves, and padding where the decoder starts."""
        stock.must_be("share_encoder_decoder_embeddings", True)
        stock.must_be("decoder_vocab_size", stock.given("vocab_size"))
        stock.must_be("decoder_start_token_id", stock.given("pad_token_id"))


class MBartLayout(EncoderDecoderLayout):
    """Pre-norm, learned positions behind two rows that no token uses; the decoder starts with the target's last token."""

    model_type = "mbart"
    architectures = ("MBartForConditionalGeneration",)
    outer: ClassVar = {"embedding_norm": "layernorm_embedding", "norm": "layer_norm"}
    holds: ClassVar = {
        "positions": ("learned",),
        "position_offset": (2,),
        "post_norm": (False,),
        "embedding_norm": (True,),
        "decoder_start": ("last",),
    }

    def may_lack(self, config: EncoderDecoderConfig) -> set[str]:
        """The bias."""
        return {BIAS}
