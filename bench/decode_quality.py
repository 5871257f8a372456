"""What rounding costs a model: bits per byte of held-out text, and how far its distributions are from the original's.

The original is the model in float32 by plain torch. All are asked for the logits of the same windows of the same text.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from decode_pipe import Worker
from textmill.models.language_model import LanguageModel


@dataclass
class Quality:
    """Sums over what was scored. `divergence`: the Kullback-Leibler divergence from the original, in nats, of all tokens."""

    nats: float = 0.0
    divergence: float = 0.0
    tokens: int = 0
    size: int = 0  # of the text that was guessed, in UTF-8 bytes

    def add(self, logits: Tensor, original: Tensor, ids: Sequence[int], size: int) -> None:
        """A window's logits (T, V) and the original's, its T tokens, and the bytes of all but the first of them."""
        found, expected = (rows[:-1].log_softmax(-1) for rows in (logits, original))
        self.nats -= found.gather(1, torch.tensor(ids[1:])[:, None]).double().sum().item()
        self.divergence += (expected.exp() * (expected - found)).sum(-1).double().sum().item()
        self.tokens += len(ids) - 1
        self.size += size

    @property
    def bits_per_byte(self) -> float:
        """Of the text that was guessed."""
        return self.nats / math.log(2) / self.size

    def told(self) -> dict[str, float]:
        """For the table and the JSON line."""
        return {"bits_per_byte": self.bits_per_byte, "divergence_nats": self.divergence / self.tokens}


def measure(
    model: LanguageModel, workers: Mapping[str, Worker], windows: Iterable[tuple[list[int], int]], scratch: Path
) -> dict[str, Quality]:
    """Of the original and of each worker, over windows of tokens and the bytes of all but the first token of each."""
    found = {name: Quality() for name in ("original", *workers)}
    for ids, size in windows:
        with torch.inference_mode():
            original = model.head(model.hidden(torch.tensor([ids]))[0])
        found["original"].add(original, original, ids, size)
        for name, worker in workers.items():
            found[name].add(logits_of(worker, ids, scratch), original, ids, size)
    return found


def logits_of(worker: Worker, ids: list[int], scratch: Path) -> Tensor:
    """A worker's logits (T, V) behind each of T tokens."""
    file = scratch / "logits"
    worker.ask("logits", tokens=ids, path=str(file))
    logits = torch.from_numpy(np.fromfile(file, np.float32)).view(len(ids), -1)
    file.unlink()
    return logits
