"""The architectures of llama.cpp that textmill holds, each a layout like those of transformers' classes, by other names."""

from typing import Any

from ...errors import ModelError
from ..layouts.layout import Layout
from .bert import BertGguf
from .gpt2 import GPT2Gguf
from .llama import LlamaGguf, Qwen2Gguf, Qwen3Gguf

ARCHITECTURES: dict[str, Layout] = {
    layout.model_type: layout for layout in (LlamaGguf(), Qwen2Gguf(), Qwen3Gguf(), GPT2Gguf(), BertGguf())
}


def architecture_for(config: Any, preferred: str) -> Layout:
    """The architecture that computes what a model of this shape does; of several, the `preferred` one. Raises ModelError, with
    the reasons of those that come nearest, where none does."""
    reasons = {one: list(one.reasons(config)) for one in ARCHITECTURES.values() if isinstance(config, one.config_class)}
    fitting = [one for one, found in reasons.items() if not found]
    if fitting:
        return next((one for one in fitting if one.model_type == preferred), fitting[0])
    if not reasons:
        raise ModelError(f"GGUF is written for {', '.join(ARCHITECTURES)}, and nothing of this model's family is among them")
    fewest = min(map(len, reasons.values()))
    near = [f"{one.model_type}: {', '.join(found)}" for one, found in reasons.items() if len(found) == fewest]
    raise ModelError(f"llama.cpp has no architecture that computes the same ({'; '.join(near)})")
