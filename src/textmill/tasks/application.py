"""What every task is: examples read from files, learnt from on the one loop, judged; `train` is the one after the other."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from .examples import AnExample, Split

Model = TypeVar("Model")


class Application(ABC, Generic[AnExample, Model]):
    """A task. `name` is its verb's word, `usual` the recipe where none is given, `asked` the command that asks what has been
    learnt in {folder}."""

    name: ClassVar[str]
    usual: ClassVar[Any]
    asked: ClassVar[str]

    @abstractmethod
    def read(self, data: str | Path, test: str | Path | None = None, validation: str | Path | None = None) -> Split[AnExample]:
        """The examples of these files, checked; `report` tells what was found. Raises TaskError with all that is wrong."""

    @abstractmethod
    def learn(
        self, base: str | Path | None, split: Split[AnExample], out: str | Path, restart: bool = False, judging: bool = True
    ) -> Model:
        """Learn from examples that are read already, be judged by the test's where `judging`, and write the folder `out`."""

    def train(
        self,
        base: str | Path | None,
        data: str | Path,
        test: str | Path | None = None,
        validation: str | Path | None = None,
        out: str | Path | None = None,
        restart: bool = False,
    ) -> Model:
        """Learn from the examples of a file, on a model that has learnt before or, with None, from scratch. The model, its
        scores and all that tells how it came about are in the folder `out`, by default runs/ and the task's name.

        Raises TaskError for data that can't be used, with all that is wrong."""
        split = self.read(data, test, validation)
        print(split.report)
        return self.learn(base, split, Path("runs", self.name) if out is None else out, restart)
