"""The verb that judges model folders on any text."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .models import Model
from .weights_option import Numbers, loaded

if TYPE_CHECKING:
    from ..corpus.document import Document
    from ..formats.model_folder import ModelFolder

Format = Annotated[
    str | None, typer.Option(help="How the files are read: txt, md, jsonl or mediawiki; default: by their endings.")
]
Encoding = Annotated[str | None, typer.Option(help="How .txt, .md and .jsonl files are encoded; default: utf-8.")]
TextField = Annotated[str | None, typer.Option(help="The field of a .jsonl line that holds the text.")]


@app.command()
def evaluate(
    model: Model,
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT",
            help="Files, folders or dumps (.txt, .md, .jsonl, .xml; .gz, .bz2, .zst), sample:NAME, or - for standard input.",
        ),
    ],
    against: Annotated[
        list[Path] | None, typer.Option(metavar="MODEL", help="Another model on the same text; may be given many times.")
    ] = None,
    weights: Annotated[
        Numbers,
        typer.Option(help="Numbers that MODEL's weights are kept in; --against MODEL again shows what it costs."),
    ] = Numbers.FLOAT32,
    train_text: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Text for an n-gram, the baseline, to learn from; may be given many times."),
    ] = None,
    ngram_order: Annotated[int, typer.Option(help="Order of that n-gram.")] = 7,
    raw: Annotated[bool, typer.Option("--raw", help="Take the text as it is; default: cleaned as a corpus is.")] = False,
    format: Format = None,
    encoding: Encoding = None,
    text_field: TextField = None,
    maximum_bytes: Annotated[
        int, typer.Option(min=1, help="Text that is scored, in bytes; which documents, their hashes decide.")
    ] = 2_000_000,
    documents: Annotated[int, typer.Option(metavar="N", min=0, help="Show the N worst and N best documents.")] = 0,
    by_position: Annotated[
        bool, typer.Option("--by-position", help="Show MODEL's bits by how many tokens stand before, in place of all else.")
    ] = False,
    beyond: Annotated[
        float, typer.Option(min=0.1, help="How many trained contexts --by-position reads in a row; above 1: beyond.")
    ] = 1.0,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Draw what --by-position shows into this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON, with what they rest on.")] = False,
) -> None:
    """Bits per byte of a model on any text (of an encoder the hidden words that it guesses), with intervals, beside other
    models and baselines."""
    from ..errors import CorpusError, ModelError
    from ..evaluation.side_by_side import evaluate_folders
    from ..evaluation.texts import read_texts, text_settings
    from ..formats.recognise import recognise

    if models := [text for text in texts if recognise(text).kind in ("model", "run")]:
        raise CorpusError(*(f"{each} is a model, not a text; put it beside the first by --against {each}" for each in models))
    if by_position and (against or train_text):
        raise ModelError("--by-position shows one model; leave --against and --train-text out")
    if not by_position and (picture or beyond != 1.0):
        raise ModelError("--beyond and --picture are for --by-position; add it")
    folders = [loaded(model, weights), *(loaded(path) for path in against or [])]
    changes = {"format": format, "encoding": encoding, "text_field": text_field}
    of_model = folders[0].lineage.get("recipe", {}).get("corpus", {})
    settings = text_settings(texts, of_model, changes)
    training = text_settings(train_text, of_model, changes) if train_text else None
    found = read_texts(settings, maximum_bytes, cleaned=not raw)
    if by_position:
        _by_position(folders[0], found.selection.documents, beyond, picture, as_json)
        return
    judged = evaluate_folders(folders, found, training, ngram_order)
    if as_json:
        print(json.dumps(judged.to_dict(documents), ensure_ascii=False, indent=2))
    else:
        print(judged.render(documents))


def _by_position(
    folder: "ModelFolder", documents: "list[Document]", beyond: float, picture: Path | None, as_json: bool
) -> None:
    from ..evaluation.by_position import loss_by_position, render_buckets
    from ..files import write_text
    from ..report.canvas import standalone
    from ..report.positions import draw_positions

    buckets = loss_by_position(folder, documents, beyond)
    print(json.dumps([bucket.to_dict() for bucket in buckets], indent=2) if as_json else render_buckets(buckets))
    if picture is not None:
        scores = [(bucket, bucket.bits_per_byte) for bucket in buckets]
        points = [((each.begin + each.end) / 2, score.value, score.low, score.high) for each, score in scores]
        write_text(picture, standalone(draw_positions(points, folder.model.config.context_length)))
