"""One answer under a grammar: only tokens that it allows, and only those behind which its end can still be reached.

A way to the end is known at every step. Where a picked token leaves none that fits into the tokens left, it is refused and
another is picked; after some of these the known way is followed. So whatever the model writes, the answer is whole.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .grammar import Grammar
from .shortest_end import QUICK, Plan, completed, shortest_end

PICKS = 3  # tokens that are tried near the end before the known way is followed
KEPT_STARTS = 8  # places of the known way from which on it is tried again


class Constraint:
    """The state of one answer. Raises GenerationError where the grammar's shortest answer has more tokens than `room`."""

    def __init__(self, grammar: Grammar, room: int):
        grammar.check_room(room)
        self._candidates, self._spelling = grammar.candidates, grammar.candidates.spelling
        self._matcher = grammar.matcher.deep_copy()
        self._opening, self._rests = grammar.opening.encode(), grammar.rests
        self._way, self._written = grammar.shortest, b""
        self.complete = False  # nothing more may come

    def pick(self, logits: Tensor, left: int, choose: Callable[[Tensor], int]) -> int:
        """The next token, of logits (V,), which are changed, by `choose`; `left`: tokens that may be written, this one
        included, at least as many as the known way has."""
        allowed = torch.from_numpy(self._spelling.allowed(self._matcher))
        logits[: len(allowed)][~allowed] = -torch.inf
        logits[len(allowed) :] = -torch.inf
        for _ in range(PICKS):
            if not (logits > -torch.inf).any():
                break
            token = choose(logits)
            way = self._way_after(token, left - 1)
            if way is not None:
                return self._take(token, way)
            logits[token] = -torch.inf
        return self._take(self._way[0], self._way[1:])

    def _take(self, token: int, way: Plan) -> int:
        self._way = way
        self._written += self._spelling.spelt[token]
        self.complete = not way
        if token not in self._spelling.ends:
            self._matcher.consume_token(token)
        return token

    def _way_after(self, token: int, most: int) -> Plan | None:
        """A way to the end behind a token, of at most `most` more."""
        if token in self._spelling.ends:
            return ()
        if token == self._way[0]:
            return self._way[1:]
        after = self._matcher.deep_copy()
        if not after.consume_token(token) or after.is_error():
            return None
        if after.is_stopped():
            return ()
        written = self._written + self._spelling.spelt[token]
        if self._opening and self._opening not in written:  # free text, which may end anywhere, or be cut
            return tuple(self._spelling.ends[:1])
        for start in range(min(KEPT_STARTS, len(self._way))):  # mostly, such as inside a string, it is still one
            way = completed(after, self._way[start:], self._spelling)
            if way is not None and len(way) <= most:
                return way
        for rest in self._rests(written):
            way = completed(after, rest, self._spelling)
            if way is not None and len(way) <= most:
                return way
        return shortest_end(after, self._candidates, most, QUICK)
