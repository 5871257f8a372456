"""The architectures of llama.cpp that textmill holds, each a layout like those of transformers' classes, by other names."""

from ...models.config import ModelConfig
from ..layouts.layout import Layout, choose
from .bert import BertGguf
from .gpt2 import GPT2Gguf
from .llama import LlamaGguf, Qwen2Gguf, Qwen3Gguf

ARCHITECTURES: dict[str, Layout] = {
    layout.model_type: layout for layout in (LlamaGguf(), Qwen2Gguf(), Qwen3Gguf(), GPT2Gguf(), BertGguf())
}


def architecture_for(config: ModelConfig, preferred: str) -> Layout:
    """The architecture that computes what a model of this shape does; of several, the `preferred` one. Raises ModelError, with
    the reasons of those that come nearest, where none does."""
    strange = f"GGUF is written for {', '.join(ARCHITECTURES)}, and nothing of this model's family is among them"
    unfit = "llama.cpp has no architecture that computes the same"
    return choose(ARCHITECTURES.values(), config, preferred, strange, unfit)
