"""Heads for tasks on any family's hidden states: a class or numbers for a whole text, a class for each token, a span of it.

A head gives outputs and, of targets, the sum of their loss and how many count; so micro-batching doesn't change the gradient.
Texts are padded at the right, and `lengths` (B,) says how many tokens of each are real.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..tokens.loader import IGNORED
from .bidirectional import Bidirectional, BidirectionalConfig
from .config import ModelConfig
from .convolutional import LOOKED_UP, ConvolutionalConfig, pooled
from .crf import Chain
from .decoder import DecoderConfig
from .encoder import Encoder, EncoderConfig, Transform
from .encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from .language_model import LanguageModel, TrainableModel
from .state import real_places


class Head(nn.Module):
    """`outputs` numbers of each state that it is given.

    Before them an encoder with norms before its layers has one more layer, as ModernBERT's classes do. `dropout` is that of
    what the last product is given, in training.
    """

    of_tokens: ClassVar[bool] = False  # whether there is a target for each token

    def __init__(self, config: ModelConfig, outputs: int, dropout: float = 0.0, bias: bool = True):
        super().__init__()
        self.sees_both_sides = isinstance(config, EncoderConfig | EncoderDecoderConfig | BidirectionalConfig)
        before = isinstance(config, EncoderConfig) and not config.post_norm
        self.transform = Transform(config) if before else nn.Identity()  # type: ignore[arg-type]
        self.drop = nn.Dropout(dropout)
        self.output = nn.Linear(config.width, outputs, bias=bias)

    def initialise(self, seed: int) -> None:
        """Fill the weights as a function of the seed alone: at first all outputs are 0, so that no class is preferred."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.startswith(("output.", "chain.")) or name.endswith("bias"):
                    parameter.zero_()
                elif parameter.dim() == 1:
                    parameter.fill_(1.0)
                else:
                    parameter.normal_(0.0, parameter.size(1) ** -0.5, generator=generator)

    def name_outputs(self, labels: Sequence[str]) -> None:
        """Learn what the outputs are called: of use to a head that tells labels together."""

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states (B, T, D) -> a tensor of outputs, whose shape each kind of head tells."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """The sum of the loss, a scalar. `weights` (outputs,) of the classes, and the share of a target that is spread evenly
        over all classes, where it chooses one of them."""
        raise NotImplementedError

    def count(self, targets: Tensor) -> int:
        """How many targets count."""
        return int((targets != IGNORED).sum())

    def outputs(self, states: Tensor) -> Tensor:
        """(…, D) -> (…, outputs)."""
        return self.output(self.drop(self.transform(states)))


class SequenceHead(Head):
    """One of `outputs` classes for each text: (B, outputs) logits, targets (B,), -100 doesn't count.

    What stands for a text is the first token where all tokens see all, through BERT's pooler in an encoder whose norms
    stand behind its layers; of a convolutional reader the largest or the sum of each feature; and else the last real token, the
    only one that has seen all. A decoder's has no bias, as in the stock classes.
    """

    def __init__(self, config: ModelConfig, outputs: int, dropout: float = 0.0):
        super().__init__(config, outputs, dropout, bias=not isinstance(config, DecoderConfig))
        behind = isinstance(config, EncoderConfig) and config.post_norm
        self.pooler = nn.Linear(config.width, config.width) if behind else None
        self.sees_phrases = isinstance(config, ConvolutionalConfig)

    def initialise(self, seed: int) -> None:
        """As all heads begin; but what a convolutional reader looks up is zero itself, and its weights are random."""
        super().initialise(seed)
        if self.sees_phrases:
            generator = torch.Generator().manual_seed(seed)
            looked_up = self.output.weight.data[:, -LOOKED_UP:]
            looked_up.normal_(0.0, LOOKED_UP**-0.5, generator=generator)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D) -> (B, outputs)."""
        if self.sees_phrases:
            states = pooled(hidden, lengths)
            kept = torch.cat([self.drop(states[:, :-LOOKED_UP]), states[:, -LOOKED_UP:]], dim=-1)
            return self.output(kept)
        places = torch.zeros_like(lengths) if self.sees_both_sides else lengths - 1
        states = hidden[torch.arange(len(hidden), device=hidden.device), places]  # (B, D)
        return self.outputs(states if self.pooler is None else torch.tanh(self.pooler(states)))

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy in nats."""
        return _cross_entropy(outputs, targets, weights, smoothing)


class MultiLabelHead(SequenceHead):
    """Any of `outputs` classes for each text: (B, outputs) logits, targets (B, outputs) of 0 and 1."""

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """Each class's own cross-entropy, yes or no, in nats."""
        targets = targets.float() * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs.float(), targets, weights, reduction="sum")

    def count(self, targets: Tensor) -> int:
        """Every yes and no counts."""
        return targets.numel()


