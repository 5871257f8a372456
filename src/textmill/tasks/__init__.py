"""Applications: one file each. `textmill.tasks.Classify().train(base, data)` learns one, in Python; `textmill tune` on the
command line."""

from pathlib import Path
from typing import Any

from ..formats.model_folder import load_model_folder
from ..inference.tag import OF_TOKENS
from .chat import Answerer, Chat
from .classifier import Classifier
from .classify import Classify
from .prefer import Prefer
from .tag import Tag, Tagger

TASKS: dict[str, Any] = {"chat": Chat, "classify": Classify, "prefer": Prefer, "tag": Tag}

__all__ = ["TASKS", "Answerer", "Chat", "Classifier", "Classify", "Prefer", "Tag", "Tagger", "load_learnt"]


def load_learnt(path: str | Path) -> Classifier | Tagger:
    """What was learnt in a folder, or the model of a model folder, as its head asks for."""
    folder = load_model_folder(path)
    return Tagger(folder) if folder.task is not None and folder.task.config.kind in OF_TOKENS else Classifier(folder)
