"""What tagging needs no network for: the entities that training sentences held, looked up."""

from collections import Counter
from collections.abc import Sequence

from ..tokens.tags import Entity
from .tagged import TaggedText


class EntityDictionary:
    """Every entity of the sentences, by its words; one of several kinds has its most frequent one, of equally frequent ones the
    first in the alphabet."""

    def __init__(self, sentences: Sequence[TaggedText]):
        counts: dict[tuple[str, ...], Counter[str]] = {}
        for sentence in sentences:
            for kind, begin, end in sentence.entities:
                counts.setdefault(sentence.words[begin:end], Counter())[kind] += 1
        self.kinds = {words: min(found.items(), key=lambda item: (-item[1], item[0]))[0] for words, found in counts.items()}
        self.longest = max(map(len, self.kinds), default=0)

    def entities(self, words: Sequence[str]) -> list[Entity]:
        """Those in a sentence, from the left, of each place the longest."""
        found, place = [], 0
        while place < len(words):
            for end in range(min(len(words), place + self.longest), place, -1):
                kind = self.kinds.get(tuple(words[place:end]))
                if kind is not None:
                    found.append(Entity(kind, place, end))
                    place = end
                    break
            else:
                place += 1
        return found
