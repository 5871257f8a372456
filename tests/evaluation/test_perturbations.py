"""Perturbations are functions of a text and a seed and change what they say; a score under them lies beside the clean one, text
by text."""

import numpy as np
import pytest

from textmill.evaluation.perturbations import PERTURBATIONS, under_perturbations, with_typos
from textmill.evaluation.words import words_of

ENGLISH = "The little cat sat (quite happily) on the old mat, and it did not move at all for hours."
CHINESE = "一只猫坐在旧垫子上，好几个小时都没有动。"


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("text", [ENGLISH, CHINESE, "", "?!", "7", "猫"])
def test_a_perturbation_is_a_function_of_text_and_seed(name: str, text: str) -> None:
    perturb = PERTURBATIONS[name]
    found = [perturb(text, seed) for seed in range(10)]
    assert found == [perturb(text, seed) for seed in range(10)] and all(map(bool, found)) == bool(text)
    if name in ("typos", "words shuffled") and len(text) > 10:
        assert len(set(found)) > 5 and text not in found
    if name == "words shuffled":
        assert all(sorted(words_of(each)) == sorted(words_of(text)) for each in found)
    if name in ("capitals", "small letters"):
        assert {each.casefold() for each in found} == {text.casefold()}


def test_typos_are_in_a_fifth_of_the_words() -> None:
    before = words_of(ENGLISH)
    for seed in range(30):
        after = words_of(with_typos(ENGLISH, seed))
        changed = [(new, old) for new, old in zip(after, before, strict=True) if new != old]
        assert len(changed) <= 4 and all(abs(len(new) - len(old)) <= 1 for new, old in changed)
        chinese = with_typos(CHINESE, seed)
        assert len(CHINESE) - 4 <= len(chinese) <= len(CHINESE) and set(chinese) <= set(CHINESE)


def test_scores_are_compared_text_by_text() -> None:
    texts = [f"Text number {number} is a text" for number in range(200)]

    def earned(written) -> list[bool]:
        return [text[0] == "T" and number % 2 == 0 for number, text in enumerate(written)]

    found = under_perturbations(texts, earned(texts), earned, "accuracy", {"data": "x"})
    assert found["capitals"].score.value == 0.5 and found["capitals"].changed == 200
    assert (found["capitals"].difference.low, found["capitals"].difference.high) == (0.0, 0.0)
    lost = found["small letters"]
    assert lost.score.value == 0 and lost.difference.value == -0.5 and -0.6 < lost.difference.low < -0.5 < lost.difference.high
    assert lost.score.signature == {"data": "x", "perturbation": "small letters", "seed": 0}
    shuffled = under_perturbations(["我爱猫"], [1.0], lambda written: np.ones(len(written)), "accuracy", {})
    assert "capitals" not in shuffled and "words shuffled" in shuffled  # there is nothing to write large
