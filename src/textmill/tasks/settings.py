"""How a task is learnt: the `[learn]` section of a task's recipe, and what the one training loop makes of it."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..models.settings import ModelSettings
from ..settings import Settings
from ..tokens.settings import TokenizerSettings
from ..training.settings import TrainSettings

MOST_EPOCHS = 60.0  # where `least_steps` would make them more


@dataclass(frozen=True)
class Usual:
    """How a kind of model learns where nothing is said; one that has `learnt_before` by layers. It reads every example as often
    as `epochs` and `least_steps` together ask for; its head learns at a rate of its own, or with None like all else, and what
    it looks up by a hash at so many times the others' rate."""

    learnt_before: bool
    epochs: float
    learning_rate: float
    head_learning_rate: float | None
    dropout: float
    optimizer: Literal["muon", "adamw"]
    decay_fraction: float
    least_steps: int = 0
    looked_up_factor: float = 1.0


LEARNT_BEFORE = Usual(True, 3.0, 5e-5, 1e-3, 0.1, "adamw", 0.94)
LOW_RANKS = dataclasses.replace(LEARNT_BEFORE, learning_rate=5e-4)
FROM_SCRATCH = Usual(False, 12.0, 0.02, None, 0.1, "muon", 0.5)
OF_PHRASES = Usual(False, 4.0, 1e-3, None, 0.3, "adamw", 0.94, least_steps=1000, looked_up_factor=2.0)  # docs/experiments.md


class LearnSettings(Settings):
    """How a model learns a task from examples. What isn't said follows from whether it has learnt before."""

    way: Literal["full", "head", "lora"] = "full"
    """full: all weights learn. lora: a thin product beside each matrix of the layers learns, merged into it at the end: less
    memory, and less that can be forgotten. head: only the task's head, on a body that stays as it is: quick, and for few
    examples."""

    rank: Annotated[int, Field(ge=1)] = 8
    """With lora: how thin the product is."""

    adapt_embeddings: bool = False
    """With lora: let it learn beside the table of tokens, too, for words that mean something else here."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    """How often every example is read; default: 3 on a model that has learnt before, 12 from scratch; a cnn 4, or, up
    to 60, as often as makes 1,000 steps."""

    batch_size: Annotated[int, Field(ge=1)] = 32
    """Examples in one step."""

    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak learning rate of all but the head; default: 5e-5 (with lora 5e-4), by AdamW, on a model that has learnt before, and
    0.02 from scratch, there by Muon for the layers' matrices, of a cnn 1e-3 by AdamW."""

    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """That of the task's head; default: 1e-3, and from scratch the same as all else's."""

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """What each layer's learning rate is multiplied by for the layer below it, on a model that has learnt before: what lies
    deep is of use for every task (Howard & Ruder 2018). 1: all alike."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay of the matrices, per step and unit of learning rate."""

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of embeddings and of the layers' contributions that is zeroed at random; default: 0.1, in a cnn from scratch
    0.3."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each label that is spread evenly over all; for labels that are sometimes wrong."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: rare labels weigh more, so that all count alike; then macro F1 rises, and accuracy may fall."""

    crf: bool = False
    """Tagging: tell the tags of a sentence together, by a conditional random field above the model. textmill alone reads such a
    folder: no class of transformers has one."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training examples that is held out where no validation file is given, chosen by the hash of their texts."""

    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after this many validations in a row that were no better than the best before; default: never. The best is kept."""

    longest: Annotated[int, Field(ge=8)] | None = None
    """Tokens of a text that are read, the rest is cut off and counted; default: the model's context, or 512."""

    reject: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the validation texts that may get no label because the model is less sure of them than of the others; so texts
    that fit none of the labels get none. Not needed where some of the examples are of that kind: see `--out-of-scope`."""

    augment: Annotated[int, Field(ge=0)] = 0
    """Edited copies of each training text that are learnt from beside it, each in one of the ways `augment_by`. They help where
    there are some hundred texts; an epoch is longer by them."""

    augment_by: Annotated[tuple[Literal["replace", "insert", "swap", "delete", "mask"], ...], Field(min_length=1)] = (
        "replace", "insert", "swap", "delete",
    )  # fmt: skip
    """What is done to words of a copy: replaced by another of the training texts' words, such a word inserted, two swapped, one
    deleted (Wei & Zou 2019); mask: replaced by what the encoder `augment_model` thinks likely there. In Chinese a word is a
    character."""

    augment_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of a copy's words that is edited; of each at least one."""

    augment_vectors: str | None = None
    """A file of word vectors, as `textmill vectors` writes it: words are replaced by near ones. Default: by any, as often as it
    stands in the training texts."""

    augment_model: str | None = None
    """For mask: the folder of an encoder that has learnt to guess masked words."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the new weights, of the order of the examples and of their edited copies."""

    @model_validator(mode="after")
    def _masked_copies_have_a_model(self) -> "LearnSettings":
        if ("mask" in self.augment_by) != (self.augment_model is not None):
            raise ValueError('augment_by with "mask" and augment_model go together: give both, or neither')
        return self

    def usual(self, learnt_before: bool, family: str) -> Usual:
        """What holds of a model of this family where nothing is said."""
        if learnt_before:
            return LOW_RANKS if self.way == "lora" else LEARNT_BEFORE
        return OF_PHRASES if family == "convolutional" else FROM_SCRATCH

    def epochs_of(self, usual: Usual, steps_per_epoch: int) -> float:
        """How often every example is read."""
        return self.epochs or min(MOST_EPOCHS, max(usual.epochs, usual.least_steps / steps_per_epoch))

    def dropout_of(self, usual: Usual) -> float:
        """Share that is zeroed."""
        return usual.dropout if self.dropout is None else self.dropout

    def train_settings(self, usual: Usual, steps_per_epoch: int) -> TrainSettings:
        """The same for the training loop."""
        epochs = self.epochs_of(usual, steps_per_epoch)
        steps = max(1, round(epochs * steps_per_epoch))
        rate = self.learning_rate or usual.learning_rate
        return TrainSettings(
            steps=steps,
            batch_size=self.batch_size,
            optimizer=usual.optimizer,
            matrix_learning_rate=rate,
            embedding_learning_rate=rate,
            weight_decay=self.weight_decay,
            dropout=self.dropout_of(usual),
            label_smoothing=self.label_smoothing,
            clip_norm=1.0,
            warmup_steps=max(1, round(0.06 * steps)),
            decay_fraction=usual.decay_fraction,
            validations=min(20, max(1, math.ceil(epochs))),
            patience=self.patience,
            seed=self.seed,
            compile="off",
            micro_batch=self.batch_size,
            attention="fused",
            dtype="auto",
        )

    def head_factor(self, usual: Usual) -> float:
        """The head's learning rate as a factor of the others'."""
        rate = self.learning_rate or usual.learning_rate
        return (self.head_learning_rate or usual.head_learning_rate or rate) / rate


