"""Texts edited a little, so that there are more to learn from: words replaced, inserted, swapped, deleted (Wei & Zou 2019).

Pure functions of a text and a source of chance. A word is what evaluation/words.py calls one: in Chinese a single character,
since a segmenter would bring a dictionary from elsewhere, and one wrong cut would change the text more than the edit does.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import Literal, NamedTuple

from ..evaluation.neighbours import nearest_words
from ..evaluation.words import stands_alone, word_spans, words_of
from ..formats.word_vectors import WordVectors

Edit = Literal["replace", "insert", "swap", "delete"]
NEAREST = 10  # words of which one is drawn, where word vectors say what is near


class Edited(NamedTuple):
    """A word of an edited text, and which word of the text it stands for; None for one that was put in."""

    word: str
    source: int | None


Slot = tuple[Edited, ...]
"""What stands in one word's place afterwards: nothing, a word, or a word and one that was put in behind it."""


class Vocabulary:
    """Words to be put into texts: those of the training texts, as often as they stand there (Xie et al. 2017, "Data Noising as
    Smoothing"); with `vectors`, one of the nearest to the word that it replaces, where that has a vector."""

    def __init__(self, texts: Iterable[str], vectors: WordVectors | None = None):
        counts = Counter(word for text in texts for word in words_of(text))
        self.words = sorted(counts)
        self._sums = list(itertools.accumulate(counts[word] for word in self.words))
        self._vectors, self._known = vectors, frozenset(vectors.words if vectors else ())
        self._near = functools.lru_cache(maxsize=None)(self._nearest)

    def instead_of(self, word: str, chance: Random) -> str:
        """Another word; the same where there is no other."""
        if near := self._near(word):
            return chance.choice(near)
        for _ in range(NEAREST):
            [drawn] = chance.choices(self.words or [word], cum_weights=self._sums or None)
            if drawn != word:
                return drawn
        return word

    def _nearest(self, word: str) -> list[str]:
        if self._vectors is None or not {word, word.lower()} & self._known:
            return []
        [found] = nearest_words(self._vectors, [word], NEAREST).values()
        return [other for other, cosine in found if cosine > 0 and other != word.lower()]


def edited_words(
    words: Sequence[str], edit: Edit, share: float, vocabulary: Vocabulary, chance: Random, free: Sequence[int] | None = None
) -> list[Slot]:
    """A slot for each word, of which a share is edited, at least one.

    Only the places `free` (default: all) are touched, and what is put in stands behind one of them: labels outside of which
    there is nothing to say, such as O, so stay right. Words that aren't enough for an edit stay as they are.
    """
    slots: list[Slot] = [(Edited(word, place),) for place, word in enumerate(words)]
    places = list(range(len(words)) if free is None else free)
    many = max(1, round(share * len(places)))
    if not places or (edit in ("swap", "delete") and len(places) < 2):
        return slots
    if edit == "swap":
        for _ in range(many):
            one, other = chance.sample(places, 2)
            slots[one], slots[other] = slots[other], slots[one]
        return slots
    for place in chance.sample(places, min(many, len(places) - (edit == "delete"))):
        if edit == "delete":
            slots[place] = ()
        elif edit == "replace":
            slots[place] = (Edited(vocabulary.instead_of(words[place], chance), place),)
        else:
            drawn = vocabulary.instead_of(words[chance.choice(places)], chance)
            slots[place] = (*slots[place], Edited(drawn, None))
    return slots


def edited_text(text: str, edit: Edit, share: float, vocabulary: Vocabulary, chance: Random) -> str:
    """The text, a share of its words edited; what stands between words stays."""
    words = [text[begin:end] for begin, end in word_spans(text)]
    return with_slots(text, edited_words(words, edit, share, vocabulary, chance))


def with_slots(text: str, slots: Sequence[Slot]) -> str:
    """A text with these in the places of its words. A word that goes takes the space before it along, and words that would
    become one get a space between them."""
    parts, written, last = [""], 0, ""
    for (begin, end), slot in zip(word_spans(text), slots, strict=True):
        between, written = text[written:begin], end
        parts.append(between if slot else between.rstrip())
        for word, _ in slot:
            if last and parts[-1] in ("", last) and not (stands_alone(last) or stands_alone(word)):
                parts.append(" ")
            parts.append(word)
            last = word
    return "".join([*parts, text[written:]]).strip()
