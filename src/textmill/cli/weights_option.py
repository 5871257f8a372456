"""The option that says in which numbers a model's weights are multiplied, once for all verbs that use a model."""

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ModelError

if TYPE_CHECKING:
    from ..formats.model_folder import ModelFolder


class Numbers(StrEnum):
    """Formats of packed weights."""

    FLOAT32 = "float32"
    INT8 = "int8"
    INT4 = "int4"


Weights = Annotated[
    Numbers, typer.Option(help="Numbers that weights are kept in; short ones take less memory and time, and round the model.")
]


def loaded(
    model: Path, weights: Numbers = Numbers.FLOAT32, to_write: bool = False, say: Callable[[str], None] | None = None
) -> "ModelFolder":
    """The model folder, on the device that is best for it; in float32 for the kernels only where it is `to_write`. `say` is
    told what a user should know of that; None: the terminal. Raises ModelError where its weights can't be in these numbers."""
    from ..formats.model_folder import load_model_folder, note
    from ..formats.sources import model_path
    from ..machine.device import best_device

    device = best_device()
    load = functools.partial(load_model_folder, model_path(model), say=say or note)
    if device.type == "cpu":
        return load(weights.value if to_write or weights is not Numbers.FLOAT32 else None)
    if weights is not Numbers.FLOAT32:
        raise ModelError(
            f"weights in {weights} are multiplied by the C++ kernels, on a CPU, and this machine computes on {device}; leave "
            "--weights out"
        )
    folder = load()
    folder.model.to(device)
    return folder
