"""GGUF, the one-file format of llama.cpp, in and out: `load_gguf` gives what a model folder holds, `save_gguf` takes one.

An architecture of llama.cpp is a layout like those of transformers' stock classes (formats/layouts), by other names.
"""

from .export import save_gguf
from .load import LoadedGguf, load_gguf

__all__ = ["LoadedGguf", "load_gguf", "save_gguf"]
