"""The `[tokenizer]` section of a recipe: which kind of pieces, how many, and how much text they are learnt from."""

from typing import Literal, Self

import pydantic

from ..settings import Settings

Kind = Literal["bpe", "byte", "character", "wordpiece", "unigram", "word"]

SMALLEST_BPE = 257  # every byte, and the document separator


class TokenizerSettings(Settings):
    """How text is cut into tokens."""

    kind: Kind = "bpe"
    """`bpe` (byte-level, restores every text) is what decoders want. `byte` needs no training. `character`,
    `wordpiece`, `unigram` and `word` have an unknown token for what they never saw; the bytes so lost are counted."""

    vocabulary_size: int = pydantic.Field(default=4096, ge=8, le=2**24)
    """Number of tokens, special ones included. `bpe`, `wordpiece`, `unigram` and `word` have exactly so many;
    `character` at most so many; `byte` always has 257, whatever stands here. Small models want few: at 4096 × 256
    numbers the embedding is already a fifth of a 5 M model."""

    fold: bool = False
    """With `word`, for models that read and don't write (`textmill tune`): upper case is lower case, and white space
    parts words and isn't one. A text can't be given back."""

    training_bytes: int = pydantic.Field(default=100_000_000, ge=131_072)
    """Learn from at most so many bytes of text (UTF-8): pieces of some 16,000 characters, spread over the whole corpus
    by their hash, so that the choice is always the same. Bounds the memory; the tokenizer's card says how much was
    offered and how much was read."""

    @pydantic.model_validator(mode="after")
    def _folds_words(self) -> Self:
        if self.fold and self.kind != "word":
            raise ValueError(f"fold is for kind = 'word', found kind = '{self.kind}'; leave fold out, or take kind = 'word'")
        return self

    @pydantic.model_validator(mode="after")
    def _holds_all_bytes(self) -> Self:
        if self.kind == "bpe" and self.vocabulary_size < SMALLEST_BPE:
            raise ValueError(
                f"vocabulary_size = {self.vocabulary_size} cannot hold the 256 bytes and the separator that every "
                f"'bpe' tokenizer has; write {SMALLEST_BPE} or more, or kind = 'character'"
            )
        return self
