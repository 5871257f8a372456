"""Beam searches beside an engine's rows: one bounded step of one of them at a time, in the order in which they came.

Answers that differ in their rank alone come from one search. Nobody else's rows or prompts have a part in it, so what it finds
hangs on nothing but the request; when nobody wants its answers any more, it is dropped with all that it holds.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from ..errors import GenerationError
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..models.state import KeyValueState
from ..tokens.tokenizer import Tokenizer
from .answer import Answer
from .beam import Hypothesis, beam_steps, search_bytes
from .generate import unwritable
from .request import Delta, Request

MOST_READ = 32  # tokens of a prompt in one step, whatever else the engine does


class Search:
    """One search, and the answers that wait for what it finds."""

    def __init__(self, answer: Answer):
        self.answers = [answer]
        self.steps: Iterator[list[list[Hypothesis]] | None] | None = None  # None: it hasn't begun

    def takes(self, request: Request) -> bool:
        """Whether a request asks for another of its answers."""
        alike = replace(request, rank=0) == replace(self.answers[0].request, rank=0)
        return alike and request.rank not in [answer.request.rank for answer in self.answers]


class Searches:
    """The searches of one engine; the first is under way. `memory`: bytes that its states may take."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, memory: int):
        self.model, self.tokenizer, self.memory = model, tokenizer, memory
        self._searches: list[Search] = []

    def __len__(self) -> int:
        return len(self._searches)

    @property
    def waiting(self) -> int:
        """How many answers wait until their search is the first."""
        return sum(len(search.answers) for search in self._searches[1:])

    def check(self, answer: Answer) -> None:
        """Raise GenerationError where an answer can't be looked for: with all that its request says against it."""
        request, plain, problems = answer.request, Request(answer.request.prompt), []
        names = ("sampling", "stop", "logprobs", "grammar")
        if given := [name for name in names if getattr(request, name) != getattr(plain, name)]:
            problems.append(
                f"a beam search looks for the likeliest answers, so that nothing is drawn, stopped at or told beside; leave "
                f"out {' and '.join(given)}"
            )
        assert request.beams is not None
        needed = self._bytes(answer)
        if needed > self.memory:
            problems.append(
                f"a search by {request.beams.beams} beams for up to {answer.writing.left:,} tokens behind a prompt of "
                f"{len(request.prompt):,} takes {needed:,} bytes at worst, and there are {self.memory:,} for it; ask for fewer "
                "beams or tokens"
            )
        if problems:
            raise GenerationError(*problems)

    def add(self, answer: Answer) -> None:
        """Look for an answer, once its turn has come."""
        for search in self._searches:
            if search.takes(answer.request):
                search.answers.append(answer)
                return
        self._searches.append(Search(answer))

    def remove(self, answer: Answer) -> None:
        """Look for an answer no longer."""
        [search] = [search for search in self._searches if answer in search.answers]
        search.answers.remove(answer)
        if not search.answers:
            self._searches.remove(search)

    def step(self) -> None:
        """Go on with the first search by one step; where it is at its end, write its answers down. An error ends them all."""
        if not self._searches:
            return
        search = self._searches[0]
        try:
            if search.steps is None:
                search.steps = self._begun(search.answers[0])
            found = next(search.steps)
            if found is None:
                return
            for answer in search.answers:
                self._write(answer, found[0][answer.request.rank])
        except Exception as error:
            for answer in search.answers:
                answer.error = None if answer.finished else error
                answer.finished = True
        self._searches.remove(search)

    def _begun(self, answer: Answer) -> Iterator[list[list[Hypothesis]] | None]:
        model, request, left = self.model, answer.request, answer.writing.left
        assert request.beams is not None
        if isinstance(model, EncoderDecoder):
            state: Any = model.encode(torch.tensor([request.prompt], device=model.device))
        else:
            state = model.new_state(rows=1)
        if isinstance(state, KeyValueState):
            state.capacity = len(answer.read) + left  # its buffers grow no further than what was counted
        read, forbidden = torch.tensor([answer.read], device=model.device), unwritable(model, self.tokenizer)
        return beam_steps(model, state, read, request.beams, left, self.tokenizer.end_ids, forbidden, most_read=MOST_READ)

    def _write(self, answer: Answer, found: Hypothesis) -> None:
        """Make what was found the answer."""
        ended = len(found.tokens) < answer.writing.left
        tokens = [*found.tokens, *([min(self.tokenizer.end_ids)] if ended else [])]
        texts, reasons = zip(*map(answer.writing.push, tokens))
        answer.read += tokens
        answer.deltas.append(Delta("".join(texts), len(tokens), finish_reason=reasons[-1]))
        answer.finished = True

    def _bytes(self, answer: Answer) -> int:
        """What a search's states take at worst."""
        request = answer.request
        assert request.beams is not None
        length = max(len(request.prompt), len(answer.read) + answer.writing.left)
        return search_bytes(self.model, request.beams.beams, length)
