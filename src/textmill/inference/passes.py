"""Which rows are read together: one pass over the weights for all of them, where the model's states can be packed."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from ..models.packed import PackedState
from ..models.slots import EncoderDecoderSlots, KeyValueSlots, Slots
from ..native.decoder import NativeDecoder, problems
from ..native.library import NoKernels
from .decode_graphs import DecodeGraphs, why_none
from .workers import Workers

# What a group more, and a padded token, cost in an attention's layer, in keys that are read of a row (measured on two cores).
GROUP_COST, TOKEN_COST = 300, 500
MOST_ROWS = 32  # of a group
SHARED = 16  # tokens that cost about as much as reading the weights does
PIECE = 512  # tokens that the kernels read at once, which bounds what they keep meanwhile


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


class Passes:
    """Passes of one model over the rows of `slots`: by the C++ kernels where they can read it, else by torch.

    `memory`: bytes that the kernels' copy of the weights may take, where the model's own aren't packed; where they don't read
    the model, `why_not` tells. Who runs them has `workers` at work meanwhile.
    """

    def __init__(self, model: LanguageModel, slots: Slots, memory: int):
        self.model, self.slots = model, slots
        self.native: NativeDecoder | None = None
        self.why_not = ""
        weights = 4 * sum(parameter.numel() for parameter in model.parameters())
        try:
            if model.packed is None and weights > memory:
                raise NoKernels(f"the weights once more take {weights:,} bytes, and there are {memory:,} for them")
            self.native = NativeDecoder(model, slots, "float32", torch.get_num_threads())
        except NoKernels as error:
            self.why_not = str(error)
        pool = model.packed and model.packed.pool
        self.workers = Workers(model, pool if self.native is None else self.native.pool)
        self.graphs = DecodeGraphs(model, slots) if _packs(slots) and why_none(model, slots) is None else None

    @property
    def by(self) -> str:
        """What reads the model, in words."""
        if self.graphs is not None:
            return f"torch, {self.graphs.failed or 'one token of each row as a CUDA graph'}"
        if self.native is None:
            return f"torch ({self.why_not})"
        return f"C++ kernels for {self.native.instruction_set}, weights in {self.native.format}"

    def grouped(self, lengths: Sequence[int], tokens: Sequence[Sequence[int]]) -> list[Group]:
        """Rows 0, 1, … that have read `lengths` tokens and read `tokens` now, in as many groups as cost least."""
        if self.native is not None:  # which needs no rectangles
            return [Group(row, [length], [ids]) for row, (length, ids) in enumerate(zip(lengths, tokens))]
        return grouped(lengths, tokens, self.slots)

    def run(self, groups: Sequence[Group]) -> list[Tensor | Exception]:
        """The hidden states (rows, width, D) of each group. What goes wrong in one of them leaves the others as they are."""
        for together in (self._native, self._recorded, self._packed):
            with contextlib.suppress(Exception):  # whose fault it was, each alone will tell
                if (found := together(groups)) is not None:
                    return list(found)
        return [self._alone(group) for group in groups]

    def logits(self, states: Tensor) -> Tensor:
        """Of hidden states (N, D), (N, V) float32 on the CPU."""
        return (self.model.head(states) if self.native is None else self.native.logits(states)).float().cpu()

    def _native(self, groups: Sequence[Group]) -> Sequence[Tensor] | None:
        if self.native is None:
            return None
        inputs = torch.cat([group.inputs().flatten() for group in groups])
        rows, places = [], []
        for group in groups:
            for row, length in enumerate(group.lengths, start=group.first):
                rows.append(torch.full((group.width,), row))
                places.append(torch.arange(length, length + group.width))
        return _split(self.native.hidden(inputs, torch.cat(rows), torch.cat(places)), groups)

    def _recorded(self, groups: Sequence[Group]) -> Sequence[Tensor | Exception] | None:
        """Rows that read one token each by a CUDA graph, from the first on; a chunk of a prompt, behind them, by itself."""
        ones = [group for group in groups if group.width == 1]
        if self.graphs is None or not ones or ones != list(groups[: len(ones)]) or ones[0].first:
            return None
        tokens = [row[0] for group in ones for row in group.tokens]
        hidden = self.graphs.hidden(tokens, [length for group in ones for length in group.lengths])
        if hidden is None:
            return None
        return [*_split(hidden.flatten(0, 1), ones), *(self._alone(group) for group in groups[len(ones) :])]

    def _packed(self, groups: Sequence[Group]) -> Sequence[Tensor] | None:
        if len(groups) < 2 or not _packs(self.slots):
            return None
        inputs = torch.cat([group.inputs().flatten() for group in groups])[None].to(self.model.device)
        state = PackedState(self.slots, [(group.first, group.lengths, group.width) for group in groups])
        return _split(self.model.hidden(inputs, state=state)[0], groups)

    def _alone(self, group: Group) -> Tensor | Exception:
        try:
            state = self.slots.view(group.first, group.lengths)
            return self.model.hidden(group.inputs().to(self.model.device), state=state)
        except Exception as error:  # such as too little memory: the next requests may be smaller
            return error


class Row:
    """One text that a model reads on and on, up to `length` tokens: by the kernels where they read its packed weights, else by
    torch, from `state` on."""

    def __init__(self, model: LanguageModel, length: int, state: Any = None):
        self.model, self.read = model, 0
        self.native: NativeDecoder | None = None
        if model.packed is not None and not problems(model):
            self.native = NativeDecoder(model, model.new_slots(1, length), model.packed.format, model.packed.pool.threads)
        else:
            self.state = model.new_state(rows=1) if state is None else state
        self._workers = Workers(model, model.packed and model.packed.pool, same_bits=True)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        """Those after the last of the next `tokens`, (V,) float32 on the CPU; only that place passes through the head."""
        before = time.perf_counter()
        with self._workers.at_work():
            logits = self._logits(tokens)
        self._workers.choice.measure(SHARED + len(tokens), time.perf_counter() - before)
        return logits

    def _logits(self, tokens: Sequence[int]) -> Tensor:
        inputs = torch.tensor(tokens)
        if self.native is None:
            hidden = self.model.hidden(inputs[None].to(self.model.device), state=self.state)
            return self.model.head(hidden[0, -1]).float().cpu()  # tokens are picked in float64, which not every device has
        for piece in inputs.split(PIECE):
            places = torch.arange(self.read, self.read + len(piece))
            hidden = self.native.hidden(piece, torch.zeros_like(places), places)
            self.read += len(piece)
        return self.native.logits(hidden[-1:])[0]


def _packs(slots: Slots) -> TypeGuard[KeyValueSlots]:
    """Whether rows of unlike shapes can be read in one pass: where attention alone knows rows."""
    return isinstance(slots, KeyValueSlots) and not isinstance(slots, EncoderDecoderSlots)


def _split(hidden: Tensor, groups: Sequence[Group]) -> list[Tensor]:
    """Hidden states (all, D) as (rows, width, D) of each group."""
    sizes = [len(group.lengths) * group.width for group in groups]
    return [part.unflatten(0, (-1, group.width)) for group, part in zip(groups, hidden.split(sizes))]
