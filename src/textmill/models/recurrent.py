"""The recurrent language models: LSTM (Hochreiter & Schmidhuber 1997), GRU (Cho et al. 2014) and plain RNN (Elman 1990).

Embedding, layers of one width, head: the simplest shape whose embedding and head can be one matrix. What a layer remembers
is as large as what it passes on, whatever the length of the text; so a text is read on and on, and only training cuts it.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.utils.checkpoint import checkpoint

from .config import ModelConfig
from .language_model import LanguageModel
from .loss import LossTerms
from .recurrent_state import RecurrentState
from .slots import RecurrentSlots


@dataclass(frozen=True)
class RecurrentConfig(ModelConfig):
    """The shape of a recurrent model. `context_length` is that of back-propagation; reading and writing go beyond it."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"

    @property
    def cell_class(self) -> type["Cell"]:
        """What each layer is."""
        return CELLS[self.cell]


class VariationalDropout(nn.Dropout):
    """Zeroes the same share of features at every step of a row: one mask a row (Gal & Ghahramani 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        if not self.training or not self.p:
            return x
        return x * dropout(x.new_ones(len(x), 1, x.size(2)), self.p)


class Cell(nn.Module):
    """x_t and what was remembered of t - 1 -> the hidden vector h_t, by torch's fused kernels, in torch's layout of weights.

    `weight_dropout` zeroes a share of the hidden-to-hidden weights, the same at every step (DropConnect; Merity et al. 2018).
    `inputs`: how wide x_t is, where it isn't as wide as h_t.
    """

    kernel: ClassVar[Callable[..., tuple[Tensor, ...]]]
    gates: ClassVar[int]  # products of x_t, and of h_{t-1}, whose matrices stand one below another
    parts: ClassVar[int] = 1  # vectors that are remembered: the hidden one and, in an LSTM, the cell's

    def __init__(self, width: int, inputs: int | None = None):
        super().__init__()
        self.input_weight = nn.Parameter(torch.empty(self.gates * width, inputs or width))
        self.hidden_weight = nn.Parameter(torch.empty(self.gates * width, width))
        self.input_bias = nn.Parameter(torch.empty(self.gates * width))
        self.hidden_bias = nn.Parameter(torch.empty(self.gates * width))
        self.weight_dropout = 0.0

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, inputs), `before` (B, P, D) -> (B, T, D), and what is remembered after it, (B, P, D)."""
        hidden_weight = dropout(self.hidden_weight, self.weight_dropout, self.training)
        remembered = [part.contiguous() for part in before.movedim(1, 0)[:, None]]  # each (1, B, D)
        output, *after = type(self).kernel(
            x,
            remembered if len(remembered) > 1 else remembered[0],
            [self.input_weight, hidden_weight, self.input_bias, self.hidden_bias],
            True,  # has biases
            1,  # layers
            0.0,  # dropout between them
            self.training,
            False,  # bidirectional
            True,  # batch first
        )
        return output, torch.cat(after).movedim(0, 1).to(before.dtype)


class LSTM(Cell):
    """Hochreiter & Schmidhuber 1997, with forget gates (Gers et al. 2000)."""

    kernel, gates, parts = torch.lstm, 4, 2
    forget_gate = 1  # the second of the four


class GRU(Cell):
    """Cho et al. 2014, as cuDNN computes it."""

    kernel, gates = torch.gru, 3


class RNN(Cell):
    """tanh of a sum of two products (Elman 1990)."""

    kernel, gates = torch.rnn_tanh, 1


CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}


