"""Train what a comparison needs, one after the other, and write down what was found; what is finished isn't done again."""

import time

from ..files import folder_lock, write_sealed, write_text
from ..interruption import Stopped, stoppable
from ..progress import format_seconds
from .outcome import read_outcome
from .picture import draw_table
from .plan import Plan, PlannedRun
from .result import Result, compare_outcomes
from .sharing import share_stages
from .table import markdown_tables
from .trainings import FailedRun, finish_run, is_finished, known_vocabulary


def compare_recipes(plan: Plan) -> Result:
    """Finish every run of the plan, and compare. Writes comparison.json, .md and .svg into the plan's folder.

    A run that fails is named in the result and hinders no other. Raises RunError where the folder is in use, holds another
    comparison, or where no run could be finished, and Stopped where this process is asked to end: the same call goes on.
    """
    with stoppable(), folder_lock(plan.folder):
        plan.remember()
        runs = plan.runs()
        todo = [run for run in runs if not _is_finished(plan, run)]
        if len(todo) < len(runs):
            print(f"{len(runs) - len(todo)} of {len(runs)} trainings are done already.")
        failures, finished, started = dict[str, str](), 0, time.monotonic()
        for number, run in enumerate(todo, len(runs) - len(todo) + 1):
            left = plan.seconds_left(len(todo) - finished - len(failures))
            if left is None and finished:
                left = (time.monotonic() - started) / finished * (len(todo) - finished - len(failures))
            print(f"\n[{number}/{len(runs)}] {run}" + (f": about {format_seconds(left)} left in all" if left else ""))
            try:
                _finish(plan, run, runs)
                finished += 1
            except FailedRun as failure:
                failures[str(run)] = "; ".join(failure.problems)
                print(f"{run} failed: {failures[str(run)]}")
            except Stopped:
                print(
                    f"Stopped in training {number} of {len(runs)}. The same command goes on; what was finished before is kept."
                )
                raise
        outcomes = [read_outcome(run.name, run.seed, run.folder) for run in runs if str(run) not in failures]
        samples = next(iter(plan.recipes.values())).evaluate.bootstrap_samples
        result = compare_outcomes(outcomes, plan.limit, plan.seeds, samples, failures)
        write_sealed(plan.folder / "comparison.json", result.to_dict(plan.folder))
        write_text(plan.folder / "comparison.md", markdown_tables(result))
        for table in result.tables:
            write_text(plan.folder / table.measure.picture, draw_table(table, plan.seeds))
    return result


def _is_finished(plan: Plan, run: PlannedRun) -> bool:
    vocabulary = known_vocabulary(run.folder)
    return vocabulary is not None and is_finished(plan.limit.applied(run.recipe, vocabulary), run.folder)


def _finish(plan: Plan, run: PlannedRun, runs: list[PlannedRun]) -> None:
    """Do what is missing of one run, with what others have of its corpus, tokenizer and tokens."""
    for other in sorted(runs, key=lambda other: other.recipe.tokenizer != run.recipe.tokenizer):
        if other is not run:
            share_stages(other.folder, run.folder)
    finish_run(run.folder, run.recipe, lambda vocabulary: plan.limit.applied(run.recipe, vocabulary))
