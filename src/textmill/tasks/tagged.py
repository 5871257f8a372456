"""Tagged words from files: CoNLL's columns, or .jsonl with tokens and tags, or with a text and its entities.

What can't be read is told with its line, all such lines of a file together; what is left out, or read otherwise than it stands
there, is counted.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ..errors import TaskError
from ..tokens.tags import LETTERS, OUTSIDE, Entity, Scheme, entities_of, scheme_of
from ..tokens.words import joined, split_words
from .examples import Finding, Found, decoded, lines_named, refuse_lines
from .json_lines import Malformed, json_lines
from .labelled import Reading

COMMENTS, NO_WORDS = "comments and marks of documents", "no words"
FORM = 'write {"tokens": […], "tags": […]} or {"text": "…", "entities": […]}'
SINGLE = 0.99  # of the words are single characters: characters are tagged
SCHEMES = (*LETTERS, "IOB1")
PLAIN = Reading()


@dataclass(frozen=True)
class TaggedText:
    """A sentence's words and the entities in them, and where it stands: its file and the line of its first word.
    `characters`: its words are single characters, written without spaces; `scheme`: in which their tags are to be told."""

    words: tuple[str, ...]
    entities: tuple[Entity, ...]
    file: str = ""
    line: int = 0
    characters: bool = False
    scheme: Scheme = "BIO"

    @property
    def text(self) -> str:
        """The words, joined."""
        return joined(self.words, self.characters)[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """The kind of each entity."""
        return tuple(entity.kind for entity in self.entities)


@dataclass
class Tagged(Found[TaggedText]):
    """What a file of tagged words held. `scheme`: that of its tags; `noted`: lines of what was read otherwise than it stands
    there, by the reason."""

    scheme: str = "BIO"
    noted: dict[str, list[int]] = field(default_factory=dict)

    def findings(self, path: str | Path) -> Iterator[Finding]:
        """What is to be said of the file."""
        yield Finding("told", {"file": str(path), "told": str(self)})

    def __str__(self) -> str:
        words = sum(len(example.words) for example in self.examples)
        entities = sum(len(example.entities) for example in self.examples)
        notes = (f"{len(lines):,} {reason} ({lines_named(lines)})" for reason, lines in self.noted.items())
        told = f"{super().__str__()}; {words:,} words with {entities:,} entities, tagged in {self.scheme}"
        return "; ".join([told, *notes])


@dataclass
class Sentence:
    """Words with tags as they stand in a file, each with its line."""

    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_tagged(path: str | Path, reading: Reading = PLAIN) -> Tagged:
    """The tagged sentences of a file. Raises TaskError with every line that can't be read."""
    path = Path(path)
    text = decoded(path, reading.encoding)
    found = Tagged()
    of_lines = Path(path.name.removesuffix(".gz")).suffix == ".jsonl"
    sentences = (_json_lines if of_lines else _columns)(path, text, reading, found)
    if not sentences:
        raise TaskError(
            f"{path} holds no tagged words; write a word and its tag on each line, and a blank one between sentences"
        )
    if not sum(map(len, (sentence.words for sentence in sentences))):
        raise TaskError(f"{path} holds no words")
    found.scheme = _scheme(path, sentences, reading)
    # IOB1 isn't told: whether B or I begins an entity hangs on what stands before it; the same entities can be told in BIO.
    scheme: Scheme = "BIO" if found.scheme == "IOB1" else found.scheme  # type: ignore[assignment]
    words = [word for sentence in sentences for word in sentence.words]
    characters = sum(len(word) == 1 for word in words) >= SINGLE * len(words)
    for sentence in sentences:
        entities = entities_of(sentence.tags, strict=False)
        if found.scheme != "IOB1":
            whole = set(entities_of(sentence.tags))
            for entity in entities:
                if entity not in whole:
                    found.noted.setdefault("entities whose tags aren't whole, taken as conlleval takes them", []).append(
                        sentence.lines[entity.begin]
                    )
        found.examples.append(
            TaggedText(tuple(sentence.words), tuple(entities), str(path), sentence.lines[0], characters, scheme)
        )
    return found


