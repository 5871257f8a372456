"""The likeliest whole answers to texts, by beam search: of an encoder–decoder to sources, of other models to beginnings."""

from collections.abc import Sequence

import torch

from ..errors import GenerationError
from ..machine.memory import free_bytes
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from .beam import BeamSearch, beam_search, search_bytes
from .generate import refuse_encoder, start_of_target, unwritable

SCORES = 5  # numbers of every beam and token that stand side by side in a step


def likeliest(
    model: LanguageModel, tokenizer: Tokenizer, prompts: Sequence[str], search: BeamSearch, max_tokens: int = 200
) -> list[list[str]]:
    """For each prompt the texts of at most `search.beams` answers, best first. All prompts are read at once, and answers
    end with the model's context at the latest. Raises GenerationError for every prompt that is too long, and where there is too
    little memory."""
    refuse_encoder(model)
    pairs = isinstance(model, EncoderDecoder)
    read = [tokenizer.encode_whole(prompt) if pairs else tokenizer.encode_beginning(prompt) for prompt in prompts]
    context, needed = model.context_limit, 0 if pairs else 1
    if problems := [
        f"prompt {number} is {len(ids)} tokens long, and the model's context of {context} tokens leaves room for "
        f"{context - needed}; give a shorter one"
        for number, ids in enumerate(read, start=1)
        if context is not None and len(ids) > context - needed
    ]:
        raise GenerationError(*problems)
    longest, more = max(map(len, read)), {}
    length = longest + max_tokens if context is None else min(longest + max_tokens, context)
    _refuse_large(model, len(read) * search.beams, length)
    lengths = torch.tensor([len(ids) for ids in read], device=model.device)
    rows = torch.zeros((len(read), longest), dtype=torch.int64)
    for row, ids in zip(rows, read, strict=True):
        row[slice(len(ids)) if pairs else slice(longest - len(ids), longest)] = torch.tensor(ids)
    rows = rows.to(model.device)
    if isinstance(model, EncoderDecoder):
        state = model.encode(rows, lengths)
        rows = torch.full((len(read), 1), start_of_target(model, tokenizer), device=model.device)
    else:
        state = model.new_state(len(read))
        more = {"padding": longest - lengths} if (lengths < longest).any() else {}
    room = max_tokens if context is None else min(max_tokens, context + 1 - rows.size(1))
    found = beam_search(model, state, rows, search, room, tokenizer.end_ids, unwritable(model, tokenizer), **more)
    return [[tokenizer.decode(answer.tokens) for answer in answers] for answers in found]


def _refuse_large(model: LanguageModel, beams: int, length: int) -> None:
    """Raise GenerationError where so many beams, of `length` tokens each, don't fit into what is free."""
    scores = SCORES * beams * model.config.vocabulary_size * 4
    needed, free = search_bytes(model, beams, length) + scores, free_bytes(model.device)
    if needed > free:
        raise GenerationError(
            f"{beams:,} beams of up to {length:,} tokens take {needed:,} bytes at worst, and {free:,} are free; take fewer "
            "beams or tokens"
        )
