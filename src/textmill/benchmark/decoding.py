"""Reading and writing by a decoder with random weights: one row, sixteen, and a prompt; by torch and by each C++ kernel."""

import functools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..machine.cores import usable_cores
from ..machine.device import synchronize
from ..machine.memory import free_bytes
from ..models.architectures import build
from ..models.count import count, state_bytes
from ..models.decoder import Decoder, DecoderConfig
from ..models.settings import ModelSettings
from ..native.decoder import NativeDecoder
from ..native.library import NoKernels
from ..native.packing import FORMATS, Format
from .measurement import Case, Group, Missing

PART = "decoding"
READ = 128  # tokens that each row has read before the one that is measured
ROWS, PROMPT = 16, 512
MEMORY = 2.5  # times the weights: themselves, a packed copy, and room to make it in
FILLING, PACKING = 15e-9, {"float32": 6e-9, "int8": 10e-9, "int4": 15e-9}  # seconds, usually, for a weight
WHAT = ("1 row", f"{ROWS} rows", f"prompt of {PROMPT}")
Reader = tuple["Read", float, str]  # what it does, bytes of weights that a pass reads, format of the products
Read = Callable[[list[int], int], Tensor]  # rows of so many tokens each, behind so many -> logits of each row's last


def default_shape() -> DecoderConfig:
    """Layers of 85 million weights and a vocabulary of 32,768: GPT-2's smallest in today's form."""
    shape = ModelSettings(preset="85m", context_length=PROMPT + READ).config(32_768)
    assert isinstance(shape, DecoderConfig)
    return shape


def groups(device: torch.device, shape: DecoderConfig | None = None) -> Iterator[Group]:
    """What `shape` reads and writes, by torch, and on a CPU by the kernels in each format; all of them by one model."""
    shape = shape or default_shape()
    parameters = count(shape).parameters
    model = functools.cache(lambda: _random(shape, device))  # built when the first of them is
    slots = functools.cache(lambda: model().new_slots(ROWS, shape.context_length))
    readers = {f"torch {_dtype(device)}": (0.0, lambda: _by_torch(model(), slots()))}
    for format in FORMATS if device.type == "cpu" else ():
        readers[f"kernels {format}"] = PACKING[format], partial(lambda format: _by_kernels(model(), slots(), format), format)
    for name, (packing, reader) in readers.items():
        names = tuple(f"{name}, {what}" for what in WHAT)
        setup = packing if model.cache_info().currsize else FILLING + packing
        yield Group(PART, names, setup * parameters, partial(_three, names, reader, shape))


def _three(names: tuple[str, ...], reader: Callable[[], Reader], shape: DecoderConfig) -> Iterator[Case | Missing]:
    """A token of one row, of all rows, and a prompt; or why there is no such reader here."""
    try:
        read, weights, format = reader()
    except (NoKernels, MemoryError) as error:
        yield from (Missing(PART, name, str(error)) for name in names)
        return
    width = 2 if format == "bfloat16" else 4
    for name, rows, tokens, behind in zip(names, (1, ROWS, 1), (1, 1, PROMPT), (READ, READ, 0)):
        amount = rows * tokens
        cost = count(shape, behind + tokens)
        operations = float(cost.forward_flops * amount)
        if tokens > 1:  # only the last of them passes through the head, and half of what they look back at is masked
            operations = (2 * (cost.matrix_parameters - cost.head_parameters) + cost.attention_flops / 2) * amount
        bytes = weights + rows * state_bytes(shape, behind + tokens, width)
        run = _run(read, [tokens] * rows, behind)
        yield Case(PART, name, "tokens/s", run, amount, operations, format, bytes)


def _run(read: Read, tokens: list[int], behind: int) -> Callable[[], object]:
    return lambda: read(tokens, behind)


@torch.no_grad()
def _random(shape: DecoderConfig, device: torch.device) -> Decoder:
    """Raises MemoryError where it wouldn't fit."""
    need, free = int(MEMORY * 4 * count(shape).parameters), free_bytes(device)
    if need > free:
        raise MemoryError(f"it takes {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free")
    model = build(shape)
    assert isinstance(model, Decoder)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, parameter.size(1) ** -0.5, generator=generator)
    return model.eval().to(device, getattr(torch, _dtype(device)))


def _dtype(device: torch.device) -> str:
    return "bfloat16" if device.type == "cuda" else "float32"


def _by_torch(model: Decoder, slots: Any) -> Reader:
    dtype = _dtype(model.device)

    @torch.inference_mode()
    def read(tokens: list[int], behind: int) -> Tensor:
        inputs = torch.zeros(len(tokens), tokens[0], dtype=torch.int64, device=model.device)
        hidden = model.hidden(inputs, state=slots.view(0, [behind] * len(tokens)))
        logits = model.head(hidden[:, -1])
        synchronize(model.device)
        return logits

    return read, count(model.config).decode_bytes(model.head.weight.element_size()), dtype


def _by_kernels(model: Decoder, slots: Any, format: Format) -> Reader:
    native = NativeDecoder(model, slots, format, usable_cores())

    def read(tokens: list[int], behind: int) -> Tensor:
        rows = torch.arange(len(tokens)).repeat_interleave(tokens[0])
        places = torch.arange(behind, behind + tokens[0]).repeat(len(tokens))
        hidden = native.hidden(torch.zeros_like(rows), rows, places)
        return native.logits(hidden.view(len(tokens), tokens[0], -1)[:, -1])

    products = "float32" if format == "float32" else "int8"  # four bits are spread to eight before they are multiplied
    return read, native.weight_bytes, products
