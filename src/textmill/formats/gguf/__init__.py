"""GGUF, the one-file format of llama.cpp, in and out: `load_gguf` gives what a model folder holds, `save_gguf` takes one.

Between GGUF's names and ours stands the stock layout of transformers (config.json and its tensor names), so that one door
serves both.
"""

from .export import save_gguf
from .load import LoadedGguf, load_gguf

__all__ = ["LoadedGguf", "load_gguf", "save_gguf"]
