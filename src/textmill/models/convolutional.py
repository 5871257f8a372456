"""The reader of short phrases: convolutions over two, three and four tokens (Kim 2014), and beside them single tokens and pairs
that are looked up by a hash (Joulin et al. 2016). It writes no text: it is the body of models for tasks.

A phrase says the same wherever it stands, so a text's head takes of each convolution the largest, and of what is looked up the
sum (models/heads.py). Words and pairs alone are the linear model that is hard to beat where there are few examples; they learn
together with what generalises.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig
from .language_model import LanguageModel
from .pair_table import NOTHING, pair_rows
from .state import real_places

SPANS = (2, 3, 4)  # tokens that the convolutions see
LOOKED_UP = 16  # features of what is looked up: more tell no more classes apart, and the table is long


@dataclass(frozen=True)
class ConvolutionalConfig(ModelConfig):
    """The shape of a reader of phrases. The last LOOKED_UP features of the `width` are what is looked up in a table of
    `pair_rows` vectors, a third of the others belongs to each span of tokens. There is one layer."""

    pair_rows: int = 131_072

    def problems(self) -> Iterator[str]:
        """What is wrong with this shape."""
        yield from super().problems()
        if self.layers > 1:
            yield f"a convolutional reader has one layer, found {self.layers}; make it wider instead"
        if self.width < LOOKED_UP + len(SPANS):
            yield f"width must be at least {LOOKED_UP + len(SPANS)}, found {self.width}"
        if self.pair_rows < 1:
            yield f"pair_rows must be at least 1, found {self.pair_rows}"

    @property
    def parts(self) -> tuple[int, ...]:
        """Features of each span; an embedding has as many as the longest."""
        return tuple((self.width - LOOKED_UP + number) // len(SPANS) for number in range(len(SPANS)))


class ConvolutionalBlock(nn.Module):
    """The layer: a convolution for each span, as the product of a token's and its neighbours' vectors with one matrix."""

    def __init__(self, config: ConvolutionalConfig):
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Linear(span * config.parts[-1], part) for span, part in zip(SPANS, config.parts, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, E) -> (B, T, D less what is looked up): at each token what the phrases say that end with it."""
        found = []
        for span, convolution in zip(SPANS, self.convolutions, strict=True):
            wide = F.pad(x, (0, 0, span - 1, 0)).unfold(1, span, 1)  # (B, T, E, span)
            found.append(F.relu(convolution(wide.transpose(2, 3).flatten(2))))
        return torch.cat(found, dim=-1)


class Convolutional(LanguageModel):
    """Token ids (B, T) -> (B, T, D): what the phrases say that end there, and as the last features what the token and its pair
    with the one before say by themselves."""

    family, kind = "convolutional", "a convolutional reader"
    writes = False
    embedding_spread = 0.1

    def __init__(self, config: ConvolutionalConfig):
        super().__init__()
        self.config: ConvolutionalConfig = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.parts[-1])
        self.pair_embedding = nn.Embedding(config.pair_rows, LOOKED_UP)
        self.drop = nn.Dropout(0.0)
        self.blocks = nn.ModuleList([ConvolutionalBlock(config)])
        self.norm = nn.Identity()
        self.head = None

    def initialise(self, seed: int) -> None:
        """Fill the weights as a function of the seed alone. What is looked up says nothing at first; it is the head that is
        random there, so that each entry learns its own weight for each class, as in a linear model."""
        super().initialise(seed)
        torch.nn.init.zeros_(self.pair_embedding.weight)

    @property
    def context_limit(self) -> None:
        """None: it reads texts of any length."""
        return None

    def hidden(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, T, D) of token ids (B, T). Phrases look back alone, so padding behind a text changes nothing of it."""
        before = F.pad(inputs, (1, 0), value=NOTHING)[:, :-1]
        rows = self.config.pair_rows
        looked_up = self.pair_embedding(pair_rows(inputs, NOTHING, rows)) + self.pair_embedding(pair_rows(inputs, before, rows))
        phrases = self.blocks[0](self.drop(self.embedding(inputs)))
        return self.norm(torch.cat([phrases, looked_up], dim=-1))

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Token ids (B, T) -> (B, T, D)."""
        return self.hidden(inputs, lengths)


def pooled(hidden: Tensor, lengths: Tensor) -> Tensor:
    """What stands for texts of `lengths` (B,): of (B, T, D) the largest of each phrase's features, and the sum of what is
    looked up over the root of how much, (B, D)."""
    real = real_places(lengths, hidden.size(1))[..., None]
    phrases, looked_up = hidden[..., :-LOOKED_UP], hidden[..., -LOOKED_UP:]
    largest = phrases.masked_fill(~real, 0.0).amax(dim=1)  # none is below 0
    return torch.cat([largest, (looked_up * real).sum(dim=1) * (2 * lengths[:, None]).rsqrt()], dim=-1)