def _columns(path: Path, text: str, reading: Reading, found: Tagged) -> list[Sentence]:
    """Columns with tabs or spaces between them, the word in the first and the tag in the last one, or in those named."""
    lines = text.split("\n")
    rows = {number: _cells(line) for number, line in enumerate(lines, start=1) if line.strip(" \t\r\ufeff")}
    counts = Counter(len(cells) for cells in rows.values() if cells[0] != "-DOCSTART-")
    if not counts:
        return []
    usual = counts.most_common(1)[0][0]
    word_column, tag_column = _place(reading.text, 1, "--text-column"), _place(reading.label, -1, "--label-column")
    needed = max(2, word_column, tag_column)
    if usual < needed:
        raise TaskError(
            f"{path}: its lines have {usual} column{'' if usual == 1 else 's'}, and {needed} are needed: a word, a tab or "
            "a space, and its tag"
        )
    problems: dict[str, list[int]] = {}
    sentences, open_sentence = [], Sentence()
    for number in range(1, len(lines) + 1):
        cells = rows.get(number)
        tag = "" if cells is None or len(cells) != usual else cells[tag_column - (tag_column > 0)]
        comment = cells is not None and (
            cells[0] == "-DOCSTART-" or (cells[0].startswith("#") and (len(cells) != usual or not _is_tag(tag)))
        )
        if cells is None or comment:
            if comment:
                found.left_out.setdefault(COMMENTS, []).append(number)
            if open_sentence.words and (cells is None or cells[0] == "-DOCSTART-"):
                sentences.append(open_sentence)
                open_sentence = Sentence()
        elif len(cells) != usual:
            what = f"{len(cells)} column{'' if len(cells) == 1 else 's'} where other lines have {usual}"
            problems.setdefault(what, []).append(number)
        elif not _is_tag(tag):
            problems.setdefault(f"{tag!r:.40} is no tag; write O, or a letter and a kind such as B-person", []).append(number)
        else:
            open_sentence.words.append(cells[word_column - 1])
            open_sentence.tags.append(tag)
            open_sentence.lines.append(number)
    refuse_lines(path, problems)
    return [*sentences, open_sentence] if open_sentence.words else sentences


def _cells(line: str) -> list[str]:
    line = line.strip(" \t\r\ufeff")
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in line else re.split(" +", line)


def _place(named: str | None, usual: int, option: str) -> int:
    """A column's number, counted from 1, or from the last one down from -1."""
    if named is None:
        return usual
    try:
        if (place := int(named)) != 0:
            return place
    except ValueError:
        pass
    raise TaskError(f"{option} {named}: columns of tagged words are numbered from 1, and from the last one down from -1")


def _json_lines(path: Path, text: str, reading: Reading, found: Tagged) -> list[Sentence]:
    """{"tokens": […], "tags": […]}, or {"text": "…", "entities": [{"start": 0, "end": 5, "label": "person"}]}."""

    def read(value: dict[str, Any]) -> tuple[list[str], list[str]]:
        return _of_tokens(value, reading) if (reading.text or "tokens") in value else _of_text(value)

    sentences = []
    for number, (words, tags) in json_lines(path, text, FORM, read, found.left_out):
        if words:
            sentences.append(Sentence(words, tags, [number] * len(words)))
        else:
            found.left_out.setdefault(NO_WORDS, []).append(number)
    return sentences


def _of_tokens(value: dict[str, Any], reading: Reading) -> tuple[list[str], list[str]]:
    words, tags = value[reading.text or "tokens"], value.get(reading.label or "tags")
    if not (_are_texts(words) and _are_texts(tags)) or not all(word.strip() for word in words):
        raise Malformed(f'write {{"{reading.text or "tokens"}": ["a", "word"], "{reading.label or "tags"}": ["O", "B-kind"]}}')
    if len(words) != len(tags):
        raise Malformed(f"{len(words)} words and {len(tags)} tags; write one tag for each word")
    if wrong := [tag for tag in tags if not _is_tag(tag)]:
        raise Malformed(f"{wrong[0]!r:.40} is no tag; write O, or a letter and a kind such as B-person")
    return words, tags


