"""How large a model is and what it costs: parameters, operations and bytes, from the shape alone.

A product of (m, k) and (k, n) counts 2·m·k·n operations; norms, activations and rotations are left out, as in PyTorch's
own counter, against which tests/models/test_count.py checks these formulas on the eager attention path.
"""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..tokens.spans import MEAN_LENGTH
from .architectures import build_empty
from .bidirectional import BidirectionalConfig
from .config import ModelConfig, TransformerConfig
from .convolutional import SPANS, ConvolutionalConfig
from .encoder import EncoderConfig
from .encoder_decoder import EncoderDecoderConfig
from .recurrent import RecurrentConfig


@dataclass(frozen=True)
class Count:
    """What one model weighs and one token costs.

    `matrix_parameters` are those that a product touches for every token: all but the embedding table and the norms.
    """

    parameters: int
    embedding_parameters: int
    matrix_parameters: int
    decoded_parameters: int  # those of `matrix_parameters` that a token to be written passes through
    attention_flops: int  # per token, forward, scores and mixing over the whole context
    head_parameters: int = 0  # those of `matrix_parameters` that only tokens to be predicted pass through
    head_share: float = 1.0  # how many of all tokens these are in training
    causal: bool = True

    @property
    def forward_flops(self) -> int:
        """Operations for one token forward, attending over the whole context."""
        return 2 * self.matrix_parameters + self.attention_flops

    @property
    def training_flops(self) -> int:
        """Operations for one token of training: forward, and twice that backward."""
        return 3 * (2 * self._trained_matrices + self.attention_flops)

    @property
    def needed_training_flops(self) -> int:
        """Operations for one token of training that are needed: half of the attention is masked by causality."""
        return 3 * (2 * self._trained_matrices + self.attention_flops // (2 if self.causal else 1))

    @property
    def _trained_matrices(self) -> int:
        """How many of the matrices' parameters a token of training touches on average."""
        return self.matrix_parameters - round((1 - self.head_share) * self.head_parameters)

    def decode_bytes(self, bytes_per_weight: float = 4.0) -> float:
        """Bytes of weights that must be read to decode one token alone (the state's bytes come on top)."""
        return self.decoded_parameters * bytes_per_weight


def count(config: ModelConfig, context: int | None = None, head_share: float = 1.0) -> Count:
    """Count a model at a context of `context` tokens (default: the longest it takes). `head_share`: see Count."""
    causal = not isinstance(config, EncoderConfig | BidirectionalConfig | ConvolutionalConfig)
    attention = attention_flops(config, context or config.context_length)
    parameters, embedding, matrices, head = _parameters(config)
    decoded = matrices - (_source_parameters(config) if isinstance(config, EncoderDecoderConfig) else 0)
    return Count(parameters, embedding, matrices, decoded, attention, head, head_share, causal)


def count_spans(config: EncoderDecoderConfig, share: float) -> Count:
    """Count an encoder–decoder for one token of a text from which `share` of the tokens is cut out in spans: what is left
    passes through the encoder, what is cut out through the decoder, each with the spans' marks."""
    text = config.context_length
    cut = round(share * text)
    marks = max(1, round(cut / MEAN_LENGTH))
    source, target = text - cut + marks, cut + marks + 1
    whole = count(config)
    encoder, decoder = config.halves
    of_source, of_target = whole.matrix_parameters - whole.decoded_parameters, whole.decoded_parameters
    matrices = (source * of_source + target * of_target) / text
    looked_up = encoder.layers * source**2 + decoder.layers * target * (target + source)
    attention = 4 * config.heads * config.head_dim * looked_up / text
    return dataclasses.replace(whole, matrix_parameters=round(matrices), attention_flops=round(attention), causal=False)


@functools.lru_cache(maxsize=256)
def _source_parameters(config: EncoderDecoderConfig) -> int:
    """Matrices that a token of the source passes through: the encoder's, and those of the keys and values of its memory."""
    looked_up = ("cross_attention.key.weight", "cross_attention.value.weight")
    return sum(
        parameter.numel()
        for name, parameter in build_empty(config).named_parameters()
        if parameter.dim() == 2 and is_matrix(name) and (name.startswith("encoder.") or name.endswith(looked_up))
    )


@functools.lru_cache(maxsize=256)
def _parameters(config: ModelConfig) -> tuple[int, int, int, int]:
    """All parameters, those of the embedding table, those that a product touches for every token, and those of them in the
    head; of the live modules."""
    model = build_empty(config)
    embedding = model.embedding.weight.numel()
    matrices = {name: p.numel() for name, p in model.named_parameters() if p.dim() == 2 and is_matrix(name)}
    head = 0 if model.head is None else model.head.weight.numel()
    inside = sum(size for name, size in matrices.items() if name.startswith("head."))
    return sum(p.numel() for p in model.parameters()), embedding, sum(matrices.values()) + head, head + inside


def of_weights(model: nn.Module) -> dict[str, Any]:
    """What a score says of the weights that it was made with: how many there are and, of packed ones, in which numbers."""
    packed = getattr(model, "packed", None)
    if packed is None:
        return {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    return {"parameters": count(model.config).parameters, "weights": packed.format}  # type: ignore[arg-type]


def is_matrix(name: str) -> bool:
    """Whether a parameter of this name belongs to a layer, also one in the head; else it is an embedding table, the head's
    last product, or a norm outside."""
    return "blocks." in name or name == "head.dense.weight"


@functools.singledispatch
def attention_flops(config: ModelConfig, context: int) -> int:
    """Operations for one token forward that depend on how far it looks back: scores and mixing."""
    raise NotImplementedError(type(config))


@attention_flops.register
def _(config: TransformerConfig, context: int) -> int:
    return config.layers * 4 * context * config.heads * config.head_dim


@attention_flops.register
def _(config: EncoderDecoderConfig, context: int) -> int:
    """For one token of a source and one of its target, both `context` long."""
    encoder, decoder = config.halves
    return (encoder.layers + 2 * decoder.layers) * 4 * context * config.heads * config.head_dim


@attention_flops.register
def _(config: RecurrentConfig | ConvolutionalConfig, context: int) -> int:
    return 0


@functools.singledispatch
def state_bytes(config: ModelConfig, length: int, bytes_per_value: int = 4) -> int:
    """Bytes that one sequence of `length` tokens keeps while decoding."""
    raise NotImplementedError(type(config))


@state_bytes.register
def _(config: TransformerConfig, length: int, bytes_per_value: int = 4) -> int:
    return 2 * config.layers * config.key_value_heads * config.head_dim * length * bytes_per_value


@state_bytes.register
def _(config: EncoderDecoderConfig, length: int, bytes_per_value: int = 4) -> int:
    """With the memory of a source that is as long."""
    _, decoder = config.halves
    return 4 * decoder.layers * config.key_value_heads * config.head_dim * length * bytes_per_value


@state_bytes.register
def _(config: EncoderConfig, length: int, bytes_per_value: int = 4) -> int:
    return 0  # it reads a text whole


@state_bytes.register
def _(config: RecurrentConfig, length: int, bytes_per_value: int = 4) -> int:
    return config.layers * config.cell_class.parts * config.width * bytes_per_value


@state_bytes.register
def _(config: BidirectionalConfig | ConvolutionalConfig, length: int, bytes_per_value: int = 4) -> int:
    return 0  # it reads a text whole


@functools.singledispatch
def activation_bytes(
    config: ModelConfig, context: int, dtype: str = "float32", eager: bool = False, dropout: bool = False
) -> int:
    """Bytes that one layer keeps of one token for its backward pass, at a context of `context` tokens.

    Counted from the layer's code, operation by operation; tests/models/test_count.py holds it to what autograd keeps.
    """
    raise NotImplementedError(type(config))


@activation_bytes.register
def _(config: TransformerConfig, context: int, dtype: str = "float32", eager: bool = False, dropout: bool = False) -> int:
    width, wide = config.width, config.feed_forward_width
    half = width + (4 if config.gated else 2) * wide  # in the format of the products: their inputs
    if dtype == "bfloat16" and config.gated:
        half += width  # each product casts its input anew
    if dropout:
        half += width
    feed_forward = _norm_bytes(config) + (2 if dtype == "bfloat16" else 4) * half
    attention = _attention_bytes(config, context, dtype, eager, dropout, config.positions == "rotary")
    return attention + feed_forward


def _norm_bytes(config: TransformerConfig) -> int:
    """A norm's input and scale (and mean), in float32."""
    return 4 * (config.width + (1 if config.norm == "rms" else 2))


def _attention_bytes(config: TransformerConfig, context: int, dtype: str, eager: bool, dropout: bool, turned: bool) -> int:
    """What attention with its norm keeps of a token, whether it looks at its own sequence or at another one. `turned`: its
    queries are, by rotary positions."""
    query, key = config.heads * config.head_dim, config.key_value_heads * config.head_dim
    grouped = config.heads != config.key_value_heads
    full = 0 if eager else config.heads  # float32: the log-sum-exp
    half = config.width + 2 * query + 2 * key  # in the format of the products: their inputs, and attention's
    if config.query_key_norm:
        full += config.heads + config.key_value_heads
        half += query + key
    if eager:
        half += config.heads * context + (2 * query - 2 * key if grouped else 0)  # the weights; keys and values for each head
    elif turned:
        half += query  # the fused kernel gives what it found in the queries' order, which turning them has changed
    if dtype == "bfloat16":
        half += 2 * config.width  # each product casts its input anew
    if dropout:
        half += config.width
    return _norm_bytes(config) + 4 * full + (2 if dtype == "bfloat16" else 4) * half


@activation_bytes.register
def _(config: EncoderDecoderConfig, context: int, dtype: str = "float32", eager: bool = False, dropout: bool = False) -> int:
    """One layer of the encoder with its share of the decoder's, for one token of a source and one of its target."""
    encoder, decoder = config.halves
    alike = activation_bytes.dispatch(TransformerConfig)(config, context, dtype, eager, dropout)
    cross = _attention_bytes(config, context, dtype, eager, dropout, turned=False)
    return alike + -(-decoder.layers * (alike + cross) // encoder.layers)


@activation_bytes.register
def _(config: ConvolutionalConfig, context: int, dtype: str = "float32", eager: bool = False, dropout: bool = False) -> int:
    return 4 * (sum(SPANS) * config.parts[-1] + sum(config.parts))  # each convolution's input, and what it gives


@activation_bytes.register
def _(config: RecurrentConfig, context: int, dtype: str = "float32", eager: bool = False, dropout: bool = False) -> int:
    # input, output, gates and what the kernel lays out beside them: torch's own loop for GRU and RNN, oneDNN's for LSTM
    kept = {"lstm": 18, "gru": 8, "rnn": 2}[config.cell]
    return 4 * config.width * (kept + 2 * dropout)
