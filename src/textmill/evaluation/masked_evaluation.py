"""Encoders and blind guessers in one table: the share of hidden words that each gets right, and the bits these cost it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..corpus.document import Document
from ..errors import CorpusError
from ..score import BITS_PER_MASKED_WORD, Score
from .bits_per_byte import data_hash, plain_score
from .bootstrap import bootstrap_ratio, paired_bootstrap
from .masked import EncoderScorer, MaskedScore, MaskedScorer
from .selection import refuse_unfit
from .spans import SpanScorer
from .words import word_spans

# Models that see a text from both sides, and are judged by the words that they guess.
GUESSERS: dict[str, Callable[..., MaskedScorer]] = {"encoder": EncoderScorer, "encoder-decoder": SpanScorer}


@dataclass(frozen=True)
class MaskedSystemScores:
    """One system's figures."""

    name: str
    accuracy: Score
    bits_per_masked_word: Score


@dataclass(frozen=True)
class MaskedEvaluation:
    """A system, and the others it is compared with. Each difference is the first system's bits per masked word less
    another's: below zero is better. All have guessed the same words."""

    systems: list[MaskedSystemScores]
    differences: list[Score]
    documents: list[list[MaskedScore]]
    """Each system's documents, in the systems' order."""
    seconds: list[float]
    """How long each system scored, in the same order: of this machine, so no part of `to_dict`."""
    figure = BITS_PER_MASKED_WORD

    @property
    def names(self) -> list[str]:
        """What the systems are called, in their order."""
        return [system.name for system in self.systems]

    @property
    def closest(self) -> int | None:
        """Which difference belongs to the hardest baseline."""
        others = [system.bits_per_masked_word.value for system in self.systems[1:]]
        return min(range(len(others)), key=others.__getitem__, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; a number that isn't known (an interval over one document) is None."""
        return {
            "figure": self.figure.key,
            "systems": [
                {
                    "name": system.name,
                    "accuracy": plain_score(system.accuracy),
                    "bits_per_masked_word": plain_score(system.bits_per_masked_word),
                }
                for system in self.systems
            ],
            "differences": [plain_score(difference) for difference in self.differences],
            "closest": self.closest,
        }


def evaluate_masked(
    scorers: Sequence[MaskedScorer],
    documents: Sequence[Document],
    samples: int = 10_000,
    seed: int = 0,
    extra_signature: Mapping[str, Any] | None = None,
) -> MaskedEvaluation:
    """Let every system guess the hidden words of `documents`, and compare the first with each other one; `samples` resamples
    an interval. Raises CorpusError where documents can't be told apart, or none has a word."""
    refuse_unfit(documents)
    if not any(word_spans(document.text) for document in documents):
        raise CorpusError("the documents have no words to hide; give other text, with letters or digits in it")
    results, seconds = [], []
    for scorer in scorers:
        started = time.perf_counter()
        results.append(list(scorer.score(documents)))
        seconds.append(round(time.perf_counter() - started, 3))
    data = {"documents_sha256": data_hash(documents), "bootstrap_samples": samples, "seed": seed, "textmill": __version__}
    data |= extra_signature or {}
    systems = [
        _system_scores(scorer.name, scores, {"system": scorer.name, **scorer.signature, **data}, samples, seed)
        for scorer, scores in zip(scorers, results, strict=True)
    ]
    differences = [
        _difference(systems[0], results[0], other, scores, samples, seed)
        for other, scores in zip(systems[1:], results[1:], strict=True)
    ]
    return MaskedEvaluation(systems, differences, results, seconds)


def _system_scores(
    name: str, scores: Sequence[MaskedScore], signature: dict[str, Any], samples: int, seed: int
) -> MaskedSystemScores:
    words, right = [score.words for score in scores], [score.right for score in scores]
    bits = [score.nats / math.log(2) for score in scores]
    unit = BITS_PER_MASKED_WORD.unit
    return MaskedSystemScores(
        name,
        Score(
            "masked-word accuracy", sum(right) / sum(words), *bootstrap_ratio(right, words, samples, seed), len(scores),
            "of the hidden words", signature,
        ),
        Score(
            BITS_PER_MASKED_WORD.name, sum(bits) / sum(words), *bootstrap_ratio(bits, words, samples, seed), len(scores),
            unit, signature,
        ),
    )  # fmt: skip


def _difference(
    first: MaskedSystemScores,
    first_scores: Sequence[MaskedScore],
    other: MaskedSystemScores,
    other_scores: Sequence[MaskedScore],
    samples: int,
    seed: int,
) -> Score:
    words = [score.words for score in first_scores]
    nats, other_nats = [score.nats for score in first_scores], [score.nats for score in other_scores]
    return Score(
        f"{first.name} less {other.name}",
        (sum(nats) - sum(other_nats)) / math.log(2) / sum(words),
        *paired_bootstrap(nats, other_nats, words, samples, seed),
        len(words),
        BITS_PER_MASKED_WORD.unit,
        {"first": first.bits_per_masked_word.signature, "second": other.bits_per_masked_word.signature},
    )
