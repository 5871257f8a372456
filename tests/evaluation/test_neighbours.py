"""Neighbours are the words whose vectors point the same way, whatever their length; a word that isn't there is named."""

import numpy as np
import pytest

from textmill.errors import ModelError
from textmill.evaluation.neighbours import nearest_words
from textmill.formats.word_vectors import WordVectors

VECTORS = WordVectors(["water", "river", "stone", "nothing"], np.array([[1, 0], [5, 1], [-1, 0.5], [0, 0]], dtype=np.float32))


def test_the_nearest_first_and_never_itself() -> None:
    near = nearest_words(VECTORS, ["Water", "river"], 2)
    assert [word for word, _ in near["Water"]] == ["river", "nothing"]
    assert near["Water"][0][1] == pytest.approx(5 / 26**0.5) and near["river"][0][0] == "water"
    assert len(nearest_words(VECTORS, ["stone"], 99)["stone"]) == 3


def test_every_unknown_word_is_named() -> None:
    with pytest.raises(ModelError) as caught:
        nearest_words(VECTORS, ["watre", "water", "xyz"], 1)
    assert len(caught.value.problems) == 2 and "did you mean 'water'" in caught.value.problems[0]
