"""Llama, Qwen2 and Qwen3 in a GGUF file, and Mistral, which llama.cpp holds as a Llama."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...errors import ModelError
from ...models.config import RopeScaling
from ...models.decoder import DecoderConfig
from ...models.rotary import rotary_frequencies
from ..layouts.decoders import DecoderLayout
from ..layouts.layout import Piece
from ..layouts.stock_config import LONGEST_CONTEXT
from .metadata import EMBEDDING, Metadata, size_settings
from .values import Value

# ours -> theirs, within one layer
NORMS = {"attention_norm": "attn_norm", "feed_forward_norm": "ffn_norm"}
ROTATED = {"attention.query": "attn_q", "attention.key": "attn_k"}
VALUE = {"attention.value": "attn_v"}
OUTPUT = {"attention.output": "attn_output"}
FEED_FORWARD = {"feed_forward.gate": "ffn_gate", "feed_forward.up": "ffn_up", "feed_forward.down": "ffn_down"}
HEAD_NORMS = {"attention.query_norm": "attn_q_norm", "attention.key_norm": "attn_k_norm"}
BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}  # of YaRN, with what both sides take them to be
SLOWING = "rope_freqs.weight"  # by how much each pair of dimensions is slowed, where the scaling is Llama 3.1's
# Of that scaling a file tells nothing but the slowing that comes out, so one of ours tells under this key what it comes of:
# factor, low and high frequency factor, original context. Else it can only be Llama 3.1's own.
TOLD = "rope.textmill_llama3_scaling"
LLAMA3 = [1.0, 4.0, 8192.0]


@dataclass(frozen=True)
class PairedPiece(Piece):
    """Rows that rotary positions turn in pairs, in each of so many `heads`: ours has all first ones, then all second ones, the
    file one pair after the other, as Llama was published."""

    heads: int = 1

    def join(self, tensors: Iterable[Tensor]) -> Tensor:
        """Ours -> theirs."""
        return self._reordered(super().join(tensors), 2, -1)

    def split(self, tensor: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
        """Theirs -> ours."""
        return super().split(self._reordered(tensor, -1, 2), shapes)

    def _reordered(self, tensor: Tensor, first: int, second: int) -> Tensor:
        parted = tensor.reshape(self.heads, first, second, *tensor.shape[1:])
        return parted.transpose(1, 2).reshape(tensor.shape)


class LlamaGguf(DecoderLayout):
    """`llama`: Llama and Mistral, each matrix with a bias or without."""

    model_type = "llama"
    embedding = EMBEDDING
    head = "output.weight"
    holds: ClassVar = {
        "rope_scaling": (),
        "query_key_value_bias": (False, True),
        "attention_output_bias": (False, True),
        "feed_forward_bias": (False, True),
    }
    paired: ClassVar = True

    def window_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """Why llama.cpp can't compute this shape's windows: it has none here. One as long as the context is none."""
        if narrow := [window for window in config.windows if 0 < window < config.context_length]:
            yield (
                f"some layers look back over {min(narrow)} tokens only, and {self.model_type} over all; a folder whose "
                f"config.json has max_position_embeddings = {min(narrow)} computes the same and can be written"
            )

    def further_reasons(self, config: DecoderConfig) -> Iterator[str]:
        """What can't be told setting by setting."""
        if config.activation != "silu":
            yield f"activation is {config.activation}, and {self.model_type} has silu"
        if config.rope_scaling is not None and config.rope_scaling.attention_factor is not None:
            yield f"YaRN's attention factor is {config.rope_scaling.attention_factor:g}, and llama.cpp's 0.1 · ln(factor) + 1"

    def pieces(self, config: DecoderConfig) -> list[Piece]:
        """Every tensor of the file."""
        pieces = [Piece(self.embedding, ("embedding.weight",)), Piece("output_norm.weight", ("norm.weight",))]
        if not config.tied_embeddings:
            pieces.append(Piece(self.head, ("head.weight",)))
        biased = {
            **(ROTATED | VALUE if config.query_key_value_bias else {}),
            **(OUTPUT if config.attention_output_bias else {}),
            **(FEED_FORWARD if config.feed_forward_bias else {}),
        }
        weights = NORMS | ROTATED | VALUE | OUTPUT | FEED_FORWARD | (HEAD_NORMS if config.query_key_norm else {})
        heads = {"attention.query": config.heads, "attention.key": config.key_value_heads} if self.paired else {}
        for layer in range(config.layers):
            for part, names in (("weight", weights), ("bias", biased)):
                for ours, theirs in names.items():
                    both = f"blk.{layer}.{theirs}.{part}", (f"blocks.{layer}.{ours}.{part}",)
                    pieces.append(PairedPiece(*both, heads=heads[ours]) if ours in heads else Piece(*both))
        return pieces

    def constants(self, config: DecoderConfig) -> dict[str, Tensor]:
        """What is slowed."""
        scaling = config.rope_scaling
        if scaling is None or scaling.kind != "llama3":
            return {}
        plain, slowed = (rotary_frequencies(config.head_dim, config.rope_theta, one) for one in (None, scaling))
        return {SLOWING: plain / slowed}

    def settings(self, config: DecoderConfig) -> dict[str, Value]:
        """The shape as the metadata spell it."""
        return {
            "vocab_size": config.vocabulary_size,
            **size_settings(config),
            "attention.head_count_kv": config.key_value_heads,
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
            "attention.layer_norm_rms_epsilon": config.norm_epsilon,
            "rope.dimension_count": config.head_dim,
            "rope.freq_base": config.rope_theta,
            **_scaling_settings(config.rope_scaling),
        }

    def shape_of(self, stock: Any) -> DecoderConfig:
        """Our shape."""
        metadata: Metadata = stock
        shapes, values = metadata.shapes, metadata
        width, heads = values.size("embedding_length"), values.size("attention.head_count")
        key_value_heads = values.size("attention.head_count_kv", heads)
        if heads % key_value_heads:
            values.wrong(f"attention.head_count ({heads}) must be a multiple of attention.head_count_kv ({key_value_heads})")
        head_dim = values.size("attention.key_length", max(width // heads, 1))
        if head_dim % 2:
            values.wrong(
                f"the heads must have an even number of dimensions, since rotary positions turn pairs; found {head_dim}"
            )
        values.must_be("attention.value_length", head_dim)
        values.must_be("rope.dimension_count", head_dim)
        values.must_be("expert_count", 0)
        values.must_be("expert_used_count", 0)
        values.must_be("vocab_size", metadata.rows(self.embedding))
        context = values.size("context_length", largest=LONGEST_CONTEXT)
        layers = values.size("block_count", largest=len(shapes))
        window = values.size("attention.sliding_window", context)  # of which llama.cpp knows nothing, but Mistral does
        found = {
            "vocabulary_size": metadata.rows(self.embedding),
            "context_length": context,
            "layers": layers,
            "width": width,
            "heads": heads,
            "key_value_heads": key_value_heads,
            "head_dim": head_dim,
            "feed_forward_width": values.size("feed_forward_length"),
            "tied_embeddings": self.head not in shapes,
            "rope_theta": values.number("rope.freq_base", 10_000.0),
            "norm_epsilon": values.number("attention.layer_norm_rms_epsilon"),
            "query_key_value_bias": "blk.0.attn_q.bias" in shapes,
            "attention_output_bias": "blk.0.attn_output.bias" in shapes,
            "feed_forward_bias": "blk.0.ffn_up.bias" in shapes,
            "windows": (window,) * layers if window < context else (),
            "rope_scaling": _scaling_of(metadata, context),
        }
        metadata.check()
        config = DecoderConfig(**{**self.fixed(), **found})
        return self._slowed(config, metadata) if SLOWING in shapes else config

    def _slowed(self, config: DecoderConfig, metadata: Metadata) -> DecoderConfig:
        """The shape with the scaling of which the factors in SLOWING come. Raises ModelError where they come of none that is
        held."""
        factors, told = metadata.tensor(SLOWING), metadata.values.get(TOLD)
        if config.rope_scaling is not None:
            raise ModelError(f"{SLOWING} slows rotary positions that are slowed already, which isn't held")
        numbers = [round(factors.max().item(), 3), *LLAMA3]
        if isinstance(told, np.ndarray) and told.shape == (4,) and np.isfinite(told).all():
            numbers = told.tolist()
        factor, low, high, original = numbers
        try:
            scaling = RopeScaling("llama3", factor, int(original), low, high)
            changed = DecoderConfig(**{**vars(config), "rope_scaling": scaling})
        except ModelError as error:
            raise ModelError(*(f"{SLOWING}: {problem}" for problem in error.problems)) from error
        expected = self.constants(changed)[SLOWING]
        if expected.shape != factors.shape or not torch.allclose(expected, factors, rtol=1e-4):
            raise ModelError(f"{SLOWING} slows rotary positions otherwise than Llama 3.1 does, which isn't held")
        return changed


class Qwen2Gguf(LlamaGguf):
    """`qwen2`: queries, keys and values have a bias."""

    model_type = "qwen2"
    holds: ClassVar = {"rope_scaling": (), "query_key_value_bias": (True,)}
    paired: ClassVar = False


class Qwen3Gguf(LlamaGguf):
    """`qwen3`: queries and keys are normalised."""

    model_type = "qwen3"
    holds: ClassVar = {"rope_scaling": (), "query_key_norm": (True,)}
    paired: ClassVar = False


def _scaling_settings(scaling: RopeScaling | None) -> dict[str, Value]:
    if scaling is None:
        return {}
    if scaling.kind == "llama3":
        told = [scaling.factor, scaling.low_frequency_factor, scaling.high_frequency_factor, scaling.original_context]
        return {TOLD: [float(number) for number in told]}
    settings: dict[str, Value] = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": scaling.factor}
    if scaling.kind == "yarn":
        settings["rope.scaling.original_context_length"] = scaling.original_context
        settings |= {f"rope.scaling.yarn_{name}": float(getattr(scaling, name)) for name in BETAS}
    return settings


def _scaling_of(metadata: Metadata, context: int) -> RopeScaling | None:
    kinds = {"none": None, "linear": "linear", "yarn": "yarn"}
    kind = metadata.one_of("rope.scaling.type", kinds, "none")
    metadata.given("rope.scaling.finetuned")  # which changes nothing
    if metadata.given(TOLD) is not None and SLOWING not in metadata.shapes:
        metadata.wrong(f"{TOLD} is told, and there is no {SLOWING}")
    original = metadata.size("rope.scaling.original_context_length", context, LONGEST_CONTEXT)
    metadata.must_be("rope.scaling.attn_factor", 1.0)
    if kind is None:
        metadata.must_be("rope.scaling.factor", 1.0)
        return None
    factor = metadata.number("rope.scaling.factor")
    betas = {name: metadata.number(f"rope.scaling.yarn_{name}", usual) for name, usual in BETAS.items()}
    if factor < 1:
        metadata.wrong(f"rope.scaling.factor must be at least 1, found {factor:g}")
        return None
    return RopeScaling("linear", factor) if kind == "linear" else RopeScaling("yarn", factor, original, **betas)