class BaselineSettings(Settings):
    """How texts become features of the linear models that stand beside a classifier."""

    units: Literal["auto", "words", "characters"] = "auto"
    """words and strings of them, or strings of characters; auto: words, but characters in Chinese and Japanese."""

    longest: Annotated[int, Field(ge=1, le=8)] | None = None
    """So many units are together one feature at most; default: 2 words, 3 characters."""

    lower: bool = True
    """Upper case is lower case."""

    punctuation: bool = True
    """Punctuation marks count."""

    stop_words: Literal["none", "english"] | list[str] = "none"
    """Words that are left out: none, scikit-learn's list of English ones, or these."""


class TaskRecipe(Settings):
    """What a task is learnt by. `tokenizer` and `model` are for a model from scratch alone, `baseline` for classes of texts."""

    learn: LearnSettings = LearnSettings()
    """How it learns."""

    tokenizer: TokenizerSettings = TokenizerSettings(kind="word", vocabulary_size=8192)
    """How text becomes tokens."""

    model: ModelSettings = ModelSettings(architecture="lstm", preset="1m")
    """The model's shape."""

    baseline: BaselineSettings = BaselineSettings()
    """What it is compared with."""


class DialogueSettings(LearnSettings):
    """How a model learns to answer, or which answers are preferred. What belongs to classes of texts doesn't."""

    batch_size: Annotated[int, Field(ge=1)] = 8
    """Conversations, or pairs of answers, in one step."""

    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """What each layer's learning rate is multiplied by for the layer below it."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of embeddings and of the layers' contributions that is zeroed at random."""

    adapt_layers: Annotated[int, Field(ge=1)] | None = None
    """With lora: beside how many of the topmost layers it learns; default: all. What lies below then needs no gradient, which
    saves a part of the time."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """With preferences: how dear it is to move away from the model that it began as; less lets it move further."""

    answer_tokens: Annotated[int, Field(ge=1)] = 64
    """Tokens of an answer at most, where answers of before and after are shown side by side."""

    shown_answers: Annotated[int, Field(ge=0)] = 5
    """How many of the test's questions are answered so."""

    def problems(self) -> list[str]:
        """What is set and isn't of use here."""
        of_texts = ("class_weights", "head_learning_rate", "augment")
        unused = [name for name in of_texts if getattr(self, name) != type(self).model_fields[name].default]
        found = [f"learn.{name} is for classes of texts; leave it out" for name in unused]
        if self.way == "head":
            found.append("learn.way = head learns a head of labels, and answers have none; write full or lora")
        return found


class DialogueRecipe(TaskRecipe):
    """What answers are learnt by. `tokenizer` and `model` are for a model from scratch alone."""

    learn: DialogueSettings = DialogueSettings()
    """How it learns."""

    tokenizer: TokenizerSettings = TokenizerSettings(kind="bpe", vocabulary_size=4096)
    """How text becomes tokens."""

    model: ModelSettings = ModelSettings(architecture="qwen3", preset="1m")
    """The model's shape."""
