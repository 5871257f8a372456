"""The `[model]` section of a recipe, and the named sizes to start from."""

import dataclasses
from typing import Annotated, Any

from pydantic import Field

from ..errors import RecipeError, nearest
from ..settings import Settings
from .architectures import ARCHITECTURES, Architecture
from .bidirectional import BidirectionalConfig
from .config import ModelConfig, Positions
from .convolutional import LOOKED_UP, SPANS, ConvolutionalConfig
from .decoder import DecoderConfig
from .encoder_decoder import EncoderDecoderConfig
from .recurrent import CELLS, RecurrentConfig

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

SHORT_TIME = 120.0
"""Seconds of training below which what a recipe leaves open of the size is SHORT_SIZE: a larger model, or one that reads longer
rows, takes too few steps in them (docs/experiments.md)."""
SHORT_SIZE: dict[str, Any] = {"preset": "0.5m", "context_length": 64}


def preset_sizes(name: str, kind: type[Any] = DecoderConfig, gated: bool = True) -> dict[str, int]:
    """The sizes that a preset stands for, by the names of the shape's fields. Of two halves each has so many layers; only
    decoders with a gate share keys and values between heads: no stock class of others does."""
    layers, width, head_dim, share = PRESETS[name]
    heads = max(1, width // head_dim)
    if kind is EncoderDecoderConfig:  # a layer has 12 widths squared, and 4 more where it looks a memory up
        layers = max(1, round(layers * 12 / (12 + 16)))
    if kind is not DecoderConfig or not gated:
        share = 1.0
    return {
        "layers": layers,
        "width": width,
        "heads": heads,
        "key_value_heads": max(1, round(heads * share)),
        "head_dim": head_dim,
        "feed_forward_width": feed_forward_width(width, gated),
    }


def recurrent_sizes(name: str, cell: str) -> dict[str, int]:
    """The same for a recurrent model: two layers, four from 60 M parameters up, and the multiple of 64 as width that comes
    nearest to that number of parameters."""
    parameters = float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]]
    layers = 2 if parameters < 60e6 else 4
    width = (parameters / (layers * CELLS[cell].gates * 2)) ** 0.5
    return {"layers": layers, "width": 64 * max(1, round(width / 64))}


