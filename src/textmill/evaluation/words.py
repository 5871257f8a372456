"""Words in any script: found, for word vectors, and counted, for perplexity per word."""

import unicodedata

ZERO_WIDTH_SPACE = "\u200b"  # marks the end of a word in scripts that show no space there
APOSTROPHE = "'"


class _WordCharacters(dict[int, str]):
    """For `str.translate`: letters, marks and digits stay; what stands as a word alone gets spaces around it; invisible
    joiners vanish, and apostrophes become plain ones, so that `don’t` is one word; all else parts words. Fills itself as met.
    """

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        category = unicodedata.category(character)
        if character in "'’":
            shape = APOSTROPHE
        elif category == "Cf" and character != ZERO_WIDTH_SPACE:
            shape = ""
        elif category[0] not in "LMN":
            shape = " "
        # Han and hiragana have no spaces between words: one a word each, as Unicode's annex 29 parts them.
        elif category == "Lo" and unicodedata.name(character, "").startswith(("CJK ", "HIRAGANA ")):
            shape = f" {character} "
        else:
            shape = character
        self[codepoint] = shape
        return shape


_CHARACTERS = _WordCharacters()


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters, marks and digits; Han and hiragana characters one each.

    Other scripts that don't part their words (Thai, Lao, Khmer) give one word a run.
    """
    return [word for run in text.translate(_CHARACTERS).split() if (word := run.strip(APOSTROPHE))]


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(words_of(text))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words_of(text)` stands: its characters [begin, end)."""
    spans: list[tuple[int, int]] = []
    begin = end = -1  # of the word at hand
    for place, character in enumerate(text):
        shape = _CHARACTERS[ord(character)]
        if shape == APOSTROPHE or not shape:
            continue  # within a word or beside it, as what follows says
        if shape[0] == " ":
            if begin >= 0:
                spans.append((begin, end))
            begin = -1
            if shape != " ":
                spans.append((place, place + 1))
            continue
        begin, end = (begin if begin >= 0 else place), place + 1
    return [*spans, (begin, end)] if begin >= 0 else spans


def stands_alone(word: str) -> bool:
    """Whether a word is written without spaces beside it: a Han or hiragana character."""
    return _CHARACTERS[ord(word[0])].startswith(" ")
