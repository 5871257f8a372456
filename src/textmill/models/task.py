"""What a model is made for beside language: a kind of head (models/heads.py) and what each of its numbers is called.

Such a model has one head, the task's; what its body would otherwise have above its last layer isn't part of it.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from .bidirectional import BidirectionalConfig
from .config import ModelConfig
from .decoder import DecoderConfig
from .encoder import EncoderConfig
from .heads import HEADS, Head, TaskModel
from .recurrent import RecurrentConfig

MOST_LABELS = 100_000
LONGEST_LABEL = 1_000  # characters
HOLDS = 0.5  # a label that stands for itself holds from this probability on, unless thresholds say otherwise


DECIDED = ("sequence", "multi_label")  # kinds that thresholds decide


@dataclass(frozen=True)
class TaskConfig:
    """A task: the `kind` of its head, one of HEADS, and the `labels` of the head's outputs, in their order.

    sequence: one of the labels for a text; multi_label: any of them, each for itself; regression: a number by each name;
    token: one of the labels for each token; chain: the same, told together by a CRF; span: where the answer to a question
    begins and ends, without labels to choose. `characters`: what tokens are labelled for are single characters, not words.
    `thresholds`: from which probability on each label is answered; a text whose likeliest label is below its own fits none.
    """

    kind: str
    labels: tuple[str, ...]
    characters: bool = False
    thresholds: tuple[float, ...] = ()

    def problems(self) -> Iterator[str]:
        """What is wrong with the labels: a sentence each."""
        if not 1 <= len(self.labels) <= MOST_LABELS:
            yield f"a task has 1 to {MOST_LABELS:,} labels, found {len(self.labels):,}"
        if self.kind == "sequence" and len(self.labels) == 1:
            yield "a task that chooses one label needs two to choose from, found 1; a number for a text is a regression"
        if self.kind == "span" and len(self.labels) != 2:
            yield f"a span has a begin and an end, found {len(self.labels)} labels"
        for label, count in Counter(self.labels).items():
            if not label.strip() or len(label) > LONGEST_LABEL:
                yield f"a label is a text of 1 to {LONGEST_LABEL:,} characters, found {label!r:.80}"
            elif count > 1:
                yield f"the label {label!r:.80} stands {count} times among the labels"
        if self.thresholds and (self.kind not in DECIDED or len(self.thresholds) != len(self.labels)):
            found = f"found {len(self.thresholds)} for {len(self.labels)} of the kind {self.kind}"
            yield f"a threshold belongs to each label of a text, {found}"

    def said(self, scores: Sequence[float]) -> list[int]:
        """The places of the labels that these probabilities answer with: of one label out of all the likeliest or none, of any
        of them those that hold."""
        if self.kind == "multi_label":
            bounds = self.thresholds or [HOLDS] * len(scores)
            return [place for place, score in enumerate(scores) if score >= bounds[place]]
        likeliest = max(range(len(scores)), key=scores.__getitem__)
        return [likeliest] if not self.thresholds or scores[likeliest] >= self.thresholds[likeliest] else []

    def head(self, config: ModelConfig) -> Head:
        """A head for the task, its weights not yet set, on a body of this shape."""
        head = HEADS[self.kind](config, len(self.labels))
        head.name_outputs(self.labels)
        return head


@dataclass(frozen=True)
class Task:
    """A task, and the model for it: a body under its head."""

    config: TaskConfig
    model: TaskModel


def body_config(config: ModelConfig) -> ModelConfig:
    """The shape of a body under a task's head: without what it would have above its last layer."""
    if isinstance(config, EncoderConfig):
        return dataclasses.replace(config, masked_head=False, pooler=False)
    if isinstance(config, DecoderConfig | RecurrentConfig) and not isinstance(config, BidirectionalConfig):
        return dataclasses.replace(config, tied_embeddings=True)  # then its head for tokens has no weight of its own
    return config


def probabilities(kind: str, outputs: Tensor) -> Tensor:
    """What a head's outputs (…, labels) say: of one label out of all a distribution, of any of them each one's own
    probability, of numbers the numbers."""
    if kind == "multi_label":
        return outputs.float().sigmoid()
    return outputs.float() if kind == "regression" else outputs.float().softmax(dim=-1)
