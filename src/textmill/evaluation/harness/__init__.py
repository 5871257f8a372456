"""The harness: judge any model by any questions. `judge({"mine": model}, [read_task("capitals.jsonl")])`, in Python;
`textmill judge` on the command line."""

from .contract import Continuation, JudgedModel, Likelihood, Prompt
from .judge import judge
from .language_model import JudgedLanguageModel
from .ngram import JudgedNgram
from .task_file import Task, read_task

__all__ = [
    "Continuation",
    "JudgedLanguageModel",
    "JudgedModel",
    "JudgedNgram",
    "Likelihood",
    "Prompt",
    "Task",
    "judge",
    "read_task",
]
