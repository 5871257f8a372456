"""The arguments of a template, and what makes words of them."""

from collections.abc import Callable, Sequence

from .pairs import Pairs, Span

Words = Callable[[list[str], dict[str, str]], str]
"""From the positional and the named arguments of a template to its words."""


class Arguments:
    """The arguments of one template, turned into text only when someone asks: an infobox is never read."""

    def __init__(self, pairs: Pairs, arguments: Sequence[Span], words: Callable[[Pairs, Span], str]):
        self._pairs, self._arguments, self._words = pairs, arguments, words

    def read(self) -> tuple[list[str], dict[str, str]]:
        """The positional arguments in order (blanks at their ends removed), and the named ones."""
        numbered: dict[int, str] = {}
        named: dict[str, str] = {}
        unnamed = 0
        for argument in self._arguments:
            name, value = self._pairs.cut(argument, "=") or (None, argument)
            if name is None:
                unnamed += 1
            key = str(unnamed) if name is None else self._pairs.text[name.start : name.end].strip()
            text = self._words(self._pairs, value).strip()
            if key.isdecimal() and 0 < int(key) <= len(self._arguments):
                numbered[int(key)] = text
            else:
                named[key.lower()] = text
        return [numbered.get(index, "") for index in range(1, max(numbered, default=0) + 1)], named
