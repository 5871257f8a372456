"""What the stock classes of encoders have in common: the body alone or with the head for masked tokens, and heads as wide as
the model."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from ...models.encoder import EncoderConfig
from ...tokens.tokenizer import Tokenizer
from .decoders import refusals
from .layout import Layout, Piece
from .stock_config import LONGEST_CONTEXT, MOST_LAYERS, StockConfig

KINDS = ("weight", "bias")


class EncoderLayout(Layout):
    """A class of encoders. `holds` are the values of each of our settings that it takes; `architectures` has the class with
    the head first, then that of the body."""

    config_class = EncoderConfig
    holds: ClassVar[Mapping[str, tuple[Any, ...]]]
    embedding: ClassVar[str]
    decoder: ClassVar[str]  # the head's last product

    def reasons(self, config: EncoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape."""
        yield from refusals(config, self.holds, self.model_type)
        if config.key_value_heads != config.heads:
            yield f"it has {config.key_value_heads} heads of keys and values, and {self.model_type} has one for each query head"
        if config.heads * config.head_dim != config.width:
            yield f"{config.heads} heads of {config.head_dim} aren't as wide as the model ({config.width})"

    def fixed(self) -> dict[str, Any]:
        """Our settings that are always the same in this class."""
        return {name: values[0] for name, values in self.holds.items() if len(values) == 1}

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
        width, heads = stock.size("hidden_size"), stock.size("num_attention_heads")
        if width % heads:
            stock.wrong(f"hidden_size ({width}) must be a multiple of num_attention_heads ({heads})")
        classes = stock.given("architectures")
        body = isinstance(classes, list) and classes[:1] == [self.architectures[1]]
        return {
            "vocabulary_size": stock.size("vocab_size"),
            "context_length": stock.size("max_position_embeddings", largest=LONGEST_CONTEXT),
            "layers": stock.size("num_hidden_layers", largest=MOST_LAYERS),
            "width": width,
            "heads": heads,
            "key_value_heads": heads,
            "head_dim": max(1, width // heads),
            "feed_forward_width": stock.size("intermediate_size"),
            "tied_embeddings": stock.flag("tie_word_embeddings", True),
            "masked_head": not body,
        }


def both(ours: str | tuple[str, ...], theirs: str, kinds: Iterable[str] = KINDS) -> list[Piece]:
    """A module's weight and bias, or only those `kinds`; several of ours are stacked."""
    names = (ours,) if isinstance(ours, str) else ours
    return [Piece(f"{theirs}.{kind}", tuple(f"{name}.{kind}" for name in names)) for kind in kinds]
