"""What flows where in a model, found by running it: which module's output, through which sums and products, enters which
other one, and in which shape.

The model runs on torch's meta device, so that shapes come at no cost and of any size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

INPUT, SOURCE = "tokens", "source"
OPERATIONS = {
    "add": "+",
    "__add__": "+",
    "mul": "×",
    "__mul__": "×",
    "silu": "SiLU",
    "gelu": "GELU",
    "relu": "ReLU",
    "scaled_dot_product_attention": "attention",
}


@dataclass(frozen=True)
class Node:
    """A module without children, or an operation between modules. `path` is the module's name, or that of the module in
    whose forward the operation stands, with the operation behind."""

    path: str
    text: str
    is_operation: bool = False


@dataclass
class Trace:
    """Nodes in the order in which they ran, and the edges between them with the shapes that passed along."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], str] = field(default_factory=dict)


def trace(model: nn.Module, inputs: Tensor, names: dict[int, str], source: Tensor | None = None) -> Trace:
    """Run `model` once on `inputs`, and an encoder–decoder on a `source`, and return what flowed. `names` replaces sizes in
    shapes, such as a batch's by `B`."""
    recorder = _Recorder(names)
    if source is not None:
        recorder.come_from(source, (SOURCE,), live=True)
        recorder.trace.nodes[SOURCE] = Node(SOURCE, "source ids")
    recorder.come_from(inputs, (INPUT,), live=True)
    recorder.trace.nodes[INPUT] = Node(INPUT, "token ids" if source is None else "target ids")
    handles = [handle for path, module in model.named_modules() if path for handle in recorder.watch(path, module)]
    try:
        with torch.no_grad(), recorder:
            output = model(inputs) if source is None else model(inputs, source=source)
    finally:
        for handle in handles:
            handle.remove()
    recorder.trace.nodes["logits"] = Node("logits", "logits")
    recorder.arrive(output, "logits")
    return recorder.trace


class _Recorder(TorchFunctionMode):
    """Follows tensors through torch's functions. A tensor comes from the nodes that it was last made by; functions that
    only reshape, and factors that don't depend on the tokens (rotary positions), are passed through."""

    def __init__(self, names: dict[int, str]):
        super().__init__()
        self.trace = Trace()
        self.names = names
        self.stack: list[str] = []  # the modules whose forward is running, outermost first
        self.inside_leaf = False
        self.constant: set[str] = set()  # nodes whose output doesn't depend on the tokens
        self.known: dict[int, tuple[Tensor, tuple[str, ...], bool]] = {}  # the tensor is kept, or its id would be reused

    def come_from(self, tensor: Tensor, sources: tuple[str, ...], live: bool) -> None:
        self.known[id(tensor)] = (tensor, sources, live)

    def sources(self, value: Any) -> tuple[tuple[str, ...], bool]:
        """The nodes that the tensors in `value` come from, and whether they depend on the tokens."""
        found = [self.known[id(tensor)] for tensor in _tensors(value) if id(tensor) in self.known]
        names = dict.fromkeys(name for _, sources, _ in found for name in sources)
        return tuple(names), any(live for *_, live in found)

    def arrive(self, value: Any, node: str) -> None:
        """Draw an edge into `node` from all that the tensors in `value` come from."""
        for tensor in _tensors(value):
            if id(tensor) in self.known:
                shape = " × ".join(self.names.get(size, f"{size:,}") for size in tensor.shape)
                for source in self.known[id(tensor)][1]:
                    self.trace.edges.setdefault((source, node), "" if source in self.constant else shape)

    def watch(self, path: str, module: nn.Module) -> Iterator[Any]:
        """Hooks that note when the module runs and, where it has no children, what goes in and comes out."""
        is_leaf = not any(module.children())
        silent = isinstance(module, nn.Dropout | nn.Identity)

        def before(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            self.stack.append(path)
            if is_leaf and not silent:
                self.trace.nodes[path] = Node(path, describe(path, module))
                self.arrive([inputs, keywords], path)
            self.inside_leaf = is_leaf

        def after(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
            self.stack.pop()
            self.inside_leaf = False
            if is_leaf:
                sources, live = self.sources([inputs, keywords])
                if not live:
                    self.constant.add(path)
                for tensor in _tensors(output):
                    self.come_from(tensor, sources if silent else (path,), live)

        yield module.register_forward_pre_hook(before, with_kwargs=True)
        yield module.register_forward_hook(after, with_kwargs=True)

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        output = function(*arguments, **(keywords or {}))
        if not self.inside_leaf:
            self._follow(function, [arguments, keywords], output)
        return output

    def _follow(self, function: Any, inputs: Any, output: Any) -> None:
        made = list(_tensors(output))
        sources, live = self.sources(inputs)
        if not made or not sources:
            return
        operation = OPERATIONS.get(getattr(function, "__name__", ""))
        if operation and self._joins(operation, inputs):
            path = ".".join([*self.stack[-1:], operation])
            number = sum(node.path == path or node.path.startswith(path + " ") for node in self.trace.nodes.values())
            path = f"{path} {number + 1}" if number else path
            self.trace.nodes[path] = Node(path, operation, is_operation=True)
            self.arrive(inputs, path)
            sources = (path,)
        for tensor in made:
            self.come_from(tensor, sources, live)

    def _joins(self, operation: str, inputs: Any) -> bool:
        """Whether an operation is one to draw: on something that depends on the tokens and, where it is a sum or a
        product, of two such things from different nodes."""
        parts = [self.known[id(tensor)][1:] for tensor in _tensors(inputs) if id(tensor) in self.known]
        live = {sources for sources, live in parts if live}
        return len(live) > 1 if operation in "+×" else bool(live)


def describe(path: str, module: nn.Module) -> str:
    """A module's name, kind and size, on two lines."""
    name, kind = path.rpartition(".")[2], type(module).__name__
    weight = getattr(module, "weight", None)
    size = ""
    if isinstance(module, nn.Linear):
        size = f" {module.in_features:,} → {module.out_features:,}"
    elif isinstance(weight, Tensor):
        size = " " + " × ".join(f"{extent:,}" for extent in weight.shape)
    return f"{name}\n{kind}{size}"


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
