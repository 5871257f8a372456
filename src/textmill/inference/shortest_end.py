"""The shortest way to end an answer that a grammar allows, as tokens: a beam search over the grammar's states.

Of a state's tokens the search tries those that close what is open, those that the rule spells, bytes, and the longest; what is
as deep, as long, and allows the same is one. It is bounded: what it finds is legal, and mostly but not provably the shortest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import llguidance
import numpy as np

Plan = tuple[int, ...]  # tokens up to the end; the end token is the last where the answer could go on without it

UNKNOWN_COST = 0.9  # of a token that is tried for its length alone
LONGEST_SPELT = 12  # bytes of a token that is looked for in a rule
CLOSING = b'{}[]()":,'


class Effort(NamedTuple):
    """How far a search goes: states kept of one depth, tokens tried from each, states looked at in all."""

    width: int
    tried: int
    states: int


THOROUGH, QUICK = Effort(12, 32, 12_000), Effort(3, 12, 250)  # before an answer, and between two of its tokens


@dataclass(frozen=True, eq=False)
class Spelling:
    """A tokenizer's tokens as bytes; `writable` (V,): which of them are text; `ends`: those that end an answer."""

    spelt: Sequence[bytes]
    writable: np.ndarray
    ends: Sequence[int]

    def allowed(self, matcher: llguidance.LLMatcher) -> np.ndarray:
        """Which tokens (V,) may come next, the end among them where the answer may end."""
        mask = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[: len(self.writable)]
        allowed = mask.astype(bool) & self.writable
        if matcher.is_accepting():
            allowed[list(self.ends)] = True
        return allowed


class _Node(NamedTuple):
    """A state of the search: how it was come to, how many bytes that spells, and the mask of what may follow."""

    cost: float
    path: Plan
    size: int
    matcher: llguidance.LLMatcher
    mask: bytes


class Candidates:
    """The tokens that are tried for one rule, in their order."""

    def __init__(self, spelling: Spelling, rule: str):
        self.spelling, text = spelling, rule.encode("utf-8", "surrogatepass")
        parts = {text[at : at + size] for size in range(1, LONGEST_SPELT + 1) for at in range(len(text))}
        costs = {
            token: _cost(content, content in parts)
            for token, content in enumerate(spelling.spelt)
            if spelling.writable[token] and (len(content) == 1 or content in parts or not content.strip(CLOSING))
        }
        self.order = np.array(sorted(costs, key=lambda token: (costs[token], len(spelling.spelt[token]))), dtype=np.int64)
        self.cost = costs
        self._longest = np.argsort([-len(content) for content in spelling.spelt], kind="stable")

    def tried(self, matcher: llguidance.LLMatcher, effort: Effort) -> list[tuple[int, float]]:
        """Some of the tokens that may come next, the most promising first, and how much each leaves open."""
        allowed = self.spelling.allowed(matcher) & self.spelling.writable
        found = self.order[allowed[self.order]][: effort.tried]
        longest = self._longest[allowed[self._longest]][: effort.tried // 4]
        found = np.unique(np.concatenate([found, longest]))
        pairs = [(int(token), self.cost.get(int(token), UNKNOWN_COST)) for token in found]
        return sorted(pairs, key=lambda pair: pair[1])


def shortest_end(
    matcher: llguidance.LLMatcher, candidates: Candidates, most: int | None = None, effort: Effort = THOROUGH
) -> Plan | None:
    """A short way to a legal end of at most `most` tokens; None where none was found."""
    if matcher.is_stopped():
        return None if matcher.is_error() else ()
    beam = [_Node(0.0, (), 0, matcher, matcher.compute_bitmask())]
    depth = looked_at = 0
    while beam and looked_at < effort.states:
        if most is not None and depth >= most:
            return None
        for node in beam:
            if node.matcher.is_accepting():
                return (*node.path, candidates.spelling.ends[0])
        found: dict[tuple[int, bytes, bytes], _Node] = {}
        for node in beam:
            for token, more in candidates.tried(node.matcher, effort):
                looked_at += 1
                after = node.matcher.deep_copy()
                if not after.consume_token(token) or after.is_error():
                    continue
                if after.is_stopped():
                    return (*node.path, token)
                size = node.size + len(candidates.spelling.spelt[token])
                one = _Node(node.cost + more, (*node.path, token), size, after, after.compute_bitmask())
                key = size, node.mask, one.mask
                if key not in found or one.cost < found[key].cost:
                    found[key] = one
        ranked = sorted(found.values(), key=lambda one: (one.cost, one.path))
        most_promising, others = ranked[: effort.width * 2 // 3], ranked[effort.width * 2 // 3 :]
        # Where a number of characters is asked for, who has spelt the most is the nearest.
        beam = most_promising + sorted(others, key=lambda one: -one.size)[: effort.width - len(most_promising)]
        depth += 1
    return None


def completed(matcher: llguidance.LLMatcher, tokens: Plan, spelling: Spelling) -> Plan | None:
    """These tokens as a way to the end, with the end token where they need one; None where they don't lead there."""
    after = matcher.deep_copy()
    text = tokens[:-1] if tokens and tokens[-1] in spelling.ends else tokens
    if not all(spelling.writable[token] for token in text) or (text and not after.consume_tokens(list(text))):
        return None
    if after.is_error():
        return None
    if after.is_stopped():
        return text
    return (*text, spelling.ends[0]) if after.is_accepting() else None


def _cost(content: bytes, in_rule: bool) -> float:
    """How much a token probably leaves open: nothing where it closes, much where it opens."""
    opened = sum(content.count(one) for one in (b"{", b"[", b"("))
    text = bool(content.strip(CLOSING))
    spelt = (0.5 if in_rule else 1.0) - 0.02 * min(len(content), LONGEST_SPELT)
    return 4.0 * opened + content.count(b",") + (spelt if text else 0.0)
