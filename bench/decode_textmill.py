"""textmill's side of `decode.py`: its native decoder of a model folder in one format, asked over a pipe.

A token is counted whole: from Python's numbers to its logits, with the embedding, all layers, the head and the Python around.
"""

import time
from typing import Any

import torch

from decode_pipe import resident_bytes, serve
from textmill import load
from textmill.native.decoder import NativeDecoder


class Textmill:
    """A decoder over as many rows as are asked for, `length` tokens each."""

    def __init__(self, folder: str, format: str, threads: int, length: int, rows: int):
        torch.set_num_threads(threads)
        model = load(folder, weights=format).model
        self.native = NativeDecoder(model, model.new_slots(rows, length), format, threads)

    def read(self, tokens: list[int], rows: list[int], places: list[int], last: int) -> torch.Tensor:
        """Tokens at their places of their rows; the logits behind the `last` of them."""
        hidden = self.native.hidden(*torch.tensor([tokens, rows, places]))
        return self.native.logits(hidden[-last:])

    def prefill(self, tokens: list[int], row: int = 0) -> float:
        """Seconds for a row's first tokens."""
        before = time.perf_counter()
        self.read(tokens, [row] * len(tokens), list(range(len(tokens))), last=1)
        return time.perf_counter() - before

    def decode(self, steps: int, start: int, rows: int = 1) -> float:
        """Seconds for so many steps, in each of which every row reads one token, the first at `start`."""
        before = time.perf_counter()
        for step in range(steps):
            self.read([100 + step] * rows, list(range(rows)), [start + step] * rows, last=rows)
        return time.perf_counter() - before

    def logits(self, tokens: list[int], path: str) -> None:
        """Behind each token of a text, into a file of float32."""
        count = len(tokens)
        self.read(tokens, [0] * count, list(range(count)), last=count).numpy().tofile(path)

    def memory(self) -> int:
        """Bytes that are resident."""
        return resident_bytes()


def start(words: dict[str, Any]) -> tuple[dict[str, Any], Textmill]:
    """The decoder, and what computes it."""
    decoder = Textmill(**words)
    return {"instruction_set": decoder.native.instruction_set}, decoder


if __name__ == "__main__":
    serve(start)
