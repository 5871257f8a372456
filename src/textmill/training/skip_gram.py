"""Word vectors of one's own: skip-gram with negative sampling (Mikolov et al. 2013, arXiv:1310.4546).

Each word learns to tell the words that stand near it from words drawn at random. The gradient is written out, and the noise
words are shared by all pairs of a batch (Ji et al. 2016, arXiv:1604.04661), which makes of it three matrix products.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import TrainingError
from ..progress import Progress
from .word_stream import WordStream, near_pairs, stretch_length, word_stream

NEGATIVES = 5  # noise words that count against each pair
NOISE_POWER = 0.75  # noise is drawn by count to this power, as the paper found best
SUBSAMPLING = 1e-4  # a word's share of the text from which on it is thinned out; the paper's 1e-5 is for billions of words
RATE, LAST_RATE = 0.05, 0.0001  # falls linearly. Twice word2vec's: as good neighbours in half the time, docs/experiments.md
LARGEST_BATCH = 512  # twice as many pairs a second as 2048, since the noise words grow with it
# How often a batch should hold a word at most, as word, context or noise: all its steps are taken from where it stood before.
MOST_OF_ONE_WORD = 64
PAIRS_PER_NOISE_WORD = 4


@dataclass(frozen=True)
class SkipGramSettings:
    """How vectors are learnt. `window` is the greatest distance of two near words; rarer words than `minimum_count` are left
    out, as if they weren't there."""

    dimension: int = 100
    window: int = 5
    epochs: int = 10
    minimum_count: int = 5
    seed: int = 0


class SkipGram:
    """Two tables, (words, dimension): `words` become the vectors, `contexts` stand for the same words as neighbours."""

    def __init__(self, words: int, dimension: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.words = (torch.rand(words, dimension, generator=generator) - 0.5) / dimension
        self.contexts = torch.zeros(words, dimension)

    def gradients(self, centres: Tensor, contexts: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The loss of a batch, summed, and its gradient for the rows of centres (B, D), contexts (B, D) and noise (N, D).

        Of pair (c, o) and noise n, with w of `words` and u of `contexts`:
        -log σ(w_c·u_o) - NEGATIVES/N · Σ_n log σ(-w_c·u_n).
        """
        centre, context, drawn = self.words[centres], self.contexts[contexts], self.contexts[noise]
        near, far = (centre * context).sum(1), centre @ drawn.T  # (B,), (B, N)
        share = NEGATIVES / len(noise)
        loss = F.softplus(-near).sum() + share * F.softplus(far).sum()
        toward, away = torch.sigmoid(near).sub_(1)[:, None], torch.sigmoid(far).mul_(share)
        return loss, toward * context + away @ drawn, toward * centre, away.T @ centre

    def step(self, centres: Tensor, contexts: Tensor, noise: Tensor, rate: float) -> Tensor:
        """Go down the gradient of a batch; a word that stands in it several times takes all its steps. Returns the loss."""
        loss, of_centres, of_contexts, of_noise = self.gradients(centres, contexts, noise)
        self.words.index_add_(0, centres, of_centres, alpha=-rate)
        self.contexts.index_add_(0, contexts, of_contexts, alpha=-rate)
        self.contexts.index_add_(0, noise, of_noise, alpha=-rate)
        return loss


def train_word_vectors(
    texts: Iterable[str], settings: SkipGramSettings, progress_stream: TextIO | None = None
) -> tuple[list[str], np.ndarray]:
    """The words of `texts`, the most frequent first, and their vectors, (words, dimension) float32.

    The same texts and settings give the same bits on one machine with as many threads. Raises TrainingError where there are
    too few words.
    """
    with word_stream(texts, settings.minimum_count) as stream:
        model = SkipGram(len(stream.words), settings.dimension, settings.seed)
        total = settings.epochs * int(stream.counts.sum())
        with Progress("vectors", total, "words", progress_stream) as progress:
            for epoch in range(settings.epochs):
                if not _learn(model, stream, settings, epoch, progress):
                    raise TrainingError("no two of the words that are frequent enough stand near each other; give longer texts")
    return stream.words, model.words.numpy()


def _learn(model: SkipGram, stream: WordStream, settings: SkipGramSettings, epoch: int, progress: Progress) -> int:
    """Once through the text; returns how many pairs it gave."""
    learnt = 0
    shares = stream.counts / stream.counts.sum()
    keep = np.minimum(1, np.sqrt(max(SUBSAMPLING, 1 / len(shares)) / shares))  # where all are equal, none is frequent
    noise_ends = np.cumsum(shares**NOISE_POWER)
    size = _batch_size(shares * keep)
    for number, stretch in enumerate(stream.stretches(stretch_length(settings.window))):
        generator = np.random.default_rng([settings.seed, epoch, number])
        pairs = torch.from_numpy(np.stack(near_pairs(stretch, keep, settings.window, generator)))
        loss = torch.zeros(())
        for start in range(0, pairs.size(1), size):
            centres, contexts = pairs[:, start : start + size]
            drawn = generator.random(max(1, len(centres) // PAIRS_PER_NOISE_WORD)) * noise_ends[-1]
            noise = torch.from_numpy(np.searchsorted(noise_ends[:-1], drawn, side="right"))
            rate = max(RATE * (1 - progress.done / progress.total), LAST_RATE)  # type: ignore[operator]
            loss += model.step(centres, contexts, noise, rate)
            progress.advance(_words_in(stretch) * len(centres) / pairs.size(1))
        progress.detail = f"{float(loss) / max(pairs.size(1), 1):.3f} nats a pair"
        learnt += pairs.size(1)
    return learnt


def _batch_size(frequencies: np.ndarray) -> int:
    """So many pairs that the most frequent word isn't too often among them. `frequencies`: after thinning, of any sum."""
    share = float(frequencies.max() / frequencies.sum())
    return max(1, min(LARGEST_BATCH, int(MOST_OF_ONE_WORD / (share * (1 + NEGATIVES)))))


def _words_in(stretch: np.ndarray) -> int:
    return int(np.count_nonzero(stretch >= 0))
