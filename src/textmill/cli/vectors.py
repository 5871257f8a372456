"""The verbs for word vectors: learn them from text, and look at what they have learnt."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .evaluate import Encoding, Format, TextField


@app.command()
def vectors(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="Files, folders or dumps (.txt, .md, .jsonl, .xml; .gz, .bz2, .zst), sample:NAME, or - for standard input.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write, as word2vec's text format.")] = Path("vectors.txt"),
    dimension: Annotated[int, typer.Option(min=1, max=4096, help="Numbers of a vector.")] = 100,
    window: Annotated[int, typer.Option(min=1, max=1000, help="How many words away a near word may be.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="How often the text is read; a large one needs fewer.")] = 10,
    minimum_count: Annotated[int, typer.Option(min=1, help="Words that come less often are left out.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed and text give the same vectors.")] = 0,
    format: Format = None,
    encoding: Encoding = None,
    text_field: TextField = None,
) -> None:
    """Learn word vectors from text, by skip-gram, and write them as word2vec does; train.embeddings can begin with them.

    The text is cleaned as a corpus is, and lower-cased. Words are runs of letters and digits; each Chinese character is a
    word, so give a text with spaces between its words where whole ones are wanted.
    """
    from ..evaluation.texts import text_settings, training_texts
    from ..formats.word_vectors import refuse_compressed, write_word_vectors
    from ..interruption import Stopped, stoppable
    from ..progress import Progress
    from ..training.skip_gram import SkipGramSettings, train_word_vectors

    refuse_compressed(out)
    settings = text_settings(texts, {}, {"format": format, "encoding": encoding, "text_field": text_field})
    chosen = SkipGramSettings(dimension, window, epochs, minimum_count, seed)
    try:
        with stoppable(), Progress("reading", None, "bytes", sys.stderr) as progress:
            words, learnt = train_word_vectors(training_texts(settings, progress), chosen, sys.stderr)
            write_word_vectors(out, words, learnt)
    except Stopped:
        print(f"Stopped; {out} is as it was.", file=sys.stderr)
        raise
    print(f"{len(words):,} words of {dimension} numbers in {out}")
    print(f"Look at them: textmill neighbours {out} {' '.join(words[-3:])}")


@app.command()
def neighbours(
    path: Annotated[Path, typer.Argument(metavar="VECTORS", help="Word vectors as text, of word2vec's or GloVe's format.")],
    words: Annotated[list[str], typer.Argument(metavar="WORD", help="The words whose neighbours to print.")],
    count: Annotated[int, typer.Option(min=1, help="How many of each.")] = 10,
) -> None:
    """Print the words that are nearest to a word in a file of word vectors."""
    from ..evaluation.neighbours import nearest_words
    from ..formats.word_vectors import read_word_vectors
    from ..progress import Progress

    with Progress("reading", path.stat().st_size if path.is_file() else None, "bytes", sys.stderr) as progress:
        found = read_word_vectors(path, advance=progress.advance)
    for word, near in nearest_words(found, words, count).items():
        print(f"{word}:  {', '.join(f'{other} {cosine:.2f}' for other, cosine in near)}")
