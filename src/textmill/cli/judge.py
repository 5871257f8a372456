"""The verb that judges models by tasks: questions with answers."""

import json
from collections import Counter
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
    from ..evaluation.harness import JudgedLanguageModel, JudgedNgram, read_task
    from ..evaluation.harness import judge as judged
    from ..evaluation.side_by_side import BASELINE_BYTES, system_names
    from ..evaluation.texts import text_settings, training_texts
    from ..models.ngram import NgramModel

    files = [Path(name) for name in models_and_tasks if name.endswith(".jsonl")]
    folders = [Path(name) for name in models_and_tasks if not name.endswith(".jsonl")]
    if not files or not folders:
        missing = "task, a .jsonl file of questions" if not files else "model"
        raise TaskError(f"give a {missing}: textmill judge runs/wikipedia-sample capitals.jsonl")
    if out is not None and out.suffix != ".json":
        raise TaskError(f"--out {out}: give a file that ends in .json")
    tasks, problems = [], list[str]()
    for path in files:
        try:
            tasks.append(read_task(path))
        except TaskError as error:
            problems += error.problems
    counts = Counter(task.name for task in tasks)
    problems += [f"{count} tasks are called {name}; name each in its file" for name, count in counts.items() if count > 1]
    if problems:
        raise TaskError(*problems)
    models = dict(zip(system_names(folders), (JudgedLanguageModel(loaded(folder, weights)) for folder in folders), strict=True))
    ngram = None
    if train_text:
        settings = text_settings(train_text, {}, {})
        ngram = JudgedNgram(NgramModel.train(training_texts(settings), limit=BASELINE_BYTES))
    report = judged(models, tasks, chat, ngram)
    print(json.dumps(report.to_dict(), ensure_ascii=False, indent=2) if as_json else report.render())
    if out is not None:
        answers = report.write(out)
        if not as_json:
            print(f"\n{out}, {answers}. Check it again: textmill verify {out}")
