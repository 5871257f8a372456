"""The verbs that judge models by tasks, which are questions with answers, and judge them again."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import TaskError
from .app import app
from .weights_option import Numbers, loaded


@app.command()
def judge(
    models_and_tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL… TASK.jsonl…",
            help="Model or run folders, or samples, and files of questions, a JSON object a line; two models are compared.",
        ),
    ],
    chat: Annotated[bool, typer.Option("--chat", help="Ask in each model's chat template; examples become turns.")] = False,
    train_text: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Text for an n-gram, a blind baseline, to learn from; may be given many times."),
    ] = None,
    weights: Annotated[Numbers, typer.Option(help="Numbers that the models' weights are kept in.")] = Numbers.FLOAT32,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="REPORT.json", help="Write the scores here, and the answers beside it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Scores of models on your own questions: multiple choice, minimal pairs, exact answers, likelihood of texts; with
    intervals, beside baselines. (`evaluate` takes any text, and no questions.)"""
    from ..evaluation.harness.folders import Asked, judge_folders

    files = [name for name in models_and_tasks if name.endswith(".jsonl")]
    folders = [name for name in models_and_tasks if not name.endswith(".jsonl")]
    if not files or not folders:
        missing = "task, a .jsonl file of questions" if not files else "model"
        raise TaskError(f"give a {missing}: textmill judge runs/wikipedia-sample capitals.jsonl")
    if out is not None and out.suffix != ".json":
        raise TaskError(f"--out {out}: give a file that ends in .json")
    asked = Asked(tuple(folders), tuple(files), chat, weights.value, tuple(train_text or ()))
    report = judge_folders(asked, lambda model, numbers: loaded(Path(model), Numbers(numbers)))
    print(json.dumps(report.to_dict(), ensure_ascii=False, indent=2) if as_json else report.render())
    if out is not None:
        answers = report.write(out)
        if not as_json:
            print(f"\n{out}, {answers}. Make it again: textmill verify {out}")


@app.command()
def verify(
    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="What `textmill judge --out` has written.")],
) -> None:
    """Make a report's scores again, in the folder that it was made in, and say of each whether it holds; exit code 1 where one
    doesn't."""
    from ..evaluation.harness.verify import verify as verdicts_on

    verdicts = verdicts_on(report, lambda model, weights: loaded(Path(model), Numbers(weights)))
    for verdict in verdicts:
        print(verdict)
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)
