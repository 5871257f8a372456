"""What an encoder would put in the place of each mask of a text."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GenerationError
from ..models.language_model import LanguageModel
from ..tokens.special_tokens import MASK
from ..tokens.tokenizer import Tokenizer
from .reading import read_alone


@dataclass(frozen=True)
class Candidate:
    """A token for a mask's place, its text, and its probability."""

    text: str
    token: int
    probability: float


@dataclass(frozen=True)
class MaskedTokens:
    """Wanted of a reading: for each mask in it the `top` likeliest tokens, the likeliest first."""

    tokenizer: Tokenizer
    top: int

    def problem(self, model: LanguageModel) -> str | None:
        """Why this model can't give them; None where it can."""
        if model.family != "encoder":
            pairs = model.family == "encoder-decoder"
            advice = "`textmill fill` lets it write what is missing" if pairs else "`textmill generate` lets it write on"
            return f"{model.kind} guesses no masked words; {advice}"
        if self.tokenizer.special.mask is None or self.tokenizer.mask_id is None or model.head is None:
            return "this encoder has no head for masked words, or no mask among its tokens; `textmill embed` gives its vectors"
        return None

    def of(self, model: LanguageModel, hidden: Tensor, tokens: Tensor) -> list[list[Candidate]]:
        """The candidates for each mask among tokens (T,), from their hidden states (T, D)."""
        logits = model.head(hidden[tokens == self.tokenizer.mask_id]).float().cpu()
        logits[:, sorted(self.tokenizer.special_ids)] = -torch.inf  # they aren't text
        likeliest = logits.softmax(dim=-1).topk(min(self.top, logits.size(-1)))
        return [
            [Candidate(self.tokenizer.decode([id]), id, probability) for id, probability in zip(ids, probabilities)]
            for ids, probabilities in zip(likeliest.indices.tolist(), likeliest.values.tolist())
        ]


def masked_input(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text as a whole input, its masks written `<|mask|>` or as the tokenizer spells them, which knows one.
    Raises GenerationError where there is none in it."""
    mask, mask_id = tokenizer.special.mask, tokenizer.mask_id
    assert mask is not None and mask_id is not None
    # The space before a word belongs to the word, and so to the mask.
    parts = text.replace(MASK, mask).split(mask)
    if len(parts) == 1:
        raise GenerationError(f"there is no {mask} in the text to be filled in; write one where a word is to be guessed")
    ids = list(tokenizer.prefix)
    for number, part in enumerate(parts):
        ids += [*([mask_id] if number else []), *tokenizer.encode(part.rstrip() if number < len(parts) - 1 else part)]
    return [*ids, *tokenizer.suffix]


def fill(model: LanguageModel, tokenizer: Tokenizer, text: str, top: int = 5) -> list[list[Candidate]]:
    """The `top` likeliest tokens for each mask in `text`, the likeliest first; the mask is written
    `<|mask|>`, or as the tokenizer spells it.

    Raises GenerationError where there is no mask, the text is too long, or the model is none that fills.
    """
    wanted = MaskedTokens(tokenizer, top)
    if problem := wanted.problem(model):
        raise GenerationError(problem)
    [found] = read_alone(model, [masked_input(tokenizer, text)], wanted)
    return found


def filled(model: LanguageModel, tokenizer: Tokenizer, text: str) -> str:
    """The text with the likeliest token in each mask's place, in brackets."""
    parts = text.replace(MASK, tokenizer.special.mask or MASK).split(tokenizer.special.mask)
    guesses = [f"[{candidates[0].text.strip()}]" for candidates in fill(model, tokenizer, text, top=1)]
    return "".join(piece for pair in zip(parts, [*guesses, ""]) for piece in pair)
