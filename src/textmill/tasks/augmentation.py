"""Edited copies of training texts, made once before a training: copy `j` of text `i` is a function of (seed, i, j), so that a
training that was stopped goes on with the same ones.

No copy is learnt from that a validation or test text reads like, nor one that came out as its text was; both are counted.
"""

import dataclasses
from collections.abc import Callable
from random import Random
from typing import Any

from ..evaluation.words import words_of
from ..formats.word_vectors import read_word_vectors
from .examples import AnExample, Split, normal
from .masked_edits import MaskedWords
from .settings import LearnSettings
from .tagged import TaggedText
from .text_edits import Edit, Vocabulary, edited_text, edited_words

EditExample = Callable[[Any, Edit, float, Vocabulary, Random], Any]
"""An example, how and how much it is to be edited, what words there are, and chance -> the edited example."""


def edited_example(example: Any, edit: Edit, share: float, vocabulary: Vocabulary, chance: Random) -> Any:
    """A labelled text whose labels are those of the whole text."""
    return dataclasses.replace(example, text=edited_text(example.text, edit, share, vocabulary, chance))


def edited_tagging(example: TaggedText, edit: Edit, share: float, vocabulary: Vocabulary, chance: Random) -> TaggedText:
    """Tagged words, edited outside of their entities alone, which move with what is put in or taken out before them."""
    slots = edited_words(example.words, edit, share, vocabulary, chance, outside(example))
    words = [word for slot in slots for word in slot]
    places = {word.source: place for place, word in enumerate(words) if word.source is not None}
    entities = tuple(
        entity._replace(begin=places[entity.begin], end=places[entity.begin] + entity.end - entity.begin)
        for entity in example.entities
    )
    return dataclasses.replace(example, words=tuple(word.word for word in words), entities=entities)


def outside(example: TaggedText) -> list[int]:
    """The places of the words that belong to no entity."""
    inside = {place for entity in example.entities for place in range(entity.begin, entity.end)}
    return [place for place, word in enumerate(example.words) if place not in inside and words_of(word)]


def words_outside(example: TaggedText) -> str:
    """Their text: no name is to be put where it isn't tagged as one."""
    return " ".join(example.words[place] for place in outside(example))


def augmented(
    split: Split[AnExample],
    learn: LearnSettings,
    edit_example: EditExample = edited_example,
    drawn_from: Callable[[Any], str] = lambda example: example.text,
) -> list[AnExample]:
    """The training examples, behind them their edited copies, `learn.augment` of each, with words `drawn_from` the examples.
    Prints how many.

    Raises TaskError where a file of vectors or a model isn't one that edits."""
    if not learn.augment:
        return split.training
    texts = [example.text for example in split.training]
    known = [drawn_from(example) for example in split.training]
    words = {spelling for text in known for word in words_of(text) for spelling in (word, word.lower())}
    vectors = read_word_vectors(learn.augment_vectors, words) if learn.augment_vectors else None
    vocabulary = Vocabulary(known, vectors)
    copies: list[AnExample] = []
    masked: dict[int, Random] = {}  # places among the copies
    for copy in range(learn.augment):
        for number, example in enumerate(split.training):
            chance = Random(f"{learn.seed} {number} {copy}")
            kind = chance.choice(learn.augment_by)
            if kind == "mask":
                masked[len(copies)] = chance
                copies.append(example)
            else:
                copies.append(edit_example(example, kind, learn.augment_share, vocabulary, chance))
    if masked:
        assert learn.augment_model is not None
        encoder = MaskedWords(learn.augment_model)
        found = encoder.edited([copies[place].text for place in masked], learn.augment_share, list(masked.values()))
        for place, text in zip(masked, found, strict=True):
            copies[place] = dataclasses.replace(copies[place], text=text)  # type: ignore[type-var]
    elsewhere = {normal(example.text) for example in [*split.validation, *split.test]}
    unchanged = {number for number, copy in enumerate(copies) if normal(copy.text) == normal(texts[number % len(texts)])}
    leaks = {number for number, copy in enumerate(copies) if normal(copy.text) in elsewhere} - unchanged
    kept = [copy for number, copy in enumerate(copies) if number not in unchanged | leaks]
    print(
        f"  {len(kept):,} edited copies of {len(texts):,} training texts"
        + (f"; {len(unchanged):,} left out that came out as the text was" if unchanged else "")
        + (f"; {len(leaks):,} left out that stand in the validation or test texts" if leaks else "")
    )
    return [*split.training, *kept]
