"""How fast a model writes, beside what this machine allows: each token reads all weights once, as fast as memory gives them."""

import time
from collections.abc import Iterator

from ..machine.profile import memory_key, recall
from ..models.count import count
from ..models.language_model import LanguageModel
from ..progress import format_bytes, rate
from .generate import Piece


def bytes_per_token(model: LanguageModel) -> int:
    """Bytes of weights that are read to write one token, as they lie in memory: packed ones with their scales."""
    if model.packed is None:
        return int(count(model.config).decode_bytes(model.dtype.itemsize))
    matrices = model.packed.matrices.values()
    whole = sum(matrix.outputs * matrix.inputs for matrix in matrices)
    return int(count(model.config).decode_bytes(sum(matrix.blocks.nbytes for matrix in matrices) / whole))


class Pace:
    """Watches an answer as it is written, from its first piece on: what came before was the prompt's."""

    def __init__(self, model: LanguageModel):
        self.model = model
        self.first: tuple[int, float] | None = None  # tokens, and when
        self.last = (0, 0.0)

    def watched(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """The same pieces."""
        for piece in pieces:
            self.last = piece.tokens, time.perf_counter()
            self.first = self.first or self.last
            yield piece

    def tokens_per_second(self) -> float | None:
        """Behind the first piece; None where nothing came behind it."""
        if self.first is None or self.last[0] <= self.first[0]:
            return None
        return (self.last[0] - self.first[0]) / max(self.last[1] - self.first[1], 1e-9)

    def line(self) -> str:
        """`(48 tokens, 31.2 tokens/s: 84 % of what memory allows, which gives the 540 MB of weights that a token reads at 20.1
        GB/s)`; "" where nothing was written."""
        if self.first is None:
            return ""
        said, speed = f"{self.last[0]:,} {'token' if self.last[0] == 1 else 'tokens'}", self.tokens_per_second()
        if speed is None:
            return f"({said})"
        said += f", {rate(speed)} tokens/s"
        memory = recall(memory_key(self.model.device))
        if not memory:
            return f"({said}; `textmill doctor` measures what this machine's memory allows)"
        each = bytes_per_token(self.model)
        return (
            f"({said}: {speed * each / memory:.0%} of what memory allows, which gives the {format_bytes(each)} of weights "
            f"that a token reads at {memory / 1e9:.3g} GB/s)"
        )
