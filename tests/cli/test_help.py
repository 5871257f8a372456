"""Help answers at once, shows every verb with examples that can be typed, and names what a typo may have meant."""

import shlex
import subprocess
import sys

import pytest
from typer.main import get_command

from textmill import __version__
from textmill.cli import app
from textmill.cli.app import EXAMPLES, GROUPS

VERBS = get_command(app).commands  # type: ignore[attr-defined]


def test_every_verb_is_in_one_group_and_has_examples() -> None:
    listed = [verb for verbs in GROUPS.values() for verb in verbs]
    assert sorted(listed) == sorted(VERBS) == sorted(EXAMPLES)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_examples_are_ones_that_the_verb_takes(verb: str) -> None:
    for example in EXAMPLES[verb]:
        name, *words = shlex.split(example.partition(" < ")[0].partition(" > ")[0])
        assert name == verb
        VERBS[verb].make_context(verb, words)  # raises where an option or argument isn't one of the verb's


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_help_of_each_verb(textmill, verb: str) -> None:
    result = textmill(verb, "--help")
    assert result.code == 0
    assert all(f"textmill {example}"[:60] in result.out for example in EXAMPLES[verb])


def test_version_and_help_load_nothing_heavy(textmill) -> None:
    assert textmill("--version").out == f"textmill {__version__}\n"
    code = (
        "import sys; sys.argv = ['textmill', '--help']\n"
        "from textmill.cli import main\n"
        "try: main()\n"
        "except SystemExit: print([name for name in ('torch', 'numpy', 'pydantic', 'tokenizers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]", result.stdout + result.stderr
    assert all(title in result.stdout for title in GROUPS)


@pytest.mark.parametrize(
    "words, expected",
    [
        (["evalute"], "Did you mean 'evaluate'"),
        (["chat", "x", "--temprature", "3"], "--temperature"),
        (["chat"], "Missing argument"),
        (["chat", "x", "--seed", "much"], "valid integer"),
        (["recipe", "train.tmie"], "did you mean 'train.time'"),
        (["recipe", "stepz"], "did you mean 'train.steps'"),
        (["recipe", "tran"], "did you mean 'train'"),
        (["recipe", "batch_size"], "did you mean 'train.batch_size'"),
    ],
)
def test_typos_are_named_and_end_with_two(textmill, words: list[str], expected: str) -> None:
    result = textmill(*words)
    assert result.code == 2 and expected in result.err


def test_one_key_a_section_or_all(textmill) -> None:
    one = textmill("recipe", "train.time").out
    assert one.startswith("train.time  (") and one.count("train.") == 1
    section = textmill("recipe", "model").out
    assert "\n\nmodel.width  (" in section and "\n\ntrain." not in section
    assert one in textmill("recipe").out
