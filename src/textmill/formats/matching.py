"""Which of a folder's tensors is which of its layout's: prefixes that some leave out, copies, and buffers of no consequence."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelError
from ..models.config import ModelConfig
from .layouts.layout import Layout
from .layouts.tasks import TaskLayout
from .safetensors_header import StoredTensor
from .weights import DTYPES, Weights

MOST_TOLD = 20  # problems of one kind


def match_weights(where: Path, tensors: Mapping[str, StoredTensor], layout: Layout, config: ModelConfig) -> dict[str, str]:
    """The stored name of each tensor of the layout, by the layout's name; copies and constants are among them where they
    are stored.

    Raises ModelError for every tensor that is missing, unknown, of another shape or no floating-point numbers. Nothing is
    allocated by a shape that the weights don't bear out.
    """
    _refuse_larger(where, tensors, config)
    if isinstance(layout, TaskLayout):
        _refuse_other_labels(where, tensors, layout, layout.task.labels)
    shapes = layout.stock_shapes(config)
    copies = layout.copies(config)
    known = {**shapes, **{copy: shapes[name] for copy, name in copies.items()}}
    places: dict[str, str] = {}
    unknown, problems = [], []
    for stored in tensors:
        name = stored if stored in known else layout.prefix + stored
        if name in places:
            problems.append(f"{where}: weights {places[name]} and {stored} are one and the same in {layout.model_type}")
        elif name in known:
            places[name] = stored
        elif not any(re.fullmatch(pattern, stored) for pattern in layout.passed_over):
            unknown.append(f"{where}: weight {stored:.200} is not one of this model's")
    problems += _told(sorted(unknown))
    missing = sorted(shapes.keys() - places.keys() - layout.may_lack(config))
    problems += _told([f"{where}: weight {name} is missing" for name in missing])
    problems += _told(list(_unfit(where, tensors, places, known)))
    if problems:
        raise ModelError(*problems)
    return places


def _refuse_larger(where: Path, tensors: Mapping[str, StoredTensor], config: ModelConfig) -> None:
    """Refuse sizes that no weight bears out, before a model of that size is even counted."""
    sizes = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    layers = sum(size or 0 for name, size in sizes.items() if name.endswith("layers"))
    if layers > len(tensors):
        raise ModelError(f"{where}: config.json says {layers:,} layers, and the weights are {len(tensors):,} tensors")
    largest = max((max(tensor.shape, default=0) for tensor in tensors.values()), default=0)
    sizes |= {"heads times head_dim": sizes.get("heads", 0) * sizes.get("head_dim", 0), "context_length": 0}
    problems = [
        f"{where}: by config.json {name.replace('_', ' ')} is {size:,}, and no weight is as large as that"
        for name, size in sizes.items()
        if type(size) is int and size > largest
    ]
    if problems:
        raise ModelError(*problems)


def _refuse_other_labels(where: Path, tensors: Mapping[str, StoredTensor], layout: TaskLayout, labels: tuple[str, ...]) -> None:
    """Refuse more or fewer labels than the head has rows."""
    found = tensors.get(name := f"{layout.output}.weight")
    if found is not None and found.shape[:1] != (len(labels),):
        named = ", ".join(repr(label)[:40] for label in labels[:3]) + (", …" if len(labels) > 3 else "")
        raise ModelError(
            f"{where}: config.json names {len(labels):,} labels ({named}), and the head's weight {name}, which must have a row "
            f"for each, has shape {found.shape}; write all of them into id2label"
        )


def _unfit(
    where: Path, tensors: Mapping[str, StoredTensor], places: Mapping[str, str], known: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    for name, stored in places.items():
        found = tensors[stored]
        if found.shape != known[name]:
            yield f"{where}: weight {stored} has shape {found.shape}, config.json says {known[name]}"
        elif found.dtype not in DTYPES:
            yield f"{where}: weight {stored} is of {found.dtype} numbers; read are {', '.join(DTYPES)}"


def _told(problems: list[str]) -> list[str]:
    more = len(problems) - MOST_TOLD
    return problems if more <= 0 else [*problems[:MOST_TOLD], f"and {more:,} more like these"]


def check_copies(weights: Weights, places: Mapping[str, str], layout: Layout, config: ModelConfig) -> None:
    """Raise ModelError where a copy isn't like what it is a copy of, or a constant isn't what we hold."""
    problems = []
    for copy, original in layout.copies(config).items():
        if copy in places and not torch.equal(weights.read(places[copy]), weights.read(places[original])):
            problems.append(
                f"{weights.folder}: weights {places[copy]} and {places[original]} differ, and config.json says that they are "
                "tied; set tie_word_embeddings to false, or fetch the folder anew"
            )
    for name, value in layout.constants(config).items():
        if name in places and not torch.equal(weights.read(places[name]).to(value.dtype), value):
            problems.append(f"{weights.folder}: weight {places[name]} isn't what {layout.model_type} has there")
    if problems:
        raise ModelError(*problems)


def stock_tensors(
    weights: Weights, places: Mapping[str, str], layout: Layout, config: ModelConfig
) -> Iterator[tuple[str, Tensor]]:
    """The layout's tensors, one after the other, as they are stored; copies and constants, which are checked, aren't among
    them."""
    check_copies(weights, places, layout, config)
    left_out = layout.copies(config).keys() | layout.constants(config).keys()
    for name, stored in places.items():
        if name not in left_out:
            yield name, weights.read(stored)
