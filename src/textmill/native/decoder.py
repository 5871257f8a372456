"""A decoder's layers by the C++ kernels: any tokens of any rows in one call, over the engine's own buffers.

Each token's numbers are made in one order, whatever is read beside it, so they have the same bits in every batch and chunk.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..models.decoder import Decoder
from ..models.language_model import LanguageModel
from ..models.positions import alibi_slopes
from ..models.slots import KeyValueSlots, Slots
from .library import KINDS, DecoderStruct, LayerStruct, LinearStruct, NoKernels, NormStruct, Pool, TokensStruct, library
from .matrices import INTERLEAVED, JOINED, PackedWeights, packed_matrices, shape_problems
from .packing import Format, product
from .probe import tried


def problems(model: nn.Module) -> list[str]:
    """Why a model can't be read by the kernels; none where it can."""
    found = shape_problems(getattr(model, "config", None))
    if not found and isinstance(model, Decoder) and (model.device.type != "cpu" or model.dtype != torch.float32):
        found.append(f"the kernels read float32 weights on a CPU, found {model.dtype} on {model.device.type}")
    return found


class NativeDecoder:
    """A decoder over `slots`, with its weights packed in `format`, by `threads` threads; one whose weights are packed already
    keeps its own format and threads. Raises NoKernels where it can't be."""

    def __init__(self, model: LanguageModel, slots: Slots, format: Format, threads: int):
        if why := problems(model):
            raise NoKernels(*why)
        assert isinstance(model, Decoder) and isinstance(slots, KeyValueSlots)
        self.instruction_set = tried()
        packed = model.packed or PackedWeights(format, packed_matrices(model, format), Pool(threads))
        self.model, self.slots, self.format = model, slots, packed.format
        self.pool, self._matrices, self._kept = packed.pool, packed.matrices, list[object]()
        self.pool.use(self.pool.threads, briefly=False)
        config = model.config
        self._length = min(slots.length, config.context_length)  # of what is read of a row
        self._layers = (LayerStruct * config.layers)()
        for number, block in enumerate(model.blocks):
            self._fill(self._layers[number], number, block)
        slopes = alibi_slopes(config.heads) if config.positions == "alibi" else None
        self._struct = DecoderStruct(
            *(config.width, config.heads, config.key_value_heads, config.head_dim, config.feed_forward_width, slots.length),
            *(KINDS.index(config.activation), config.gated, config.post_norm, config.layers),
            *(self._layers, self._norm(model.norm), self._pointer(slopes), *self._rotations()),
        )

    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights that a pass reads, however many tokens it is of."""
        return sum(packed.blocks.nbytes for packed in self._matrices.values())

    @torch.inference_mode()
    def hidden(self, inputs: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """The normalised hidden states (N, D) of tokens (N,), which stand at `places` (N,) of `rows` (N,) of the slots. What
        a row reads stands behind all that it has read, in order."""
        model = self.model
        for name, found, most in (("row", rows, self.slots.capacity), ("token", places, self._length)):
            if outside := [each for each in found.tolist() if not 0 <= each < most]:
                raise ModelError(f"there is no place for {name} {outside[0]} among {most}")
        x = model._embedded(inputs[None], places[None], None)[0].contiguous()
        rows, places = rows.contiguous(), places.contiguous()
        tokens = TokensStruct(len(x), rows.data_ptr(), places.data_ptr())
        structs = ctypes.addressof(self._struct), ctypes.addressof(tokens)
        if not library().functions.textmill_decoder(self.pool.pointer, *structs, x.data_ptr()):
            raise MemoryError(f"no memory for a pass over {len(x):,} tokens")
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (N, D) -> (N, V)."""
        return product(self.pool, self._matrices["head"], hidden)

    def _fill(self, layer: LayerStruct, number: int, block: Any) -> None:
        attention, config = block.attention, self.model.config
        layer.attention_norm, layer.feed_forward_norm = self._norm(block.attention_norm), self._norm(block.feed_forward_norm)
        layer.query_norm, layer.key_norm = self._norm(attention.query_norm), self._norm(attention.key_norm)
        up = INTERLEAVED if config.gated else "up"
        layer.query_key_value = self._linear(f"blocks.{number}.attention.{JOINED}")
        layer.output = self._linear(f"blocks.{number}.attention.output")
        layer.up = self._linear(f"blocks.{number}.feed_forward.{up}")
        layer.down = self._linear(f"blocks.{number}.feed_forward.down")
        layer.keys, layer.values = self.slots.keys[number].data_ptr(), self.slots.values[number].data_ptr()
        layer.window = config.window(number)
        layer.rotation = int(bool(layer.window))

    def _rotations(self) -> tuple[ctypes.Array[ctypes.c_void_p], ctypes.Array[ctypes.c_void_p]]:
        """Cosines and sines of every place, for layers that see all and for those with a window."""
        turns = self.model._rotations(torch.arange(self._length)[None])
        tables = [(None, None) if turn is None else [table.flatten(0, 2) for table in turn] for turn in turns]
        cosines, sines = ([self._pointer(table) for table in kind] for kind in zip(*tables, strict=True))
        return (ctypes.c_void_p * 2)(*cosines), (ctypes.c_void_p * 2)(*sines)

    def _linear(self, matrix: str) -> LinearStruct:
        return self._matrices[matrix].struct()

    def _norm(self, norm: Any) -> NormStruct:
        if isinstance(norm, nn.Identity):
            return NormStruct(None, None, 0, 0.0)
        takes_mean = isinstance(norm, nn.LayerNorm)
        epsilon = norm.eps if isinstance(norm, nn.LayerNorm) else norm.epsilon
        bias = norm.bias if isinstance(norm, nn.LayerNorm) else None
        return NormStruct(self._pointer(norm.weight), self._pointer(bias), takes_mean, epsilon)

    def _pointer(self, tensor: Tensor | None) -> int | None:
        if tensor is None:
            return None
        self._kept.append(kept := tensor.detach().contiguous())
        return kept.data_ptr()
