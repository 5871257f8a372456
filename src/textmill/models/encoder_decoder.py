"""The encoder–decoder: a source is read as a whole, then a target is written while looking it up (Vaswani et al. 2017).

The original, post-norm one is what `MarianMTModel` of transformers holds, a pre-norm one what `MBartForConditionalGeneration`
does (models/architectures.py). Sources are padded at the right; masks are made from their lengths.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .config import TransformerConfig, below_one
from .language_model import LanguageModel
from .loss import LossTerms
from .slots import EncoderDecoderSlots
from .stack import TransformerStack
from .state import EncoderDecoderState, memory_mask


@dataclass(frozen=True)
class EncoderDecoderConfig(TransformerConfig):
    """The shape of both halves: `layers` in the encoder, `decoder_layers` in the decoder (None: as many).

    `decoder_start` is what the decoder reads before the target's first token: padding, or the target's last token.
    """

    decoder_layers: int | None = None
    decoder_start: Literal["pad", "last"] = "pad"

    def problems(self) -> Iterator[str]:
        """What is wrong with this shape."""
        yield from super().problems()
        if self.decoder_layers is not None:
            yield from below_one("decoder_layers", self.decoder_layers)
        if any(self.windows):
            yield "an encoder–decoder has no layers with a window; found windows"

    def start_id(self, pad_id: int | None, last_id: int | None = None) -> int | None:
        """What the decoder reads first: padding, or the target's last token, which is `last_id` (None: each target's own)."""
        return pad_id if self.decoder_start == "pad" else last_id

    @property
    def halves(self) -> tuple[TransformerConfig, TransformerConfig]:
        """The shape of the encoder, and of the decoder."""
        return self, dataclasses.replace(self, layers=self.decoder_layers or self.layers)


class EncoderDecoder(LanguageModel):
    """Source ids (B, S) and the target's ids so far (B, T) -> the distribution of the target's next token."""

    family, kind = "encoder-decoder", "an encoder–decoder"

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.config: EncoderDecoderConfig = config
        first, second = config.halves
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.encoder = TransformerStack(first, causal=False, embedding=self.embedding)
        self.decoder = TransformerStack(second, causal=True, cross=True, embedding=self.embedding)
        self.head = nn.Linear(config.width, config.vocabulary_size)
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    def encode(self, source: Tensor, lengths: Tensor | None = None) -> EncoderDecoderState:
        """Read sources (B, S), of which the first `lengths` (B,) tokens are real; what is returned remembers them, and is
        given to `hidden` with each further piece of the targets."""
        config = self.config
        memory, _ = self._memory(source, lengths)
        state = EncoderDecoderState(
            len(self.decoder.blocks), len(source), config.key_value_heads, config.head_dim, config.context_length
        )
        blocks: Any = self.decoder.blocks
        kept = [block.cross_attention.keys_and_values(memory, None) for block in blocks]
        state.remember(kept, lengths if lengths is not None else torch.full_like(source[:, 0], source.size(1)))
        return state

    def new_slots(self, rows: int, length: int) -> EncoderDecoderSlots:
        """Room for `rows` sources and targets of up to `length` tokens each."""
        config = self.config
        shape = len(self.decoder.blocks), rows, config.key_value_heads, config.head_dim, length
        return EncoderDecoderSlots(*shape, self.dtype, self.device)

    def hidden(
        self,
        inputs: Tensor,
        source: Tensor | None = None,
        lengths: Tensor | None = None,
        state: EncoderDecoderState | None = None,
        padding: Tensor | None = None,
    ) -> Tensor:
        """The last hidden state, (B, T, D), of target ids (B, T), of `source` (B, S) or of the one that `state` remembers.

        `padding` (B,) counts the tokens at the left of each target that aren't part of it; a state remembers it.
        """
        if state is None:
            assert source is not None
            memory, mask = self._memory(source, lengths)
        else:
            memory, mask = None, state.memory_mask()
        return self.decoder.read(inputs, state=state, padding=padding, memory=memory, memory_mask=mask)

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor | None = None,
        source: Tensor | None = None,
        lengths: Tensor | None = None,
        state: EncoderDecoderState | None = None,
        terms: LossTerms | None = None,
        padding: Tensor | None = None,
    ) -> Any:
        """Logits (B, T, V) of what follows each of the target's inputs (B, T); or, with targets (B, T), the sum of their nats
        as a scalar, where -100 doesn't count.

        With `terms` a pair of scalars: the loss to be trained on, and the nats without these terms and without a gradient.
        """
        return self.scored(self.hidden(inputs, source, lengths, state, padding), targets, terms)

    @torch.no_grad()
    def token_nats(self, inputs: Tensor, targets: Tensor, source: Tensor, lengths: Tensor | None = None) -> Tensor:
        """-log p of each target, (B, T) in nats, 0 where the target is -100."""
        return self.nats_of(self.hidden(inputs, source, lengths), targets)

    def _memory(self, source: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the encoder makes of the sources, (B, S, D), and which places of it are real; None: all."""
        if lengths is None:
            return self.encoder.run(source), None
        mask = memory_mask(lengths, source.size(1))
        return self.encoder.run(source, real=mask[:, 0, 0]), mask
