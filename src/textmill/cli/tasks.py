"""The verbs that teach a model a task, and ask one that has learnt it."""

import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import TaskError
from .app import app
from .life import Restart
from .models import standard_input


class TaskName(StrEnum):
    """The tasks, each a file in tasks/."""

    CHAT = "chat"
    CLASSIFY = "classify"
    PREFER = "prefer"
    TAG = "tag"


BELONGS_TO = {
    "--separator": TaskName.CLASSIFY,
    "--out-of-scope": TaskName.CLASSIFY,
    "[baseline]": TaskName.CLASSIFY,
    "--scheme": TaskName.TAG,
}
TRIALS = 9


@app.command()
def tune(
    task: Annotated[
        TaskName,
        typer.Argument(metavar="TASK", help="chat: answers; classify: a text's class; prefer: which answers; tag: entities."),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="Examples: .csv or .tsv with a header, .jsonl, lines of `label text`; or words and tags in columns."
        ),
    ],
    test: Annotated[Path | None, typer.Option(help="Examples to be judged by, which aren't learnt from.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Examples to choose the best weights by; default: a tenth of DATA, held out.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="A model folder, run folder or sample to go on from; default: from scratch.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The folder of it all; default: runs/ and DATA's name.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Change learn, model, tokenizer or baseline; may be given many times."
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Judge by all of DATA instead of a test file: in so many parts, each by a model that learnt from the others. "
            "Leaves figures, no model."
        ),
    ] = None,
    searched: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="SECTION.KEY=VALUES",
            help="Try settings, as LOW..HIGH or A,B,C, judge them by held-out examples, and learn whole with the best; may be "
            "given many times.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=2, help=f"With --search, how many settings are tried; together they take some trainings. Default: {TRIALS}."
        ),
    ] = None,
    restart: Restart = False,
    encoding: Annotated[str, typer.Option(help="Of the files, such as latin-1 or gb18030.")] = "utf-8",
    text_column: Annotated[str | None, typer.Option(help="The column or key that holds the text.")] = None,
    label_column: Annotated[str | None, typer.Option(help="The column or key that holds the label.")] = None,
    separator: Annotated[
        str | None, typer.Option(help="What stands between the labels of a text, where it may have several, such as ;")
    ] = None,
    out_of_scope: Annotated[
        str | None, typer.Option(metavar="NAME", help="The label of texts that fit no other: the model gives such texts none.")
    ] = None,
    scheme: Annotated[str | None, typer.Option(help="Of tags: BIO, BIOES, BMES, BILOU or IOB1; default: as they look.")] = None,
) -> None:
    """Teach a model a task from examples, and judge it beside what needs no network."""
    from ..recipe import overridden, settings_of
    from ..tasks import TASKS
    from ..tasks.folds import cross_validate
    from ..tasks.labelled import Reading
    from ..tasks.search import read_axis, search

    kind = TASKS[task.value]
    recipe = settings_of(type(kind.usual), overridden(kind.usual, overrides or []), "--set")
    axes = [read_axis(each) for each in searched or []]
    given = {
        "--separator": separator, "--out-of-scope": out_of_scope, "--scheme": scheme, "--test": test, "--trials": trials,
        "--folds": folds, "--search": searched, "[baseline]": None if recipe.baseline == kind.usual.baseline else "set",
    }  # fmt: skip
    changed = [f"--set {each}" for each in overrides or []] + [f"--search {axis.key}" for axis in axes]
    if problems := [*_misfits(task, {name for name, value in given.items() if value}), *_fixed_by(base, changed)]:
        raise TaskError(*problems)
    folder = out or Path("runs") / data.name.partition(".")[0]
    learnt = kind(recipe, Reading(encoding, text_column, label_column, separator, scheme, out_of_scope))
    if folds is not None:
        cross_validate(learnt, base, data, folds, validation, folder, restart)
        return
    split = learnt.read(data, test, validation)
    print(split.report)
    if axes:
        learnt = search(learnt, base, split, axes, trials or TRIALS, folder, restart)
    learnt.learn(base, split, folder, restart)
    print(f"\nAsk it: textmill {kind.asked.format(folder=folder)}")


def _misfits(task: TaskName, given: set[str]) -> Iterator[str]:
    """Options that say nothing here, or against each other."""
    for name, only in BELONGS_TO.items():
        if name in given and task is not only:
            yield f"{name} is for {only.value}, not for {task.value}; leave it out"
    if {"--folds", "--search"} <= given:
        yield "--folds judges one choice of settings, and --search chooses; give one of them"
    if {"--folds", "--test"} <= given:
        yield "--folds judges by all of DATA, and --test by another file; give one of them"
    if "--trials" in given and "--search" not in given:
        yield "--trials is how many settings --search tries; say what to search over, or leave it out"


def _fixed_by(base: str | None, changed: Sequence[str]) -> Iterator[str]:
    """Of options that change a setting those that a base has decided."""
    for each in changed if base is not None else ():
        if not each.partition(" ")[2].startswith(("learn.", "baseline.")):
            yield f"{each}: the shape and the tokens are those of --base {base}; leave one of them out"


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="The folder that a task was learnt in, or its model folder.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="Texts; - reads one a line from standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line for each text, with every label's probability.")] = False,
) -> None:
    """What a model that has learnt a task says of texts."""
    from ..tasks import Tagger, load_learnt

    learnt = load_learnt(model)
    given = [line for text in texts for line in (standard_input().splitlines() if text == "-" else [text])]
    if not given:
        raise TaskError("no text was given; write one a line to standard input, or as an argument")
    if isinstance(learnt, Tagger):
        for tagged in learnt.predict(given):
            print(json.dumps(tagged.to_dict(), ensure_ascii=False) if as_json else str(tagged))
        return
    for text, found in zip(given, learnt.predict(given), strict=True):
        if as_json:
            print(json.dumps({"text": text, **found.to_dict()}, ensure_ascii=False))
        else:
            print(str(found) + (f"  {text[:80]}" if len(given) > 1 else ""))
