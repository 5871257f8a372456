"""Guessing several tokens at once, so that one pass over the weights can write them all.

What followed the last few tokens where they stood before, in the prompt or the answer, is the guess (prompt lookup; Saxena
2023). A guess is right only if it is the token that this position's random number picks from the model's own distribution, so
the answer is that of plain decoding (Leviathan et al. 2023 accept by other numbers). Wrong guesses cost time alone; so how many
are made follows from what a token more in a pass costs here, and from how often guesses were right: perhaps none.
"""

import logging
from collections.abc import Sequence

from .draft_model import DraftModel

LOG = logging.getLogger(__name__)
LONGEST = 8  # tokens that are guessed for one answer in one pass
GRAMS = (4, 3, 2)  # how many tokens must have stood before, the most first
HOPE = 0.5  # the share of right guesses that an answer begins with, and that it slowly returns to while none are made
FORGET = 0.9  # of what was right before, kept with each new guess
FORGET_COST = 0.98  # of what passes cost before, kept with each new one
MOST_SHARED = 256  # tokens that a pass costs without any, at most: what is measured beside other work is noise


class Luck:
    """How often guesses of one kind were right, for one answer: `share` of late; `right` and `wrong` in all."""

    def __init__(self) -> None:
        self.share, self.right, self.wrong = HOPE, 0, 0

    def count(self, guessed: Sequence[int], token: int) -> None:
        """Count the first of what was guessed as right, or else all of it as wrong, now that the token is known."""
        if guessed[0] == token:
            self.right += 1
        else:
            self.wrong += len(guessed)

    def learn(self, guessed: int, right: int) -> None:
        """Remember that of `guessed` tokens the first `right` ones were."""
        tried = min(guessed, right + 1)  # what stands behind a wrong guess was never judged
        for number in range(tried):
            self.share = FORGET * self.share + (1 - FORGET) * (number < right)
        if not tried:
            self.share += (1 - FORGET) / 5 * (HOPE - self.share)


class Guesser:
    """What may follow the tokens of one answer. `used`: the kind of its last guess, by what followed before or by a model."""

    def __init__(self) -> None:
        self._next: dict[tuple[int, ...], int] = {}  # the place behind the last time that these tokens stood in a row
        self._known = 0  # tokens that the table knows
        self.repeated, self.drafted = Luck(), Luck()
        self.used = self.repeated

    @property
    def right(self) -> int:
        """Guesses that were right, of both kinds."""
        return self.repeated.right + self.drafted.right

    @property
    def wrong(self) -> int:
        """Guesses that were wrong."""
        return self.repeated.wrong + self.drafted.wrong

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `tokens`, since they did before; often none."""
        for place in range(max(self._known, 1), len(tokens)):
            for size in GRAMS:
                if place >= size:
                    self._next[tuple(tokens[place - size : place])] = place
        self._known = len(tokens)
        for size in GRAMS:
            found = self._next.get(tuple(tokens[-size:])) if len(tokens) >= size else None
            if found is not None:
                return list(tokens[found : found + most])
        return []


class PassCost:
    """What a pass costs, as a line through what was measured of late: seconds = `base` + `per_token` · tokens."""

    def __init__(self) -> None:
        self._weight = self._tokens = self._seconds = self._squares = self._products = 0.0

    def measure(self, tokens: int, seconds: float) -> None:
        """Take one pass into account."""
        self._weight = FORGET_COST * self._weight + 1
        self._tokens = FORGET_COST * self._tokens + tokens
        self._seconds = FORGET_COST * self._seconds + seconds
        self._squares = FORGET_COST * self._squares + tokens * tokens
        self._products = FORGET_COST * self._products + tokens * seconds

    @property
    def per_token(self) -> float:
        """Seconds that a token more takes. Until passes of unlike sizes were measured: a sixteenth of a pass."""
        if not self._weight:
            return 0.0
        mean_tokens, mean_seconds = self._tokens / self._weight, self._seconds / self._weight
        spread = self._squares / self._weight - mean_tokens**2
        if spread < 0.05:
            return mean_seconds / (mean_tokens + 16)
        slope = (self._products / self._weight - mean_tokens * mean_seconds) / spread
        return min(max(slope, mean_seconds / (mean_tokens + MOST_SHARED)), mean_seconds / mean_tokens)

    @property
    def base(self) -> float:
        """Seconds that a pass takes whatever its tokens."""
        if not self._weight:
            return 0.0
        return max(self._seconds / self._weight - self.per_token * self._tokens / self._weight, 0.0)

    @property
    def shared(self) -> float:
        """As many tokens as cost what a pass takes whatever its tokens; 0 before any was measured."""
        return self.base / self.per_token if self._weight else 0.0

    def worth(self, rows: int, luck: float, guessing: float = 0.0) -> int:
        """How many guesses pay for one of `rows` answers of which a share `luck` of guesses is right, where making one takes
        `guessing` seconds.

        Guess number n is right with probability luckⁿ, and saves then what a token of the answer costs without it.
        """
        without = self.base / rows + self.per_token
        costs = self.per_token + guessing
        count, chance = 0, luck
        while count < LONGEST and chance * without > costs:
            count, chance = count + 1, chance * luck
        return count


class Speculation:
    """Which guesses are made for the answers of one engine. `draft`: a model that guesses where nothing is repeated."""

    def __init__(self, draft: DraftModel | None = None):
        self.cost, self.draft = PassCost(), draft

    def guesses(self, guessers: Sequence[Guesser], texts: Sequence[list[int]], most: Sequence[int]) -> list[list[int]]:
        """For each answer, of its text so far, the tokens that may follow: as many as pay, and at most so many."""
        rows, found, wanted = len(texts), list[list[int]](), list[int]()
        for guesser, text, limit in zip(guessers, texts, most):
            count = min(self.cost.worth(rows, guesser.repeated.share), limit)
            found.append(guesser.guess(text, count) if count > 0 else [])
            guesser.used = guesser.repeated
            drafting = 0
            if self.draft is not None and not found[-1]:
                guesser.used = guesser.drafted
                drafting = min(self.cost.worth(rows, guesser.drafted.share, self.draft.seconds), limit)
            wanted.append(max(drafting, 0))
        if self.draft is None or not any(wanted):
            return found
        try:
            return [guess or drafted for guess, drafted in zip(found, self.draft.guess(texts, wanted))]
        except Exception:  # answers don't need it
            LOG.exception("the draft model failed, and guesses no more")
            self.draft = None
            return found
