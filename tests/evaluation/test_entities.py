"""Entities are what the schemes and conlleval say they are; tags and entities turn into each other; F1 counts whole ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import TaskError
from textmill.evaluation.entities import entity_f1
from textmill.tokens.tags import LETTERS, Entity, entities_of, scheme_of, tags_of


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[Entity], int]:
    """Entities that don't overlap, and a number of words that holds them."""
    place, entities = 0, []
    for _ in range(draw(st.integers(0, 5))):
        begin = place + draw(st.integers(0, 2))
        place = begin + draw(st.integers(1, 4))
        entities.append(Entity(draw(st.sampled_from(["person", "creative-work"])), begin, place))
    return entities, place + draw(st.integers(0, 2))


@given(sentences(), st.sampled_from(list(LETTERS)))
def test_tags_of_entities_give_the_entities_back(sentence: tuple[list[Entity], int], scheme) -> None:
    entities, words = sentence
    tags = tags_of(entities, words, scheme)
    assert entities_of(tags) == entities_of(tags, strict=False) == entities
    assert set(scheme_of(tags)) <= set(scheme) | {"B", "I", "O"} or not entities


@pytest.mark.parametrize(
    ("tags", "lenient", "strict"),
    [  # what conlleval counts, by its own rules of where a chunk begins and ends
        ("I-a I-a O", [("a", 0, 2)], []),
        ("B-a I-b", [("a", 0, 1), ("b", 1, 2)], [("a", 0, 1)]),
        ("B-a B-a I-a", [("a", 0, 1), ("a", 1, 3)], [("a", 0, 1), ("a", 1, 3)]),
        ("O I-a O I-b I-b", [("a", 1, 2), ("b", 3, 5)], []),
        ("S-a E-a", [("a", 0, 1), ("a", 1, 2)], [("a", 0, 1)]),
        ("B-a I-a O E-a", [("a", 0, 2), ("a", 3, 4)], []),
        ("B-a E-a I-a", [("a", 0, 2), ("a", 2, 3)], [("a", 0, 2)]),
        ("B-a M-a E-a S-b", [("a", 0, 3), ("b", 3, 4)], [("a", 0, 3), ("b", 3, 4)]),
    ],
)
def test_broken_tags(tags: str, lenient: list[tuple[str, int, int]], strict: list[tuple[str, int, int]]) -> None:
    assert entities_of(tags.split(), strict=False) == lenient
    assert entities_of(tags.split()) == strict


def test_f1_counts_whole_entities() -> None:
    wanted = [[Entity("a", 0, 2), Entity("b", 3, 4)], [Entity("a", 1, 2)]]
    found = [[Entity("a", 0, 2), Entity("b", 2, 4)], []]
    scores = entity_f1(wanted, found, {})
    assert (scores["precision"].value, scores["recall"].value) == (1 / 2, 1 / 3)
    assert scores["F1"].value == pytest.approx(2 / 5)
    assert scores["F1 of b"].value == 0.0
    assert scores["F1"].low <= scores["F1"].value <= scores["F1"].high


@pytest.mark.parametrize("tags", [["B"], ["B-"], ["X-person"], ["B-a", "M-a", "U-a"]])
def test_no_scheme(tags: list[str]) -> None:
    with pytest.raises(TaskError):
        scheme_of(tags)


def by_conlleval(tags: list[str]) -> list[Entity]:
    """What conlleval's own rules say of where a chunk ends and begins (its endOfChunk and startOfChunk, with S for a chunk of
    one word), one tag after the other."""
    found: list[Entity] = []
    before, kind_before, begin = "O", "", -1
    for place, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        other = kind != kind_before
        if begin >= 0 and (before in "ES" or letter in "BSO" or other):
            found.append(Entity(kind_before, begin, place))
            begin = -1
        if letter != "O" and (letter in "BS" or before in "ESO" or other):
            begin = place
        before, kind_before = letter, kind
    return found


@given(st.lists(st.sampled_from(["O", *(f"{letter}-{kind}" for letter in "BIES" for kind in "ab")]), max_size=8))
def test_whatever_the_tags_the_entities_are_conllevals(tags: list[str]) -> None:
    assert entities_of(tags, strict=False) == by_conlleval(tags)


def test_f1_is_conllevals() -> None:
    """Two sentences of CoNLL 2003's tags, of which one entity of two is right; and tags in IOB1, read as they begin."""
    wanted = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    found = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["I-PER", "I-PER", "O"]]
    scores = entity_f1(*([entities_of(tags, strict=False) for tags in each] for each in (wanted, found)), {})
    assert [scores[name].value for name in ("F1", "precision", "recall", "F1 of PER", "F1 of MISC")] == [
        0.5,
        0.5,
        0.5,
        1.0,
        0.0,
    ]
