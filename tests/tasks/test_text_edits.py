"""Edits are functions of a text and of chance, touch the share of words that they say, and draw from the given words alone."""

from random import Random

import numpy as np
import pytest

from textmill.evaluation.words import words_of
from textmill.formats.word_vectors import WordVectors
from textmill.tasks.text_edits import Vocabulary, edited_text, edited_words

TEXTS = ["The cat sat (at last!) on the old mat, and it didn't move.", "一只猫坐在旧垫子上，没有动。", "Ein Hund lief weg"]
VOCABULARY = Vocabulary(["apple pear plum 梨 桃 杏 李"])


@pytest.mark.parametrize("edit", ["replace", "insert", "swap", "delete"])
@pytest.mark.parametrize("text", TEXTS)
def test_an_edit_changes_a_share_of_the_words_and_nothing_else(edit: str, text: str) -> None:
    before = words_of(text)
    many = max(1, round(0.2 * len(before)))
    results = {edited_text(text, edit, 0.2, VOCABULARY, Random(seed)) for seed in range(20)}  # type: ignore[arg-type]
    assert len(results) > 1
    assert {edited_text(text, edit, 0.2, VOCABULARY, Random(seed)) for seed in range(20)} == results  # type: ignore[arg-type]
    for edited in results:
        after = words_of(edited)
        new = [word for word in after if word in VOCABULARY.words]
        old = [word for word in after if word not in VOCABULARY.words]
        if edit == "swap":
            assert sorted(after) == sorted(before)
        else:
            assert len(new) == (0 if edit == "delete" else many)
            assert len(old) == len(before) - (many if edit in ("replace", "delete") else 0)
            remaining = iter(before)
            assert all(word in remaining for word in old)  # in their order
        assert [c for c in edited if not c.isalnum() and c not in " '"] == [
            c for c in text if not c.isalnum() and c not in " '"
        ]
        assert "  " not in edited and edited == edited.strip()


def test_chinese_gets_no_spaces_and_english_keeps_them() -> None:
    assert " " not in edited_text(TEXTS[1], "insert", 1.0, Vocabulary(["梨桃"]), Random(0))
    assert edited_text("a b", "insert", 1.0, Vocabulary(["x"]), Random(0)) == "a x b x"
    assert edited_text("(a) b c", "delete", 0.9, VOCABULARY, Random(0)) in ("(a)", "() b", "() c")


def test_what_is_too_short_for_an_edit_stays() -> None:
    assert edited_text("word", "delete", 1.0, VOCABULARY, Random(0)) == "word"
    assert edited_text("word", "swap", 1.0, VOCABULARY, Random(0)) == "word"
    assert edited_text("?!", "insert", 1.0, VOCABULARY, Random(0)) == "?!"
    assert edited_text("word", "replace", 1.0, Vocabulary(["word"]), Random(0)) == "word"


@pytest.mark.parametrize("edit", ["replace", "insert", "swap", "delete"])
def test_only_free_places_are_touched(edit: str) -> None:
    words = ["in", "New", "York", "it", "rained"]
    for seed in range(20):
        slots = edited_words(words, edit, 0.5, VOCABULARY, Random(seed), free=[0, 3, 4])  # type: ignore[arg-type]
        assert [slots[place] for place in (1, 2)] == [(("New", 1),), (("York", 2),)]
        for slot in slots:  # what has a source is the word there, unless it was replaced
            assert edit == "replace" or all(source is None or words[source] == word for word, source in slot)


def test_words_are_drawn_as_often_as_they_stand_there() -> None:
    vocabulary, chance = Vocabulary(["often often often seldom"]), Random(0)
    drawn = [vocabulary.instead_of("other", chance) for _ in range(400)]
    assert set(drawn) == {"often", "seldom"} and 240 < drawn.count("often") < 360


def test_with_word_vectors_a_near_word_is_drawn() -> None:
    vectors = WordVectors(
        ["cat", "dog", "saw", "axe"], np.array([[1.0, 0.1], [1.0, 0.2], [-0.1, 1.0], [-0.2, 1.0]], dtype=np.float32)
    )
    vocabulary = Vocabulary(["cat dog saw axe lamp"], vectors)
    chance = Random(0)
    assert {vocabulary.instead_of("Axe", chance) for _ in range(20)} == {"saw"}
    assert "dog" in {vocabulary.instead_of("cat", chance) for _ in range(20)} <= {"dog", "saw", "axe"}
    assert vocabulary.instead_of("unknown", chance) in vocabulary.words  # which has no vector
