"""Applications: one file each. `textmill.tasks.Classify().train(base, data)` learns one, in Python; `textmill tune` on the
command line."""

from .classify import Classifier, Classify

TASKS = {"classify": Classify}

__all__ = ["TASKS", "Classifier", "Classify"]
