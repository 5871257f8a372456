"""An answer while the engine writes it: whether it can be, what it has read, what is new of it, and how it ended."""

from collections import deque
from collections.abc import Sequence

from ..errors import GenerationError
from ..models.encoder_decoder import EncoderDecoder
from ..models.language_model import LanguageModel
from ..tokens.tokenizer import Tokenizer
from .constraint import Constraint
from .generate import refuse_prompt, start_of_target
from .prefix_cache import Chain
from .request import Delta, Request
from .speculation import Guesser
from .writing import StopStrings, Writing

MOST_LOGPROBS = 20  # alternatives to a token


class Answer:
    """One request's life in the engine. `deltas` holds what is new of it, the newest last; once the last has its
    `finish_reason`, nothing more comes."""

    def __init__(self, request: Request, read: Sequence[int], writing: Writing):
        self.request, self.writing = request, writing
        self.read = list(read)  # what the model has been given, or is to be given: prompt and answer
        self.length = 0  # how many of them it has read
        self.cached = 0  # how many of them were known already
        self.deltas: deque[Delta] = deque()
        self.finished = False
        self.guesser, self.chain = Guesser(), Chain(request.salt)
        self.constraint = None if request.grammar is None else Constraint(request.grammar, writing.left)
        self.error: Exception | None = None  # what ended it, where that wasn't the model


def answer_to(request: Request, model: LanguageModel, tokenizer: Tokenizer, context: int | None) -> Answer:
    """The answer to a request, not begun; it and its prompt may have `context` tokens. Raises GenerationError where it can't be
    served."""
    refuse_prompt(model, tokenizer, request.prompt, context)
    if request.logprobs is not None and not 0 <= request.logprobs <= MOST_LOGPROBS:
        raise GenerationError(f"logprobs must be from 0 to {MOST_LOGPROBS}, found {request.logprobs}")
    problems = request.sampling.bias_problems(tokenizer.vocabulary_size)
    if request.grammar is not None and request.grammar.tokenizer is not tokenizer:
        problems.append("the grammar was compiled for another tokenizer than this model's")
    if problems:
        raise GenerationError(*problems)
    pairs = isinstance(model, EncoderDecoder)
    read = [start_of_target(model, tokenizer)] if pairs else list(request.prompt)
    room = None if context is None else context - len(read)
    stream = tokenizer.decode_stream(continues=request.continues)
    stops = StopStrings(request.stop, until=request.grammar.opening if request.grammar is not None else "")
    return Answer(request, read, Writing(stream, stops, tokenizer.end_ids, request.max_tokens, room))
