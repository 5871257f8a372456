"""What sets the families apart in a model's life: what each is trained on, validated, shown and judged by.

One class, and an entry in FAMILIES, for those that live alike.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ..corpus.document import Document
from ..evaluation.bits_per_byte import Evaluation, evaluate_scorers, validation_bits_per_byte
from ..evaluation.masked import EncoderScorer, MaskedScorer, beginning, bits_per_masked_token, with_guesses
from ..evaluation.masked_baselines import WordCounts, WordScorer
from ..evaluation.masked_evaluation import GUESSERS, MaskedEvaluation, evaluate_masked
from ..evaluation.scorers import ModelScorer, NgramScorer, Scorer, XzScorer
from ..evaluation.settings import EvaluationSettings
from ..evaluation.spans import SpanScorer, without_hidden_words
from ..evaluation.stream_scorer import scorer_of
from ..evaluation.table import render_evaluation, render_masked_evaluation
from ..inference.fill import filled
from ..inference.fill_spans import MARK, filled_row, filled_spans
from ..inference.generate import complete
from ..inference.sampling import Sampling
from ..models.count import Count, count, count_spans
from ..models.loss import LossTerms
from ..models.ngram import NgramModel
from ..score import BITS_PER_BYTE, BITS_PER_MASKED_TOKEN, BITS_PER_SPAN_TOKEN, Figure
from ..tokens.data import TokenData
from ..tokens.plans import BlockPlan, Plan, StreamPlan
from ..tokens.spans import MARKS, SpanCorruption, longest_row
from ..tokens.special_tokens import MASK, PAD
from ..tokens.tokenizer import Tokenizer
from ..training.objectives import CausalObjective, MaskedObjective, Objective
from ..training.sequence_to_sequence import SpanCorruptionObjective
from ..training.settings import TrainSettings

NAME = "textmill"  # what the tables call the model
XZ_BYTES = 8_000_000  # xz reads its training text anew for every document
SHOWN_CHARACTERS = 240  # of a held-out document whose hidden words are guessed for show


@dataclass(frozen=True)
class Judgement:
    """An evaluation, the same for a terminal, and how long each baseline took to learn."""

    evaluation: Evaluation | MaskedEvaluation
    text: str
    training_seconds: dict[str, float]


class Sample(NamedTuple):
    """A piece of a model's work: what was given, and what follows it."""

    prompt: str
    text: str


class Family(Protocol):
    """How the models of one family live. `figure` is what training and validation are measured in, `special_tokens` what the
    tokenizer must have beside the tokens that every one has, `verb` what the models do with text, `plan` the order in which
    they read in training. `rows` windows pass through a model at once."""

    special_tokens: tuple[str, ...]
    verb: str
    figure: Figure
    plan: type[Plan]

    def objective(self, settings: TrainSettings, tokenizer: Tokenizer, config: Any) -> Objective:
        """What a model of this shape is trained to do."""

    def count(self, config: Any, settings: TrainSettings) -> Count:
        """What such a model weighs, and what a token of training costs it."""

    def problems(self, config: Any, settings: TrainSettings) -> Iterator[str]:
        """What a recipe may not ask of such models."""

    def units_per_target(self, data: TokenData) -> float:
        """How many of what the figure counts by, bytes or tokens, a target stands for."""

    def validate(self, model: Any, tokenizer: Tokenizer, documents: Sequence[Document], rows: int) -> float:
        """The figure on held-out documents."""

    def sample(self, model: Any, tokenizer: Tokenizer, prompt: str, held_out: Document, seed: int, tokens: int) -> Sample:
        """What the model makes of a prompt; where it is empty, of nothing or of a held-out document."""

    def prompt_problem(self, prompt: str, tokenizer: Tokenizer, context: int) -> str | None:
        """Why a prompt that isn't empty is none for such a model; None where it is one."""

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        documents: Sequence[Document],
        training_texts: Callable[[], Iterable[str]],
        settings: EvaluationSettings,
        rows: int,
    ) -> Judgement:
        """The model beside baselines that know nothing but the training texts."""


