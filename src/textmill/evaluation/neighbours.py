"""The words whose vectors point the same way: what word vectors have learnt, for a person to read."""

from collections.abc import Sequence

import numpy as np

from ..errors import ModelError, nearest
from ..formats.word_vectors import WordVectors


def nearest_words(vectors: WordVectors, words: Sequence[str], count: int) -> dict[str, list[tuple[str, float]]]:
    """For each of `words` the `count` others that are nearest, with the cosine of the angle between, the nearest first.

    A word is looked up as it is written, then in lower case. Raises ModelError that names every word that isn't there.
    """
    places = {word: place for place, word in enumerate(vectors.words)}
    found = {word: places.get(word, places.get(word.lower())) for word in words}
    if missing := [word for word, place in found.items() if place is None]:
        raise ModelError(*(_unknown(word, vectors.words) for word in missing))
    lengths = np.maximum(np.linalg.norm(vectors.vectors, axis=1), np.finfo(np.float32).tiny)
    neighbours = {}
    for word, place in found.items():
        cosines = vectors.vectors @ vectors.vectors[place] / (lengths * lengths[place])
        cosines[place] = -np.inf  # itself
        order = np.argsort(-cosines, kind="stable")[: min(count, len(cosines) - 1)]
        neighbours[word] = [(vectors.words[other], float(cosines[other])) for other in order]
    return neighbours


def _unknown(word: str, known: Sequence[str]) -> str:
    alike = [other for other in known if other[:1] == word[:1].lower()]  # the whole of a large vocabulary would take minutes
    return f"{word!r} is not among the {len(known):,} words{nearest(word.lower(), alike, 0.75)}"
