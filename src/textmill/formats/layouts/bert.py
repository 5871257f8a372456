"""`BertForMaskedLM`, and `BertModel`, which has a pooler instead of the head (Devlin et al. 2019)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from torch import Tensor

from ...models.encoder import EncoderConfig
from .encoders import EncoderLayout
from .layout import Piece, both
from .stock_config import ACTIVATIONS, STOCK_ACTIVATIONS, StockConfig

BIAS = "cls.predictions.bias"
OUTER = {
    "embedding": "bert.embeddings.word_embeddings",
    "position_embedding": "bert.embeddings.position_embeddings",
    "token_type_embedding": "bert.embeddings.token_type_embeddings",
}
INNER = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}


class BertLayout(EncoderLayout):
    """Post-norm, learned positions, two types of tokens, biases everywhere."""

    model_type = "bert"
    architectures = ("BertForMaskedLM", "BertModel", "BertForPreTraining")
    prefix = "bert."
    embedding = "bert.embeddings.word_embeddings.weight"
    decoder = "cls.predictions.decoder"
    # The pooler beside a head, and the head for the next sentence, are of the pre-training that has both.
    passed_over = (r"(bert\.)?embeddings\.position_ids", r"(bert\.)?pooler\..*", r"cls\.seq_relationship\..*")
    heads: ClassVar[Mapping[str, tuple[str, str]]] = {
        "sequence": ("BertForSequenceClassification", "classifier"),
        "multi_label": ("BertForSequenceClassification", "classifier"),
        "regression": ("BertForSequenceClassification", "classifier"),
        "token": ("BertForTokenClassification", "classifier"),
        "span": ("BertForQuestionAnswering", "qa_outputs"),
    }
    head_modules: ClassVar[Mapping[str, str]] = {"pooler": "bert.pooler.dense"}
    holds: ClassVar = {
        "positions": ("learned",),
        "position_offset": (0,),
        "windows": ((),),
        "norm": ("layer",),
        "norm_bias": (True,),
        "post_norm": (True,),
        "first_attention_norm": (True,),
        "embedding_norm": (True,),
        "embedding_scale": (False,),
        "query_key_norm": (False,),
        "query_key_value_bias": (True,),
        "attention_output_bias": (True,),
        "gated": (False,),
        "feed_forward_bias": (True,),
        "masked_head_bias": (True,),
    }

    def further_reasons(self, config: EncoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        if not config.token_types:
            yield "it has no types of tokens, and bert has"
        if config.pooler == config.masked_head:
            yield "it has head and pooler, or neither, and bert has one of them"

    def pieces(self, config: EncoderConfig) -> list[Piece]:
        """Every tensor of the class."""
        pieces = [Piece(f"{theirs}.weight", (f"{ours}.weight",)) for ours, theirs in OUTER.items()]
        pieces += both("embedding_norm", "bert.embeddings.LayerNorm")
        for layer in range(config.layers):
            for ours, theirs in INNER.items():
                pieces += both(f"blocks.{layer}.{ours}", f"bert.encoder.layer.{layer}.{theirs}")
        if config.pooler:
            pieces += both("pooler", "bert.pooler.dense")
        if config.masked_head:
            pieces += both("head.dense", "cls.predictions.transform.dense")
            pieces += both("head.norm", "cls.predictions.transform.LayerNorm")
            pieces.append(Piece(BIAS, ("head.output.bias",)))
            if not config.tied_embeddings:
                pieces += both("head.output", self.decoder)
        return pieces

    def from_stock(self, tensors: Iterable[tuple[str, Tensor]], config: Any) -> Iterator[tuple[str, Tensor]]:
        """Where nothing is tied the class has two biases, and computes with the one that stands with the matrix."""
        unused = {BIAS} if config.masked_head and not config.tied_embeddings else set()
        yield from super().from_stock(((name, tensor) for name, tensor in tensors if name not in unused), config)

    def copies(self, config: EncoderConfig) -> dict[str, str]:
        """A tied head; and its bias, which some write twice."""
        tied = super().copies(config)
        return {**tied, f"{self.decoder}.bias": BIAS} if tied else {}

    def settings(self, config: EncoderConfig) -> dict[str, Any]:
        """The shape as config.json spells it."""
        return {
            **self.sizes(config),
            "type_vocab_size": config.token_types,
            "hidden_act": STOCK_ACTIVATIONS[config.activation],
            "layer_norm_eps": config.norm_epsilon,
            "position_embedding_type": "absolute",
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        }

    def shape_of(self, stock: StockConfig) -> EncoderConfig:
        """Our shape."""
        stock.must_be("position_embedding_type", "absolute")
        stock.must_be("is_decoder", False)
        stock.must_be("add_cross_attention", False)
        sizes = self.read_sizes(stock)
        values = {
            "token_types": stock.size("type_vocab_size", 2),
            "activation": stock.one_of("hidden_act", ACTIVATIONS, "gelu"),
            "norm_epsilon": stock.number("layer_norm_eps", 1e-12),
            "pooler": not sizes["masked_head"],
        }
        stock.check()
        return EncoderConfig(**{**self.fixed(), **sizes, **values})
