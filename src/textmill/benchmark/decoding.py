"""Reading and writing by a decoder with random weights: one row, sixteen, and a prompt; by torch and by each C++ kernel."""

from collections.abc import Callable, Iterator
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
from ..models.slots import Slots
from ..native.decoder import NativeDecoder
from ..native.library import NoKernels
from ..native.packing import FORMATS, Format
from .measurement import Case, Missing

PART = "decoding"
READ = 128  # tokens that each row has read before the one that is measured
ROWS, PROMPT = 16, 512
MEMORY = 2.5  # times the weights: themselves, a packed copy, and room to make it in
Reader = tuple[str, "Read", float, str]  # its name, what it does, bytes of weights that a pass reads, format of the products
Read = Callable[[list[int], int], Tensor]  # rows of so many tokens each, behind so many -> logits of each row's last


def default_shape() -> DecoderConfig:
    """Layers of 85 million weights and a vocabulary of 32,768: GPT-2's smallest in today's form."""
    shape = ModelSettings(preset="85m", context_length=PROMPT + READ).config(32_768)
    assert isinstance(shape, DecoderConfig)
    return shape


def cases(device: torch.device, shape: DecoderConfig | None = None) -> Iterator[Case | Missing]:
    """What `shape` reads and writes, by torch, and on a CPU by the kernels in each format."""
    shape = shape or default_shape()
    need, free = int(MEMORY * 4 * count(shape).parameters), free_bytes(device)
    if need > free:
        why = f"it takes {need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} are free"
        yield from (Missing(PART, name, why) for name in names(device))
        return
    model = _random(shape, device)
    slots: Any = model.new_slots(ROWS, shape.context_length)
    yield from _three(*_by_torch(model, slots), shape)
    for format in FORMATS if device.type == "cpu" else ():
        try:
            read = _by_kernels(model, slots, format)
        except NoKernels as error:
            yield from (Missing(PART, f"kernels {format}, {what}", str(error)) for what in WHAT)
            continue
        yield from _three(*read, shape)


WHAT = ("1 row", f"{ROWS} rows", f"prompt of {PROMPT}")


def names(device: torch.device) -> list[str]:
    """What all of them are called."""
    readers = [f"torch {_dtype(device)}", *([f"kernels {format}" for format in FORMATS] if device.type == "cpu" else [])]
    return [f"{reader}, {what}" for reader in readers for what in WHAT]


def _three(name: str, read: Read, weights: float, format: str, shape: DecoderConfig) -> Iterator[Case]:
    """A token of one row, of all rows, and a prompt. `weights`: bytes of them that a pass reads."""
    width = 2 if format == "bfloat16" else 4
    for what, rows, tokens, behind in zip(WHAT, (1, ROWS, 1), (1, 1, PROMPT), (READ, READ, 0)):
        amount = rows * tokens
        cost = count(shape, behind + tokens)
        operations = float(cost.forward_flops * amount)
        if tokens > 1:  # only the last of them passes through the head, and half of what they look back at is masked
            operations = (2 * (cost.matrix_parameters - cost.head_parameters) + cost.attention_flops / 2) * amount
        bytes = weights + rows * state_bytes(shape, behind + tokens, width)
        run = _run(read, [tokens] * rows, behind)
        yield Case(PART, f"{name}, {what}", "tokens/s", run, amount, operations, format, bytes)


def _run(read: Read, tokens: list[int], behind: int) -> Callable[[], object]:
    return lambda: read(tokens, behind)


@torch.no_grad()
def _random(shape: DecoderConfig, device: torch.device) -> Decoder:
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


def _by_torch(model: Decoder, slots: Slots) -> Reader:
    dtype = _dtype(model.device)

    @torch.inference_mode()
    def read(tokens: list[int], behind: int) -> Tensor:
        inputs = torch.zeros(len(tokens), tokens[0], dtype=torch.int64, device=model.device)
        hidden = model.hidden(inputs, state=slots.view(0, [behind] * len(tokens)))
        logits = model.head(hidden[:, -1])
        synchronize(model.device)
        return logits

    return f"torch {dtype}", read, count(model.config).decode_bytes(model.head.weight.element_size()), dtype


def _by_kernels(model: Decoder, slots: Slots, format: Format) -> Reader:
    native = NativeDecoder(model, slots, format, usable_cores())

    def read(tokens: list[int], behind: int) -> Tensor:
        rows = torch.arange(len(tokens)).repeat_interleave(tokens[0])
        places = torch.arange(behind, behind + tokens[0]).repeat(len(tokens))
        hidden = native.hidden(torch.zeros_like(rows), rows, places)
        return native.logits(hidden.view(len(tokens), tokens[0], -1)[:, -1])

    products = "float32" if format == "float32" else "int8"  # four bits are spread to eight before they are multiplied
    return f"kernels {format}", read, native.weight_bytes, products
