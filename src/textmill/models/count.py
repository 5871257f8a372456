"""How large a model is and what it costs: parameters, operations and bytes, from the configuration alone.

A product of (m, k) and (k, n) counts 2·m·k·n operations; norms, activations and rotations are left out, as in PyTorch's
own counter, against which tests/models/test_count.py checks these formulas on the eager attention path.
"""

from dataclasses import dataclass

from .decoder import DecoderConfig


@dataclass(frozen=True)
class Count:
    """What one model weighs and one token costs.

    `matrix_parameters` are those that a product touches for every token: all but the embedding table and the norms.
    """

    parameters: int
    embedding_parameters: int
    matrix_parameters: int
    attention_flops: int  # per token, forward, scores and mixing over the whole context

    @property
    def forward_flops(self) -> int:
        """Operations for one token forward, attending over the whole context."""
        return 2 * self.matrix_parameters + self.attention_flops

    @property
    def training_flops(self) -> int:
        """Operations for one token of training: forward, and twice that backward."""
        return 3 * self.forward_flops

    @property
    def needed_training_flops(self) -> int:
        """Operations for one token of training that are needed: half of the attention is masked by causality."""
        return 3 * (2 * self.matrix_parameters + self.attention_flops // 2)

    def decode_bytes(self, bytes_per_weight: float = 4.0) -> float:
        """Bytes of weights that must be read to decode one token alone (the state's bytes come on top)."""
        return self.matrix_parameters * bytes_per_weight


def count(config: DecoderConfig, context: int | None = None) -> Count:
    """Count a decoder at a context of `context` tokens (default: the longest it takes)."""
    context = context or config.context_length
    query_width, key_width = config.heads * config.head_dim, config.key_value_heads * config.head_dim
    attention = config.width * (2 * query_width + 2 * key_width)
    feed_forward = 3 * config.width * config.feed_forward_width
    norms = config.layers * (2 * config.width + 2 * config.head_dim) + config.width
    embedding = config.vocabulary_size * config.width
    matrices = config.layers * (attention + feed_forward) + embedding  # the head is a product, tied or not
    return Count(
        parameters=matrices + norms + (0 if config.tied_embeddings else embedding),
        embedding_parameters=embedding,
        matrix_parameters=matrices,
        attention_flops=config.layers * 4 * context * query_width,
    )


def state_bytes(config: DecoderConfig, length: int, bytes_per_value: int = 4) -> int:
    """Bytes of keys and values that one sequence of `length` tokens keeps while decoding."""
    return 2 * config.layers * config.key_value_heads * config.head_dim * length * bytes_per_value


def activation_bytes(
    config: DecoderConfig, context: int, dtype: str = "float32", eager: bool = False, dropout: bool = False
) -> int:
    """Bytes that one layer keeps of one token for its backward pass, at a context of `context` tokens.

    Counted from the layer's code, operation by operation; tests/models/test_count.py holds it to what autograd keeps.
    """
    width, wide = config.width, config.feed_forward_width
    query, key = config.heads * config.head_dim, config.key_value_heads * config.head_dim
    full = 2 * width + 2 + 2 * config.heads + config.key_value_heads  # both norms' inputs; scales and log-sum-exp: float32
    half = 2 * width + 4 * query + 3 * key + 4 * wide  # in the format of the products
    if eager:
        half += query - 2 * key + config.heads * context  # keys and values repeated for each head, and the weights
        full -= config.heads
    if dtype == "bfloat16":
        half += 3 * width  # each product casts its input anew
    if dropout:
        half += 2 * width
    return 4 * full + (2 if dtype == "bfloat16" else 4) * half