class RecurrentBlock(nn.Module):
    """One layer."""

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        self.cell = config.cell_class(config.width)
        self.residual = VariationalDropout(0.0)  # what is passed on; named for the hook point

    def forward(self, x: Tensor, before: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B, T, D), `before` (B, P, D) -> (B, T, D), and what is remembered after it, (B, P, D).

        `padding` (B,): tokens at the left of each row that change nothing, and come out as zeros.
        """
        if padding is None:
            output, after = self.cell(x, before)
            return self.residual(output), after
        starts = [*padding.unique().clamp(max=x.size(1)).tolist(), x.size(1)]
        output, after = x.new_zeros(x.shape), before.clone()
        for start, end in itertools.pairwise(starts):  # a stretch in which no row begins
            if start < end:
                begun = padding <= start
                output[begun, start:end], after[begun] = self.cell(x[begun, start:end], after[begun])
        return self.residual(output), after

    def initialise(self, generator: torch.Generator) -> None:
        """See `initialise_cell`."""
        initialise_cell(self.cell, generator)


def initialise_cell(cell: Cell, generator: torch.Generator) -> None:
    """Orthogonal hidden-to-hidden matrices, gate by gate (Saxe et al. 2014); forget gates are open at first, by a bias of
    1, so that an LSTM begins by remembering (Jozefowicz et al. 2015)."""
    with torch.no_grad():
        for gate in cell.hidden_weight.chunk(cell.gates):
            nn.init.orthogonal_(gate, generator=generator)
        if isinstance(cell, LSTM):
            cell.input_bias.view(LSTM.gates, -1)[LSTM.forget_gate] = 1.0


class Recurrent(LanguageModel):
    """A causal language model: token ids (B, T) -> the distribution of each next token."""

    family, kind = "recurrent", "a recurrent model"
    embedding_spread = 1.0  # no norm stands between the table and the first layer

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        self.config: RecurrentConfig = config
        self.recompute = False
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.drop = VariationalDropout(0.0)
        self.blocks = nn.ModuleList(RecurrentBlock(config) for _ in range(config.layers))
        self.norm = nn.Identity()
        self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    def initialise(self, seed: int) -> None:
        """Fill the weights as a function of the seed alone."""
        super().initialise(seed)
        generator = torch.Generator().manual_seed(seed)
        for block in self.blocks:
            assert isinstance(block, RecurrentBlock)
            block.initialise(generator)

    @property
    def context_limit(self) -> None:
        """None: it reads on and on."""
        return None

    def new_state(self, rows: int) -> RecurrentState:
        """The memory of `rows` sequences that have read nothing."""
        shape = rows, self.config.layers, self.config.cell_class.parts, self.config.width
        return RecurrentState(torch.zeros(shape, device=self.device))

    def new_slots(self, rows: int, length: int) -> RecurrentSlots:
        """Room for `rows` sequences, of any length."""
        return RecurrentSlots(self.new_state(rows).values)

    def carried(self, carry: Tensor | None, continues: Tensor) -> RecurrentState:
        """The state in which the rows of a batch begin: `carry` (B, L, P, D) where `continues` (B,) says so, else nothing."""
        state = self.new_state(len(continues))
        if carry is not None:
            state.values = torch.where(continues[:, None, None, None], carry, state.values)
        return state

    def hidden(self, inputs: Tensor, state: RecurrentState | None = None, padding: Tensor | None = None) -> Tensor:
        """The last layer's output, (B, T, D), of token ids (B, T), going on from `state`.

        `padding` (B,) counts the tokens at the left of each row that aren't part of it, those that `state` has read included.
        """
        state = state or self.new_state(len(inputs))
        if padding is not None:
            padding = (padding - state.length).clamp(min=0)
        x, after = self.drop(self.embedding(inputs)), []
        recompute = self.recompute and torch.is_grad_enabled()
        for layer, block in enumerate(self.blocks):
            arguments = x, state.values[:, layer], padding
            x, remembered = checkpoint(block, *arguments, use_reentrant=False) if recompute else block(*arguments)
            after.append(remembered)
        state.advance(torch.stack(after, dim=1), inputs.size(1))
        return self.norm(x)

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor | None = None,
        state: RecurrentState | None = None,
        terms: LossTerms | None = None,
        padding: Tensor | None = None,
    ) -> Any:
        """Logits (B, T, V); or, with targets (B, T), the sum of their nats as a scalar, where -100 doesn't count.

        With `terms` a pair of scalars: the loss to be trained on, and the nats without these terms and without a gradient.
        """
        return self.scored(self.hidden(inputs, state, padding), targets, terms)

    @torch.no_grad()
    def token_nats(self, inputs: Tensor, targets: Tensor, state: RecurrentState | None = None) -> Tensor:
        """-log p of each target, (B, T) in nats, 0 where the target is -100, going on from `state`."""
        return self.nats_of(self.hidden(inputs, state), targets)
