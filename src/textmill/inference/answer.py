"""An answer while the engine writes it: what it has read, what is new of it, and how it ended."""

from collections import deque
from collections.abc import Sequence

from .constraint import Constraint
from .request import Delta, Request
from .speculation import Guesser
from .writing import Writing


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
        self.guesser = Guesser()
        self.constraint = None if request.grammar is None else Constraint(request.grammar, writing.left)
        self.error: Exception | None = None  # what ended it, where that wasn't the model
