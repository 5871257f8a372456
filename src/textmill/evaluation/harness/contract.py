"""What the harness asks of anything that is to be judged: three methods, as EleutherAI's `LM` has them.

A textmill model of any family that can, an n-gram, or a plain object of yours: whatever has these methods is judged alike.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from ...tokens.chat_template import Message

Context = str | tuple[Message, ...]
"""What is read before an answer: a text, which may be empty, or the messages of a conversation."""


class Continuation(NamedTuple):
    """A text whose likelihood behind a context is wanted. A space between the two belongs to the text."""

    context: Context
    text: str


class Likelihood(NamedTuple):
    """The natural logarithm of a text's probability, and whether it is what would be written greedily."""

    log_probability: float
    greedy: bool


class Prompt(NamedTuple):
    """A context to be gone on with, greedily, until one of the texts `until`, which is left out, or for `max_tokens`."""

    context: Context
    until: tuple[str, ...]
    max_tokens: int


class JudgedModel(Protocol):
    """Whatever can be judged. Each method answers all requests, in their order."""

    def loglikelihood(self, requests: Sequence[Continuation]) -> Sequence[tuple[float, bool]]:
        """Of each the log-probability of its text, and whether it is the greedy one."""

    def loglikelihood_rolling(self, texts: Sequence[str]) -> Sequence[float]:
        """The log-probability of each text and its end, of any length, nothing before it."""

    def generate_until(self, requests: Sequence[Prompt]) -> Sequence[str]:
        """What is written behind each context."""


@runtime_checkable
class Bounded(Protocol):
    """A judged model that knows what it can't take: it is asked before the first answer, so that all of it is told at once."""

    def unfit(self, request: Continuation | Prompt | str) -> str | None:
        """Why it can't answer this; None where it can. A text alone is one for `loglikelihood_rolling`."""
