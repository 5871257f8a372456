"""What an encoder–decoder would put in the place of each mark of a text."""

import re

import numpy as np
import torch

from ..errors import GenerationError
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..tokens.special_tokens import MASK, SPAN
from ..tokens.tokenizer import Tokenizer
from .beam import BeamSearch, beam_search
from .generate import start_of_target, unwritable

MARK = re.compile(re.escape(MASK) + "|" + re.escape(SPAN).replace(re.escape("{}"), r"\d+"))
MOST_TOKENS = 20  # of an answer, on average, for each mark


def filled_spans(model: LanguageModel, tokenizer: Tokenizer, text: str) -> str:
    """The text with the likeliest answer in each mark's place, in brackets. A mark is written `<|mask|>`, or as the tokenizer
    spells one.

    Raises GenerationError where there is no mark or too many, the text is too long, or the model is none that fills.
    """
    if not isinstance(model, EncoderDecoder) or not tokenizer.span_ids:
        raise GenerationError(f"this {model.family} wasn't trained to fill in spans of a text")
    parts = MARK.split(text)
    if not 1 < len(parts) <= 1 + len(tokenizer.span_ids):
        raise GenerationError(
            f"there must be 1 to {len(tokenizer.span_ids)} marks in the text to be filled in, found {len(parts) - 1}; write "
            f"{MASK} where something is missing"
        )
    # The space before a word belongs to the word, and so to the mark.
    ids = tokenizer.encode(parts[0].rstrip())
    for number, part in enumerate(parts[1:], start=1):
        ids += [tokenizer.span_ids[number - 1], *tokenizer.encode(part.rstrip() if number < len(parts) - 1 else part)]
    return filled_row(model, tokenizer, np.array(ids))


def filled_row(model: EncoderDecoder, tokenizer: Tokenizer, kept: np.ndarray) -> str:
    """The text of tokens (T,) with marks, each mark replaced by its answer, in brackets. Raises GenerationError where they are
    more than the model's context."""
    source = [*tokenizer.prefix, *kept.tolist(), *tokenizer.suffix]
    context = model.config.context_length
    if len(source) > context:
        raise GenerationError(
            f"the text is {len(source)} tokens long, and the model's context is {context}; give a shorter text"
        )
    answers = _answers(model, tokenizer, source)
    marks = [place for place, token in enumerate(kept) if token in answers]
    shown, reached = [], 0
    for place in marks:
        shown.append(tokenizer.decode(kept[reached:place].tolist()))
        answer = tokenizer.decode(answers[int(kept[place])])
        shown += [" " if answer.startswith(" ") else "", f"[{answer.strip()}]"]
        reached = place + 1
    return "".join([*shown, tokenizer.decode(kept[reached:].tolist())])


def _answers(model: EncoderDecoder, tokenizer: Tokenizer, source: list[int]) -> dict[int, list[int]]:
    """The likeliest tokens for each mark of a source, greedily; none for a mark that the model passes over."""
    answers: dict[int, list[int]] = {token: [] for token in source if token in tokenizer.span_ids}
    state = model.encode(torch.tensor([source], device=model.device))
    start = torch.tensor([[start_of_target(model, tokenizer)]], device=model.device)
    most = min(MOST_TOKENS * len(answers), model.config.context_length)
    one_beam = BeamSearch(beams=1)
    [[best]] = beam_search(model, state, start, one_beam, most, tokenizer.end_ids, unwritable(model, tokenizer))
    mark = None
    for token in best.tokens:
        if token in tokenizer.span_ids:
            mark = token if token in answers else None
        elif mark is not None:
            answers[mark].append(token)
    return answers
