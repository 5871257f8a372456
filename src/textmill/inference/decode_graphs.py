"""One token of each row as one launch: on a GPU a step's hundreds of small kernels are recorded once as a CUDA graph.

At a batch of a few rows a GPU computes a token faster than Python can launch its kernels. A graph (CUDA's own, through
`torch.cuda.graph`) replays them all at once, over the same memory: so it is recorded for each number of rows, and for reaches
that double, since a row looks at as many places as its graph does. Written without a GPU at hand, and unmeasured.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from ..models.slots import EncoderDecoderSlots, FixedView, KeyValueSlots

LEAST_REACH = 256  # places; shorter rows look at so many all the same
WARM_UPS = 3  # runs before recording, in which libraries choose kernels and allocate, which can't be recorded


class FixedStep:
    """One token of each of the first `rows` rows, which stand below `reach`: a computation whose shapes never change."""

    def __init__(self, model: LanguageModel, slots: KeyValueSlots, rows: int, reach: int):
        self.model, self.view = model, FixedView(slots, rows, reach)
        self._placed = torch.zeros(2, rows, dtype=torch.int64, device=model.device)  # one piece, so that one copy fills it
        self.inputs, self.view.standing = self._placed[0, :, None], self._placed[1]

    def place(self, tokens: Sequence[int], lengths: Sequence[int]) -> None:
        """Take the next tokens, and how many each row has read."""
        self._placed.copy_(torch.tensor([tokens, lengths]))

    def run(self) -> Tensor:
        """The hidden states, (rows, 1, D)."""
        return self.model.hidden(self.inputs, state=self.view)


class RecordedStep:
    """A `FixedStep` as a CUDA graph, whose memory lies in `pool`: graphs that never run at the same time share one."""

    def __init__(self, step: FixedStep, pool: Any):
        self.step, self.graph = step, torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                step.run()
        torch.cuda.current_stream().wait_stream(stream)
        # Other threads may use the device meanwhile, such as those of another model's engine.
        with torch.cuda.graph(self.graph, pool=pool, capture_error_mode="thread_local"):
            self.hidden = step.run()

    def run(self) -> Tensor:
        """The hidden states, (rows, 1, D), of what was placed; a copy, since the next run writes into the same memory."""
        self.graph.replay()
        return self.hidden.clone()


def reach_for(length: int, most: int) -> int:
    """How many places the graph looks at for rows that have read up to `length` tokens: the next doubling, `most` at most."""
    reach = LEAST_REACH
    while reach <= length:
        reach *= 2
    return min(reach, most)


def why_none(model: LanguageModel, slots: object) -> str | None:
    """Why a model's steps can't be recorded; None where they can."""
    if model.device.type != "cuda":
        return f"the model is on {model.device.type}, not on a CUDA device"
    if not isinstance(slots, KeyValueSlots) or isinstance(slots, EncoderDecoderSlots):
        return f"the state of {model.kind} changes its shapes from token to token"
    return None


class DecodeGraphs:
    """The recorded steps of a model over `slots`, each made when it is first asked for. Where recording fails, `failed` tells
    why, and no further one is tried."""

    def __init__(self, model: LanguageModel, slots: KeyValueSlots):
        self.model, self.slots, self.failed = model, slots, ""
        self._steps: dict[tuple[int, int], RecordedStep] = {}
        self._pool: Any = None

    def hidden(self, tokens: Sequence[int], lengths: Sequence[int]) -> Tensor | None:
        """The hidden states (rows, 1, D) of the next token of rows 0, 1, …, which have read `lengths`; None where steps can't
        be recorded."""
        if self.failed:
            return None
        key = len(tokens), reach_for(max(lengths), self.slots.length)
        if key not in self._steps:
            step = FixedStep(self.model, self.slots, *key)
            step.place(tokens, lengths)  # what is warmed up with is what will be read: the rows' memory stays theirs
            try:
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                self._steps[key] = RecordedStep(step, self._pool)
            except RuntimeError as error:
                self.failed = str(error).splitlines()[0]
                return None
        recorded = self._steps[key]
        recorded.step.place(tokens, lengths)
        return recorded.run()
