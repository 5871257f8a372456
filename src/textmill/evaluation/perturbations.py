"""What a score is worth when texts are written otherwise: with typos, in capitals, in small letters, with their words shuffled.

Each perturbation is a function of a text and a seed. A score is taken anew on the perturbed texts, and compared text by text
with that of the clean ones (Ribeiro et al. 2020, "Beyond Accuracy").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from ..score import Score
from .bootstrap import bootstrap_ratio
from .words import stands_alone, word_spans

SHARE = 0.2  # of the words that get a typo, at least one
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # a key's neighbours stand beside it
NEIGHBOURS = {key: row[max(0, place - 1) : place] + row[place + 1 : place + 2] for row in KEYS for place, key in enumerate(row)}


def with_typos(text: str, seed: int) -> str:
    """A typo in every fifth word: two letters swapped, one left out, or the key beside it hit; of what is written without
    spaces, two neighbouring characters swapped, or one left out."""
    chance, spans, original = Random(f"{seed} {text}"), word_spans(text), text
    many = max(1, round(SHARE * len(spans)))
    for begin, end in sorted(chance.sample(spans, min(many, len(spans))), reverse=True):  # from behind: places stay
        word = text[begin:end]
        if stands_alone(word) and text[end : end + 1].isalpha() and stands_alone(text[end]) and chance.random() < 0.5:
            text = text[:begin] + text[end] + word + text[end + 1 :]
        elif stands_alone(word):
            text = text[:begin] + text[end:]
        else:
            text = text[:begin] + _mistyped(word, chance) + text[end:]
    return text if text.strip() else original  # a single character isn't left out


def _mistyped(word: str, chance: Random) -> str:
    """A word of letters or digits with one typo; a single character that no key stands beside stays."""
    place = chance.randrange(len(word))
    keys = NEIGHBOURS.get(word[place].lower(), "")
    kind = chance.choice([*(["swap", "drop"] if len(word) > 1 else []), *(["key"] if keys else [])] or ["none"])
    if kind == "swap":
        place = min(place, len(word) - 2)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == "drop":
        return word[:place] + word[place + 1 :]
    if kind == "key":
        key = chance.choice(keys)
        return word[:place] + (key.upper() if word[place].isupper() else key) + word[place + 1 :]
    return word


def in_capitals(text: str, seed: int = 0) -> str:
    """All letters large."""
    return text.upper()


def in_small_letters(text: str, seed: int = 0) -> str:
    """All letters small."""
    return text.lower()


def shuffled(text: str, seed: int) -> str:
    """The words in any order, what stands between them in its place: what is left is a bag of words."""
    spans = word_spans(text)
    words = [text[begin:end] for begin, end in spans]
    Random(f"{seed} {text}").shuffle(words)
    parts, written = [], 0
    for (begin, end), word in zip(spans, words, strict=True):
        parts += [text[written:begin], word]
        written = end
    return "".join([*parts, text[written:]])


PERTURBATIONS: Mapping[str, Callable[[str, int], str]] = {
    "typos": with_typos,
    "capitals": in_capitals,
    "small letters": in_small_letters,
    "words shuffled": shuffled,
}


@dataclass(frozen=True)
class Perturbed:
    """A score on perturbed texts, by how much it lies above that on the clean ones, and how many texts were changed at all."""

    score: Score
    difference: Score
    changed: int

    def __str__(self) -> str:
        difference = self.difference
        return f"{self.score}, {difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"score": self.score.to_dict(), "difference": self.difference.to_dict(), "changed": self.changed}


def under_perturbations(
    texts: Sequence[str],
    clean: npt.ArrayLike,
    earned: Callable[[Sequence[str]], npt.ArrayLike],
    name: str,
    signature: Mapping[str, Any],
    seed: int = 0,
) -> dict[str, Perturbed]:
    """The mean of what a model earns by each text, (N,), under each perturbation that changes any of the N texts; `clean` is
    what it earns by them as they are, `earned` tells it of others in their places. `name` is the score's."""
    plain, found = np.asarray(clean, dtype=np.float64), {}
    for kind, perturb in PERTURBATIONS.items():
        written = [perturb(text, seed) for text in texts]
        changed = sum(new != old for new, old in zip(written, texts))
        if changed:
            values = np.asarray(earned(written), dtype=np.float64)
            signed = {**signature, "perturbation": kind, "seed": seed}
            found[kind] = Perturbed(_mean(name, values, signed), _mean(f"{name} won", values - plain, signed), changed)
    return found


def _mean(name: str, values: npt.NDArray[np.float64], signature: Mapping[str, Any]) -> Score:
    low, high = bootstrap_ratio(values, np.ones(len(values)))
    return Score(name, float(values.mean()), low, high, len(values), signature=dict(signature))
