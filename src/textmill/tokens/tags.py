"""Entities in tagged words: spans of tags in any of the usual schemes, tags of spans, and what a scheme allows.

A tag is `O`, or a letter, `-` and the entity's kind. B begins an entity and I (or M) goes on with it; BIOES, BMES and BILOU
also mark its last word, E or L, and one of a single word, S or U.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from ..errors import TaskError

Scheme = Literal["BIO", "BIOES", "BMES", "BILOU"]
OUTSIDE = "O"
LETTERS: dict[str, str] = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES", "BILOU": "BILU"}  # begin, inside, last, single


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


def may_follow(before: str | None, after: str | None, marks_ends: bool) -> bool:
    """Whether one tag may follow another, None standing for the outside of a sentence. A label that is no tag of a scheme may
    stand anywhere. `marks_ends`: the scheme's last and single words have letters of their own."""
    is_open = before is not None and before[:2] in ("B-", "I-", "M-")
    if after is not None and after[:2] in ("I-", "M-", "E-", "L-"):
        return is_open and before is not None and before[2:] == after[2:]
    return not (is_open and marks_ends)


def marks_ends(labels: Iterable[str]) -> bool:
    """Whether these are tags of a scheme in which last and single words have letters of their own."""
    return any(label[:2] in ("E-", "S-", "L-", "U-") for label in labels)