class RegressionHead(SequenceHead):
    """`outputs` numbers for each text: (B, outputs), targets (B, outputs)."""

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """The squared error."""
        return F.mse_loss(outputs.float(), targets.float(), reduction="sum")

    def count(self, targets: Tensor) -> int:
        """Every number counts."""
        return targets.numel()


class TokenHead(Head):
    """One of `outputs` classes for each token: (B, T, outputs) logits, targets (B, T), -100 doesn't count."""

    of_tokens = True

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, outputs)."""
        return self.outputs(hidden)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """Cross-entropy in nats."""
        return _cross_entropy(outputs.flatten(0, 1), targets.flatten(), weights, smoothing)


class ChainHead(TokenHead):
    """A class for each token, told together by a CRF: emissions (B, T, outputs), targets (B, T); what is -100 isn't part of the
    chain. No class of transformers has such a head."""

    def __init__(self, config: ModelConfig, outputs: int, dropout: float = 0.0):
        super().__init__(config, outputs, dropout)
        self.chain = Chain(outputs)

    def name_outputs(self, labels: Sequence[str]) -> None:
        """What the scheme of these tags forbids is excluded."""
        self.chain.exclude(labels)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """-log p of the rows' whole paths in nats; there is neither a weight of a class nor smoothing for it (ValueError)."""
        if weights is not None or smoothing:
            raise ValueError("a CRF tells labels together: classes can't be weighed, nor targets be smoothed")
        return self.chain.nats(outputs.float(), targets, targets != IGNORED).sum()


class SpanHead(Head):
    """Where a span of the text begins, and its last token: (B, T, 2) logits, targets (B, 2), a row of -100 doesn't count."""

    def __init__(self, config: ModelConfig, outputs: int = 2, dropout: float = 0.0):
        super().__init__(config, outputs, dropout)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, 2), where padding can't be chosen."""
        padded = torch.arange(hidden.size(1), device=hidden.device) >= lengths[:, None]
        return self.outputs(hidden).masked_fill(padded[..., None], -torch.inf)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
        """The mean of both places' cross-entropies in nats, summed over the rows."""
        return F.cross_entropy(outputs.float(), targets, ignore_index=IGNORED, reduction="sum") / 2

    def count(self, targets: Tensor) -> int:
        """Rows whose span is known."""
        return int((targets != IGNORED).all(dim=-1).sum())


def _cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """The sum in nats of logits (N, classes) and targets (N,)."""
    return F.cross_entropy(outputs.float(), targets, weights, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)


HEADS: dict[str, type[Head]] = {
    "sequence": SequenceHead,
    "multi_label": MultiLabelHead,
    "regression": RegressionHead,
    "token": TokenHead,
    "chain": ChainHead,
    "span": SpanHead,
}


class TaskModel(TrainableModel):
    """A body's hidden states under a head; of an encoder–decoder those of the half that reads. An encoder's own pooler becomes
    the head's."""

    def __init__(self, body: LanguageModel, head: Head):
        super().__init__()
        self.body, self.head, self.config = body, head, body.config
        own, wanted = getattr(body, "pooler", None), getattr(head, "pooler", None)
        if own is not None and wanted is not None:
            wanted.load_state_dict(own.state_dict())

    def unread(self) -> Iterator[nn.Parameter]:
        """What of the body the head never sees: the half that writes, and what is above the last layer."""
        for name, parameter in self.body.named_parameters():  # a shared matrix has the table's name
            if name.startswith(("decoder.", "head.")):
                yield parameter

    def forward(self, inputs: Tensor, targets: Tensor | None = None, lengths: Tensor | None = None, **more: Any) -> Tensor:
        """Token ids (B, T) -> the head's outputs; or, with targets, the sum of their loss."""
        hidden = hidden_of_texts(self.body, inputs, lengths, **more)
        if lengths is None:
            lengths = torch.full((len(inputs),), inputs.size(1), device=inputs.device)
        outputs = self.head(hidden, lengths)
        return outputs if targets is None else self.head.loss(outputs, targets)


def hidden_of_texts(body: LanguageModel, inputs: Tensor, lengths: Tensor | None, **more: Any) -> Tensor:
    """(B, T, D) of whole texts (B, T), each of `lengths` (B,) tokens, or of all T with None. Padding stands behind a text,
    where only tokens that see both sides could look at it."""
    if isinstance(body, EncoderDecoder):
        return body.encoder.run(inputs, real=None if lengths is None else real_places(lengths, inputs.size(1)), **more)
    return body.hidden(inputs, **({"lengths": lengths} if isinstance(body, Encoder | Bidirectional) else {}), **more)
