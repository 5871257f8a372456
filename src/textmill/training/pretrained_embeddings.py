"""An embedding table that begins with word vectors, learnt before from much more text than there is to train on.

A tokenizer's tokens are looked up as words; those that are none, and special tokens, begin at random as ever.
"""

from pathlib import Path
from typing import TextIO

import torch

from ..errors import RecipeError, TrainingError
from ..formats.word_vectors import read_word_vectors, vector_dimension
from ..models.language_model import LanguageModel
from ..progress import Progress
from ..tokens.tokenizer import Tokenizer

SHOWN_WORDS = 3


def refuse_unfit_vectors(path: str | Path, width: int) -> None:
    """Raise RecipeError where the vectors in `path` aren't as long as the model is wide; ModelError for no such file."""
    if (dimension := vector_dimension(path)) != width:
        raise RecipeError(
            f"train.embeddings: {path} holds vectors of {dimension} numbers, and the model is {width} wide; write "
            f"model.width = {dimension}, or give vectors of {width} (`textmill vectors TEXT --dimension {width}`)"
        )


def words_of_tokens(tokenizer: Tokenizer) -> dict[int, str]:
    """The word that a token spells, a space before it taken off, for each token that could be one.

    Whether it is one, the vectors decide: the `ing` that ends words takes the vector of the word `ing`, if there is one.
    """
    words = {}
    for id in range(tokenizer.vocabulary_size):
        try:
            word = tokenizer.token_bytes(id).decode().removeprefix(" ")
        except UnicodeDecodeError:  # a piece of a character
            continue
        if word and word.split() == [word]:
            words[id] = word
    return words


def begin_with_word_vectors(
    model: LanguageModel, tokenizer: Tokenizer, path: str | Path, progress_stream: TextIO | None = None
) -> str:
    """Put the vectors of the words in `path` into the embedding table of an initialised model; say how many were found.

    Words are compared as they are, then in lower case. The vectors are scaled, all by one factor, to the standard deviation
    that the table was initialised with: the layers and rates are set for that, and vectors of other makers differ tenfold in
    length. Memory: the vectors of the tokenizer's words. Raises TrainingError where no token is a word of the file.
    """
    table = model.embedding.weight
    refuse_unfit_vectors(path, table.size(1))
    words = words_of_tokens(tokenizer)
    wanted = {spelling for word in words.values() for spelling in (word, word.lower())}
    with Progress("word vectors", Path(path).stat().st_size, "bytes", progress_stream) as progress:
        found = read_word_vectors(path, wanted, progress.advance)
    rows = {word: row for row, word in enumerate(found.words)}
    chosen = {id: rows.get(word, rows.get(word.lower())) for id, word in words.items()}
    places = {id: row for id, row in chosen.items() if row is not None}
    if not places:
        shown = ", ".join(map(repr, list(words.values())[-SHOWN_WORDS:]))
        raise TrainingError(
            f"{path} holds {found.read:,} words, and none is a token of the tokenizer (such as {shown}); give word vectors of "
            "the text's language, or leave train.embeddings out"
        )
    vectors = torch.from_numpy(found.vectors)[list(places.values())]
    with torch.no_grad():
        scale = table.std() / vectors.std().clamp(min=torch.finfo(vectors.dtype).tiny)
        table[list(places)] = (vectors * scale).to(table)
    twice = f"; {found.duplicates:,} came twice, and the first was taken" if found.duplicates else ""
    return (
        f"{len(places):,} of {tokenizer.vocabulary_size:,} tokens begin with the vector of a word in {path}, of "
        f"{found.read:,} there, scaled by {float(scale):.3g}{twice}"
    )
