"""The `[export]` section of a recipe: what a finished run is written as, and why a shape can't be."""

from collections.abc import Iterator
from typing import Literal

from ..errors import ModelError
from ..models.config import ModelConfig
from ..settings import Settings
from .gguf.architectures import architecture_for
from .layouts import STOCK, layout_for


class ExportSettings(Settings):
    """What the model of a run is written as."""

    formats: tuple[Literal["huggingface", "gguf", "onnx"], ...] = ("huggingface",)
    """huggingface: a folder that transformers loads, in `model/`; gguf: also `model.gguf`, for llama.cpp; onnx: also `onnx/`.
    A shape that one of them can't hold is refused before the training; with [] it is trained, and only textmill reads it."""


def export_problems(settings: ExportSettings, config: ModelConfig, architecture: str) -> Iterator[str]:
    """Why a shape can't be written as the recipe asks. A family that no stock class knows at all is kept in textmill's own
    layout, and not refused."""
    checks = {"huggingface": layout_for, "gguf": architecture_for}
    known = any(isinstance(config, layout.config_class) for layout in STOCK)
    for name in settings.formats:
        if name == "onnx" or (name == "huggingface" and not known):
            continue
        try:
            checks[name](config, architecture)
        except ModelError as error:
            others = [other for other in settings.formats if other != name]
            yield from (
                f"{problem}; write [export] formats = {others} to train it all the same, or choose another shape"
                for problem in error.problems
            )
