"""The command line's root, which each file of verbs adds its own to."""

import typer

app = typer.Typer(
    name="textmill",
    help="Text and a budget in; a language model you can trust, explain and serve out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
