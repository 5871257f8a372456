"""An answer while it is written: from picked tokens to text that may be shown, and to the reason why it ends."""

from collections.abc import Sequence
from typing import Literal

from ..errors import GenerationError
from ..tokens.tokenizer import DecodeStream

FinishReason = Literal["end", "stop", "length", "context"]


def unfinished(text: str, marks: Sequence[str]) -> int:
    """How many characters at the end of a text could still grow into one of the marks."""
    longest = min(len(text), max((len(mark) - 1 for mark in marks), default=0))
    return next((n for n in range(longest, 0, -1) if any(mark.startswith(text[-n:]) for mark in marks)), 0)


class StopStrings:
    """Cuts a stream at the first stop string, also where one spans several pieces. Behind the text `until`, if that is given,
    nothing is a stop string any more."""

    def __init__(self, stops: Sequence[str], until: str = ""):
        if any(not stop for stop in stops):
            raise GenerationError("a stop string must not be empty")
        self.stops, self._until = tuple(stops), until
        self.held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """What may be shown now, and whether a stop string was met."""
        self.held += text
        found = [place for place in (self.held.find(stop) for stop in self.stops) if place >= 0]
        ends = self.held.find(self._until) if self._until and self.stops else -1
        if found and (ends < 0 or min(found) <= ends):
            shown, self.held = self.held[: min(found)], ""
            return shown, True
        if ends >= 0:
            self.stops = ()
        waiting = unfinished(self.held, (*self.stops, self._until) if self.stops else ())
        shown, self.held = self.held[: len(self.held) - waiting], self.held[len(self.held) - waiting :]
        return shown, False


class Writing:
    """One answer's text. It ends at one of `end_ids`, at a stop string, after `max_tokens`, or where the model's context has
    `room` for no more tokens (None: it always has)."""

    def __init__(
        self, stream: DecodeStream, stops: StopStrings, end_ids: frozenset[int], max_tokens: int, room: int | None
    ) -> None:
        if max_tokens < 1:
            raise GenerationError(f"max_tokens must be at least 1, found {max_tokens}")
        self._stream, self._stops, self._end_ids = stream, stops, end_ids
        self._max_tokens, self._room = max_tokens, room
        self.tokens: list[int] = []  # that were picked, the one that ends the answer included

    @property
    def left(self) -> int:
        """How many tokens may still be picked."""
        most = self._max_tokens if self._room is None else min(self._max_tokens, self._room)
        return most - len(self.tokens)

    def push(self, token: int, complete: bool = False) -> tuple[str, FinishReason | None]:
        """The text that a picked token lets show, whole characters only, and why the answer ends with it, if it does.
        `complete`: it is the last, since nothing may follow."""
        self.tokens.append(token)
        if token in self._end_ids:
            shown, stopped = self._stops.push(self._stream.flush())
            return shown + self._stops.held, "stop" if stopped else "end"
        shown, stopped = self._stops.push(self._stream.step(token))
        if stopped:
            return shown, "stop"
        if complete:
            return shown + self._stops.held, "end"
        full = self._room is not None and len(self.tokens) >= self._room
        if len(self.tokens) == self._max_tokens or full:
            # A character whose last bytes would have come next is left out: it was we who cut it, not the model.
            return shown + self._stops.held, "length" if len(self.tokens) == self._max_tokens else "context"
        return shown, None