def _too_long(length: int, room: int) -> str | None:
    """What is wrong with a prompt of so many tokens; None where there is room for it."""
    return f"is {length} tokens long, and model.context_length leaves room for {room}; shorten it" if length > room else None


class Causal:
    """Models that write from left to right."""

    special_tokens: tuple[str, ...] = ()
    verb = "writes"
    figure = BITS_PER_BYTE
    plan: type[Plan] = BlockPlan

    def objective(self, settings: TrainSettings, tokenizer: Tokenizer, config: Any) -> Objective:
        return CausalObjective(LossTerms(settings.label_smoothing, settings.z_loss))

    def count(self, config: Any, settings: TrainSettings) -> Count:
        return count(config)

    def problems(self, config: Any, settings: TrainSettings) -> Iterator[str]:
        yield from ()

    def units_per_target(self, data: TokenData) -> float:
        return data.manifest["text_bytes"] / data.tokens

    def validate(self, model: Any, tokenizer: Tokenizer, documents: Sequence[Document], rows: int) -> float:
        return validation_bits_per_byte(self._scorer(model, tokenizer, rows), documents)

    def sample(self, model: Any, tokenizer: Tokenizer, prompt: str, held_out: Document, seed: int, tokens: int) -> Sample:
        return Sample(prompt, complete(model, tokenizer, prompt, Sampling(seed=seed), tokens))

    def prompt_problem(self, prompt: str, tokenizer: Tokenizer, context: int) -> str | None:
        return _too_long(len(tokenizer.encode(prompt)), context - 2)  # what begins a text, and what is to follow

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        documents: Sequence[Document],
        training_texts: Callable[[], Iterable[str]],
        settings: EvaluationSettings,
        rows: int,
    ) -> Judgement:
        started = time.perf_counter()
        ngram = NgramScorer(NgramModel.train(training_texts(), settings.ngram_order, settings.baseline_bytes))
        training_seconds = {ngram.name: round(time.perf_counter() - started, 3)}
        xz = XzScorer(training_texts(), min(settings.baseline_bytes, XZ_BYTES))
        scorers: list[Scorer] = [self._scorer(model, tokenizer, rows), ngram, xz]
        evaluation = evaluate_scorers(scorers, documents, settings.bootstrap_samples)
        return Judgement(evaluation, render_evaluation(evaluation), training_seconds)

    def _scorer(self, model: Any, tokenizer: Tokenizer, rows: int) -> ModelScorer:
        return scorer_of(model, tokenizer, rows, NAME)


class Recurrent(Causal):
    """Models that remember what they have read, and read on without end."""

    plan: type[Plan] = StreamPlan

    def prompt_problem(self, prompt: str, tokenizer: Tokenizer, context: int) -> str | None:
        return None


