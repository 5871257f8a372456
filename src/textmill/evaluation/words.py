"""Counting words in any script, for perplexity per word."""

import unicodedata

ZERO_WIDTH_SPACE = "\u200b"  # marks the end of a word in scripts that show no space there


class _WordShapes(dict[int, str]):
    """For `str.translate`: letters, marks and digits become `w`; what stands as a word alone gets spaces around it;
    apostrophes and invisible joiners vanish, so that `don't` is one word; all else parts words. Fills itself as met.
    """

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        category = unicodedata.category(character)
        if character in "'’" or (category == "Cf" and character != ZERO_WIDTH_SPACE):
            shape = ""
        elif category[0] not in "LMN":
            shape = " "
        # Han and hiragana have no spaces between words: one a word each, as Unicode's annex 29 parts them.
        elif category == "Lo" and unicodedata.name(character, "").startswith(("CJK ", "HIRAGANA ")):
            shape = " w "
        else:
            shape = "w"
        self[codepoint] = shape
        return shape


def count_words(text: str) -> int:
    """Words of a text: runs of letters, marks and digits; Han and hiragana characters one each.

    Other scripts that don't part their words (Thai, Lao, Khmer) count one a run.
    """
    return len(text.translate(_WordShapes()).split())
