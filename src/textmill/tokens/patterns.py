"""Whether a regular expression out of someone's file is one whose matching stays cheap, decided without running it.

Repeats inside repeats, and ways to match the same text by many paths, are what makes a matcher try 2ⁿ ways (Weideman
et al. 2016, ReDoS). The splitters in use nest nothing, so whatever nests is refused.
"""

import re
from dataclasses import dataclass

MOST_OPEN_ENDED = 4  # `*` and `+` in one alternative; each one more is another power of the text's length
MOST_VARIABLE = 8  # `?` and the like included
LARGEST = 100_000  # atoms once counted repeats are written out, which is what the matcher does with them

_QUANTIFIER = re.compile(r"([*+?]|\{(\d*)(,?)(\d*)\})")
_ESCAPE = re.compile(r"\\(?:[pPxuN]\{[^}]*\}|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_OPENING = re.compile(r"\((?:\?(?:[imsxau-]*:|<?[=!]|>|<\w+>|[imsx-]+\)|#[^)]*\))?)?")
_REFUSED = re.compile(r"\(\?(?:R|\(|\{|[0-9&~|])|\(\*|\\[1-9kgK]")


@dataclass
class _Group:
    """What was read of one group so far: its atoms, and the quantifiers of its richest alternative."""

    size: int = 0
    open_ended: int = 0
    variable: int = 0
    branches: bool = False
    richest: tuple[int, int] = (0, 0)

    def end(self) -> None:
        """End the alternative at hand."""
        self.richest = (max(self.richest[0], self.open_ended), max(self.richest[1], self.variable))
        self.open_ended = self.variable = 0

    @property
    def varies(self) -> bool:
        """Whether what it matches can end at more than one place."""
        return self.branches or self.richest[1] > 0


def pattern_problem(pattern: str) -> str | None:
    """Why a pattern may take exponential time or memory, or can't be judged; None where it is cheap.

    Written for the syntax of Oniguruma, which the tokenizers library uses.
    """
    stack = [_Group()]
    place = 0
    while place < len(pattern):
        if found := _REFUSED.match(pattern, place):
            return f"{found[0]!r} refers back or calls, which can take any time"
        character = pattern[place]
        group: _Group | None = None
        if character == "|":
            stack[-1].end()
            stack[-1].branches = True
            place += 1
            continue
        if character == "(":
            opened = _OPENING.match(pattern, place)
            assert opened  # a bare parenthesis at least
            place = opened.end()
            if not opened[0].endswith(")"):
                stack.append(_Group())
            continue
        if character == ")":
            if len(stack) == 1:
                return "it closes a group that it doesn't open"
            group = stack.pop()
            group.end()
            place += 1
        elif character == "[":
            place = _end_of_class(pattern, place)
        else:
            escaped = _ESCAPE.match(pattern, place)
            place = escaped.end() if escaped else place + 1
        place, problem = _repeated(pattern, place, group, stack[-1])
        if problem:
            return problem
    return None if len(stack) == 1 else "it leaves a group open"


def _repeated(pattern: str, place: int, group: _Group | None, outer: _Group) -> tuple[int, str | None]:
    """Read the quantifiers behind an atom or a group, and add both to `outer`. Returns where they end, and a problem."""
    size = group.size if group else 1
    varies = group is not None and group.varies
    while found := _QUANTIFIER.match(pattern, place):
        counted = found[1].startswith("{")
        if counted and not (found[2] or found[4]):
            break  # a brace that stands for itself
        least, most = _bounds(found)
        if varies and (most is None or most > 1):
            return place, f"it repeats what can itself match in many ways: {pattern[max(0, place - 20) : place + 2]!r}"
        place = found.end()
        if not counted and place < len(pattern) and pattern[place] in "?+":
            place += 1  # lazy or possessive: the same matches at most
        elif counted and pattern[place : place + 1] == "?":
            place += 1
        if most != least:
            varies = True
            outer.variable += 1
            outer.open_ended += most is None
        size *= max(1, most if most is not None else least)
    if group:
        outer.open_ended += group.richest[0]
        outer.variable += group.richest[1] + group.branches
    outer.size += size
    if outer.size > LARGEST:
        return place, f"its counted repeats make more than {LARGEST:,} parts"
    if outer.open_ended > MOST_OPEN_ENDED or outer.variable > MOST_VARIABLE:
        return place, "it has too many parts in a row of no fixed length"
    return place, None


def _bounds(quantifier: re.Match[str]) -> tuple[int, int | None]:
    """How often a quantifier repeats at least, and at most."""
    sign, least, comma, most = quantifier.groups()
    if sign in ("*", "+", "?"):
        return int(sign == "+"), 1 if sign == "?" else None
    return int(least or 0), int(most) if most else None if comma else int(least)


def _end_of_class(pattern: str, place: int) -> int:
    """Where a character class `[...]` ends, with the classes inside it."""
    depth = 0
    while place < len(pattern):
        if escaped := _ESCAPE.match(pattern, place):
            place = escaped.end()
            continue
        character = pattern[place]
        if character == "[":
            depth += 1
            place += 2 if pattern[place + 1 : place + 2] == "^" else 1
            place += pattern[place : place + 1] == "]"  # right behind the bracket it stands for itself
            continue
        place += 1
        if character == "]":
            depth -= 1
            if not depth:
                return place
    return place