class Masked:
    """Models that guess hidden words from both sides. A prompt without a `mark` is given a mask at its end."""

    mark = re.compile(re.escape(MASK))  # what stands in a prompt where something is to be guessed
    special_tokens: tuple[str, ...] = (PAD, MASK)
    verb = "guesses"
    figure = BITS_PER_MASKED_TOKEN
    plan: type[Plan] = BlockPlan

    def objective(self, settings: TrainSettings, tokenizer: Tokenizer, config: Any) -> Objective:
        assert tokenizer.mask_id is not None  # it is one of the special tokens
        terms = LossTerms(settings.label_smoothing, settings.z_loss)
        known = (tokenizer.mask_id, tokenizer.begins_word, tokenizer.special_ids)
        return MaskedObjective(*known, settings.masking, settings.seed, terms)

    def count(self, config: Any, settings: TrainSettings) -> Count:
        return count(config, head_share=settings.masking)

    def problems(self, config: Any, settings: TrainSettings) -> Iterator[str]:
        yield from ()

    def units_per_target(self, data: TokenData) -> float:
        return 1.0

    def validate(self, model: Any, tokenizer: Tokenizer, documents: Sequence[Document], rows: int) -> float:
        return bits_per_masked_token(EncoderScorer(model, tokenizer, rows, NAME), documents)

    def sample(self, model: Any, tokenizer: Tokenizer, prompt: str, held_out: Document, seed: int, tokens: int) -> Sample:
        if prompt:
            return Sample("", filled(model, tokenizer, self._with_mark(prompt)))
        scorer = EncoderScorer(model, tokenizer, name=NAME)
        return Sample("", with_guesses(scorer, beginning(held_out, SHOWN_CHARACTERS)))

    def prompt_problem(self, prompt: str, tokenizer: Tokenizer, context: int) -> str | None:
        parts, frame = self.mark.split(prompt), len(tokenizer.prefix) + len(tokenizer.suffix)
        return _too_long(len(tokenizer.encode("".join(parts))) + max(1, len(parts) - 1), context - frame)

    def evaluate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        documents: Sequence[Document],
        training_texts: Callable[[], Iterable[str]],
        settings: EvaluationSettings,
        rows: int,
    ) -> Judgement:
        started = time.perf_counter()
        counts = WordCounts(training_texts(), settings.baseline_bytes)
        baselines = [WordScorer(counts, neighbours=True), WordScorer(counts, neighbours=False)]
        training_seconds = dict.fromkeys((each.name for each in baselines), round(time.perf_counter() - started, 3))
        scorers: list[MaskedScorer] = [GUESSERS[model.family](model, tokenizer, rows, NAME), *baselines]
        evaluation = evaluate_masked(scorers, documents, settings.bootstrap_samples)
        return Judgement(evaluation, render_masked_evaluation(evaluation), training_seconds)

    def _with_mark(self, prompt: str) -> str:
        return prompt if self.mark.search(prompt) else f"{prompt.rstrip()} {MASK}"


class Spans(Masked):
    """Models that write what was cut out of a text, judged by the words that encoders are judged by."""

    mark = MARK
    special_tokens: tuple[str, ...] = (PAD, *MARKS)
    verb = "guesses"
    figure = BITS_PER_SPAN_TOKEN

    def objective(self, settings: TrainSettings, tokenizer: Tokenizer, config: Any) -> Objective:
        task, terms = SpanCorruption(tokenizer), LossTerms(settings.label_smoothing, settings.z_loss)
        return SpanCorruptionObjective(task, config.start_id(task.pad_id), settings.masking, settings.seed, terms)

    def count(self, config: Any, settings: TrainSettings) -> Count:
        return count_spans(config, settings.masking)

    def problems(self, config: Any, settings: TrainSettings) -> Iterator[str]:
        if config.context_length > (longest := longest_row(settings.masking)):
            yield (
                f"model.context_length: there are {len(MARKS)} marks for spans, enough for {longest:,} tokens with "
                f"train.masking = {settings.masking:g}; found {config.context_length:,}"
            )
        if settings.document_attention:
            yield "train.document_attention: an encoder–decoder reads a row as one text; leave it out"

    def validate(self, model: Any, tokenizer: Tokenizer, documents: Sequence[Document], rows: int) -> float:
        return SpanScorer(model, tokenizer, rows, NAME).bits_per_span_token(documents)

    def sample(self, model: Any, tokenizer: Tokenizer, prompt: str, held_out: Document, seed: int, tokens: int) -> Sample:
        if prompt:
            return Sample("", filled_spans(model, tokenizer, self._with_mark(prompt)))
        room = model.config.context_length - len(tokenizer.prefix) - len(tokenizer.suffix)
        kept = without_hidden_words(tokenizer, beginning(held_out, SHOWN_CHARACTERS))[:room]
        return Sample("", filled_row(model, tokenizer, kept))


FAMILIES: dict[str, Family] = {
    "recurrent": Recurrent(),
    "decoder": Causal(),
    "encoder": Masked(),
    "encoder-decoder": Spans(),
}
