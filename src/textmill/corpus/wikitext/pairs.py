"""Where the templates `{{…}}` and links `[[…]]` of a section begin and end, and what lies in what: one pass, no copy.

Braces without a partner go first, so that nothing ever has to be guessed. What lies in a pair is cut into its parts only
when it is asked for: an infobox that nobody wants costs no more than finding its end.
"""

import re
from collections.abc import Iterator

DEEPEST = 40
"""Pairs within more pairs than these are text: no page means them, and what reads them calls itself."""

_BRACES = re.compile(r"\{\{|\}\}|\[\[|\]\]")
_UNFINISHED = re.compile(r"[^{}\[\]|\n]{0,100}\|")  # the name of an unfinished template, the target of an unfinished link


class Span:
    """A part of a section: from `start` to `end`, its first pair being the one of the number `first`."""

    __slots__ = ("end", "first", "start")

    def __init__(self, start: int, end: int, first: int):
        self.start, self.end, self.first = start, end, first


class Pairs:
    """The pairs of `text`, numbered in the order in which they begin.

    Number n is `text[starts[n] : ends[n]]` with its braces, empty for braces that are text; the pairs within it are those from
    n + 1 to `behind[n]`. `lonely` are the places of the braces without a partner.
    """

    def __init__(self, text: str):
        self.text = text
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.behind: list[int] = []
        self.lonely: list[int] = []
        self._find()

    def _find(self) -> None:
        """A `]]` closes a link only where no template was begun since; a `}}` closes a template and gives up links in it."""
        starts, ends, behind = self.starts, self.ends, self.behind
        opened: list[int] = []  # the numbers of those that aren't closed yet
        templates = 0
        for brace in _BRACES.finditer(self.text):
            kind, place = brace[0], brace.start()
            if kind == "[[" or kind == "{{":
                opened.append(len(starts))
                templates += kind == "{{"
                starts.append(place)
                ends.append(place)
                behind.append(len(starts))
                continue
            if kind == "}}" and templates:
                while self.text[starts[opened[-1]]] == "[":
                    self.lonely.append(starts[opened.pop()])
                templates -= 1
            elif kind == "}}" or not opened or self.text[starts[opened[-1]]] == "{":
                self.lonely.append(place)
                continue
            number = opened.pop()
            if len(opened) < DEEPEST:
                ends[number], behind[number] = place + 2, len(starts)
        self.lonely += [starts[number] for number in opened]

    @property
    def whole(self) -> Span:
        """All of the text."""
        return Span(0, len(self.text), 0)

    def inner(self, number: int) -> Span:
        """What stands between the braces of a pair."""
        return Span(self.starts[number] + 2, self.ends[number] - 2, number + 1)

    def size(self, number: int) -> int:
        """The characters of a pair with its braces."""
        return self.ends[number] - self.starts[number]

    def holds(self, span: Span) -> bool:
        """Whether there is a pair in `span`."""
        return span.first < len(self.starts) and self.starts[span.first] < span.end

    def own_text(self, span: Span) -> str:
        """What of `span` is in no template; of a link in it, a bracket."""
        pieces, place, number = [], span.start, span.first
        while number < len(self.starts) and self.starts[number] < span.end:
            opening = self.starts[number]
            pieces += [self.text[place:opening], self.text[opening].strip("{")]
            place, number = self.ends[number], self.behind[number]
        return "".join([*pieces, self.text[place : span.end]])

    def parts(self, number: int) -> Iterator[Span]:
        """What stands between the bars of a pair: the name of a template, and its arguments."""
        rest = self.inner(number)
        while cut := self.cut(rest, "|"):
            part, rest = cut
            yield part
        yield rest

    def cut(self, span: Span, character: str) -> tuple[Span, Span] | None:
        """What stands before and behind the first `character` that is in no pair within the span; None where there is none."""
        start, number = span.start, span.first
        while number < len(self.starts) and self.starts[number] < span.end:
            place = self.text.find(character, start, self.starts[number])
            if place >= 0:
                break
            start, number = self.ends[number], self.behind[number]
        else:
            place = self.text.find(character, start, span.end)
        return (Span(span.start, place, span.first), Span(place + 1, span.end, number)) if place >= 0 else None


def balanced_pairs(text: str) -> Pairs:
    """The pairs of `text` without the braces that have no partner, nor the names that they began."""
    pairs = Pairs(text)
    if not pairs.lonely:
        return pairs
    pieces, position = [], 0
    for place in sorted(pairs.lonely):
        pieces.append(text[position:place])
        position = place + 2
        if text[place] in "{[" and (unfinished := _UNFINISHED.match(text, position)):
            position = unfinished.end()
    return Pairs("".join([*pieces, text[position:]]))
