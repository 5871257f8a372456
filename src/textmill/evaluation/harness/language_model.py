"""A textmill model as something that can be judged.

Decoders and recurrent models go on from the context. To an encoder–decoder the context is the source and the text its target;
it has no likelihood of a text alone. An encoder doesn't go on with anything, and is refused.
"""

from collections.abc import Sequence
from typing import Any

from ...corpus.document import Document
from ...errors import TaskError, TextmillError
from ...files import fingerprint, sha256_of_file
from ...formats.model_folder import ModelFolder
from ...inference.engine import QUEUE, Engine
from ...inference.generate import start_of_target
from ...inference.request import Request
from ...inference.sampling import Sampling
from ...models.count import of_weights
from ...tokens.tokenizer import Tokenizer
from ..stream_scorer import scorer_of
from .contract import Context, Continuation, Likelihood, Prompt
from .likelihood import Pair, likelihoods

ROWS = 16  # texts that pass through the model together
WEIGHT_FILES = ("*.safetensors", "config.json")


class JudgedLanguageModel:
    """A model folder under the harness's three methods. Without `count_end` a text's end isn't counted. Raises TaskError
    for a model that doesn't write."""

    def __init__(self, folder: ModelFolder, rows: int = ROWS, count_end: bool = True):
        self.model, self.tokenizer, self.path, self.rows = folder.model, folder.tokenizer, folder.path, rows
        self.count_end = count_end
        self._last: tuple[Context, list[int]] | None = None  # a context, and its tokens
        if not self.model.writes:
            raise TaskError(
                f"{folder.path} is {self.model.kind}{' under the head of a task' if folder.task else ''}, which doesn't go on "
                "with a text, so there is no likelihood to judge it by; `textmill evaluate` judges encoders by hidden words"
            )
        self.pairs = self.model.family == "encoder-decoder"
        self.start = start_of_target(self.model, self.tokenizer) if self.pairs else None
        self.signature: dict[str, Any] = {
            "model": str(folder.path),
            "family": self.model.family,
            "model_sha256": model_hash(folder),
            "tokenizer": self.tokenizer.hash,
            "numbers": folder.weights,
            **of_weights(self.model),
        }

    def loglikelihood(self, requests: Sequence[Continuation]) -> list[Likelihood]:
        """Of each the log-probability of its tokens behind its context's. Raises TaskError for all that are too long."""
        pairs = [self._pair(request) for request in requests]
        self._refuse([self._too_long(len(pair.context), len(pair.text)) for pair in pairs])
        return likelihoods(self.model, pairs, self.rows, self.start)

    def loglikelihood_rolling(self, texts: Sequence[str]) -> list[float]:
        """The log-probability of each text and its end, read as `textmill evaluate` reads a document."""
        self._refuse([self.unfit(text) for text in texts])
        documents = [Document(text, str(number), "text") for number, text in enumerate(texts)]
        scorer = scorer_of(self.model, self.tokenizer, self.rows, "model")
        scorer.count_end = self.count_end
        return [-score.nats for score in scorer.score(documents)]

    def generate_until(self, requests: Sequence[Prompt]) -> list[str]:
        """What the model writes greedily behind each context, many at once. Raises TaskError for all that are too long."""
        contexts = [self._read(request.context) for request in requests]
        self._refuse(
            [self._too_long(len(context), request.max_tokens) for context, request in zip(contexts, requests, strict=True)]
        )
        engine = Engine(self.model, self.tokenizer, max(1, min(self.rows, len(requests))))
        answers = []
        for context, request in zip(contexts, requests, strict=True):
            while engine.waiting_answers >= QUEUE:
                engine.tick()
            continues = isinstance(request.context, str) and bool(request.context)
            asked = Request(tuple(context), Sampling(temperature=0.0), request.max_tokens, request.until, continues=continues)
            answers.append(engine.submit(asked))
        while engine.tick():
            pass
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return ["".join(delta.text for delta in answer.deltas) for answer in answers]

    def unfit(self, request: Continuation | Prompt | str) -> str | None:
        """Why the model can't answer this."""
        if isinstance(request, str):
            return "an encoder–decoder has no likelihood of a text alone" if self.pairs else None
        try:
            if isinstance(request, Prompt):
                return self._too_long(len(self._read(request.context)), request.max_tokens)
            pair = self._pair(request)
            return self._too_long(len(pair.context), len(pair.text))
        except TextmillError as error:
            return str(error)

    def _pair(self, request: Continuation) -> Pair:
        if isinstance(request.context, str):
            return encoded_pair(self.tokenizer, request, self.pairs)
        return Pair(tuple(self._read(request.context)), tuple(self.tokenizer.encode(request.text)))

    def _read(self, context: Context) -> list[int]:
        """A context's tokens. A conversation is rendered once for all choices behind it, which share the object."""
        if self._last is None or self._last[0] is not context:
            self._last = context, encoded_context(self.tokenizer, context, self.pairs)
        return self._last[1]

    def _too_long(self, read: int, more: int) -> str | None:
        """What is wrong with a context of `read` tokens and `more` behind it."""
        limit = self.model.context_limit
        if not more or (self.pairs and not read):
            return "there are no tokens in it"
        longest = max(read, more) if self.pairs else read + more - 1
        if limit is None or longest <= limit:
            return None
        return f"{read} tokens before the answer and {more} of it are too many for the model's context of {limit}"

    def _refuse(self, reasons: Sequence[str | None]) -> None:
        if problems := [f"request {number}: {why}" for number, why in enumerate(reasons, start=1) if why is not None]:
            raise TaskError(*problems)


def encoded_context(tokenizer: Tokenizer, context: Context, whole: bool = False) -> list[int]:
    """A context's tokens; `whole`: as an input of its own, which is an encoder–decoder's source."""
    if not isinstance(context, str):
        return tokenizer.encode_chat(context)
    return tokenizer.encode_whole(context) if whole else tokenizer.encode_beginning(context)


def encoded_pair(tokenizer: Tokenizer, request: Continuation, apart: bool = False) -> Pair:
    """A context's tokens and those of the text behind it, as they stand in both together; blanks that end the context count as
    the text's (as in lm-eval). Where a token would hold the end of one and the beginning of the other, both are encoded by
    themselves: else a part of the text would cost nothing. `apart`: they are a source and its target."""
    context, text = request
    if apart or not isinstance(context, str) or not context.strip():
        before = encoded_context(tokenizer, context, apart)
        return Pair(tuple(before), tuple(tokenizer.encode(text)))
    kept = context.rstrip()
    context, text = kept, context[len(kept) :] + text
    before, both = tokenizer.encode_beginning(context), tokenizer.encode_beginning(context + text)
    if len(both) > len(before) and both[: len(before)] == before:
        return Pair(tuple(before), tuple(both[len(before) :]))
    return Pair(tuple(before), tuple(tokenizer.encode(text)))


def model_hash(folder: ModelFolder) -> str:
    """Names a folder's weights and shape, and no other's."""
    files = sorted(path for pattern in WEIGHT_FILES for path in folder.path.glob(pattern))
    return fingerprint({path.name: sha256_of_file(path) for path in files})
