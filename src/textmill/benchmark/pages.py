"""Pages of a wiki that nobody wrote: words drawn by a seed, in all the markup that a real page has.

No text lies in the package, and what a machine happens to have would be another on the next; so the words are made of
syllables, and as frequent as those of a language are (Zipf 1949).
"""

import itertools
import random

from ..corpus.mediawiki import Article
from ..corpus.wikitext import HIDDEN_NAMESPACES

SYLLABLES = [first + vowel + last for first in "bdfgklmnprstvw" for vowel in "aeiou" for last in ("", "n", "r", "s", "l")]
WORDS = 20_000


class Writer:
    """Writes pages, always the same ones for a seed."""

    def __init__(self, seed: int = 0):
        self._random = random.Random(seed)
        known = {self._new_word() for _ in range(WORDS)}
        self._words = sorted(known, key=lambda word: (len(word), word))  # short ones are frequent
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, len(self._words) + 1)))

    def page(self, number: int) -> Article:
        """A page with an infobox, sections, links, references, a list, a table and categories: 8,000 characters."""
        title = self._title()
        fields = "\n".join(f"| {word} = {self._link()}" for word in self._some(6))
        infobox = f"{{{{Infobox place\n| name = {title}\n{fields}\n| area = {{{{convert|{number + 2}|km2|mi2}}}}\n}}}}\n"
        sections = "\n\n".join(f"== {self._title()} ==\n{self._paragraphs(3)}" for _ in range(5))
        items = "\n".join(f"* {self._link()}: {self._sentence()}" for _ in range(6))
        rows = "\n".join(f"|-\n| {' || '.join(self._some(4))}" for _ in range(8))
        table = f'{{| class="wikitable"\n! {" !! ".join(self._some(4))}\n{rows}\n|}}'
        image = f"[[File:{title}.jpg|thumb|left|{self._sentence()}]]\n"
        end = f"== References ==\n{{{{reflist}}}}\n[[Category:{self._title()}]]\n[[Category:{self._title()}]]"
        text = "\n\n".join(
            [infobox + image + f"'''{title}''' {self._paragraphs(2)}", sections, f"== {self._title()} ==\n{items}", table, end]
        )
        return Article(str(number), "bench", f"{title} {number}", "en", text, HIDDEN_NAMESPACES)

    def prose(self, characters: int) -> str:
        """Plain text of about so many characters."""
        paragraphs = [self._sentences(6)]
        while sum(map(len, paragraphs)) < characters:
            paragraphs.append(self._sentences(6))
        return "\n\n".join(paragraphs)

    def _new_word(self) -> str:
        return "".join(self._random.choices(SYLLABLES, k=self._random.choice((1, 1, 2, 2, 2, 3, 3, 4))))

    def _some(self, count: int) -> list[str]:
        return self._random.choices(self._words, cum_weights=self._weights, k=count)

    def _title(self) -> str:
        return " ".join(self._some(2)).capitalize()

    def _link(self) -> str:
        return f"[[{self._title()}|{self._some(1)[0]}]]" if self._random.random() < 0.5 else f"[[{self._title()}]]"

    def _sentence(self) -> str:
        words = self._some(self._random.randint(6, 18))
        words[self._random.randrange(len(words))] += ","
        return " ".join(words).capitalize() + "."

    def _sentences(self, count: int) -> str:
        return " ".join(self._sentence() for _ in range(count))

    def _paragraphs(self, count: int) -> str:
        return "\n\n".join(self._paragraph() for _ in range(count))

    def _paragraph(self) -> str:
        """Three sentences with the markup that stands between words: a link, bold, a template, a reference."""
        first, second, third = (self._sentence() for _ in range(3))
        cite = f"<ref>{{{{cite book |title={self._title()} |year={self._random.randint(1850, 2020)} |page=7}}}}</ref>"
        year = f"{{{{circa|{self._random.randint(1100, 1900)}}}}}"
        return f"{first} {self._link()} {year} {second}{cite} ''{self._some(1)[0]}'' {third} <!-- {self._some(1)[0]} -->"
