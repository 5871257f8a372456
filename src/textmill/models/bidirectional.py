"""The recurrent reader: each layer reads a text from its beginning and from its end, and passes on what both have seen of each
token (Graves & Schmidhuber 2005). It writes no text: it is the body of models for tasks.

Beside a token its pairs with both neighbours may be looked up, by a hash, which characters gain from (Zhang & Yang 2018).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .language_model import LanguageModel
from .pair_table import NOTHING, pair_rows
from .recurrent import RecurrentConfig, VariationalDropout, initialise_cell
from .state import real_places


@dataclass(frozen=True)
class BidirectionalConfig(RecurrentConfig):
    """The shape of a recurrent reader. Half of the `width` reads from either side. `pair_rows`: how many vectors, a quarter as
    wide, the table of pairs of tokens has; 0: pairs aren't looked up."""

    pair_rows: int = 0


class TokenDropout(nn.Dropout):
    """Zeroes the same share of whole vectors, so that what they tell isn't relied on alone."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        if not self.training or not self.p:
            return x
        return x * torch.nn.functional.dropout(x.new_ones(*x.shape[:2], 1), self.p)


class BidirectionalBlock(nn.Module):
    """One layer: two cells of half the width."""

    def __init__(self, config: BidirectionalConfig):
        super().__init__()
        self.onward = config.cell_class(config.width // 2, config.width)
        self.backward_cell = config.cell_class(config.width // 2, config.width)
        self.residual = VariationalDropout(0.0)  # what is passed on; named for the hook point

    def forward(self, x: Tensor, reverse: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D), the first half of it read from the left. `reverse` (B, T): each row's places in the order
        from the right, padding where it is."""
        turned = reverse[..., None]
        nothing = x.new_zeros(len(x), self.onward.parts, x.size(2) // 2)
        onward, _ = self.onward(x, nothing)
        back, _ = self.backward_cell(x.gather(1, turned.expand_as(x)), nothing)
        return self.residual(torch.cat([onward, back.gather(1, turned.expand_as(back))], dim=-1))

    def initialise(self, generator: torch.Generator) -> None:
        """As the layers of recurrent language models begin."""
        initialise_cell(self.onward, generator)
        initialise_cell(self.backward_cell, generator)


class Bidirectional(LanguageModel):
    """Token ids (B, T) -> hidden states (B, T, D), of which each has seen the whole text."""

    family, kind = "bidirectional", "a recurrent reader"
    writes = False

    def __init__(self, config: BidirectionalConfig):
        super().__init__()
        self.config: BidirectionalConfig = config
        self.recompute = False
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.pair_embedding = nn.Embedding(config.pair_rows, config.width // 4) if config.pair_rows else None
        self.pair_product = nn.Linear(config.width // 4 * 2, config.width, bias=False) if config.pair_rows else None
        self.drop, self.drop_pairs = VariationalDropout(0.0), TokenDropout(0.0)
        self.blocks = nn.ModuleList(BidirectionalBlock(config) for _ in range(config.layers))
        self.norm = nn.Identity()
        self.head = None

    def initialise(self, seed: int) -> None:
        """Fill the weights as a function of the seed alone."""
        super().initialise(seed)
        generator = torch.Generator().manual_seed(seed)
        for block in self.blocks:
            assert isinstance(block, BidirectionalBlock)
            block.initialise(generator)

    @property
    def context_limit(self) -> None:
        """None: it reads texts of any length."""
        return None

    def hidden(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The last layer's output, (B, T, D), of token ids (B, T), of which the first `lengths` (B,) of each row are real, or
        all with None."""
        if lengths is None:
            lengths = torch.full((len(inputs),), inputs.size(1), device=inputs.device)
        real = real_places(lengths, inputs.size(1))
        places = torch.arange(inputs.size(1), device=inputs.device)
        reverse = torch.where(real, lengths[:, None] - 1 - places, places)
        x = self.embedding(inputs)
        if self.pair_embedding is not None and self.pair_product is not None:
            before, after = self.pairs(inputs.masked_fill(~real, NOTHING))
            pairs = [self.drop_pairs(self.pair_embedding(rows)) for rows in (before, after)]
            x = x + self.pair_product(torch.cat(pairs, dim=-1))
        x = self.drop(x)
        recompute = self.recompute and torch.is_grad_enabled()
        for block in self.blocks:
            x = checkpoint(block, x, reverse, use_reentrant=False) if recompute else block(x, reverse)
        return self.norm(x)

    def pairs(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of the table, (B, T) each, for every token's pairs with the one before and the one after it."""
        edge = inputs.new_full((len(inputs), 1), NOTHING)
        before, after = torch.cat([edge, inputs[:, :-1]], dim=1), torch.cat([inputs[:, 1:], edge], dim=1)
        rows = self.config.pair_rows
        return pair_rows(before, inputs, rows), pair_rows(inputs, after, rows, which=1)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Token ids (B, T) -> hidden states (B, T, D)."""
        return self.hidden(inputs, lengths)
