"""Pairs of answers to the same conversation, one of which is preferred: as tokens in which the two answers alone are asked for,
and in batches of two rows a pair. Batch `step` is a function of (pairs, seed, step)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .chat_template import Message
from .dialogues import DialogueTokens, dialogue_batch, encode_dialogue
from .loader import IGNORED, moved
from .texts import TextLoader
from .tokenizer import Tokenizer


@dataclass(frozen=True)
class PairTokens:
    """The same conversation with the preferred answer and with the other. `reference` is the natural logarithm of either
    answer's probability to the model that learning began with."""

    chosen: DialogueTokens
    rejected: DialogueTokens
    reference: tuple[float, float] = (0.0, 0.0)

    @property
    def tokens(self) -> np.ndarray:
        """Those of the longer one, (T,)."""
        return max(self.chosen.tokens, self.rejected.tokens, key=len)


def encode_pair(
    tokenizer: Tokenizer, messages: Sequence[Message], chosen: str, rejected: str, longest: int
) -> tuple[PairTokens, int] | None:
    """The tokens of a pair, and how many messages were left out at the conversation's beginning so that either row has
    `longest` tokens at most; None where the last message with its answers is too long itself. No answer is ever cut.

    Raises TokenizerError as `encode_dialogue` does."""
    told = [message for message in messages if message["role"] == "system"]
    said = [message for message in messages if message["role"] != "system"]
    for left_out, message in enumerate(said):
        if message["role"] != "user":
            continue
        better, worse = (
            encode_dialogue(tokenizer, [*told, *said[left_out:], {"role": "assistant", "content": answer}]).last_answer()
            for answer in (chosen, rejected)
        )
        if max(len(better.tokens), len(worse.tokens)) <= longest + 1:  # the last token is never read
            return PairTokens(better, worse), left_out
    return None


@dataclass(frozen=True)
class PreferenceBatch:
    """B pairs in 2 · B rows: that of the preferred answer, and behind it that of the other.

    `inputs` and `targets` (2B, T) int64, IGNORED but for the answers; `reference` (2B,) float32: the log-probability of each
    row's answer to the model that learning began with. `tokens`: how many of the answers' tokens there are. `pieces`: rows a
    pair.
    """

    inputs: Tensor
    targets: Tensor
    reference: Tensor
    tokens: int
    pieces: int = 2

    def rows(self, begin: int, end: int) -> "PreferenceBatch":
        """Rows `[begin, end)`, whole pairs, as a batch of their own."""
        targets = self.targets[begin:end]
        return PreferenceBatch(self.inputs[begin:end], targets, self.reference[begin:end], int((targets != IGNORED).sum()))

    def to(self, device: torch.device | str) -> "PreferenceBatch":
        """The batch on another device."""
        inputs, targets, reference = (moved(tensor, device) for tensor in (self.inputs, self.targets, self.reference))
        return dataclasses.replace(self, inputs=inputs, targets=targets, reference=reference)


def preference_batch(pairs: Sequence[PairTokens]) -> PreferenceBatch:
    """A batch of these pairs, padded at the right."""
    batch = dialogue_batch([dialogue for pair in pairs for dialogue in (pair.chosen, pair.rejected)])
    reference = torch.tensor([pair.reference for pair in pairs], dtype=torch.float32).flatten()
    return PreferenceBatch(batch.inputs, batch.targets, reference, batch.tokens)


class PreferenceLoader(TextLoader):
    """The batches of pairs under one seed: `batch_size` pairs each, of like lengths."""

    def __init__(self, pairs: Sequence[PairTokens], batch_size: int, seed: int):
        super().__init__(pairs, batch_size, seed)  # type: ignore[arg-type]
        self.pairs = pairs
        self.counts = np.array([int(pair.chosen.asked.sum() + pair.rejected.asked.sum()) for pair in pairs])

    def batch(self, step: int) -> PreferenceBatch:  # type: ignore[override]
        """Batch number `step`, counted from 0; epochs follow each other without a gap."""
        epoch, number = divmod(step, self.steps_per_epoch)
        return preference_batch([self.pairs[place] for place in self._order(epoch)[number]])

    def tokens_before(self, step: int) -> int:
        """How many tokens of answers the batches before this one have."""
        return self._before(step, self.counts)
