"""A vector for each text: the mean of an encoder's hidden states, of length one, so that a product of two is their cosine."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import GenerationError
from ..models.language_model import LanguageModel
from ..models.state import real_places
from ..tokens.tokenizer import Tokenizer

ROWS = 32  # texts that pass through the model together


@torch.no_grad()
def embed(model: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """(N, D) float32 on the CPU, in the order of the texts. Each is a whole input as the model's stock class gives it, and its
    padding counts for nothing (Reimers & Gurevych 2019, mean pooling).

    Raises GenerationError for a model that is no encoder, and for every text that is longer than its context.
    """
    if model.family != "encoder":
        raise GenerationError(f"{model.kind} gives no vectors of texts; give an encoder, such as sample:minilm")
    inputs = [tokenizer.encode_whole(text) for text in texts]
    context = model.config.context_length
    if problems := [
        f"text {number} is {len(ids)} tokens long, and the model's context is {context}; cut it into parts"
        for number, ids in enumerate(inputs, start=1)
        if len(ids) > context
    ]:
        raise GenerationError(*problems)
    vectors = torch.empty(len(texts), model.config.width)
    order = sorted(range(len(texts)), key=lambda place: len(inputs[place]))
    for start in range(0, len(order), ROWS):
        places = order[start : start + ROWS]
        rows = [torch.tensor(inputs[place], device=model.device) for place in places]
        lengths = torch.tensor([len(row) for row in rows], device=model.device)
        hidden = model.hidden(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths=lengths)
        real = real_places(lengths, hidden.size(1))
        mean = (hidden * real[..., None]).sum(dim=1) / lengths[:, None]
        vectors[places] = torch.nn.functional.normalize(mean.float(), dim=-1).cpu()
    return vectors
