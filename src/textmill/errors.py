"""The one error family: what was wrong, what was found, what to write instead.

The command line prints the problems and leaves with exit code 2; a stack trace is for our own bugs only.
"""

import difflib
from collections.abc import Iterable


class TextmillError(Exception):
    """A mistake that the user can mend. All problems of one input are given together, one string each."""

    exit_code = 2

    def __init__(self, *problems: str):
        self.problems = problems
        super().__init__("\n".join(problems))


class RecipeError(TextmillError):
    """A recipe, or an override of it, that can't be followed."""


class CorpusError(TextmillError):
    """A source that can't be read, or that holds no usable text."""


class TokenizerError(TextmillError):
    """A tokenizer that can't be trained, loaded or used as asked."""


class ModelError(TextmillError):
    """A model, or a model folder, that can't be built, loaded or written."""


class TrainingError(TextmillError):
    """A training run that can't start or go on."""


class GenerationError(TextmillError):
    """A request for text that can't be honoured."""


class TaskError(TextmillError):
    """Labelled data, or a way of learning from it, that can't be used."""


class RunError(TextmillError):
    """A run folder that can't be used."""


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.5) -> str:
    """A hint such as `, did you mean 'steps'?`, or nothing where no candidate is close.

    `cutoff` is the share of letters, 0 to 1, that must be alike.
    """
    matches = difflib.get_close_matches(word, list(candidates), n=1, cutoff=cutoff)
    return f", did you mean {matches[0]!r}?" if matches else ""
