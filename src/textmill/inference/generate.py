"""Let a model write on: a prompt in, a stream of text out, one token at a time over the memory of what was read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..errors import GenerationError
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from .passes import Row
from .sampling import Sampling, pick
from .writing import FinishReason, StopStrings, Writing


@dataclass
class Piece:
    """A piece of the answer: whole characters only. The last piece carries why the answer ended.

    `end`: the model closed the document; `stop`: a stop string was met (and is left out); `length`: `max_tokens` are
    written; `context`: the model can't look back over more.
    """

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


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
    stops = StopStrings(stop)
    if isinstance(model, EncoderDecoder):
        source = tokenizer.encode_whole(prompt) if isinstance(prompt, str) else list(prompt)
        refuse_long_prompt(model, len(source), model.context_limit)
        state = model.encode(torch.tensor([source], device=model.device))
        read, stream = [start_of_target(model, tokenizer)], tokenizer.decode_stream()
    else:
        read = tokenizer.encode_beginning(prompt) if isinstance(prompt, str) else list(prompt)
        refuse_long_prompt(model, len(read), model.context_limit)
        state = None
        stream = tokenizer.decode_stream(continues=isinstance(prompt, str) and bool(prompt))
    room = None if model.context_limit is None else model.context_limit - len(read)
    writing = Writing(stream, stops, tokenizer.end_ids, max_tokens, room)
    row = Row(model, len(read) + (max_tokens if room is None else min(room, max_tokens)), state)
    return _write_on(row, tokenizer, read, sampling or Sampling(), writing)


def refuse_long_prompt(model: LanguageModel, tokens: int, context: int | None) -> None:
    """Raise GenerationError where a model with so much `context` can't answer a prompt of so many tokens, with both numbers."""
    if isinstance(model, EncoderDecoder):
        if context is not None and not 0 < tokens <= context:
            raise GenerationError(f"the source is {tokens} tokens long; the model takes 1 to {context}")
    elif tokens < 1:
        raise GenerationError("the prompt has no tokens; give at least one")
    elif context is not None and tokens >= context:
        raise GenerationError(
            f"the prompt is {tokens} tokens long, and the model's context of {context} tokens leaves room for "
            f"{context - 1} and an answer; give a shorter prompt, or train with a larger model.context_length"
        )


def refuse_prompt(model: LanguageModel, tokenizer: Tokenizer, prompt: Sequence[int], context: int | None) -> None:
    """Raise GenerationError where a model with so much `context` can't answer a prompt of these tokens."""
    refuse_long_prompt(model, len(prompt), context)
    if any(not 0 <= token < tokenizer.vocabulary_size for token in prompt):
        raise GenerationError(f"a prompt's tokens are from 0 to {tokenizer.vocabulary_size - 1}; one of these isn't")


def start_of_target(model: LanguageModel, tokenizer: Tokenizer) -> int:
    """What an encoder–decoder reads before the first token that it writes; where that is a target's last token, its end.
    Raises GenerationError where the tokenizer has no such token."""
    start = tokenizer.pad_id if model.config.decoder_start == "pad" else tokenizer.eos_id
    if start is None:
        raise GenerationError("the tokenizer has no token that begins this model's answers; give the one it was trained with")
    return start


def refuse_encoder(model: LanguageModel) -> None:
    """Raise GenerationError for a model that doesn't write."""
    if not model.writes and model.family != "encoder":
        raise GenerationError(f"this is {model.kind} under a task's head, which gives labels and doesn't write on")
    if not model.writes:
        raise GenerationError(
            f"an {model.family} doesn't write on; `textmill fill` has it guess masked words, `textmill embed` gives its vectors"
        )


@torch.inference_mode()
def _write_on(row: Row, tokenizer: Tokenizer, read: list[int], sampling: Sampling, writing: Writing) -> Iterator[Piece]:
    forbidden = sorted(unwritable(row.model, tokenizer))
    unread, finish_reason = list(read), None
    while finish_reason is None:
        logits = row.logits(unread)
        logits[forbidden] = -torch.inf
        token = pick(logits, read, sampling, position=len(writing.tokens), written=writing.tokens)
        read.append(token)
        unread = [token]
        shown, finish_reason = writing.push(token)
        if shown or finish_reason:
            yield Piece(shown, len(writing.tokens), finish_reason)


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
