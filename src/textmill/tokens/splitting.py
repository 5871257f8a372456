"""Where text may be cut before pieces are looked up: one splitter for each kind, the same in training and in use.

White space belongs to the pieces and no normaliser is used, so joining the pieces gives the text back as it was; but for
folded words, which are for models that read alone.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tokenizers import Regex, pre_tokenizers

if TYPE_CHECKING:
    from .settings import Kind

LONGEST_RUN = 256  # characters: longer runs without a split are cut, so that time grows linearly with the text

# Words with the space before them, digits one by one, punctuation, white space. Published with Qwen2
# (arXiv:2407.10671); llama.cpp knows it by the name `qwen2`, so an exported model is read without a patch. Qwen2's
# NFC normaliser is left out: it would change texts, and the corpus is in NFC already.
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# Scripts written without spaces have no words that a pattern could find: each of their letters is one, with its marks.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
WORD = rf"[{_UNSPACED}]\p{{M}}*| ?(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}])+|[\s\S]"
FOLDED_WORD = rf"[{_UNSPACED}]\p{{M}}*|(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}])+|\s+|[\s\S]"
CHARACTER = r"[\s\S]"

# Between two words no splitter above makes a piece that reaches across, nor looks across: before the single space, or
# after the line's end.
_BETWEEN_WORDS = re.compile(r"(?<=\w)(?= \w)|(?<=\n)(?=\w)")

# A letter or digit ends a run of every splitter where a character of ASCII that is neither comes next.
_UP_TO_WORD_END = re.compile(r"[\W_]*[^\W_]*(?:[^\x00-\x7f\w][\W_]*[^\W_]*)*")


def splitter(kind: "Kind", alphabet: Iterable[str] = (), fold: bool = False) -> pre_tokenizers.PreTokenizer:
    """What cuts a text into runs, before bytes are spelled as characters; with `fold` white space is a run of its own.

    For `wordpiece`, a character outside `alphabet` stands alone: its model gives up the whole run for one unknown
    character, which would lose whole sentences of Chinese.
    """
    if kind == "character":
        return _split(CHARACTER)
    if kind == "word":
        return pre_tokenizers.Sequence([_split(FOLDED_WORD if fold else WORD), pre_tokenizers.FixedLength(LONGEST_RUN)])
    if kind == "wordpiece" and alphabet:
        steps = [_split(QWEN2), _split(f"[^{_character_class(alphabet)}]"), pre_tokenizers.FixedLength(LONGEST_RUN)]
        return pre_tokenizers.Sequence(steps)
    return pre_tokenizers.Sequence([_split(QWEN2), pre_tokenizers.FixedLength(LONGEST_RUN)])


def folding_splitter() -> pre_tokenizers.PreTokenizer:
    """What a saved tokenizer of folded words uses: white space falls away."""
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "removed"), splitter("word", fold=True)])


def byte_level_splitter(kind: "Kind") -> pre_tokenizers.PreTokenizer:
    """What a saved byte-level tokenizer uses. No cut at 256 here: the merges' own work is linear enough in use, and the
    sequence is the one other readers of the file expect."""
    spell_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return spell_bytes if kind == "byte" else pre_tokenizers.Sequence([_split(QWEN2), spell_bytes])


def independent_pieces(text: str, length: int) -> Iterator[str]:
    """Cut a text into pieces of `length` characters or somewhat more whose tokens, joined, are the whole text's tokens.

    A text with no place to cut stays whole; an empty one is one empty piece.
    """
    start = 0
    while cut := _BETWEEN_WORDS.search(text, start + length):
        yield text[start : cut.start()]
        start = cut.start()
    yield text[start:]


def words(text: str) -> list[str]:
    """Cut a text behind its words: the runs that any splitter above makes of the parts, in their order, are the text's runs."""
    return _UP_TO_WORD_END.findall(text)


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def _character_class(characters: Iterable[str]) -> str:
    """The characters as ranges of code points, for the inside of `[...]`."""
    ranges: list[list[int]] = []
    for point in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)
