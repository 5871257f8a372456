"""What a token costs by where it stands: up to the context that a model was trained with, and beyond it where the family can.

Documents are cut into stretches of one length, each read from its own beginning, so that all places hold the same text and
differ in nothing but how much stands before them.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..corpus.document import Document
from ..errors import CorpusError, ModelError
from ..formats.model_folder import ModelFolder
from ..models.architectures import build
from ..models.config import TransformerConfig
from ..models.language_model import LanguageModel
from ..score import BITS_PER_BYTE, Score
from .bits_per_byte import data_hash
from .bootstrap import bootstrap_ratio
from .table import columns, interval

BUCKETS = 8  # of a trained context
ROWS = 8  # stretches that are read together


@dataclasses.dataclass(frozen=True)
class Bucket:
    """The places from `begin` up to `end`, 0 being the first token of a stretch; `beyond`: the model wasn't trained so far."""

    begin: int
    end: int
    beyond: bool
    bits_per_token: Score
    bits_per_byte: Score

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; an interval over one document isn't known, and None."""
        scores = {}
        for name in ("bits_per_token", "bits_per_byte"):
            score = getattr(self, name)
            scores[name] = {key: None if value != value else value for key, value in score.to_dict().items()}
        return {"begin": self.begin, "end": self.end, "beyond": self.beyond, **scores}


def loss_by_position(folder: ModelFolder, documents: Sequence[Document], beyond: float = 1.0) -> list[Bucket]:
    """Bits by place, over `beyond` trained contexts, with intervals over documents. Raises ModelError for a model that can't be
    asked, CorpusError where no document is long enough."""
    model, tokenizer = folder.model, folder.tokenizer
    trained = model.config.context_length
    width = max(1, trained // BUCKETS)
    length = max(1, int(beyond * trained) // width) * width
    model = widened(model, length, str(folder.path))
    start = tokenizer.document_start_id
    stretches, owners = list[list[int]](), list[int]()
    for number, document in enumerate(documents):
        tokens = tokenizer.encode(document.text)
        for first in range(0, len(tokens) - length + 1, length):
            stretches.append(tokens[first : first + length])
            owners.append(number)
    if not stretches:
        raise CorpusError(f"no document has {length:,} tokens in a row; give longer texts, or a smaller --beyond")
    buckets = length // width
    nats, sizes = (np.zeros((len(documents), buckets)) for _ in range(2))
    counts = Counter(owners)
    for begin in range(0, len(stretches), ROWS):
        targets = torch.tensor(stretches[begin : begin + ROWS], device=model.device)
        inputs = torch.cat([torch.full_like(targets[:, :1], start), targets[:, :-1]], dim=1)
        with torch.no_grad():
            found = model.token_nats(inputs, targets).cpu().double().numpy()  # type: ignore[operator]
        for row, owner in zip(found, owners[begin : begin + ROWS], strict=False):
            nats[owner] += row.reshape(buckets, width).sum(axis=1)
    for stretch, owner in zip(stretches, owners, strict=True):
        sizes[owner] += np.array([len(tokenizer.token_bytes(id)) for id in stretch]).reshape(buckets, width).sum(axis=1)
    kept = sorted(counts)
    bits, sizes = nats[kept] / math.log(2), sizes[kept]
    tokens_read = np.array([counts[owner] * width for owner in kept], dtype=np.float64)
    signature = {"documents_sha256": data_hash(documents), "tokenizer": tokenizer.hash, "stretches": len(stretches),
                 "length": length, "trained_context": trained, "numbers": folder.weights}  # fmt: skip

    def score(name: str, unit: str, above: np.ndarray, below: np.ndarray) -> Score:
        low, high = bootstrap_ratio(above, below)
        return Score(name, float(above.sum() / below.sum()), low, high, len(kept), unit, signature)

    return [
        Bucket(
            number * width,
            (number + 1) * width,
            number * width >= trained,
            score("bits per token", "bits/token", bits[:, number], tokens_read),
            score(BITS_PER_BYTE.name, BITS_PER_BYTE.unit, bits[:, number], sizes[:, number]),
        )
        for number in range(buckets)
    ]


def widened(model: LanguageModel, length: int, name: str) -> LanguageModel:
    """The model, able to read `length` tokens in a row. Raises ModelError where it can't be."""
    if model.family not in ("decoder", "recurrent") or not model.writes:
        raise ModelError(f"{name} is {model.kind}; the loss by position is that of models that read from left to right")
    if model.context_limit is None or length <= model.context_limit:
        return model
    config = model.config
    if isinstance(config, TransformerConfig) and config.positions == "learned":
        raise ModelError(
            f"{name} has learnt its {config.context_length} positions one by one, and has none beyond; leave --beyond out"
        )
    if model.packed is not None:
        raise ModelError(f"{name}: packed weights are read up to the trained context; leave --weights or --beyond out")
    wide = build(dataclasses.replace(config, context_length=length))
    wide.load_state_dict(model.state_dict())
    return wide.to(model.device).eval()


def render_buckets(buckets: Sequence[Bucket]) -> str:
    """For a terminal."""
    rows = [("tokens before", "bits/token", "95 % interval", "bits/byte", "95 % interval")]
    for bucket in buckets:
        token, byte = bucket.bits_per_token, bucket.bits_per_byte
        name = f"{bucket.begin}–{bucket.end - 1}" + (" (beyond)" if bucket.beyond else "")
        rows.append((name, f"{token.value:.3f}", interval(token), f"{byte.value:.3f}", interval(byte)))
    of = buckets[0].bits_per_token
    note = f"({of.signature['stretches']:,} stretches of {of.signature['length']:,} tokens, of {of.count:,} documents)"
    return "\n".join([*columns(rows), note])
