"""A model's shape as plain values: what all families have, and what a Transformer's layer is made of.

The defaults are the layout of Qwen3; models/architectures.py names the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ModelError

Positions = Literal["rotary", "learned", "sinusoidal", "alibi"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]


@dataclass(frozen=True)
class RopeScaling:
    """How rotary positions are stretched beyond the `original_context` that a model was first trained at.

    `linear` divides every position by `factor` (Chen et al. 2023); `llama3` only slows the waves that are longer than the
    original context (Llama 3.1); `yarn` does so by a ramp over the dimensions, and makes attention sharper by
    `attention_factor` (Peng et al. 2023; default: 0.1 · ln(factor) + 1).
    """

    kind: Literal["linear", "llama3", "yarn"]
    factor: float
    original_context: int = 0
    low_frequency_factor: float = 1.0  # llama3: waves longer than original_context / this are slowed in full
    high_frequency_factor: float = 4.0  # llama3: waves shorter than original_context / this aren't
    beta_fast: float = 32.0  # yarn: turns within the original context from which on a wave isn't slowed
    beta_slow: float = 1.0  # yarn: turns below which it is slowed in full
    attention_factor: float | None = None

    def problems(self) -> Iterator[str]:
        """What is wrong with these values."""
        if self.factor < 1:
            yield f"rope scaling's factor must be at least 1, found {self.factor:g}"
        if self.kind != "linear" and self.original_context < 1:
            yield f"{self.kind} rope scaling needs the original context, in tokens; found {self.original_context}"
        if self.kind == "llama3" and not 0 < self.low_frequency_factor < self.high_frequency_factor:
            yield "llama3 rope scaling needs a low_frequency_factor below its high_frequency_factor, both above 0"


@dataclass(frozen=True)
class ModelConfig:
    """A shape, whatever its family. Raises ModelError, with all that is wrong, where it doesn't fit together."""

    vocabulary_size: int
    context_length: int
    layers: int
    width: int
    tied_embeddings: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if problems := list(self.problems()):
            raise ModelError(*problems)

    def problems(self) -> Iterator[str]:
        """What is wrong with this shape."""
        for name in ("vocabulary_size", "context_length", "layers", "width"):
            yield from below_one(name, getattr(self, name))


def below_one(name: str, value: int) -> Iterator[str]:
    """What is wrong with a size that must be at least 1."""
    if value < 1:
        yield f"{name} must be at least 1, found {value}"


@dataclass(frozen=True)
class TransformerConfig(ModelConfig):
    """The shape of a stack of Transformer layers. `key_value_heads` divides `heads`; `heads * head_dim` need not equal `width`.

    `windows` gives each layer how many tokens it looks back over, its own included, 0 for all (an encoder looks half of it to
    either side); empty: all, everywhere. With `post_norm` each sum is normalised (Vaswani et al. 2017), else what goes into a
    sub-layer is, and the last sum. `local_rope_theta` is the rotary base of layers with a window, where it is another one.
    """

    heads: int
    key_value_heads: int
    head_dim: int
    feed_forward_width: int
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-6
    positions: Positions = "rotary"
    position_offset: int = 0  # rows of the learned positions' table that stand before the first token's
    rope_scaling: RopeScaling | None = None
    local_rope_theta: float | None = None
    windows: tuple[int, ...] = ()
    norm: Literal["rms", "layer"] = "rms"
    norm_bias: bool = False
    post_norm: bool = False
    first_attention_norm: bool = True
    embedding_norm: bool = False
    embedding_scale: bool = False  # times the square root of the width
    query_key_norm: bool = True
    query_key_value_bias: bool = False
    attention_output_bias: bool = False
    activation: Activation = "silu"
    gated: bool = True
    feed_forward_bias: bool = False

    def problems(self) -> Iterator[str]:
        """What is wrong with this shape."""
        yield from super().problems()
        for name in ("heads", "key_value_heads", "head_dim", "feed_forward_width"):
            yield from below_one(name, getattr(self, name))
        if self.key_value_heads >= 1 and self.heads % self.key_value_heads:
            yield f"heads ({self.heads}) must be a multiple of key_value_heads ({self.key_value_heads})"
        if self.positions == "rotary" and self.head_dim % 2:
            yield f"head_dim must be even, since rotary positions turn pairs; found {self.head_dim}"
        if self.positions == "sinusoidal" and self.width % 2:
            yield f"width must be even, since sinusoidal positions are pairs of sine and cosine; found {self.width}"
        if self.windows and len(self.windows) != self.layers:
            yield f"windows must name one a layer ({self.layers}), or be empty; found {len(self.windows)}"
        if any(window < 0 for window in self.windows):
            yield f"a window must be 0 (all) or more tokens, found {min(self.windows)}"
        if self.rope_scaling is not None:
            yield from self.rope_scaling.problems()

    def window(self, layer: int) -> int:
        """How many tokens this layer looks back over; 0: all."""
        return self.windows[layer] if self.windows else 0
