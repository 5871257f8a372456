"""A model's picture as Mermaid, made from the live modules: what runs, in which order, with the shapes on the arrows.

Layers that are alike are drawn once, with their number. GitHub and many editors show Mermaid as it stands.
"""

import dataclasses
from collections.abc import Iterator

import torch
from torch import nn

from ..models.architectures import build_empty
from ..models.config import ModelConfig
from ..models.encoder_decoder import EncoderDecoderConfig
from ..models.heads import TaskModel
from ..models.task import TaskConfig
from .trace import Node, Trace, trace

BATCH = 10_007  # no size of any model: stands for the batch in the shapes that come back


def model_picture(config: ModelConfig, task: TaskConfig | None = None) -> str:
    """The picture of a model of that shape, under the head of a task where there is one, on torch's meta device: no memory, no
    time, whatever its size."""
    model: nn.Module = build_empty(config)
    if task is not None:
        with torch.device("meta"):
            model = TaskModel(build_empty(config), task.head(config))
    model.eval()
    sizes = {size for parameter in model.parameters() for size in parameter.shape}
    sizes |= {value for value in dataclasses.asdict(config).values() if isinstance(value, int)} - {config.context_length}
    free = (n for n in range(config.context_length, 0, -1) if n not in sizes)
    names, inputs = {BATCH: "B"}, []
    for name in "TS" if isinstance(config, EncoderDecoderConfig) and task is None else "T":
        length = next(free)
        names[length] = name
        inputs.append(torch.zeros(BATCH, length, dtype=torch.long, device="meta"))
    return picture(model, trace(model, inputs[0], names, *inputs[1:]))


def picture(model: nn.Module, traced: Trace) -> str:
    """Mermaid's text for what flowed through `model`."""
    folded, repeats = fold(traced, model)
    ids = {path: f"n{number}" for number, path in enumerate(folded.nodes)}
    lines = ["flowchart TD"]
    lines += _subgraph(model, list(folded.nodes.values()), ids, repeats, "", 1)
    for (source, target), shape in folded.edges.items():
        arrow = f'-->|"{shape}"|' if shape else "-.->"
        lines.append(f"    {ids[source]} {arrow} {ids[target]}")
    return "\n".join(lines) + "\n"


def fold(traced: Trace, model: nn.Module) -> tuple[Trace, dict[str, int]]:
    """Draw members of a list of modules that follow each other and are alike as one, the first. Returns what is left, and
    how many each of those stands for."""
    first_of: dict[str, str] = {}
    repeats: dict[str, int] = {}
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList):
            members = [f"{path}.{number}" for number in range(len(module))]
            first = members[0] if members else ""
            for member in members:
                if _inner(traced, member) != _inner(traced, first):
                    first = member
                first_of[member] = first
                repeats[first] = repeats.get(first, 0) + 1

    def folded(path: str) -> str:
        for member, first in first_of.items():
            if path.startswith(member + "."):
                return first + path.removeprefix(member)
        return path

    def member_of(path: str) -> str | None:
        return next((member for member in first_of if path.startswith(member + ".")), None)

    nodes = {path: node for path, node in traced.nodes.items() if folded(path) == path}
    edges: dict[tuple[str, str], str] = {}
    for (source, target), shape in traced.edges.items():
        one, other = member_of(source), member_of(target)
        between = one and other and one != other and first_of[one] == first_of[other]
        if not between:  # from one of them into the next: that they follow each other is said by their number
            edges.setdefault((folded(source), folded(target)), shape)
    return Trace(nodes, edges), repeats


def _inner(traced: Trace, member: str) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """What runs inside a member of a list, and how it hangs together, without the member's own name."""
    inside = member + "."
    nodes = [(path.removeprefix(inside), node.text) for path, node in traced.nodes.items() if path.startswith(inside)]
    edges = [
        (source.removeprefix(inside), target.removeprefix(inside), shape)
        for (source, target), shape in traced.edges.items()
        if source.startswith(inside) and target.startswith(inside)
    ]
    return nodes, edges


def _subgraph(
    model: nn.Module, nodes: list[Node], ids: dict[str, str], repeats: dict[str, int], path: str, depth: int
) -> Iterator[str]:
    """The nodes below `path`, those of each inner module in a frame of its own."""
    indent = "    " * depth
    opened: set[str] = set()
    for node in nodes:
        inner = _container(model, node.path, path)
        if inner is None:
            yield f"{indent}{ids[node.path]}{_shape(node)}"
        elif inner not in opened:
            opened.add(inner)
            title = inner.rpartition(".")[2]
            if inner in repeats:
                title = type(model.get_submodule(inner)).__name__ + (f" × {repeats[inner]}" if repeats[inner] > 1 else "")
            yield f'{indent}subgraph {inner.replace(".", "_")}["{_text(title)}"]'
            below = [other for other in nodes if other.path.startswith(inner + ".")]
            yield from _subgraph(model, below, ids, repeats, inner, depth + 1)
            yield f"{indent}end"


def _container(model: nn.Module, node: str, path: str) -> str | None:
    """The next module below `path` on the way to `node` that has more inside than that node; lists have no frame."""
    rest = node.removeprefix(path + ".") if path else node
    parts = rest.split(".")[:-1]
    for length in range(1, len(parts) + 1):
        inner = ".".join([*([path] if path else []), *parts[:length]])
        if not isinstance(model.get_submodule(inner), nn.ModuleList):
            return inner
    return None


def _shape(node: Node) -> str:
    text = _text(node.text)
    if node.is_operation:
        return f'(["{text}"])' if len(text) > 1 else f'(("{text}"))'
    return f'["{text}"]' if "." in node.path or "\n" in node.text else f'[/"{text}"/]'


def _text(text: str) -> str:
    """Text between Mermaid's quotes."""
    escaped = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped.replace("\n", "<br/>")
