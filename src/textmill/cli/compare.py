"""The verb that compares recipes."""

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .life import Overrides


@app.command()
def compare(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE", help="Recipes that learn from the same text.")],
    overrides: Overrides = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each recipe, with the seeds 0, 1, …")] = 3,
    time: Annotated[str | None, typer.Option(help="Wall time of each training, such as 90s, 2m or 1h.")] = None,
    flops: Annotated[
        float | None, typer.Option(min=1, help="Floating-point operations of each training, such as 1e13.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps of each training.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder; default: runs/compare- and the recipes' names.")
    ] = None,
) -> None:
    """Train recipes at equal cost and say which is better, and which differences are noise.

    Each recipe is trained once a seed, one training after the other, each in an ordinary run folder. A comparison that was
    stopped goes on with the same command; a run that fails is named, hinders no other, and makes the exit code 1. Without
    --time, --flops or --steps each recipe's own limits hold.
    """
    from ..comparison.compare import compare_recipes
    from ..comparison.plan import Limit, plan_comparison
    from ..comparison.table import terminal_tables

    plan = plan_comparison(recipes, seeds, Limit(time, flops, steps), overrides or [], out)
    result = compare_recipes(plan)
    pictures = " and ".join(table.measure.picture for table in result.tables)
    print(f"\n{terminal_tables(result)}\n\nIn {plan.folder}: {pictures}, comparison.md (to paste), comparison.json")
    if result.failures:
        raise typer.Exit(1)
