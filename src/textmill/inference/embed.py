"""A vector for each text: the mean of an encoder's hidden states, of length one, so that a product of two is their cosine."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from .reading import read_alone


@dataclass(frozen=True)
class Vector:
    """Wanted of a reading: the text's vector, (D,) float32 on the CPU (Reimers & Gurevych 2019, mean pooling)."""

    def problem(self, model: LanguageModel) -> str | None:
        """Why this model can't give it; None where it can."""
        if model.family == "encoder":
            return None
        return f"{model.kind} gives no vectors of texts; give an encoder, such as sample:minilm"

    def of(self, model: LanguageModel, hidden: Tensor, tokens: Tensor) -> Tensor:
        """The mean of hidden states (T, D), of length one."""
        return torch.nn.functional.normalize(hidden.mean(dim=0).float(), dim=-1).cpu()


def embed(model: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """(N, D) float32 on the CPU, in the order of the texts. Each is a whole input as the model's stock class gives it.

    Raises GenerationError for a model that is no encoder, and for every text that is longer than its context or has no token.
    """
    found = read_alone(model, [tokenizer.encode_whole(text) for text in texts], Vector())
    return torch.stack(found) if found else torch.empty(0, model.config.width)
