"""The decoder: a causal language model, in every dialect that TransformerConfig can spell.

As it stands in its defaults it is exactly what `Qwen3ForCausalLM` of transformers holds, so that a trained folder loads there
without our code; so are the layouts of GPT-2, Llama, Mistral and Qwen2 (models/architectures.py).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .config import TransformerConfig
from .language_model import LanguageModel
from .loss import LossTerms
from .packed import PackedState
from .slots import KeyValueSlots
from .stack import TransformerStack
from .state import KeyValueState


@dataclass(frozen=True)
class DecoderConfig(TransformerConfig):
    """The shape of a decoder."""


class Decoder(LanguageModel, TransformerStack):
    """A causal language model: token ids (B, T) -> the distribution of each next token."""

    family, kind = "decoder", "a decoder"

    def __init__(self, config: DecoderConfig):
        super().__init__(config, causal=True)
        self.config: DecoderConfig = config
        self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    def new_state(self, rows: int) -> KeyValueState:
        """An empty memory for `rows` sequences, to be given to `forward` with each further piece of them."""
        config = self.config
        return KeyValueState(config.layers, rows, config.key_value_heads, config.head_dim, config.context_length)

    def new_slots(self, rows: int, length: int) -> KeyValueSlots:
        """Room for `rows` sequences of up to `length` tokens."""
        config = self.config
        shape = config.layers, rows, config.key_value_heads, config.head_dim, length
        return KeyValueSlots(*shape, self.dtype, self.device)

    def hidden(
        self,
        inputs: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        state: KeyValueState | PackedState | None = None,
        padding: Tensor | None = None,
    ) -> Tensor:
        """The normalised last hidden state, (B, T, D), of token ids (B, T).

        positions (B, T) default to 0, 1, … after what `state` holds; segments (B, T) keep attention inside documents.
        `padding` (B,) counts the tokens at the left of each row that aren't part of it; a state remembers it.
        """
        return self.read(inputs, positions, segments, state, padding)

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor | None = None,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        state: KeyValueState | PackedState | None = None,
        terms: LossTerms | None = None,
        padding: Tensor | None = None,
    ) -> Any:
        """Logits (B, T, V); or, with targets (B, T), the sum of their nats as a scalar, where -100 doesn't count.

        With `terms` a pair of scalars: the loss to be trained on, and the nats without these terms and without a gradient.
        """
        return self.scored(self.hidden(inputs, positions, segments, state, padding), targets, terms)

    @torch.no_grad()
    def token_nats(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """-log p of each target, (B, T) in nats, 0 where the target is -100."""
        return self.nats_of(self.hidden(inputs), targets)
