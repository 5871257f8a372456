"""The `[model]` section of a recipe, and the named sizes to start from."""

from typing import Annotated

from pydantic import Field

from ..errors import RecipeError, nearest
from ..settings import Settings
from .decoder import DecoderConfig

# name: (layers, width, head_dim, share of key/value heads). The name is the number of parameters in the layers; the
# embedding table and the head come on top, since they grow with the vocabulary.
PRESETS: dict[str, tuple[int, int, int, float]] = {
    "0.5m": (2, 128, 64, 1.0),
    "1m": (5, 128, 64, 1.0),
    "3m": (4, 256, 64, 1.0),
    "5m": (6, 256, 64, 1.0),
    "12m": (4, 512, 64, 1.0),
    "30m": (10, 512, 64, 1.0),
    "60m": (8, 768, 64, 1.0),
    "85m": (12, 768, 64, 1.0),
    "300m": (24, 1024, 64, 1.0),
    "500m": (28, 1280, 128, 0.5),
    "1b": (22, 2048, 128, 0.5),
}


class ModelSettings(Settings):
    """The model's shape: a preset, and what differs from it."""

    preset: str = "3m"
    """Named size to start from: 0.5m, 1m, 3m, 5m, 12m, 30m, 60m, 85m, 300m, 500m or 1b (parameters in the layers)."""

    context_length: Annotated[int, Field(ge=8)] = 256
    """Tokens that the model can look back over, 8 or more. Short contexts train faster; 256 are some 200 words."""

    layers: Annotated[int, Field(ge=1)] | None = None
    """Number of layers; default: the preset's."""

    width: Annotated[int, Field(ge=1)] | None = None
    """Width of the residual stream; default: the preset's. Best a multiple of 64."""

    heads: Annotated[int, Field(ge=1)] | None = None
    """Attention heads; default: width / head_dim."""

    key_value_heads: Annotated[int, Field(ge=1)] | None = None
    """Heads of keys and values, a divisor of heads; fewer make decoding cheaper. Default: the preset's share."""

    head_dim: Annotated[int, Field(ge=2)] | None = None
    """Dimensions of a head, even; default: the preset's."""

    feed_forward_width: Annotated[int, Field(ge=1)] | None = None
    """Inner width of the feed-forward layers; default: 8/3 of the width, rounded up to a multiple of 64."""

    tied_embeddings: bool = False
    """Use one matrix as embedding table and as head. Saves memory; at small sizes untied ones learn faster."""

    rope_theta: Annotated[float, Field(gt=1)] = 10_000.0
    """Base of the rotary positions' wavelengths; raise it for contexts of many thousand tokens."""

    def decoder_config(self, vocabulary_size: int) -> DecoderConfig:
        """The whole shape, for a vocabulary of that size. Raises RecipeError where it doesn't fit together."""
        if self.preset not in PRESETS:
            raise RecipeError(
                f"model.preset: {self.preset!r} is unknown{nearest(self.preset, PRESETS)}; write one of {', '.join(PRESETS)}"
            )
        layers, width, head_dim, share = PRESETS[self.preset]
        width, head_dim = self.width or width, self.head_dim or head_dim
        heads = self.heads or max(1, width // head_dim)
        return DecoderConfig(
            vocabulary_size=vocabulary_size,
            context_length=self.context_length,
            layers=self.layers or layers,
            width=width,
            heads=heads,
            key_value_heads=self.key_value_heads or max(1, round(heads * share)),
            head_dim=head_dim,
            feed_forward_width=self.feed_forward_width or -(-width * 8 // 3 // 64) * 64,
            tied_embeddings=self.tied_embeddings,
            rope_theta=self.rope_theta,
        )
