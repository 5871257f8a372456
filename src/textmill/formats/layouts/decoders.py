"""What all stock classes of decoders have in common: what is usual among them, and a head that may be tied."""

from collections.abc import Iterator
from typing import ClassVar

from ...models.decoder import DecoderConfig
from .layout import Held, Layout

# What a decoder is unless its class says otherwise; a class `holds` other values, or more of them.
PLAIN: Held = {
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


def task_heads(stem: str, of_tokens: str = "score") -> dict[str, tuple[str, str]]:
    """The classes with heads of a decoder whose name is `stem`; `of_tokens` is its name for the last product for tokens."""
    whole = (f"{stem}ForSequenceClassification", "score")
    return {
        **dict.fromkeys(("sequence", "multi_label", "regression"), whole),
        "token": (f"{stem}ForTokenClassification", of_tokens),
    }


class DecoderLayout(Layout):
    """A class of decoders. `embedding` and `head` are its names for these two."""

    config_class = DecoderConfig
    usual = PLAIN
    embedding: ClassVar[str]
    head: ClassVar[str] = "lm_head.weight"

    def reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape."""
        yield from super().reasons(config)
        yield from self.window_reasons(config)

    def window_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why the class can't hold this shape's windows."""
        if any(config.windows):
            yield f"some layers have a window, and {self.model_type} has none"

    def copies(self, config: DecoderConfig) -> dict[str, str]:
        """A tied head."""
        return {self.head: self.embedding} if config.tied_embeddings else {}
