"""What an encoder would put in the place of each mask of a text."""

from dataclasses import dataclass

import torch

from ..errors import GenerationError
from ..models.language_model import LanguageModel
from ..tokens.special_tokens import MASK
from ..tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Candidate:
    """A token's text for a mask's place, and its probability."""

    text: str
    probability: float


@torch.no_grad()
def fill(model: LanguageModel, tokenizer: Tokenizer, text: str, top: int = 5) -> list[list[Candidate]]:
    """The `top` likeliest tokens for each mask in `text`, the likeliest first; the mask is written
    `<|mask|>`, or as the tokenizer spells it.

    Raises GenerationError where there is no mask, the text is too long, or the model is none that fills.
    """
    if model.family != "encoder":
        pairs = model.family == "encoder-decoder"
        advice = "`textmill fill` lets it write what is missing" if pairs else "`textmill generate` lets it write on"
        raise GenerationError(f"{model.kind} guesses no masked words; {advice}")
    mask = tokenizer.special.mask
    if mask is None or tokenizer.mask_id is None or model.head is None:
        raise GenerationError(
            "this encoder has no head for masked words, or no mask among its tokens; `textmill embed` gives its vectors"
        )
    text = text.replace(MASK, mask)
    # The space before a word belongs to the word, and so to the mask.
    parts = text.split(mask)
    if len(parts) == 1:
        raise GenerationError(f"there is no {mask} in the text to be filled in; write one where a word is to be guessed")
    ids = list(tokenizer.prefix)
    for number, part in enumerate(parts):
        ids += [*([tokenizer.mask_id] if number else []), *tokenizer.encode(part.rstrip() if number < len(parts) - 1 else part)]
    ids += tokenizer.suffix
    context = model.config.context_length
    if len(ids) > context:
        raise GenerationError(f"the text is {len(ids)} tokens long, and the model's context is {context}; give a shorter text")
    inputs = torch.tensor([ids], device=model.device)
    logits = model.head(model.hidden(inputs)[inputs == tokenizer.mask_id]).float().cpu()
    logits[:, sorted(tokenizer.special_ids)] = -torch.inf  # they aren't text
    likeliest = logits.softmax(dim=-1).topk(min(top, logits.size(-1)))
    return [
        [Candidate(tokenizer.decode([id]), probability) for id, probability in zip(ids, probabilities)]
        for ids, probabilities in zip(likeliest.indices.tolist(), likeliest.values.tolist())
    ]


def filled(model: LanguageModel, tokenizer: Tokenizer, text: str) -> str:
    """The text with the likeliest token in each mask's place, in brackets."""
    parts = text.replace(MASK, tokenizer.special.mask or MASK).split(tokenizer.special.mask)
    guesses = [f"[{candidates[0].text.strip()}]" for candidates in fill(model, tokenizer, text, top=1)]
    return "".join(piece for pair in zip(parts, [*guesses, ""]) for piece in pair)
