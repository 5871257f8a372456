"""How much one key may have: requests and tokens a minute. Who has had it is told when there is more; others aren't touched."""

import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, RateLimiter

from .errors import ApiError


class Limits:
    """What each key may have in a minute, or without keys all who ask together; None: as much as they like.

    Requests are counted in any sixty seconds. Tokens, read and written, are counted once an answer has ended, in minutes that
    begin with the first of them: the answer that goes beyond the limit is finished, and the next is refused.
    """

    def __init__(self, requests_per_minute: int | None = None, tokens_per_minute: int | None = None):
        storage = MemoryStorage()
        self._requests, self._tokens = MovingWindowRateLimiter(storage), FixedWindowRateLimiter(storage)
        self._most_requests = requests_per_minute and RateLimitItemPerMinute(requests_per_minute)
        self._most_tokens = tokens_per_minute and RateLimitItemPerMinute(tokens_per_minute)

    def let_in(self, who: str) -> None:
        """Count a request. Raises ApiError (429) where `who` has had enough."""
        if self._most_tokens and not self._tokens.test(self._most_tokens, who):
            raise _refused("tokens", self._tokens, self._most_tokens, who)
        if self._most_requests and not self._requests.hit(self._most_requests, who):
            raise _refused("requests", self._requests, self._most_requests, who)

    def charge(self, who: str, tokens: int) -> None:
        """Count tokens that were read and written for `who`."""
        if self._most_tokens and tokens:
            self._tokens.hit(self._most_tokens, who, cost=tokens)


def _refused(what: str, limiter: RateLimiter, most: RateLimitItem, who: str) -> ApiError:
    left = max(limiter.get_window_stats(most, who).reset_time - time.time(), 0.001)
    message = f"there are {most.amount:,} {what} a minute for a key, and they are used up; ask again in {left:.1f} s"
    return ApiError(429, message, code="rate_limit_exceeded", retry_seconds=left)
