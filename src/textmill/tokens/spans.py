"""Spans cut out of a text and asked for: a mark in the place of each, and the marks with what stood there as the answer.

The span corruption of T5 (Raffel et al. 2020): how much is cut out in how many spans is fixed, their lengths and places random.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import TokenizerError
from .special_tokens import SPAN
from .tokenizer import Tokenizer

MEAN_LENGTH = 3  # tokens; T5's
MARKS = tuple(SPAN.format(number) for number in range(100))  # as many as T5 has


def longest_row(share: float) -> int:
    """Tokens of the longest row for whose spans there are MARKS enough."""
    return int(len(MARKS) * MEAN_LENGTH / share)


class SpanCorruption:
    """The task in the tokens of one tokenizer: a source is a whole input, a target ends as a document does. Raises
    TokenizerError for a tokenizer without marks or padding."""

    def __init__(self, tokenizer: Tokenizer):
        if not tokenizer.span_ids or tokenizer.pad_id is None:
            raise TokenizerError(f"this tokenizer has no {SPAN.format(0)} or no padding, so no span of a text can be asked for")
        self.marks, self.pad_id = tokenizer.span_ids, tokenizer.pad_id
        self.prefix, self.suffix, self.end_id = tokenizer.prefix, tokenizer.suffix, tokenizer.document_end_id
        self.special = np.isin(np.arange(tokenizer.vocabulary_size), list(tokenizer.special_ids))

    def pair(self, tokens: np.ndarray, share: float, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """The source and the target that a text's tokens (T,) give. Both fit where T, prefix and suffix do."""
        return self.framed(*cut_out(tokens, share, self.marks, self.special, random))

    def framed(self, kept: np.ndarray, answer: np.ndarray) -> tuple[list[int], list[int]]:
        """What is left of a text, and the answer, as a source and a target."""
        return [*self.prefix, *kept.tolist(), *self.suffix], [*answer.tolist(), self.end_id]


def cut_out(
    tokens: np.ndarray, share: float, marks: Sequence[int], special: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of a row of tokens (T,) with random spans cut out, and the answer: see `marked`.

    `share` of the tokens is cut out, one at least. `special` (V,) bool: tokens that stay where they are, and end a span.
    """
    return marked(tokens, _hidden(len(tokens), share, random) & ~special[tokens], marks)


def marked(tokens: np.ndarray, hidden: np.ndarray, marks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """What is left of a row of tokens (T,), a mark for each stretch that is `hidden` (T,), and the answer: what was hidden,
    each stretch behind its mark. Where the marks run out, the text stays as it is."""
    number = np.cumsum(_begins(hidden)) - 1
    hidden = hidden & (number < len(marks))
    begins = _begins(hidden)
    mark = np.asarray(marks, dtype=tokens.dtype)[number[begins]]
    kept = tokens.copy()
    kept[begins] = mark
    places = np.flatnonzero(begins)
    answer = np.insert(tokens, places, mark)[np.insert(hidden, places, True)]
    return kept[~hidden | begins], answer


def _begins(hidden: np.ndarray) -> np.ndarray:
    """Where a span begins, (T,) bool."""
    return hidden & ~np.concatenate([[False], hidden[:-1]])


def _hidden(length: int, share: float, random: np.random.Generator) -> np.ndarray:
    """Which of `length` tokens to cut out, (T,) bool: stretches that stay and spans take turns, the first stays."""
    if length < 2:
        return np.zeros(length, dtype=bool)
    cut = min(max(round(length * share), 1), length - 1)
    spans = min(max(round(cut / MEAN_LENGTH), 1), length - cut)
    lengths = np.stack([_parts(length - cut, spans, random), _parts(cut, spans, random)], axis=1).ravel()
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def _parts(whole: int, parts: int, random: np.random.Generator) -> np.ndarray:
    """`whole` as a sum of so many numbers above 0, each such sum as likely as any other."""
    cuts = np.sort(random.permutation(whole - 1)[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [whole]]))
