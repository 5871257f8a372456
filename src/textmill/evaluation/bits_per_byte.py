"""Language models side by side in bits per byte, so that an n-gram and a Transformer over pieces can be compared.

Bits per byte = nats / ln 2 / UTF-8 bytes, a document's end counted as one byte. Systems are compared over the documents
that both have scored.
"""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from ..corpus.document import Document
from ..score import BITS_PER_BYTE, Score
from .bootstrap import bootstrap_ratio, paired_bootstrap
from .scorers import DocumentScore, Scorer
from .selection import refuse_unfit

UNIT = BITS_PER_BYTE.unit


@dataclass(frozen=True)
class SystemScores:
    """One system's figures."""

    name: str
    bits_per_byte: Score
    token_perplexity: Score
    word_perplexity: Score


@dataclass(frozen=True)
class Evaluation:
    """A system, and the others it is compared with. Each difference is the first system less another: below zero is
    better."""

    systems: list[SystemScores]
    differences: list[Score]
    documents: list[list[DocumentScore]]
    """Each system's documents, in the systems' order."""
    seconds: list[float]
    """How long each system scored, in the same order: of this machine, so no part of `to_dict`."""
    figure = BITS_PER_BYTE

    @property
    def names(self) -> list[str]:
        """What the systems are called, in their order."""
        return [system.name for system in self.systems]

    @property
    def closest(self) -> int | None:
        """Which difference belongs to the hardest baseline: the one that needs the fewest bits for the documents that all
        systems have scored. The differences can't say it, each being over documents of its own: xz scores only a few."""
        identities = [{(score.source, score.id) for score in scores} for scores in self.documents]
        shared = set.intersection(*identities)
        nats = [sum(score.nats for score in scores if (score.source, score.id) in shared) for scores in self.documents[1:]]
        return min(range(len(nats)), key=nats.__getitem__, default=None)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; a number that isn't known (an interval over one document) is None."""
        return {
            "figure": self.figure.key,
            "systems": [
                {
                    "name": system.name,
                    "bits_per_byte": plain_score(system.bits_per_byte),
                    "token_perplexity": plain_score(system.token_perplexity),
                    "word_perplexity": plain_score(system.word_perplexity),
                }
                for system in self.systems
            ],
            "differences": [plain_score(difference) for difference in self.differences],
            "closest": self.closest,
        }


def evaluate_scorers(
    scorers: Sequence[Scorer],
    documents: Sequence[Document],
    samples: int = 10_000,
    seed: int = 0,
    extra_signature: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score `documents` with every system and compare the first with each other one; `samples` resamples an interval.

    `extra_signature` says more of where the documents come from; every score carries it.
    Raises CorpusError where there are no documents, or some can't be told apart or aren't Unicode text.
    """
    refuse_unfit(documents)
    names = [scorer.name for scorer in scorers]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"each system needs a name of its own, got {names}")
    results, seconds = [], []
    for scorer in scorers:
        started = time.perf_counter()
        results.append(list(scorer.score(documents)))
        seconds.append(round(time.perf_counter() - started, 3))
    texts = {(document.source, document.id): document for document in documents}
    systems = [
        _system_scores(
            scorer, scores, [texts[score.source, score.id] for score in scores], samples, seed, extra_signature or {}
        )
        for scorer, scores in zip(scorers, results)
    ]
    differences = [
        _difference(systems[0], results[0], other, scores, samples, seed) for other, scores in zip(systems[1:], results[1:])
    ]
    return Evaluation(systems, differences, results, seconds)


def validation_bits_per_byte(scorer: Scorer, documents: Sequence[Document]) -> float:
    """Bits per byte and no more: what a training loop asks for now and then. Raises as `evaluate_scorers` does."""
    refuse_unfit(documents)
    nats, size = 0.0, 0
    for score in scorer.score(documents):
        nats, size = nats + score.nats, size + score.bytes
    return nats / math.log(2) / size


def _system_scores(
    scorer: Scorer,
    scores: Sequence[DocumentScore],
    documents: Sequence[Document],
    samples: int,
    seed: int,
    extra_signature: Mapping[str, Any],
) -> SystemScores:
    nats, sizes = _column(scores, "nats"), _column(scores, "bytes")
    signature = {
        "system": scorer.name,
        **scorer.signature,
        "documents_sha256": data_hash(documents),
        "bytes": int(sizes.sum()),
        "lost_bytes": sum(score.lost_bytes for score in scores),
        "bootstrap_samples": samples,
        "seed": seed,
        "textmill": __version__,
        **extra_signature,
    }

    def perplexity(name: str, counts: np.ndarray) -> Score:
        low, high = bootstrap_ratio(nats, counts, samples, seed)
        return Score(
            name,
            _exponential(nats.sum() / counts.sum()),
            _exponential(low),
            _exponential(high),
            len(scores),
            signature=signature,
        )

    bits = nats / math.log(2)
    low, high = bootstrap_ratio(bits, sizes, samples, seed)
    return SystemScores(
        scorer.name,
        Score("bits per byte", float(bits.sum() / sizes.sum()), low, high, len(scores), UNIT, signature),
        perplexity("token perplexity", _column(scores, "tokens")),
        perplexity("word perplexity", _column(scores, "words")),
    )


def _difference(
    first: SystemScores,
    first_scores: Sequence[DocumentScore],
    other: SystemScores,
    other_scores: Sequence[DocumentScore],
    samples: int,
    seed: int,
) -> Score:
    others = {(score.source, score.id): score for score in other_scores}
    shared = [score for score in first_scores if (score.source, score.id) in others]
    nats = _column(shared, "nats")
    other_nats = _column([others[score.source, score.id] for score in shared], "nats")
    sizes = _column(shared, "bytes")
    value = float((nats - other_nats).sum() / math.log(2) / sizes.sum())
    low, high = paired_bootstrap(nats, other_nats, sizes, samples, seed)
    signature = {"first": first.bits_per_byte.signature, "second": other.bits_per_byte.signature}
    return Score(f"{first.name} less {other.name}", value, low, high, len(shared), UNIT, signature)


def _column(scores: Sequence[DocumentScore], field: str) -> np.ndarray:
    return np.array([getattr(score, field) for score in scores], dtype=np.float64)


def data_hash(documents: Sequence[Document]) -> str:
    """SHA-256 over ids and texts, whatever the documents' order."""
    lines = sorted(json.dumps([document.id, document.text]) for document in documents)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _exponential(value: float) -> float:
    """e to the `value`; infinite where a float can't hold it (a "word" of a thousand letters)."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def plain_score(score: Score) -> dict[str, Any]:
    """A score as JSON values, which know neither NaN nor infinity."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in score.to_dict().items()
    }
