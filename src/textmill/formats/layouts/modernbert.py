"""`ModernBertForMaskedLM` and `ModernBertModel` (Warner et al. 2024)."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ...models.encoder import EncoderConfig
from ...tokens.tokenizer import Tokenizer
from .encoders import EncoderLayout
from .layout import PARTS, Piece, both
from .stock_config import ACTIVATIONS, STOCK_ACTIVATIONS, StockConfig

GLOBAL, LOCAL = "full_attention", "sliding_attention"
THETAS = {GLOBAL: ("global_rope_theta", 160_000.0), LOCAL: ("local_rope_theta", 10_000.0)}  # older names; what the class takes
# The flags of a config.json, each with those of our settings that it sets.
FLAGS = {
    "norm_bias": ("norm_bias",),
    "attention_bias": ("query_key_value_bias", "attention_output_bias"),
    "mlp_bias": ("feed_forward_bias",),
    "classifier_bias": ("masked_head_bias",),
}


class ModernBertLayout(EncoderLayout):
    """Pre-norm, rotary positions with a base of their own in layers with a window, gates in the feed-forward layers."""

    model_type = "modernbert"
    architectures = ("ModernBertForMaskedLM", "ModernBertModel")
    prefix = "model."
    embedding = "model.embeddings.tok_embeddings.weight"
    decoder = "decoder"
    heads: ClassVar[Mapping[str, tuple[str, str]]] = {
        "sequence": ("ModernBertForSequenceClassification", "classifier"),
        "multi_label": ("ModernBertForSequenceClassification", "classifier"),
        "regression": ("ModernBertForSequenceClassification", "classifier"),
        "token": ("ModernBertForTokenClassification", "classifier"),
        "span": ("ModernBertForQuestionAnswering", "classifier"),
    }
    head_modules: ClassVar[Mapping[str, str]] = {"transform.dense": "head.dense", "transform.norm": "head.norm"}
    holds: ClassVar = {
        "positions": ("rotary",),
        "rope_scaling": (None,),
        "norm": ("layer",),
        "post_norm": (False,),
        "first_attention_norm": (False,),
        "embedding_norm": (True,),
        "embedding_scale": (False,),
        "query_key_norm": (False,),
        "gated": (True,),
        "token_types": (0,),
        "pooler": (False,),
    }

    def further_reasons(self, config: EncoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        if len(sizes := {window for window in config.windows if window}) > 1:
            yield f"the layers have windows of {len(sizes)} sizes, and modernbert has one"
        if config.query_key_value_bias != config.attention_output_bias:
            yield "query_key_value_bias and attention_output_bias differ, and modernbert has one attention_bias for both"

    def pieces(self, config: EncoderConfig) -> list[Piece]:
        """Every tensor of the class."""
        norm, attention, feed_forward = (
            PARTS if has_bias else PARTS[:1]
            for has_bias in (config.norm_bias, config.query_key_value_bias, config.feed_forward_bias)
        )
        pieces = [Piece(self.embedding, ("embedding.weight",))]
        pieces += [*both("embedding_norm", "model.embeddings.norm", norm), *both("norm", "model.final_norm", norm)]
        for layer in range(config.layers):
            ours, theirs = f"blocks.{layer}", f"model.layers.{layer}"
            if layer:
                pieces += both(f"{ours}.attention_norm", f"{theirs}.attn_norm", norm)
            stacked = tuple(f"{ours}.attention.{name}" for name in ("query", "key", "value"))
            pieces += both(stacked, f"{theirs}.attn.Wqkv", attention)
            pieces += both(f"{ours}.attention.output", f"{theirs}.attn.Wo", attention)
            pieces += both(f"{ours}.feed_forward_norm", f"{theirs}.mlp_norm", norm)
            pieces += both((f"{ours}.feed_forward.gate", f"{ours}.feed_forward.up"), f"{theirs}.mlp.Wi", feed_forward)
            pieces += both(f"{ours}.feed_forward.down", f"{theirs}.mlp.Wo", feed_forward)
        if config.masked_head:
            pieces += both("head.dense", "head.dense", PARTS if config.masked_head_bias else PARTS[:1])
            pieces += both("head.norm", "head.norm", norm)
            pieces += both("head.output", "decoder", PARTS[1:] if config.tied_embeddings else PARTS)
        return pieces

    def settings(self, config: EncoderConfig) -> dict[str, Any]:
        """The shape as config.json spells it; rotary bases in both spellings, since readers differ."""
        local = config.rope_theta if config.local_rope_theta is None else config.local_rope_theta
        thetas = {GLOBAL: config.rope_theta, LOCAL: local}
        return {
            **self.sizes(config),
            "hidden_activation": STOCK_ACTIVATIONS[config.activation],
            "classifier_activation": STOCK_ACTIVATIONS[config.activation],
            "norm_eps": config.norm_epsilon,
            **{key: getattr(config, names[0]) for key, names in FLAGS.items()},
            "decoder_bias": True,
            "local_attention": max(config.windows, default=0) or 128,
            "layer_types": [LOCAL if config.window(layer) else GLOBAL for layer in range(config.layers)],
            "rope_parameters": {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()},
            **{THETAS[kind][0]: theta for kind, theta in thetas.items()},
            "attention_dropout": 0.0,
            "embedding_dropout": 0.0,
            "mlp_dropout": 0.0,
        }

    def stock_config(self, config: Any, tokenizer: Tokenizer, dtype: str = "float32") -> dict[str, Any]:
        """The whole `config.json`. The class has numbers of its own for what begins and ends a text unless it is told."""
        whole = super().stock_config(config, tokenizer, dtype)
        return {**whole, "cls_token_id": whole["bos_token_id"], "sep_token_id": whole["eos_token_id"]}

    def shape_of(self, stock: StockConfig) -> EncoderConfig:
        """Our shape."""
        stock.must_be("decoder_bias", True)
        if stock.given("architectures") == [self.heads["sequence"][0]]:
            stock.must_be("classifier_pooling", "cls")
        sizes = self.read_sizes(stock)
        activation = stock.one_of("hidden_activation", ACTIVATIONS, "gelu")
        if sizes["masked_head"] and stock.one_of("classifier_activation", ACTIVATIONS, "gelu") != activation:
            stock.wrong("classifier_activation and hidden_activation differ; only one for both is held")
        ropes, thetas = stock.section("rope_parameters"), {}
        for kind, (older, default) in THETAS.items():
            rope = ropes.section(kind)
            rope.must_be("rope_type", "default")
            thetas[kind] = rope.number("rope_theta", stock.number(older, default))
        flags = {name: stock.flag(key, False) for key, names in FLAGS.items() for name in names}
        values = {
            "activation": activation,
            "norm_epsilon": stock.number("norm_eps", 1e-5),
            "windows": self._windows(stock, sizes["layers"]),
            "rope_theta": thetas[GLOBAL],
            "local_rope_theta": thetas[LOCAL],
        }
        stock.check()
        return EncoderConfig(**{**self.fixed(), **sizes, **values, **flags})

    def _windows(self, stock: StockConfig, layers: int) -> tuple[int, ...]:
        """The window of each layer; older files say in which of how many layers there is none."""
        window, every = stock.size("local_attention", 128), stock.size("global_attn_every_n_layers", 3)
        kinds = stock.words("layer_types", (GLOBAL, LOCAL), layers)
        if kinds is None:
            kinds = [LOCAL if layer % every else GLOBAL for layer in range(layers)]
        return tuple(window if kind == LOCAL else 0 for kind in kinds) if LOCAL in kinds else ()
