"""How well a model answers: what held-out answers cost it in bits per byte, before and after it was tuned, and what it says
itself, side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..inference.chat import shown
from ..inference.generate import generate
from ..inference.sampling import Sampling
from ..models.language_model import LanguageModel
from ..score import BITS_PER_ANSWER_BYTE, Score
from ..tokens.chat_template import Message
from ..tokens.dialogues import DialogueTokens, dialogue_batch
from ..tokens.loader import IGNORED
from ..tokens.tokenizer import Tokenizer
from .bootstrap import bootstrap_ratio, paired_bootstrap


@torch.no_grad()
def answer_nats(model: Any, dialogues: Sequence[DialogueTokens], rows: int) -> np.ndarray:
    """What the answers of each conversation cost the model, (N,) nats, the tokens that end them included; `rows` conversations
    pass through together."""
    nats = np.zeros(len(dialogues))
    order = sorted(range(len(dialogues)), key=lambda place: len(dialogues[place].tokens))
    for start in range(0, len(order), rows):
        places = order[start : start + rows]
        batch = dialogue_batch([dialogues[place] for place in places]).to(model.device)
        asked = batch.targets != IGNORED
        of_tokens = torch.zeros(batch.targets.shape, device=model.device)
        hidden = model.hidden(batch.inputs)
        of_tokens[asked] = model.nats_of(hidden[asked][None], batch.targets[asked][None])[0]
        nats[places] = of_tokens.sum(dim=1).double().cpu().numpy()
    return nats


def bits_per_byte(model: Any, dialogues: Sequence[DialogueTokens], rows: int) -> float:
    """Of all their answers together."""
    return float(answer_nats(model, dialogues, rows).sum()) / math.log(2) / sum(each.answer_bytes for each in dialogues)


def answer_scores(
    nats: np.ndarray, before: np.ndarray, dialogues: Sequence[DialogueTokens], signature: dict[str, Any]
) -> tuple[Score, Score, Score]:
    """Bits per byte of the answers, what they were before, and the difference, whose interval is of the same conversations
    drawn for both."""
    sizes, bits = np.array([each.answer_bytes for each in dialogues]), math.log(2)
    unit, name, count = BITS_PER_ANSWER_BYTE.unit, BITS_PER_ANSWER_BYTE.name, len(dialogues)
    after, start = (
        Score(name, float(of.sum() / bits / sizes.sum()), *bootstrap_ratio(of / bits, sizes), count, unit, signature)
        for of in (nats, before)
    )
    interval = paired_bootstrap(nats, before, sizes)
    return after, start, Score("change, paired", after.value - start.value, *interval, count, unit, signature)


@dataclass(frozen=True)
class Answered:
    """What was asked, what the test says, and what the model says before and after."""

    asked: str
    wanted: str
    before: str
    after: str


def answer(
    model: LanguageModel, tokenizer: Tokenizer, messages: Sequence[Message], max_tokens: int, sampling: Sampling | None = None
) -> str:
    """What a model says to a conversation, the likeliest token each time unless `sampling` says otherwise."""
    pieces = generate(model, tokenizer, tokenizer.encode_chat(messages), sampling or Sampling(temperature=0.0), max_tokens)
    return "".join(piece.text for piece in pieces)


def side_by_side(answered: Sequence[Answered], width: int = 60) -> str:
    """For a terminal: each question, the wanted answer, and both of the model's, in a line each."""

    def line(text: str) -> str:
        flat = shown(" ".join(text.split()))
        return flat if len(flat) <= width else flat[: width - 1] + "…"

    rows = [
        row
        for each in answered
        for row in (
            f"  asked   {line(each.asked)}",
            f"  wanted  {line(each.wanted)}",
            f"  before  {line(each.before)}",
            f"  after   {line(each.after)}",
            "",
        )
    ]
    return "\n".join(rows).rstrip()
