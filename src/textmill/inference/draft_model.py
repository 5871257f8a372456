"""A small model that guesses for a large one of the same tokens (Leviathan et al. 2023; Chen et al. 2023).

It reads the last tokens alone: a guess needn't know how a text began. What it has read of a row and still stands there is kept;
where another answer has the row now, that is noticed by its tokens.
"""

import time
from collections.abc import Sequence

import torch

from ..errors import GenerationError
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer

WINDOW = 128  # tokens that it looks back over at least, where its context holds three times as many


class DraftModel:
    """Guesses for `rows` answers of a model with this `tokenizer`. Raises GenerationError for a model that can't."""

    def __init__(self, model: LanguageModel, own: Tokenizer, tokenizer: Tokenizer, rows: int):
        if model.family != "decoder" or not model.writes:
            raise GenerationError(f"{model.kind} can't guess for another model; give a decoder")
        if own.hash != tokenizer.hash:
            raise GenerationError("the draft model's tokenizer is another than the model's; give one that was trained with it")
        self.model = model
        self.window = min(WINDOW, model.config.context_length // 3)
        self.slots = model.new_slots(rows, 3 * self.window)
        self._begins = [0] * rows  # which token of its answer each row begins with
        self._read: list[list[int]] = [[] for _ in range(rows)]  # and what it has read since
        self._writable = tokenizer.vocabulary_size
        self.seconds = 0.0  # that a guess took of late

    @torch.inference_mode()
    def guess(self, texts: Sequence[Sequence[int]], wanted: Sequence[int]) -> list[list[int]]:
        """For each row what may follow its text, at most so many tokens as are wanted: the likeliest ones."""
        most = max(wanted)
        if not most:
            return [[] for _ in texts]
        began = time.perf_counter()
        unread = [self._unread(row, text) if wanted[row] else [] for row, text in enumerate(texts)]
        width = max(map(len, unread))
        inputs = torch.tensor([[*tokens, *[0] * (width - len(tokens))] for tokens in unread])
        ends = torch.tensor([max(len(tokens), 1) - 1 for tokens in unread])
        guesses: list[list[int]] = [[] for _ in texts]
        for number in range(most):
            state = self.slots.view(0, [len(read) for read in self._read[: len(texts)]])
            hidden = self.model.hidden(inputs.to(self.model.device), state=state)
            last = hidden[torch.arange(len(texts)), ends if not number else 0]
            likeliest = self.model.head(last).argmax(dim=-1).tolist()
            for row, token in enumerate(likeliest):
                if wanted[row]:
                    self._read[row] += unread[row] if not number else [guesses[row][-1]]
                    guesses[row].append(token)
            inputs = torch.tensor(likeliest)[:, None]
        self.seconds = (time.perf_counter() - began) / (most * sum(count > 0 for count in wanted))
        return [self._cut(guess[:count]) for guess, count in zip(guesses, wanted)]

    def _unread(self, row: int, text: Sequence[int]) -> list[int]:
        """What the row must read to be behind `text`: what it has read of it is kept, and what it read besides is forgotten."""
        begin, read = self._begins[row], self._read[row]
        same = 0
        for known, token in zip(read, text[begin:-1]):  # the last token is always read anew, since its state is asked for
            if known != token:
                break
            same += 1
        if not same or len(text) - begin > 2 * self.window - 16 or len(text) - begin - same > self.window:
            begin, same = max(0, len(text) - self.window), 0
        self._begins[row], self._read[row] = begin, read[:same]
        return list(text[begin + same :])

    def _cut(self, guess: list[int]) -> list[int]:
        """The guess up to a token that the large model hasn't."""
        known = [token < self._writable for token in guess]
        return guess[: known.index(False)] if False in known else guess
