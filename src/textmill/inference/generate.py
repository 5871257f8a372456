"""Let a model write on: a prompt in, a stream of text out, one token at a time over the memory of what was read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..errors import GenerationError
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..models.state import GenerationState
from ..tokens.tokenizer import DecodeStream, Tokenizer
from .sampling import Sampling, pick

FinishReason = Literal["end", "stop", "length", "context"]


@dataclass
class Piece:
    """A piece of the answer: whole characters only. The last piece carries why the answer ended.

    `end`: the model closed the document; `stop`: a stop string was met (and is left out); `length`: `max_tokens` are
    written; `context`: the model can't look back over more.
    """

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


class StopStrings:
    """Cuts a stream at the first stop string, also where one spans several pieces."""

    def __init__(self, stops: Sequence[str]):
        if any(not stop for stop in stops):
            raise GenerationError("a stop string must not be empty")
        self.stops = tuple(stops)
        self.held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What may be shown now, and whether a stop string was met."""
        self.held += text
        found = [place for place in (self.held.find(stop) for stop in self.stops) if place >= 0]
        if found:
            shown, self.held = self.held[: min(found)], ""
            return shown, True
        # The longest end that could still grow into a stop string waits.
        longest = min(len(self.held), max((len(stop) - 1 for stop in self.stops), default=0))
        waiting = next((n for n in range(longest, 0, -1) if any(stop.startswith(self.held[-n:]) for stop in self.stops)), 0)
        shown, self.held = self.held[: len(self.held) - waiting], self.held[len(self.held) - waiting :]
        return shown, False


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    sampling: Sampling | None = None,
    max_tokens: int = 200,
    stop: Sequence[str] = (),
) -> Iterator[Piece]:
    """Write on from `prompt`: a text, which may be empty, or a whole input's tokens as they are, after which a text of its
    own begins. To an encoder–decoder it is the source, and the answer is the target. Yields pieces of text; the last one
    has a `finish_reason`.

    Raises GenerationError where the prompt doesn't fit into the model's context, with both numbers.
    """
    refuse_encoder(model)
    sampling = sampling or Sampling()
    stops = StopStrings(stop)
    if max_tokens < 1:
        raise GenerationError(f"max_tokens must be at least 1, found {max_tokens}")
    if isinstance(model, EncoderDecoder):
        source = tokenizer.encode_whole(prompt) if isinstance(prompt, str) else list(prompt)
        if not 0 < len(source) <= (longest := model.config.context_length):
            raise GenerationError(f"the source is {len(source)} tokens long; the model takes 1 to {longest}")
        state: Any = model.encode(torch.tensor([source], device=model.device))
        read = [start_of_target(model, tokenizer)]
        return _write_on(model, tokenizer, state, read, tokenizer.decode_stream(), sampling, max_tokens, stops)
    read = tokenizer.encode_beginning(prompt) if isinstance(prompt, str) else list(prompt)
    context = model.context_limit
    if context is not None and len(read) >= context:
        raise GenerationError(
            f"the prompt is {len(read)} tokens long, and the model's context of {context} tokens leaves room for "
            f"{context - 1} and an answer; give a shorter prompt, or train with a larger model.context_length"
        )
    stream = tokenizer.decode_stream(continues=isinstance(prompt, str) and bool(prompt))
    return _write_on(model, tokenizer, model.new_state(rows=1), read, stream, sampling, max_tokens, stops)


def start_of_target(model: LanguageModel, tokenizer: Tokenizer) -> int:
    """What an encoder–decoder reads before the first token that it writes; where that is a target's last token, its end.
    Raises GenerationError where the tokenizer has no such token."""
    start = tokenizer.pad_id if model.config.decoder_start == "pad" else tokenizer.eos_id
    if start is None:
        raise GenerationError("the tokenizer has no token that begins this model's answers; give the one it was trained with")
    return start


def refuse_encoder(model: LanguageModel) -> None:
    """Raise GenerationError for a model that doesn't write."""
    if not model.writes:
        raise GenerationError(
            f"an {model.family} doesn't write on; `textmill fill` has it guess masked words, `textmill embed` gives its vectors"
        )


@torch.inference_mode()
def _write_on(
    model: LanguageModel,
    tokenizer: Tokenizer,
    state: GenerationState,
    read: list[int],
    stream: DecodeStream,
    sampling: Sampling,
    max_tokens: int,
    stops: StopStrings,
) -> Iterator[Piece]:
    forbidden = sorted(unwritable(model, tokenizer))
    logits = _next_logits(model, read, state, forbidden)
    for written in range(1, max_tokens + 1):
        token = pick(logits, read, sampling, position=written - 1)
        if token in tokenizer.end_ids:
            shown, stopped = stops.push(stream.flush())
            yield Piece(shown + stops.held, written, "stop" if stopped else "end")
            return
        read.append(token)
        shown, stopped = stops.push(stream.step(token))
        if stopped:
            yield Piece(shown, written, "stop")
            return
        full = model.context_limit is not None and len(read) >= model.context_limit
        if written == max_tokens or full:
            # A character whose last bytes would have come next is left out: it was we who cut it, not the model.
            yield Piece(shown + stops.held, written, "length" if written == max_tokens else "context")
            return
        if shown:
            yield Piece(shown, written)
        logits = _next_logits(model, [token], state, forbidden)


def _next_logits(model: LanguageModel, tokens: list[int], state: GenerationState, forbidden: list[int]) -> torch.Tensor:
    """Logits (V,) after the last of `tokens`, `forbidden` ones impossible; only that position passes through the head."""
    hidden = model.hidden(torch.tensor([tokens], device=model.device), state=state)
    logits = model.head(hidden[0, -1]).float().cpu()  # tokens are picked in float64, which not every device has
    logits[forbidden] = -torch.inf
    return logits


def unwritable(model: LanguageModel, tokenizer: Tokenizer) -> set[int]:
    """Tokens that aren't text: padding, what can't be spelt, and rows of the head that no token has."""
    named = {id for id in (tokenizer.pad_id, tokenizer.unknown_id) if id is not None and id not in tokenizer.end_ids}
    return {*named, *range(tokenizer.vocabulary_size, model.config.vocabulary_size)}


def complete(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    sampling: Sampling | None = None,
    max_tokens: int = 200,
    stop: Sequence[str] = (),
) -> str:
    """The whole answer at once."""
    return "".join(piece.text for piece in generate(model, tokenizer, prompt, sampling, max_tokens, stop))
