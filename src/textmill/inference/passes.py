"""Which rows are read together: one pass over the weights for all of them, where the model's states can be packed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from ..models.packed import PackedState
from ..models.slots import EncoderDecoderSlots, KeyValueSlots, Slots

# What a group more, and a padded token, cost in an attention's layer, in keys that are read of a row (measured on two cores).
GROUP_COST, TOKEN_COST = 300, 500
MOST_ROWS = 32  # of a group


@dataclass(frozen=True)
class Group:
    """Rows side by side, from `first` on, that have read `lengths` tokens and read `tokens` now; shorter ones are padded."""

    first: int
    lengths: Sequence[int]
    tokens: Sequence[Sequence[int]]

    @property
    def width(self) -> int:
        """How many tokens each row reads, padding included."""
        return max(map(len, self.tokens))

    def inputs(self) -> Tensor:
        """(rows, width)."""
        return torch.tensor([[*row, *[0] * (self.width - len(row))] for row in self.tokens])


def grouped(lengths: Sequence[int], tokens: Sequence[Sequence[int]], slots: Slots) -> list[Group]:
    """Rows 0, 1, … in as many groups as cost least: one attention looks as far back as its longest row, for all of its rows."""
    if not lengths or not _packs(slots):
        return [Group(0, lengths, tokens)] if lengths else []
    costs, begins = [0.0], [0]  # of the first rows, at best; and where the last of their groups begins
    for end in range(1, len(lengths) + 1):
        longest = widest = 0
        best, begin = float("inf"), end - 1
        for start in range(end - 1, max(end - 1 - MOST_ROWS, -1), -1):
            longest, widest = max(longest, lengths[start]), max(widest, len(tokens[start]))
            cost = costs[start] + GROUP_COST + (end - start) * (longest + widest + TOKEN_COST * widest)
            if cost < best:
                best, begin = cost, start
        costs.append(best)
        begins.append(begin)
    groups, end = [], len(lengths)
    while end:
        start = begins[end]
        groups.append(Group(start, lengths[start:end], tokens[start:end]))
        end = start
    return groups[::-1]


def run(model: LanguageModel, slots: Slots, groups: Sequence[Group]) -> list[Tensor | Exception]:
    """The hidden states (rows, width, D) of each group. What goes wrong in one of them leaves the others as they are."""
    if _packs(slots) and len(groups) > 1:
        try:
            return list(_packed(model, slots, groups))
        except Exception:  # whose fault it was, each alone will tell
            pass
    found: list[Tensor | Exception] = []
    for group in groups:
        try:
            found.append(model.hidden(group.inputs().to(model.device), state=slots.view(group.first, group.lengths)))
        except Exception as error:  # such as too little memory: the next requests may be smaller
            found.append(error)
    return found


def _packs(slots: Slots) -> TypeGuard[KeyValueSlots]:
    """Whether rows of unlike shapes can be read in one pass: where attention alone knows rows."""
    return isinstance(slots, KeyValueSlots) and not isinstance(slots, EncoderDecoderSlots)


def _packed(model: LanguageModel, slots: KeyValueSlots, groups: Sequence[Group]) -> list[Tensor]:
    inputs = torch.cat([group.inputs().flatten() for group in groups])[None].to(model.device)
    state = PackedState(slots, [(group.first, group.lengths, group.width) for group in groups])
    hidden = model.hidden(inputs, state=state)[0]  # (all, D)
    sizes = [len(group.lengths) * group.width for group in groups]
    return [part.unflatten(0, (-1, group.width)) for group, part in zip(groups, hidden.split(sizes))]
