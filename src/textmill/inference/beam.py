"""Beam search: the likeliest whole answers rather than the likeliest next tokens, for any model with a generation state.

The rules, ties aside, are those of transformers' `generate(num_beams=…)`, so that the same model gives the same text.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import GenerationError
from ..models.count import state_bytes
from ..models.language_model import LanguageModel

UNLIKELY = -1e9  # the score of beams that don't exist yet
MOST_PENALTY = 5  # of a length's power, so that no score of a million tokens leaves float32
MOST_READ = 512  # tokens of each prompt in one step


@dataclass(frozen=True)
class BeamSearch:
    """How whole answers are looked for: `beams` of them side by side.

    An answer's score is its log-probability divided by its number of tokens to the power `length_penalty`: above 0, longer
    ones gain. With `early_stopping` the search ends when `beams` answers are complete; without it, when no open one, ended
    now, would be better than they; with "never", when none could be better however long.
    """

    beams: int = 4
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    def __post_init__(self) -> None:
        problems = [] if self.beams >= 1 else [f"beams must be at least 1, found {self.beams}"]
        if not -MOST_PENALTY <= self.length_penalty <= MOST_PENALTY:
            problems.append(f"length_penalty must be from -{MOST_PENALTY} to {MOST_PENALTY}, found {self.length_penalty}")
        if problems:
            raise GenerationError(*problems)


class Hypothesis(NamedTuple):
    """One answer: its tokens, without the one that ends it, and its score."""

    tokens: list[int]
    score: float


def search_bytes(model: LanguageModel, beams: int, length: int) -> int:
    """What the states of a search take at worst: those of its beams, of so many tokens each, and a copy while some of them go
    on in others' places."""
    return 2 * beams * state_bytes(model.config, length, model.dtype.itemsize)


def beam_search(
    model: LanguageModel,
    state: Any,
    prompts: Tensor,
    search: BeamSearch,
    max_tokens: int,
    end_ids: Collection[int],
    forbidden: Collection[int] = (),
    padding: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """The best answers to each of N prompts (N, T), at most `search.beams` each, best first.

    `state` is a fresh GenerationState of N rows, of an encoder–decoder one that has read its sources. `padding` (N,) counts
    the tokens at the left of each prompt that aren't part of it. `forbidden` tokens are never written. Raises
    GenerationError where the model's context doesn't hold prompt and answer.
    """
    *_, found = beam_steps(model, state, prompts, search, max_tokens, end_ids, forbidden, padding)
    assert found is not None
    return found


@torch.inference_mode()
def beam_steps(
    model: LanguageModel,
    state: Any,
    prompts: Tensor,
    search: BeamSearch,
    max_tokens: int,
    end_ids: Collection[int],
    forbidden: Collection[int] = (),
    padding: Tensor | None = None,
    most_read: int = MOST_READ,
) -> Iterator[list[list[Hypothesis]] | None]:
    """The same step by step, each of one pass: over at most `most_read` tokens of the prompts, or one token of all beams.
    Yields None behind each, and at last what was found."""
    context = model.context_limit
    if max_tokens < 1:
        raise GenerationError(f"max_tokens must be at least 1, found {max_tokens}")
    if context is not None and prompts.size(1) + max_tokens - 1 > context:
        raise GenerationError(
            f"max_tokens must be from 1 to {context + 1 - prompts.size(1)}, since the prompt has {prompts.size(1)} tokens "
            f"and the model's context {context}; found {max_tokens}"
        )
    rows, beams = len(prompts), search.beams
    more = {} if padding is None else {"padding": padding}
    for part in prompts.split(most_read, dim=1):
        hidden = model.hidden(part, state=state, **more)  # (N, T, D)
        yield None
    log_probabilities = _log_probabilities(model, hidden, forbidden).repeat_interleave(beams, dim=0)
    state = state.select(torch.arange(rows, device=prompts.device).repeat_interleave(beams))
    scores = torch.full((rows, beams), UNLIKELY)
    scores[:, 0] = 0.0
    written = torch.zeros((rows, beams, 0), dtype=torch.int64)
    ends = torch.tensor(sorted(end_ids), dtype=torch.int64)
    finished: list[list[Hypothesis]] = [[] for _ in range(rows)]
    improvable = [True] * rows
    for length in range(1, max_tokens + 1):
        # Of so many candidates at least `beams` don't end here, whatever ends the others.
        candidates = min(max(2, 1 + len(ends)) * beams, log_probabilities.size(1) * beams)
        totals = (scores[:, :, None] + log_probabilities.view(rows, beams, -1)).flatten(1)
        totals, places = totals.topk(candidates)  # (N, candidates)
        parents, tokens = places // log_probabilities.size(1), places % log_probabilities.size(1)
        answers = torch.cat([_taken(written, parents), tokens[:, :, None]], dim=2)  # (N, candidates, length)
        ended = torch.isin(tokens, ends) | (length == max_tokens)
        for row in range(rows):
            if improvable[row] and not (search.early_stopping is True and len(finished[row]) == beams):
                scored = (totals[row, :beams] / length**search.length_penalty).tolist()
                for place in ended[row, :beams].nonzero()[:, 0].tolist():
                    answer = answers[row, place].tolist()
                    finished[row].append(Hypothesis(answer[:-1] if answer[-1] in end_ids else answer, scored[place]))
                finished[row] = sorted(finished[row], key=lambda answer: -answer.score)[:beams]
        if length == max_tokens:
            break
        going_on = torch.where(ended, totals + UNLIKELY, totals).topk(beams).indices
        scores, parents, written = totals.gather(1, going_on), parents.gather(1, going_on), _taken(answers, going_on)
        hoped_for = max_tokens if search.early_stopping == "never" and search.length_penalty > 0 else length
        best_possible = (scores[:, 0] / hoped_for**search.length_penalty).tolist()
        full = [len(found) == beams for found in finished]
        for row, found in enumerate(finished):
            improvable[row] &= not full[row] or best_possible[row] > found[-1].score
        if not any(improvable) or (search.early_stopping is True and all(full)):
            break
        flat = (parents + torch.arange(rows)[:, None] * beams).flatten()
        if not torch.equal(flat, torch.arange(len(flat))):  # else each beam goes on in its own row, as a single one does
            state = state.select(flat.to(prompts.device))
        hidden = model.hidden(written[:, :, -1].flatten()[:, None].to(prompts.device), state=state)
        log_probabilities = _log_probabilities(model, hidden, forbidden)
        yield None
    yield finished


def _log_probabilities(model: LanguageModel, hidden: Tensor, forbidden: Collection[int]) -> Tensor:
    """log p of what follows the last of the tokens with these hidden states (N, T, D): (N, V), on the CPU."""
    log_probabilities = model.head(hidden[:, -1]).float().cpu().log_softmax(dim=-1)
    log_probabilities[:, sorted(forbidden)] = -torch.inf
    return log_probabilities


def _taken(sequences: Tensor, places: Tensor) -> Tensor:
    """Of sequences (N, B, L) those at places (N, C): (N, C, L)."""
    return sequences.gather(1, places[:, :, None].expand(-1, -1, sequences.size(2)))
