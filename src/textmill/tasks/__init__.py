"""Applications: one file each. `textmill.tasks.Classify().train(base, data)` learns one, in Python; `textmill tune` on the
command line."""

from .classify import Classifier, Classify
from .tag import Tag, Tagger

TASKS = {"classify": Classify, "tag": Tag}

__all__ = ["TASKS", "Classifier", "Classify", "Tag", "Tagger"]
