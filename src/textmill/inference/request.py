"""What is asked of the engine, and what comes back while it answers. Tokens and numbers; no model, no HTTP."""

from dataclasses import dataclass, field

from ..errors import GenerationError
from .beam import BeamSearch
from .grammar import Grammar
from .sampling import Sampling
from .writing import FinishReason

DEFAULT_MAX_TOKENS = 512  # of a request that sets no bound: what it takes at worst is reserved when it is let in


@dataclass(frozen=True)
class Request:
    """One answer that is wanted.

    `prompt`: the tokens that the model reads first; of an encoder–decoder, the source. `continues`: the answer goes on from
    a text, so that a space which begins it belongs to it. `logprobs`: how many alternatives are told of each token; None:
    nothing is told. `salt`: who asks; what the engine remembers of prompts is told apart by it.
    `grammar`: what the answer has to be; then it is whole, or refused.
    `beams`: the answer is looked for and comes whole; it is the one of this `rank`, from 0 on, among the best that are found.
    """

    prompt: tuple[int, ...]
    sampling: Sampling = field(default_factory=Sampling)
    max_tokens: int = DEFAULT_MAX_TOKENS
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    continues: bool = False
    salt: str = ""
    grammar: Grammar | None = None
    beams: BeamSearch | None = None
    rank: int = 0

    def __post_init__(self) -> None:
        found = 1 if self.beams is None else self.beams.beams
        if not 0 <= self.rank < found:
            raise GenerationError(f"rank must be from 0 to {found - 1}, since {found} are looked for; found {self.rank}")


@dataclass(frozen=True)
class TokenLogprob:
    """A token that was picked, the nats it had before any filter, and the likeliest others, itself among them."""

    token: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Delta:
    """What is new of an answer since the pass before: whole characters, the number of tokens written so far, and at the end why
    it ended. `cached`: how many of the prompt's tokens needn't be read, since they were known. `right`, `wrong`: tokens that
    were guessed until now."""

    text: str
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()
    cached: int = 0
    right: int = 0
    wrong: int = 0
    finish_reason: FinishReason | None = None

    @property
    def last(self) -> bool:
        """Whether nothing more comes."""
        return self.finish_reason is not None
