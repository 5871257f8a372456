"""Whole texts read by a model that doesn't write: several pass through it together, and of each comes what is wanted of it.

What can be wanted is a small class beside its mathematics: a vector in embed.py, masked tokens in fill.py, labels in
classify.py. The engine (encoder_engine.py) reads so for many who ask, and `read_alone` for one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import GenerationError
from ..models.heads import hidden_of_texts
from ..models.language_model import LanguageModel

PASS_TOKENS = 512  # that pass through the model together, padding included, or one text; more are no faster on a CPU
LEAST_LIKE = 0.75  # the shortest text of a pass, as a part of its longest


class Wanted(Protocol):
    """What is wanted of a reading."""

    def problem(self, model: LanguageModel) -> str | None:
        """Why this model can't give it: a sentence; None where it can."""
        ...

    def of(self, model: LanguageModel, hidden: Tensor, tokens: Tensor) -> Any:
        """What comes of one text: its tokens (T,) and their last hidden states (T, D)."""
        ...


@dataclass(frozen=True)
class Reading:
    """A whole text, and what is wanted of it."""

    tokens: Sequence[int]
    wanted: Wanted


def unreadable(model: LanguageModel, tokens: Sequence[int]) -> str | None:
    """Why a text can't be read: what follows its name in a sentence; None where it can."""
    context, vocabulary = model.context_limit, model.config.vocabulary_size
    if not tokens:
        return "has no tokens, so that there is nothing to be read"
    if context is not None and len(tokens) > context:
        return f"is {len(tokens)} tokens long, and the model's context is {context}; cut it into parts"
    if wrong := [token for token in tokens if not 0 <= token < vocabulary]:
        return f"has the token {wrong[0]}, and the model's tokens are from 0 to {vocabulary - 1}"
    return None


def problems_of(model: LanguageModel, inputs: Sequence[Sequence[int]], wanted: Wanted) -> Iterator[str]:
    """Why this can't be given for these texts, as their tokens: a sentence each."""
    if problem := wanted.problem(model):
        yield problem
    for number, tokens in enumerate(inputs, start=1):
        if why := unreadable(model, tokens):
            yield f"text {number} {why}" if len(inputs) > 1 else f"the text {why}"


def read_alone(model: LanguageModel, inputs: Sequence[Sequence[int]], wanted: Wanted) -> list[Any]:
    """What is wanted of each of these texts, as their tokens. Raises GenerationError with all that stands against it."""
    if problems := list(problems_of(model, inputs, wanted)):
        raise GenerationError(*problems)
    found = read(model, [Reading(tokens, wanted) for tokens in inputs])
    for result in found:
        if isinstance(result, Exception):
            raise result
    return found


@torch.no_grad()
def read(model: LanguageModel, readings: Sequence[Reading]) -> list[Any]:
    """What is wanted of each; what goes wrong with one is an Exception in its place, and leaves the others as they are."""
    found: list[Any] = [None] * len(readings)
    for places in _alike([len(reading.tokens) for reading in readings]):
        try:
            results = _pass(model, [readings[place] for place in places])
        except Exception:  # whose fault it was, each alone will tell
            results = [_alone(model, readings[place]) for place in places]
        for place, result in zip(places, results, strict=True):
            found[place] = result
    return found


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of texts that pass together: they are of like lengths, and not too many."""
    places: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        longest = lengths[places[0]] if places else 0
        if places and (lengths[place] < LEAST_LIKE * longest or (len(places) + 1) * longest > PASS_TOKENS):
            yield places
            places = []
        places.append(place)
    if places:
        yield places


def _pass(model: LanguageModel, readings: Sequence[Reading]) -> list[Any]:
    rows = [torch.tensor(reading.tokens, device=model.device) for reading in readings]
    lengths = torch.tensor([len(row) for row in rows], device=model.device)
    hidden = hidden_of_texts(model, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths)
    return [reading.wanted.of(model, own[: len(row)], row) for reading, own, row in zip(readings, hidden, rows, strict=True)]


def _alone(model: LanguageModel, reading: Reading) -> Any:
    try:
        return _pass(model, [reading])[0]
    except Exception as error:  # such as too little memory: other texts may be shorter
        return error
