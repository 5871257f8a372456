"""How likely a language model thinks texts behind contexts: each context is read once, and forked for the texts behind it.

Contexts of about one length run together, padded at the left; the texts behind them are padded at the right.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...models.encoder_decoder import EncoderDecoder
from ...models.language_model import LanguageModel
from .contract import Likelihood

PIECE = 512  # tokens of each context that are read at once, which bounds the memory
TARGETS = 256  # whose logits exist at once


class Pair(NamedTuple):
    """A context's tokens, one at least, and a text's, one at least. To an encoder–decoder the context is the source, and
    `start` what its target begins with."""

    context: tuple[int, ...]
    text: tuple[int, ...]


class _Fork(NamedTuple):
    """One context, and the numbers of the pairs that begin with it."""

    context: tuple[int, ...]
    pairs: list[int]
    longest: int


@torch.inference_mode()
def likelihoods(model: LanguageModel, pairs: Sequence[Pair], rows: int, start: int | None = None) -> list[Likelihood]:
    """The likelihood of each pair's text behind its context; about `rows` texts run together. `start`: what an
    encoder–decoder's targets begin with."""
    found: list[Likelihood | None] = [None] * len(pairs)
    model.eval()
    for forks in _batches(pairs, rows, None if start is not None else model.context_limit):
        numbers = [number for fork in forks for number in fork.pairs]
        for number, likelihood in zip(numbers, _of_batch(model, forks, pairs, start), strict=True):
            found[number] = likelihood
    return [each for each in found if each is not None]


def _batches(pairs: Sequence[Pair], rows: int, limit: int | None) -> Iterator[list[_Fork]]:
    """Contexts of about one length, with some `rows` texts; no row of a batch, padding included, is longer than `limit`."""
    same: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        same[pair.context].append(number)
    forks = [
        _Fork(context, numbers[first : first + rows], max(len(pairs[n].text) for n in numbers[first : first + rows]))
        for context, numbers in same.items()
        for first in range(0, len(numbers), rows)
    ]
    forks.sort(key=lambda fork: (len(fork.context), fork.longest))
    batch: list[_Fork] = []
    for fork in forks:
        longest = max([fork.longest, *(each.longest for each in batch)])
        crowded = sum(len(each.pairs) for each in batch) + len(fork.pairs) > rows
        if batch and (crowded or (limit is not None and len(fork.context) + longest - 1 > limit)):
            yield batch
            batch = []
        batch.append(fork)
    if batch:
        yield batch


def _of_batch(model: LanguageModel, forks: Sequence[_Fork], pairs: Sequence[Pair], start: int | None) -> list[Likelihood]:
    """The likelihoods of all texts of some forks, one after the other."""
    texts = [pairs[number].text for fork in forks for number in fork.pairs]
    parents = torch.tensor([row for row, fork in enumerate(forks) for _ in fork.pairs], device=model.device)
    first: Tensor | None
    if isinstance(model, EncoderDecoder):
        assert start is not None
        first, state = None, _sources_read(model, [fork.context for fork in forks])
        inputs = [(start, *text[:-1]) for text in texts]
    else:
        last, state = _contexts_read(model, [fork.context for fork in forks])
        first, inputs = last[parents][:, None], [text[:-1] for text in texts]
    states = [] if first is None else [first]
    longest = max(map(len, inputs))
    if longest:
        rows = torch.tensor([[*row, *[0] * (longest - len(row))] for row in inputs], device=model.device)
        states.append(model.hidden(rows, state=state.select(parents)))
    return _told(model, torch.cat(states, dim=1), texts)


def _contexts_read(model: LanguageModel, contexts: Sequence[tuple[int, ...]]) -> tuple[Tensor, Any]:
    """The last hidden state of each context, (N, D), and what the model remembers of them."""
    longest = max(map(len, contexts))
    padding = torch.tensor([longest - len(context) for context in contexts], device=model.device)
    rows = torch.tensor([[*[0] * (longest - len(context)), *context] for context in contexts], device=model.device)
    more = {"padding": padding} if padding.any() else {}
    state = model.new_state(len(contexts))
    for part in rows.split(PIECE, dim=1):
        hidden = model.hidden(part, state=state, **more)
    return hidden[:, -1], state


def _sources_read(model: EncoderDecoder, sources: Sequence[tuple[int, ...]]) -> Any:
    """What an encoder–decoder remembers of sources."""
    longest = max(map(len, sources))
    rows = torch.tensor([[*source, *[0] * (longest - len(source))] for source in sources], device=model.device)
    return model.encode(rows, torch.tensor([len(source) for source in sources], device=model.device))


def _told(model: LanguageModel, states: Tensor, texts: Sequence[tuple[int, ...]]) -> list[Likelihood]:
    """The likelihood of each text, of the hidden states (M, L, D) before each of its tokens."""
    rows = torch.tensor([row for row, text in enumerate(texts) for _ in text], device=states.device)
    places = torch.tensor([place for text in texts for place in range(len(text))], device=states.device)
    targets = torch.tensor([token for text in texts for token in text], device=states.device)
    sums, greedy = torch.zeros(len(texts), dtype=torch.float64), [True] * len(texts)
    for part in torch.arange(len(targets), device=states.device).split(TARGETS):
        logits = model.head(states[rows[part], places[part]]).float()
        chosen = logits.log_softmax(dim=-1).gather(1, targets[part][:, None])[:, 0]
        sums.index_add_(0, rows[part].cpu(), chosen.double().cpu())
        for row, right in zip(rows[part].tolist(), (logits.argmax(dim=-1) == targets[part]).tolist(), strict=True):
            greedy[row] &= right
    return [Likelihood(value, flag) for value, flag in zip(sums.tolist(), greedy, strict=True)]
