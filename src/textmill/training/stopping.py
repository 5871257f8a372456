"""What validation decides: which step is the best so far, whether to stop early, and which weights become the model.

All of it is a function of the step and of what the checkpoint holds, so a resumed run decides as an uninterrupted one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..models.language_model import TrainableModel
from .checkpoints import TrainState


def due(step: int, steps: int, times: int) -> bool:
    """Whether one of the `times` even parts of a run ends at this step."""
    return times > 0 and step * times // steps > (step - 1) * times // steps


def note_validation(state: TrainState, validation: float) -> None:
    """Remember the best validation so far."""
    if state.best_validation is None or validation < state.best_validation:
        state.best_step, state.best_validation = state.step, validation


def out_of_patience(state: TrainState, steps: int, times: int, patience: int | None) -> bool:
    """Whether the last `patience` of a run's `times` validations were no better than the best before them."""
    if patience is None or state.best_step == 0:
        return False
    return state.step * times // steps - state.best_step * times // steps >= patience


@dataclass(frozen=True)
class FinalWeights:
    """Which weights become the model: those of `file` in the checkpoint of `step`.

    `kind` is `last`, `best` (an earlier step that validated better) or `averaged`; `validation` what each candidate
    reached on the validation excerpts, empty where there was nothing to choose from.
    """

    step: int
    kind: str
    validation: dict[str, float]

    @property
    def file(self) -> str:
        """The file of the checkpoint that holds them."""
        return "average.safetensors" if self.kind == "averaged" else "model.safetensors"


def choose_weights(state: TrainState, model: TrainableModel, validate: Callable[[Any], float]) -> FinalWeights:
    """The weights that validate best, of a training that has ended: the last, the best of an earlier step, the average."""
    candidates = {}
    if state.average is not None or state.best_step not in (0, state.step):
        candidates["last"] = validate(model)
    if state.best_step not in (0, state.step) and state.best_validation is not None:
        candidates["best"] = state.best_validation
    if state.average is not None:
        with state.average.in_place():
            candidates["averaged"] = validate(model)
    kind = min(candidates, key=lambda name: candidates[name], default="last")
    return FinalWeights(state.best_step if kind == "best" else state.step, kind, candidates)
