"""What every engine offers to the thread that drives it: requests go in, it ticks, what is new of each answer lies ready."""

from collections import deque
from typing import Any, Protocol, TypeVar


class News(Protocol):
    """What is new of an answer."""

    @property
    def last(self) -> bool:
        """Whether nothing more comes."""
        ...


Asked = TypeVar("Asked", contravariant=True)
New = TypeVar("New", bound=News)


class Open(Protocol[New]):
    """A request's answer as long as it isn't whole. `deltas`: what is new of it, the newest last; `error`: what ended it."""

    deltas: deque[New]
    error: Exception | None


class Ticking(Protocol[Asked, New]):
    """An engine. `rows` answers at once, and `queue` that wait; `context`: what one of them may have in tokens, None: any."""

    queue: int
    context: int | None

    @property
    def rows(self) -> int:
        """How many answers it works at together."""
        ...

    @property
    def free_rows(self) -> int:
        """Rows that no answer has."""
        ...

    @property
    def waiting_answers(self) -> int:
        """How many answers wait for their turn."""
        ...

    @property
    def cache_bytes(self) -> int:
        """What is remembered of earlier requests."""
        ...

    def submit(self, request: Asked) -> Open[New]:
        """Let a request wait for its turn. Raises GenerationError where it can't be served, EngineFull where it can't wait."""
        ...

    def cancel(self, answer: Any) -> None:
        """Stop an answer that it gave, and free what it took."""
        ...

    def tick(self) -> bool:
        """Go on with the answers by one short step. False: nothing to do."""
        ...
