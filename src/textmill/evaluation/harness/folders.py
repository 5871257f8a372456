"""Model folders on files of questions: what `textmill judge` does, and `textmill verify` does again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import TaskError
from ...formats.model_folder import ModelFolder
from ...models.ngram import NgramModel
from ..side_by_side import BASELINE_BYTES, system_names
from ..texts import text_settings, training_texts
from .contract import JudgedModel
from .judge import judge
from .language_model import JudgedLanguageModel
from .ngram import JudgedNgram
from .results import Report
from .task_file import Task, read_task

Load = Callable[[str, str], ModelFolder]  # of a model's name, and the numbers its weights are kept in


@dataclass(frozen=True)
class Asked:
    """What was judged, by the names that were given: kept in the report, so that it can be asked again."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    chat: bool = False
    weights: str = "float32"
    train_text: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Asked":
        """What `to_dict` gave, from JSON. Raises ValueError or TypeError where it is something else."""
        lists = {name: tuple(values[name]) for name in ("models", "tasks", "train_text")}
        if not all(isinstance(each, str) for given in lists.values() for each in given) or not lists["models"]:
            raise TypeError("names of models, tasks and texts are texts")
        return cls(**{**values, **lists})


def judge_folders(asked: Asked, load: Load) -> Report:
    """The report on all of it. Raises TaskError with all that is wrong with the tasks, ModelError for a model."""
    tasks = read_tasks(asked.tasks)
    models = dict(
        zip(named(asked.models), (JudgedLanguageModel(load(model, asked.weights)) for model in asked.models), strict=True)
    )
    return judge(models, tasks, asked.chat, ngram_of(asked), asked.to_dict())


def named(models: Sequence[str]) -> list[str]:
    """What the table calls each model."""
    return system_names([Path(model) for model in models])


def ngram_of(asked: Asked) -> JudgedModel | None:
    """The n-gram that has learnt from the texts, where there are any."""
    if not asked.train_text:
        return None
    texts = training_texts(text_settings(asked.train_text, {}, {}))
    return JudgedNgram(NgramModel.train(texts, limit=BASELINE_BYTES))


def read_tasks(paths: Sequence[str]) -> list[Task]:
    """The tasks of all files. Raises TaskError with all that is wrong."""
    tasks, problems = list[Task](), list[str]()
    for path in paths:
        try:
            tasks.append(read_task(path))
        except TaskError as error:
            problems += error.problems
    names = [task.name for task in tasks]
    problems += [f"{names.count(name)} tasks are called {name}; name each in its file" for name in dict.fromkeys(names)
                 if names.count(name) > 1]  # fmt: skip
    if problems:
        raise TaskError(*problems)
    return tasks
