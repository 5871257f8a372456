"""The shortest way to end an answer that a grammar allows, as tokens: a beam search over the grammar's states.

Of a state's tokens the search tries those that close what is open, the longest, and the shortest; states of one depth that
allow the same tokens are one. It is bounded, so what it finds is legal, and nearly always but not provably the shortest.
"""

from collections.abc import Sequence

import llguidance
import numpy as np

Plan = tuple[int, ...]  # tokens up to the end; the end token is the last where the answer could go on without it

WIDTH, TRIED = 8, 24  # states of one depth, and tokens tried from each
MOST_STATES = 20_000  # that one search looks at


class Candidates:
    """The tokens of a tokenizer, in the order in which they are tried. `writable`: (V,) those that are text."""

    def __init__(self, spelt: Sequence[bytes], writable: np.ndarray, ends: Sequence[int]):
        self.writable, self.ends = writable, list(ends)
        self.cost = np.array([_cost(content) for content in spelt])
        self.length = np.array([len(content) for content in spelt])

    def allowed(self, matcher: llguidance.LLMatcher) -> np.ndarray:
        """Which tokens (V,) may come next, the end among them where the answer may end."""
        mask = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[: len(self.writable)]
        allowed = mask.astype(bool) & self.writable
        if matcher.is_accepting():
            allowed[self.ends] = True
        return allowed

    def tried(self, allowed: np.ndarray) -> list[int]:
        """Some of the allowed tokens that are text, the most promising first."""
        legal = np.flatnonzero(allowed & self.writable)
        if len(legal) > TRIED:
            by_cost = legal[np.argsort(self.cost[legal], kind="stable")[: TRIED // 2]]
            by_length = legal[np.argsort(self.length[legal], kind="stable")]
            legal = np.unique(np.concatenate([by_cost, by_length[: TRIED // 4], by_length[-TRIED // 4 :]]))
        return [int(token) for token in legal[np.argsort(self.cost[legal], kind="stable")]]


def shortest_end(matcher: llguidance.LLMatcher, candidates: Candidates, most: int | None = None) -> Plan | None:
    """A short way to a legal end of at most `most` tokens; None where none was found."""
    if matcher.is_stopped():
        return None if matcher.is_error() else ()
    beam: list[tuple[float, Plan, llguidance.LLMatcher, np.ndarray]] = [(0.0, (), matcher, candidates.allowed(matcher))]
    looked_at = 0
    while beam and looked_at < MOST_STATES:
        for _, path, state, _ in beam:
            if state.is_accepting() and (most is None or len(path) < most):
                return (*path, candidates.ends[0])
        if most is not None and len(beam[0][1]) >= most:
            return None
        found: dict[bytes, tuple[float, Plan, llguidance.LLMatcher, np.ndarray]] = {}
        for cost, path, state, allowed in beam:
            for token in candidates.tried(allowed):
                looked_at += 1
                after = state.deep_copy()
                if not after.consume_token(token):
                    continue
                if after.is_stopped():
                    if not after.is_error():
                        return (*path, token)
                    continue
                following = candidates.allowed(after)
                one = (cost + float(candidates.cost[token]), (*path, token), after, following)
                key = following.tobytes()
                if following.any() and (key not in found or one[0] < found[key][0]):
                    found[key] = one
        beam = sorted(found.values(), key=lambda one: one[:2])[:WIDTH]
    return None


def completed(matcher: llguidance.LLMatcher, tokens: Plan, candidates: Candidates) -> Plan | None:
    """These tokens as a way to the end, with the end token where they need one; None where they don't lead there."""
    after = matcher.deep_copy()
    text = tokens[:-1] if tokens and tokens[-1] in candidates.ends else tokens
    if not all(candidates.writable[token] for token in text) or (text and not after.consume_tokens(list(text))):
        return None
    if after.is_error():
        return None
    if after.is_stopped():
        return text
    return (*text, candidates.ends[0]) if after.is_accepting() else None


def _cost(content: bytes) -> float:
    """How much a token probably leaves open: low for what closes, high for what opens."""
    opened = sum(content.count(one) for one in (b"{", b"[", b"("))
    closed = sum(content.count(one) for one in (b"}", b"]", b")"))
    other = sum(byte not in b'{}[]()":,' for byte in content)
    return 4.0 * opened - 3.0 * closed + (0.5 if other else 0.0) + 0.01 * other
