"""Guessing several tokens at once, so that one pass over the weights can write them all: n-gram speculation.

What followed the last few tokens where they stood before, in the prompt or the answer, is the guess (prompt lookup; Saxena
2023). A guess is right only if it is the token that this position's random number picks from the model's own distribution, so
the answer is that of plain decoding (Leviathan et al. 2023 accept by other numbers). Wrong guesses cost time alone; so how many
are made follows from what a token more in a pass costs here, and from how often guesses were right: perhaps none.
"""

from collections.abc import Sequence

LONGEST = 8  # tokens that are guessed for one answer in one pass
GRAMS = (4, 3, 2)  # how many tokens must have stood before, the most first
HOPE = 0.5  # the share of right guesses that an answer begins with, and that it slowly returns to while none are made
FORGET = 0.9  # of what was measured before, kept with each new measurement


class NgramGuesser:
    """What may follow the tokens of one answer."""

    def __init__(self) -> None:
        self._next: dict[tuple[int, ...], int] = {}  # the place behind the last time that these tokens stood in a row
        self._known = 0  # tokens that the table knows
        self.luck = HOPE  # of late, how many guesses were right
        self.right = self.wrong = 0  # guesses in all

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `tokens`; often none."""
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
            self.luck = FORGET * self.luck + (1 - FORGET) * (number < right)
        if not tried:
            self.luck += (1 - FORGET) / 5 * (HOPE - self.luck)


class PassCost:
    """What a pass costs, as a line through what was measured of late: seconds = `base` + `per_token` · tokens."""

    def __init__(self) -> None:
        self._weight = self._tokens = self._seconds = self._squares = self._products = 0.0

    def measure(self, tokens: int, seconds: float) -> None:
        """Take one pass into account."""
        self._weight = FORGET * self._weight + 1
        self._tokens = FORGET * self._tokens + tokens
        self._seconds = FORGET * self._seconds + seconds
        self._squares = FORGET * self._squares + tokens * tokens
        self._products = FORGET * self._products + tokens * seconds

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
        return min(max(slope, 0.01 * mean_seconds / mean_tokens), mean_seconds / mean_tokens)

    @property
    def base(self) -> float:
        """Seconds that a pass takes whatever its tokens."""
        if not self._weight:
            return 0.0
        return max(self._seconds / self._weight - self.per_token * self._tokens / self._weight, 0.0)

    def worth(self, rows: int, luck: float) -> int:
        """How many guesses pay for one of `rows` answers of which a share `luck` of guesses is right.

        Guess number n is right with probability luckⁿ, and saves then what a token of the answer costs without it.
        """
        per_token = self.per_token
        without = self.base / rows + per_token
        count, chance = 0, luck
        while count < LONGEST and chance * without > per_token:
            count, chance = count + 1, chance * luck
        return count
