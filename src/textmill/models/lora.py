"""Low-rank adaptation (Hu et al. 2021, "LoRA"): what is learnt beside a frozen matrix W (rows, columns) is a product of two
thin ones, so that W becomes W + scale · left · right, with left (rows, rank) and right (rank, columns).

It can be merged into the matrices, which then are plain ones again. A head that shares its matrix with the embedding table
shares what is learnt beside it, too.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError


class Adapted(nn.Module):
    """A frozen `plain` layer, and what is learnt beside its weight. At first `left` is zero, so nothing has changed."""

    def __init__(self, plain: nn.Linear | nn.Embedding, rank: int, alpha: float, shared: "Adapted | None" = None):
        super().__init__()
        rows, columns = plain.weight.shape
        self.plain, self.scale = plain, alpha / rank
        new = plain.weight.new_zeros
        self.left: nn.Parameter = nn.Parameter(new(rows, rank)) if shared is None else shared.left
        self.right: nn.Parameter = nn.Parameter(new(rank, columns)) if shared is None else shared.right

    @property
    def weight(self) -> Tensor:
        """W + scale · left · right, (rows, columns): what it stands for."""
        return self.plain.weight + self.scale * (self.left @ self.right)

    def merged(self) -> nn.Module:
        """The plain layer, what was learnt added to its weight."""
        with torch.no_grad():
            self.plain.weight.copy_(self.weight)
        return self.plain


class AdaptedLinear(Adapted):
    """A linear layer."""

    @property
    def bias(self) -> Tensor | None:
        """The plain layer's."""
        return self.plain.bias  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """(…, columns) -> (…, rows), without making W's size once more."""
        return self.plain(x) + F.linear(F.linear(x, self.right), self.left) * self.scale


class AdaptedEmbedding(Adapted):
    """An embedding table."""

    def forward(self, ids: Tensor) -> Tensor:
        """(…) -> (…, columns)."""
        return self.plain(ids) + F.linear(F.embedding(ids, self.left), self.right.T) * self.scale


def adapt(
    model: nn.Module, rank: int, alpha: float, seed: int, embeddings: bool = False, upper: int | None = None
) -> list[str]:
    """Freeze a model, and let low ranks be learnt beside every linear layer of its blocks, or of the `upper` blocks of each
    stack, and, with `embeddings`, beside its table of tokens and a head that shares it. The names of what was adapted.

    `right` begins as a function of the seed, scaled as a new layer's weights are. Raises ModelError where there is no such
    layer.
    """
    if not any("blocks." in name for name, _, _ in _layers(model)):
        raise ModelError("low ranks are learnt beside linear layers, and this model's blocks have none; let all of it learn")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    passed_over = _lower_blocks(model, upper)
    tables: dict[int, Adapted] = {}
    names = []
    for name, owner, child in list(_layers(model)):
        layer = getattr(owner, child)
        of_table = isinstance(layer, nn.Embedding) or id(layer.weight) in tables
        if of_table and not (embeddings and child != "position_embedding"):
            continue
        if not of_table and ("blocks." not in name or name.startswith(passed_over)):
            continue
        kind = AdaptedEmbedding if isinstance(layer, nn.Embedding) else AdaptedLinear
        adapted = kind(layer, rank, alpha, tables.get(id(layer.weight)))
        if isinstance(layer, nn.Embedding):
            tables[id(layer.weight)] = adapted
        if id(layer.weight) not in tables or isinstance(layer, nn.Embedding):
            with torch.no_grad():
                adapted.right.normal_(0.0, 1 / math.sqrt(adapted.right.size(1)), generator=generator)
        setattr(owner, child, adapted)
        names.append(name)
    return names


def merge(model: nn.Module) -> None:
    """Put what was learnt into the matrices, and plain layers back into their places; a shared matrix is added to once."""
    done: set[int] = set()
    for module in list(model.modules()):
        for child, adapted in list(module.named_children()):
            if isinstance(adapted, Adapted):
                merged = adapted.plain if id(adapted.plain.weight) in done else adapted.merged()
                done.add(id(adapted.plain.weight))
                setattr(module, child, merged)


def _lower_blocks(model: nn.Module, upper: int | None) -> tuple[str, ...]:
    """What the names of all but the `upper` blocks of each stack begin with."""
    stacks = [(name, stack) for name, stack in model.named_modules() if name.split(".")[-1] == "blocks"]
    if upper is None:
        return ()
    return tuple(f"{name}.{block}." for name, stack in stacks for block in range(len(stack) - upper))


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Every linear layer and table, tables first: its name, and whose child it is by which name."""
    found = [
        (f"{name}.{child}".lstrip("."), owner, child)
        for name, owner in model.named_modules()
        for child, layer in owner.named_children()
        if isinstance(layer, nn.Linear | nn.Embedding)
    ]
    yield from sorted(found, key=lambda each: not isinstance(getattr(each[1], each[2]), nn.Embedding))
