"""What all stock classes of decoders have in common: which shapes they can hold, told as reasons, and their settings' words."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ...models.decoder import DecoderConfig
from .layout import Layout

# The names of transformers -> ours; the first name of each is the one to be written.
ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
STOCK_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}

# What a decoder is unless its class says otherwise; a class `holds` other values, or more of them.
PLAIN: dict[str, tuple[Any, ...]] = {
    "positions": ("rotary",),
    "rope_scaling": (None,),
    "local_rope_theta": (None,),
    "norm": ("rms",),
    "norm_bias": (False,),
    "post_norm": (False,),
    "first_attention_norm": (True,),
    "embedding_norm": (False,),
    "embedding_scale": (False,),
    "query_key_norm": (False,),
    "query_key_value_bias": (False,),
    "attention_output_bias": (False,),
    "gated": (True,),
    "feed_forward_bias": (False,),
}


class DecoderLayout(Layout):
    """A class of decoders. `holds` are the values of each of our settings that it takes, where they aren't the PLAIN ones; an
    empty tuple: any. `embedding` and `head` are its names for these two."""

    config_class = DecoderConfig
    embedding: ClassVar[str]
    head: ClassVar[str] = "lm_head.weight"
    holds: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    def reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape."""
        yield from refusals(config, {**PLAIN, **self.holds}, self.model_type)
        yield from self.window_reasons(config)
        yield from self.further_reasons(config)

    def window_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape's windows."""
        if any(config.windows):
            yield f"some layers have a window, and {self.model_type} has none"

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        yield from ()

    def copies(self, config: DecoderConfig) -> dict[str, str]:
        """A tied head."""
        return {self.head: self.embedding} if config.tied_embeddings else {}

    def fixed(self) -> dict[str, Any]:
        """Our settings that are always the same in this class."""
        return {name: values[0] for name, values in {**PLAIN, **self.holds}.items() if len(values) == 1}


def refusals(config: Any, holds: Mapping[str, tuple[Any, ...]], model_type: str) -> Iterator[str]:
    """Each setting of a shape whose value isn't among those that a class holds; an empty tuple holds any."""
    for name, values in holds.items():
        found = getattr(config, name)
        if values and found not in values:
            yield f"{name} is {_word(found)}, and {model_type} has {' or '.join(map(_word, values))}"


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(getattr(value, "kind", value))