def feed_forward_width(width: int, gated: bool) -> int:
    """As many weights with a gate as without one: 8/3 of the width, rounded up to a multiple of 64, or 4 times the width."""
    return -(-width * 8 // 3 // 64) * 64 if gated else 4 * width


def tiled(pattern: tuple[int, ...], layers: int) -> tuple[int, ...]:
    """A pattern of windows, over and over, for so many layers."""
    return tuple(pattern[layer % len(pattern)] for layer in range(layers)) if pattern else ()


def resized(config: Any, preset: str) -> Any:
    """A shape of the same architecture, as large as `preset` names."""
    if isinstance(config, RecurrentConfig):
        sizes = recurrent_sizes(preset, config.cell)
    else:
        sizes = preset_sizes(preset, type(config), config.gated)
    fields = {field.name for field in dataclasses.fields(config)}
    changes: dict[str, Any] = {name: size for name, size in sizes.items() if name in fields}
    if "windows" in fields:
        changes["windows"] = tiled(config.windows, sizes["layers"])
    if isinstance(config, EncoderDecoderConfig):
        changes["decoder_layers"] = None
    return dataclasses.replace(config, **changes)


class ModelSettings(Settings):
    """The model's shape: a preset, and what differs from it."""

    architecture: str = "qwen3"
    """Which model: qwen3, qwen2, llama, mistral or gpt2 (decoders); bert or modernbert (encoders); marian or mbart
    (encoder–decoders, post-norm and pre-norm); lstm, gru or rnn (recurrent); for tasks alone bilstm or bigru, which read from
    both sides, or cnn, which reads phrases. The preset says how large it is."""

    preset: str = "3m"
    """Named size to start from: 0.5m, 1m, 3m, 5m, 12m, 30m, 60m, 85m, 300m, 500m or 1b (parameters in the layers). Left out
    where train.time is below 2m: 0.5m."""

    context_length: Annotated[int, Field(ge=8)] = 256
    """Tokens that the model can look back over, 8 or more. Short contexts train faster; 256 are some 200 words. A recurrent
    model reads on and on: here it is how far back it learns from. Left out where train.time is below 2m: 64."""

    layers: Annotated[int, Field(ge=1)] | None = None
    """Number of layers, in each half of an encoder–decoder; default: the preset's."""

    decoder_layers: Annotated[int, Field(ge=1)] | None = None
    """Encoder–decoders: layers of the decoder, where it has another number than the encoder. Few make writing cheap."""

    width: Annotated[int, Field(ge=1)] | None = None
    """Width of the residual stream; default: the preset's. Best a multiple of 64."""

    heads: Annotated[int, Field(ge=1)] | None = None
    """Attention heads; default: width / head_dim."""

    key_value_heads: Annotated[int, Field(ge=1)] | None = None
    """Heads of keys and values, a divisor of heads; fewer make decoding cheaper. Default: the preset's share."""

    head_dim: Annotated[int, Field(ge=2)] | None = None
    """Dimensions of a head, even; default: the preset's."""

    feed_forward_width: Annotated[int, Field(ge=1)] | None = None
    """Inner width of the feed-forward layers; default: 8/3 of the width, rounded up to a multiple of 64, and 4 times the
    width where they have no gate (gpt2, bert, marian, mbart)."""

    tied_embeddings: bool | None = None
    """Use one matrix as embedding table and as head. Saves memory; at small sizes untied ones learn faster. Default: the
    architecture's, which is true for gpt2 alone of the decoders, for encoders and for encoder–decoders."""

    positions: Positions | None = None
    """How a decoder is told where a token stands; default: the architecture's, rotary or (gpt2) learned. Few combinations have
    a stock class."""

    sliding_window: Annotated[int, Field(ge=1)] | None = None
    """Tokens that each layer looks back over, its own included; default: all. A short one makes long contexts cheap. In
    modernbert two of three layers have one, half of it to either side; default there: 128."""

    rope_theta: Annotated[float, Field(gt=1)] | None = None
    """Base of the rotary positions' wavelengths; raise it for contexts of many thousand tokens. Default: the architecture's,
    10,000 or (modernbert, in layers that see all) 160,000."""

    pair_rows: Annotated[int, Field(ge=0)] = 0
    """With bilstm and bigru: vectors of a table in which a token's pairs with its neighbours are looked up, by a hash; 0: they
    aren't. Chinese characters gain from some thousands. With cnn of a token's pairs with the one before; 0: 131,072."""

    def for_time(self, seconds: float) -> "ModelSettings":
        """The same with a size that fits so short a training, in what the recipe doesn't say."""
        if seconds >= SHORT_TIME:
            return self
        return self.model_copy(update={name: value for name, value in SHORT_SIZE.items() if name not in self.model_fields_set})

    @property
    def family(self) -> str:
        """decoder, encoder, …: which class of models the architecture belongs to. Raises RecipeError for an unknown one."""
        return self._architecture().family

    def config(self, vocabulary_size: int) -> ModelConfig:
        """The whole shape, for a vocabulary of that size. Raises RecipeError or ModelError where it doesn't fit together."""
        architecture = self._architecture()
        if self.preset not in PRESETS:
            raise RecipeError(
                f"model.preset: {self.preset!r} is unknown{nearest(self.preset, PRESETS)}; write one of {', '.join(PRESETS)}"
            )
        if self.decoder_layers is not None and architecture.config is not EncoderDecoderConfig:
            raise RecipeError(f"model.decoder_layers: {self.architecture} has one stack of layers; write model.layers instead")
        if issubclass(architecture.config, RecurrentConfig):
            return self._recurrent_config(vocabulary_size, architecture)
        if architecture.config is ConvolutionalConfig:
            return self._convolutional_config(vocabulary_size)
        gated = architecture.differs.get("gated", True)
        sizes = preset_sizes(self.preset, architecture.config, gated)
        layers, width, head_dim = (
            self.layers or sizes["layers"],
            self.width or sizes["width"],
            self.head_dim or sizes["head_dim"],
        )
        heads = self.heads or max(1, width // head_dim)
        share = sizes["key_value_heads"] / sizes["heads"]
        chosen = {
            "decoder_layers": self.decoder_layers,
            "tied_embeddings": self.tied_embeddings,
            "positions": self.positions,
            "windows": self._windows(architecture, layers),
            "rope_theta": self.rope_theta,
        }
        return architecture.config(
            **{
                **architecture.differs,
                "vocabulary_size": vocabulary_size,
                "context_length": self.context_length,
                "layers": layers,
                "width": width,
                "heads": heads,
                "key_value_heads": self.key_value_heads or max(1, round(heads * share)),
                "head_dim": head_dim,
                "feed_forward_width": self.feed_forward_width or feed_forward_width(width, gated),
                **{name: value for name, value in chosen.items() if value is not None},
            }
        )

    def _windows(self, architecture: Architecture, layers: int) -> tuple[int, ...]:
        """What each layer sees: the architecture's pattern, and `sliding_window` in the layers that have one."""
        pattern = architecture.differs.get("windows", ())
        if self.sliding_window is not None:
            pattern = tuple(self.sliding_window if window else 0 for window in pattern or (1,))
        windows = tiled(pattern, layers)
        return windows if any(windows) else ()

    def _recurrent_config(self, vocabulary_size: int, architecture: Architecture) -> RecurrentConfig:
        """Raises RecipeError for keys that say something of attention."""
        used = {"architecture", "preset", "context_length", "layers", "width", "tied_embeddings"}
        if architecture.config is BidirectionalConfig:
            used = used - {"tied_embeddings"} | {"pair_rows"}
        self._refuse_foreign(used)
        sizes = recurrent_sizes(self.preset, architecture.differs["cell"])
        return architecture.config(
            vocabulary_size=vocabulary_size,
            context_length=self.context_length,
            layers=self.layers or sizes["layers"],
            width=self.width or sizes["width"],
            tied_embeddings=bool(self.tied_embeddings),
            **({"pair_rows": self.pair_rows} if "pair_rows" in used else {}),
            **architecture.differs,
        )

    def _convolutional_config(self, vocabulary_size: int) -> ConvolutionalConfig:
        """Raises RecipeError for keys that say something of other layers."""
        self._refuse_foreign({"architecture", "preset", "context_length", "layers", "width", "pair_rows"})
        return ConvolutionalConfig(
            vocabulary_size=vocabulary_size,
            context_length=self.context_length,
            layers=self.layers or 1,
            width=self.width or len(SPANS) * PRESETS[self.preset][1] + LOOKED_UP,
            pair_rows=self.pair_rows or ConvolutionalConfig.pair_rows,
        )

    def _refuse_foreign(self, used: set[str]) -> None:
        """Raise RecipeError for keys beside `used` ones."""
        foreign = [
            name for name, field in type(self).model_fields.items() if name not in used and getattr(self, name) != field.default
        ]
        if foreign:
            raise RecipeError(*(f"model.{name}: {self.architecture} has no such part; leave it out" for name in foreign))

    def _architecture(self) -> Architecture:
        if self.architecture not in ARCHITECTURES:
            raise RecipeError(
                f"model.architecture: {self.architecture!r} is unknown{nearest(self.architecture, ARCHITECTURES)}; "
                f"write one of {', '.join(ARCHITECTURES)}"
            )
        return ARCHITECTURES[self.architecture]
