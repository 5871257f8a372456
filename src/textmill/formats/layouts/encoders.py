"""What the stock classes of encoders have in common: the body alone or with the head for masked tokens, and heads as wide as
the model."""

from typing import Any, ClassVar

from ...models.encoder import EncoderConfig
from ...tokens.tokenizer import Tokenizer
from .layout import Layout
from .stock_config import LONGEST_CONTEXT, MOST_LAYERS, StockConfig


class EncoderLayout(Layout):
    """A class of encoders. `architectures` has the class with the head first, then that of the body."""

    config_class = EncoderConfig
    plain_heads = True
    embedding: ClassVar[str]
    decoder: ClassVar[str]  # the head's last product

    def copies(self, config: EncoderConfig) -> dict[str, str]:
        """A tied head."""
        return {f"{self.decoder}.weight": self.embedding} if config.masked_head and config.tied_embeddings else {}

    def stock_config(self, config: Any, tokenizer: Tokenizer, dtype: str = "float32") -> dict[str, Any]:
        """The whole `config.json`; its class says whether there is a head."""
        whole = super().stock_config(config, tokenizer, dtype)
        return {**whole, "architectures": [self.architectures[0 if config.masked_head else 1]]}

    def sizes(self, config: EncoderConfig) -> dict[str, Any]:
        """What both classes call by the same names."""
        return {
            "hidden_size": config.width,
            "intermediate_size": config.feed_forward_width,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "max_position_embeddings": config.context_length,
            "initializer_range": 0.02,
        }

    def read_sizes(self, stock: StockConfig) -> dict[str, Any]:
        """The same, read."""
        classes = stock.given("architectures")
        body = isinstance(classes, list) and classes[:1] == [self.architectures[1]]
        return {
            "vocabulary_size": stock.size("vocab_size"),
            "context_length": stock.size("max_position_embeddings", largest=LONGEST_CONTEXT),
            "layers": stock.size("num_hidden_layers", largest=MOST_LAYERS),
            **stock.plain_heads("hidden_size", "num_attention_heads"),
            "feed_forward_width": stock.size("intermediate_size"),
            "tied_embeddings": stock.flag("tie_word_embeddings", True),
            "masked_head": not body,
        }
