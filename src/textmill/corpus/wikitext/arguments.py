"""The arguments of a template, and what makes words of them."""

from collections.abc import Callable

from mwparserfromhell.nodes import Template
from mwparserfromhell.wikicode import Wikicode

Words = Callable[[list[str], dict[str, str]], str]
"""From the positional and the named arguments of a template to its words."""


class Arguments:
    """The arguments of one template, turned into text only when someone asks: an infobox is never read."""

    def __init__(self, template: Template, render: Callable[[list], str]):
        self._template, self._render = template, render

    def read(self) -> tuple[list[str], dict[str, str]]:
        """The positional arguments in order (blanks at their ends removed), and the named ones."""
        numbered: dict[int, str] = {}
        named: dict[str, str] = {}
        for parameter in self._template.params:
            key, text = str(parameter.name).strip(), self._text(parameter.value)
            if key.isdigit() and 0 < int(key) <= len(self._template.params):
                numbered[int(key)] = text
            else:
                named[key.lower()] = text
        return [numbered.get(index, "") for index in range(1, max(numbered, default=0) + 1)], named

    def _text(self, value: Wikicode) -> str:
        return self._render(value.nodes).strip()
