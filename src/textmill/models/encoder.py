"""The encoder: each token sees the whole text, and masked ones are to be guessed (Devlin et al. 2019).

In the shapes that models/architectures.py names it is exactly what `BertForMaskedLM` and `ModernBertForMaskedLM` of
transformers hold.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..tokens.loader import IGNORED
from .block import ACTIVATIONS
from .config import TransformerConfig
from .language_model import LanguageModel
from .loss import LossTerms
from .normalization import make_norm
from .stack import TransformerStack
from .state import real_places


@dataclass(frozen=True)
class EncoderConfig(TransformerConfig):
    """The shape of an encoder.

    `token_types`: kinds of text that a token may belong to, such as question and passage; 0: they aren't told apart.
    `masked_head`: whether it can guess masked tokens, else it gives hidden states alone. `pooler`: whether the first token's
    last hidden state passes through one more layer, for tasks on whole texts.
    """

    token_types: int = 0
    masked_head: bool = True
    masked_head_bias: bool = True
    pooler: bool = False


class Transform(nn.Module):
    """The layer before a head's last product."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.dense = nn.Linear(config.width, config.width, bias=config.masked_head_bias)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = make_norm(config.width, config.norm, config.norm_epsilon, config.norm_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return self.norm(self.activation(self.dense(hidden)))


class MaskedHead(Transform):
    """Hidden states -> logits: one more layer, then the product with the embedding table, and a bias for each token."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.output = nn.Linear(config.width, config.vocabulary_size)

    @property
    def weight(self) -> Tensor:
        """(V, D): what the last product multiplies by."""
        return self.output.weight

    @property
    def bias(self) -> Tensor:
        """(V,): what it adds."""
        return self.output.bias

    def transformed(self, hidden: Tensor) -> Tensor:
        """What the last product is given: (…, D) -> (…, D)."""
        return super().forward(hidden)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, D) -> (…, V)."""
        return self.output(self.transformed(hidden))


class Encoder(LanguageModel, TransformerStack):
    """A masked language model: token ids (B, T) -> the distribution of the token at each place, seen from both sides.

    `lengths` (B,) says how many tokens of each row are real; what stands behind them is padding. `token_types` (B, T)
    default to 0.
    """

    family, kind = "encoder", "an encoder"
    writes = False

    def __init__(self, config: EncoderConfig):
        super().__init__(config, causal=False)
        self.config: EncoderConfig = config
        if config.token_types:
            self.token_type_embedding = nn.Embedding(config.token_types, config.width)
        self.pooler = nn.Linear(config.width, config.width) if config.pooler else None
        self.head = MaskedHead(config) if config.masked_head else None
        if self.head is not None and config.tied_embeddings:
            self.head.output.weight = self.embedding.weight

    def hidden(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        lengths: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """The last hidden state, (B, T, D), of token ids (B, T). segments (B, T) keep attention inside documents."""
        real = None
        # A traced graph has to mask always, since it can't ask.
        if lengths is not None and (torch.compiler.is_exporting() or bool((lengths < inputs.size(1)).any())):
            real = real_places(lengths, inputs.size(1))
        added = None
        if self.config.token_types:
            added = self.token_type_embedding(torch.zeros_like(inputs) if token_types is None else token_types)
        return self.run(inputs, positions, segments, real=real, added=added)

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor | None = None,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        terms: LossTerms | None = None,
        lengths: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Any:
        """Logits (B, T, V), or hidden states where it has no head; or, with targets (B, T), the sum of their nats as a
        scalar, where -100 doesn't count. Only what counts passes through the head.

        With `terms` a pair of scalars: the loss to be trained on, and the nats without these terms and without a gradient.
        """
        hidden = self.hidden(inputs, positions, segments, lengths, token_types)
        if self.head is None:
            return hidden
        if targets is None:
            return self.head(hidden)
        counted = targets != IGNORED
        return self.scored(self.head.transformed(hidden[counted]), targets[counted], terms)
