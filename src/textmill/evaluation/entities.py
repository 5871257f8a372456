"""Entities in tagged words: spans of tags in any of the usual schemes, tags of spans, and F1 over whole entities.

A tag is `O`, or a letter, `-` and the entity's kind. B begins an entity and I (or M) goes on with it; BIOES, BMES and BILOU
also mark its last word, E or L, and one of a single word, S or U.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ..errors import TaskError
from ..score import Score
from .bootstrap import BOUNDS

Scheme = Literal["BIO", "BIOES", "BMES", "BILOU"]
OUTSIDE = "O"
LETTERS: dict[str, str] = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}  # begin, inside, last, single
SAMPLES = 2_000


class Entity(NamedTuple):
    """An entity of a kind, in the words `[begin, end)`."""

    kind: str
    begin: int
    end: int


def scheme_of(tags: Iterable[str]) -> Scheme:
    """The scheme of which these tags are. Raises TaskError where they are of none, or of two."""
    found = {tag for tag in tags if tag != OUTSIDE}
    if wrong := sorted(tag for tag in found if tag[1:2] != "-" or not tag[2:]):
        raise TaskError(f"{wrong[0]!r} is no tag; write O, or a letter and a kind such as B-person")
    letters = {tag[0] for tag in found}
    for scheme, allowed in LETTERS.items():
        if letters <= set(allowed):
            return scheme  # type: ignore[return-value]
    raise TaskError(f"the tags' letters {', '.join(sorted(letters))} are of no scheme; there are {', '.join(LETTERS)}")


def entities_of(tags: Sequence[str], strict: bool = True) -> list[Entity]:
    """The entities of a sentence's tags, of any scheme, in their order.

    Strict: only what is whole, begun by B (or S, U), gone on with in its own kind and, where the scheme marks ends, ended, is
    an entity. Otherwise as conlleval has it: whatever isn't O belongs to one, and begins one where nothing of its kind goes
    on.
    """
    marks_ends = any(tag[:1] in "ESLU" for tag in tags if tag != OUTSIDE)
    found: list[Entity] = []
    kind, begin, last = "", -1, OUTSIDE  # of the entity that is open
    for place, tag in enumerate([*tags, OUTSIDE]):
        letter, _, of = tag.partition("-")
        inside = letter in "IMEL" and tag != OUTSIDE
        goes_on = begin >= 0 and inside and of == kind and last in "BIM"
        if begin >= 0 and not goes_on:
            if not strict or not marks_ends or last in "ELSU":
                found.append(Entity(kind, begin, place))
            begin = -1
        if not goes_on and tag != OUTSIDE and (letter in "BSU" or not strict):
            kind, begin = of, place
        last = letter
    return found


def tags_of(entities: Iterable[Entity], words: int, scheme: Scheme) -> list[str]:
    """The tags of so many words, in which these entities don't overlap."""
    tags = [OUTSIDE] * words
    begins, inside, *ends = list(LETTERS[scheme])
    for kind, begin, end in entities:
        letters = [begins, *inside * (end - begin - 1)]
        if ends and len(letters) == 1:
            letters = [ends[1]]
        elif ends:
            letters[-1] = ends[0]
        tags[begin:end] = [f"{letter}-{kind}" for letter in letters]
    return tags


def entity_f1(
    wanted: Sequence[Sequence[Entity]], found: Sequence[Sequence[Entity]], signature: Mapping[str, Any]
) -> dict[str, Score]:
    """F1, precision and recall over the entities of all sentences, in which only the same kind at the same place counts, and
    F1 of each kind as `F1 of KIND`; the intervals resample sentences."""
    kinds = sorted({entity.kind for sentence in [*wanted, *found] for entity in sentence})
    counts = {kind: np.zeros((len(wanted), 3)) for kind in kinds}  # right, wanted, found
    for place, (truth, guess) in enumerate(zip(wanted, found, strict=True)):
        parts = (Counter(e.kind for e in {*truth} & {*guess}), Counter(e.kind for e in truth), Counter(e.kind for e in guess))
        for column, part in enumerate(parts):
            for kind, count in part.items():
                counts[kind][place, column] = count
    whole = sum(counts.values(), np.zeros((len(wanted), 3)))
    draws = np.random.default_rng(0).multinomial(len(wanted), np.full(len(wanted), 1 / len(wanted)), size=SAMPLES)
    figures = {"F1": (whole, _f1), "precision": (whole, _precision), "recall": (whole, _recall)}
    figures |= {f"F1 of {kind}": (each, _f1) for kind, each in counts.items()}
    scores = {}
    for name, (table, of) in figures.items():
        low, high = np.percentile(of(draws @ table), BOUNDS)
        value = float(of(table.sum(axis=0)[None])[0])
        scores[name] = Score(name, value, float(low), float(high), len(wanted), signature=dict(signature))
    return scores


def _f1(sums: Any) -> Any:
    return _share(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _precision(sums: Any) -> Any:
    return _share(sums[:, 0], sums[:, 2])


def _recall(sums: Any) -> Any:
    return _share(sums[:, 0], sums[:, 1])


def _share(part: Any, of: Any) -> Any:
    """0 where there is nothing to have a share of."""
    return np.divide(part, of, out=np.zeros_like(part), where=of > 0)
