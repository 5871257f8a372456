"""llama.cpp's side of `decode.py`: a GGUF file by the package llama-cpp-python, asked over a pipe.

It is driven by llama.cpp's own functions, past the package's Python: a batch is filled in and decoded, and its logits are
waited for. Flash attention is off, which on a CPU is the faster way.
"""

import ctypes
import time
from typing import Any

import llama_cpp
import numpy as np

from decode_pipe import resident_bytes, serve

FILE_TYPES = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}
FILE_TYPES |= {"Q4_K_M": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M}


class LlamaCpp:
    """A file's model, and a context over as many rows as are asked for, `length` tokens each. `unified`: one buffer of keys
    and values for all rows, in which each looks for its own."""

    def __init__(self, file: str, threads: int, length: int, rows: int, unified: bool):
        parameters = llama_cpp.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = llama_cpp.llama_model_load_from_file(file.encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp doesn't load {file}")
        self.vocabulary_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        of_context = llama_cpp.llama_context_default_params()
        of_context.n_ctx, of_context.n_seq_max, of_context.kv_unified = length * rows, rows, unified
        of_context.n_batch = of_context.n_ubatch = 512
        of_context.n_threads = of_context.n_threads_batch = threads
        of_context.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = llama_cpp.llama_init_from_model(self.model, of_context)
        if not self.context:
            raise RuntimeError(f"llama.cpp makes no context of {length} × {rows} tokens")
        self.memory_of_context = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)

    def read(self, tokens: list[int], rows: list[int], places: list[int], last: int) -> Any:
        """Tokens at their places of their rows; the logits behind the `last` of them."""
        batch, silent = self.batch, len(tokens) - last
        batch.n_tokens = len(tokens)
        for number, (token, row, place) in enumerate(zip(tokens, rows, places)):
            batch.token[number], batch.pos[number] = token, place
            batch.n_seq_id[number], batch.seq_id[number][0] = 1, row
            batch.logits[number] = number >= silent
        if status := llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode gave {status}")
        return llama_cpp.llama_get_logits(self.context)

    def forget(self, row: int, start: int) -> None:
        """Let a row have read only what stands before `start`."""
        llama_cpp.llama_memory_seq_rm(self.memory_of_context, row, start, -1)

    def prefill(self, tokens: list[int], row: int = 0) -> float:
        """Seconds for a row's first tokens."""
        self.forget(row, 0)
        before = time.perf_counter()
        self.read(tokens, [row] * len(tokens), list(range(len(tokens))), last=1)
        return time.perf_counter() - before

    def decode(self, steps: int, start: int, rows: int = 1) -> float:
        """Seconds for so many steps, in each of which every row reads one token, the first at `start`."""
        for row in range(rows):
            self.forget(row, start)
        before = time.perf_counter()
        for step in range(steps):
            self.read([100 + step] * rows, list(range(rows)), [start + step] * rows, last=rows)
        return time.perf_counter() - before

    def logits(self, tokens: list[int], path: str) -> None:
        """Behind each token of a text, into a file of float32."""
        self.forget(0, 0)
        count = len(tokens)
        found = self.read(tokens, [0] * count, list(range(count)), last=count)
        np.ctypeslib.as_array(found, shape=(count, self.vocabulary_size)).tofile(path)

    def memory(self) -> int:
        """Bytes that are resident."""
        return resident_bytes()


class Quantiser:
    """Makes files of a kind out of a file in float32, where there is no model to load."""

    def quantise(self, source: str, target: str, kind: str, threads: int) -> None:
        """As llama.cpp's own program llama-quantize does, without an importance matrix."""
        parameters = llama_cpp.llama_model_quantize_default_params()
        parameters.ftype, parameters.nthread = FILE_TYPES[kind], threads
        if status := llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters)):
            raise RuntimeError(f"llama_model_quantize gave {status} for {kind}")


def start(words: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """A file's model, or without a file what makes others; and what computes it."""
    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    about = {"version": llama_cpp.__version__, "system": llama_cpp.llama_print_system_info().decode().strip()}
    commands = LlamaCpp(**words) if words else Quantiser()
    commands.silent = silent  # which must live as long as llama.cpp does
    return about, commands


if __name__ == "__main__":
    serve(start)