def _of_text(value: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Words of a text, cut where an entity begins or ends, and their tags in BIO."""
    text, entities = value.get("text"), value.get("entities")
    if not isinstance(text, str) or not isinstance(entities, list):
        raise Malformed(FORM)
    marked: list[tuple[int, int, str]] = []
    for entity in entities:
        begin, end, label = (entity.get(key) if isinstance(entity, dict) else None for key in ("start", "end", "label"))
        if type(begin) is not int or type(end) is not int or not isinstance(label, str) or not label.strip():
            raise Malformed('write each entity as {"start": 0, "end": 5, "label": "person"}')
        if not 0 <= begin < end <= len(text) or not text[begin:end].strip():
            raise Malformed(f"an entity from {begin} to {end} isn't in a text of {len(text)} characters")
        marked.append((begin, end, label.strip()))
    marked.sort()
    if any(one[1] > other[0] for one, other in itertools.pairwise(marked)):
        raise Malformed("entities that overlap; leave the inner ones out")
    cuts = sorted({place for begin, end, _ in marked for place in (begin, end)})
    letters = [character for character in text if character.isalpha()]
    characters = sum("\u3040" <= character <= "\u9fff" for character in letters) > len(letters) / 2
    words, tags, open_until = [], [], -1
    for begin, end in split_words(text, characters):
        for start, stop in _cut(begin, end, cuts):
            kind = next((label for first, last, label in marked if first <= start < last), None)
            last = next((last for first, last, _ in marked if first <= start < last), -1)
            words.append(text[start:stop])
            tags.append(OUTSIDE if kind is None else f"{'I' if last == open_until else 'B'}-{kind}")
            open_until = last
    return words, tags


def _cut(begin: int, end: int, cuts: Iterable[int]) -> list[tuple[int, int]]:
    places = [begin, *(cut for cut in cuts if begin < cut < end), end]
    return list(itertools.pairwise(places))


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_tag(tag: str) -> bool:
    return tag == OUTSIDE or (tag[1:2] == "-" and len(tag) > 2 and tag[0] in "BIMELSU")


def _scheme(path: Path, sentences: Sequence[Sentence], reading: Reading) -> str:
    """The scheme that was named, or the one that fits. Raises TaskError with the lines of tags that are of another one."""
    if reading.scheme is not None:
        if reading.scheme not in SCHEMES:
            raise TaskError(f"--scheme {reading.scheme}: write one of {', '.join(SCHEMES)}")
        letters = LETTERS["BIO" if reading.scheme == "IOB1" else reading.scheme]
        wrong = _lines_of(sentences, lambda tag: tag != OUTSIDE and tag[0] not in letters)
        refuse_lines(
            path, {f"the tags aren't of {reading.scheme}, whose letters are {', '.join(letters)} and O": wrong} if wrong else {}
        )
        return reading.scheme
    try:
        scheme = scheme_of(tag for sentence in sentences for tag in sentence.tags)
    except TaskError as error:
        counts = Counter(tag[0] for sentence in sentences for tag in sentence.tags if tag != OUTSIDE)
        rarest = min(counts, key=lambda letter: (counts[letter], letter == "B"))
        lines = _lines_of(sentences, lambda tag: tag != OUTSIDE and tag[0] == rarest)
        raise TaskError(f"{path}: {error}; the rarest letter is {rarest} ({lines_named(lines)})") from error
    return "IOB1" if scheme == "BIO" and _is_iob1(sentences) else scheme


def _is_iob1(sentences: Sequence[Sentence]) -> bool:
    """Whether B stands only where an entity follows another one of its kind, and some begin with I."""
    begins_with_i = False
    for sentence in sentences:
        for before, tag in zip([OUTSIDE, *sentence.tags], sentence.tags):
            follows = before != OUTSIDE and before[2:] == tag[2:]
            if tag[0] == "B" and not follows:
                return False
            begins_with_i |= tag[0] == "I" and not follows
    return begins_with_i


def _lines_of(sentences: Sequence[Sentence], wanted: Callable[[str], bool]) -> list[int]:
    return [line for each in sentences for tag, line in zip(each.tags, each.lines, strict=True) if wanted(tag)]
