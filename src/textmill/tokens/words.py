"""Words and the tokens they become, of any tokenizer: where each word's first token stands, which is the one that is labelled.

A sentence's text is its words with a space between two, or, where they are single characters, without one.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .tokenizer import Tokenizer

SOLID = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"  # characters of scripts without spaces: each is a word
LETTERS = rf"(?:(?![{SOLID}])\w)+"
WORD = re.compile(rf"[{SOLID}]|[@#]?{LETTERS}(?:['’]{LETTERS})?|[^\w\s]")  # with its @ or #, or what is behind an apostrophe
NO_TOKEN = -1


@dataclass(frozen=True)
class WordTokens:
    """A sentence's tokens, and for each word the place of its first one; NO_TOKEN where a word has none."""

    tokens: list[int]
    firsts: list[int]


def split_words(text: str, characters: bool = False) -> list[tuple[int, int]]:
    """The places `[begin, end)` of a text's words and marks, or of its single characters but for spaces."""
    found = re.finditer(r"\S", text) if characters else WORD.finditer(text)
    return [match.span() for match in found]


def joined(words: Sequence[str], characters: bool = False) -> tuple[str, list[tuple[int, int]]]:
    """The text of words, and the places of each in it."""
    between = "" if characters else " "
    spans, place = [], 0
    for word in words:
        spans.append((place, place + len(word)))
        place += len(word) + len(between)
    return between.join(words), spans


def tokens_of_words(tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], characters: bool = False) -> list[WordTokens]:
    """The tokens of each sentence, without what frames a whole input: those of its text where each word has tokens of its own
    there, else each word's alone."""
    texts = [joined(words, characters) for words in sentences]
    encoded = tokenizer.encode_with_spans([text for text, _ in texts])
    found = [_aligned(text, spans, *tokens) for (text, spans), tokens in zip(texts, encoded, strict=True)]
    apart = [place for place, sentence in enumerate(found) if NO_TOKEN in sentence.firsts]
    between = "" if characters else " "
    words = [(between if number else "") + word for place in apart for number, word in enumerate(sentences[place])]
    alone = iter(tokenizer.encode_batch(words))
    for place in apart:
        tokens: list[int] = []
        firsts = []
        for _ in sentences[place]:
            own = next(alone)
            firsts.append(len(tokens) if own else NO_TOKEN)
            tokens += own
        found[place] = WordTokens(tokens, firsts)
    return found


def _aligned(text: str, words: Sequence[tuple[int, int]], tokens: list[int], spans: Sequence[tuple[int, int]]) -> WordTokens:
    """A word's first token is the one that begins where it does, but for spaces."""
    firsts = [NO_TOKEN] * len(words)
    word = 0
    for place, (begin, end) in enumerate(spans):
        while word < len(words) and words[word][1] <= begin:
            word += 1
        while begin < end and word < len(words) and begin < words[word][0] and text[begin].isspace():
            begin += 1
        if word < len(words) and words[word][0] == begin < end and firsts[word] == NO_TOKEN:
            firsts[word] = place
    return WordTokens(tokens, firsts)


@dataclass(frozen=True)
class Window:
    """Words `[begin, end)` of a sentence that are read together; of them `[told_from, told_to)` are labelled here."""

    begin: int
    end: int
    told_from: int
    told_to: int


def windows(sizes: Sequence[int], room: int) -> list[Window]:
    """The windows in which a sentence is read whose words have so many tokens: one where they fit into `room`, else several
    that overlap by half, each labelling the words that the one before it saw less of. A word larger than the room is cut."""
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    found: list[tuple[int, int]] = []
    begin = 0
    while True:
        end = begin + 1
        while end < len(sizes) and ends[end + 1] - ends[begin] <= room:
            end += 1
        found.append((begin, end))
        if end >= len(sizes):
            break
        following = begin + 1
        while following < end and ends[end] - ends[following] > room // 2:
            following += 1
        begin = following
    bounds = [0, *((one[1] + other[0]) // 2 for one, other in itertools.pairwise(found)), len(sizes)]
    return [Window(begin, end, bounds[place], bounds[place + 1]) for place, (begin, end) in enumerate(found)]
