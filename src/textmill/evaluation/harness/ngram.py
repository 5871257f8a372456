"""An n-gram over characters as something that can be judged: what the answers' wording alone is worth."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import TaskError
from ...models.alphabet import END
from ...models.ngram import NgramModel
from .contract import Context, Continuation, Likelihood, Prompt


class JudgedNgram:
    """An n-gram under the harness's three methods. It knows no conversations."""

    def __init__(self, model: NgramModel):
        self.model = model
        self.signature: dict[str, Any] = {"model": f"{model.order}-gram", **model.facts()}

    def loglikelihood(self, requests: Sequence[Continuation]) -> list[Likelihood]:
        """Of each the log-probability of its text's symbols behind its context's."""
        return [self._likelihood(_text(request.context), request.text) for request in requests]

    def loglikelihood_rolling(self, texts: Sequence[str]) -> list[float]:
        """The log-probability of each text and its end."""
        return [-float(self.model.nats(text).sum()) for text in texts]

    def generate_until(self, requests: Sequence[Prompt]) -> list[str]:
        """The likeliest symbol after the other; `max_tokens` counts symbols, characters mostly."""
        return [self._written(request) for request in requests]

    def _likelihood(self, context: str, text: str) -> Likelihood:
        before = len(self.model.alphabet.symbols(context.encode()))
        symbols = self.model.alphabet.symbols((context + text).encode())
        nats = self.model.symbol_nats(symbols)[before:-1]
        greedy = all(self.model.likeliest(symbols[:place]) == symbols[place] for place in range(before, len(symbols)))
        return Likelihood(-math.fsum(nats), greedy)

    def _written(self, request: Prompt) -> str:
        symbols = self.model.alphabet.symbols(_text(request.context).encode())
        begun, text = len(symbols), ""
        for _ in range(request.max_tokens):
            if (symbol := self.model.likeliest(symbols)) == END:
                break
            symbols = np.append(symbols, np.uint16(symbol))
            text = self.model.alphabet.text(symbols[begun:]).decode("utf-8", "replace")
            if places := [text.index(stop) for stop in request.until if stop in text]:
                return text[: min(places)]
        return text


def _text(context: Context) -> str:
    if isinstance(context, str):
        return context
    raise TaskError("an n-gram knows no conversations; leave --chat out")
