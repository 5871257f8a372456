"""Named places of a model at which what passes can be read and edited, by the same names in every family.

They are modules that the model has anyway, reached by torch's own forward hooks: unused, they add nothing. A recurrent
model has no attention and no feed-forward layers, and says so: its places are embeddings, blocks.N.residual and hidden.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from torch import Tensor, nn

from ..errors import ModelError, nearest
from .attention import Attention

# What each place is called, and the module below a layer whose output it is, unless the layer has one of that name.
OF_A_LAYER = {
    "attention_pattern": "attention.pattern",  # (B, H, T, S), rows sum to one
    "attention_output": "attention",  # (B, T, D), before it is added to the residual stream
    "cross_attention_pattern": "cross_attention.pattern",
    "cross_attention_output": "cross_attention",
    "feed_forward_output": "feed_forward",
    "residual": "",  # (B, T, D), the layer's own output
}

Hook = Callable[[Tensor], Tensor | None]
"""Is given what passes; what it returns passes on instead, unless that is None."""


def hook_points(model: nn.Module) -> dict[str, nn.Module]:
    """The places of a model by name: `embeddings`, `blocks.0.attention_pattern`, … `hidden`; each is a module whose output
    passes there. An encoder–decoder has those of both halves, such as `encoder.blocks.0.residual`."""
    places: dict[str, nn.Module] = {}
    for path, stack in model.named_modules():
        if not isinstance(blocks := getattr(stack, "blocks", None), nn.ModuleList):
            continue
        prefix = f"{path}." if path else ""
        places[f"{prefix}embeddings"] = stack.get_submodule("drop")
        for number, block in enumerate(blocks):
            modules = dict(block.named_modules())
            found = {name: modules.get(name, modules.get(inner)) for name, inner in OF_A_LAYER.items()}
            places |= {f"{prefix}blocks.{number}.{name}": module for name, module in found.items() if module is not None}
        places[f"{prefix}hidden"] = stack.get_submodule("norm")
    return places


@contextlib.contextmanager
def hooked(model: nn.Module, hooks: Mapping[str, Hook]) -> Iterator[None]:
    """Within this context each hook is called with what passes at its place, and may replace it. Raises ModelError for a
    place that the model hasn't. Not for a compiled model, which doesn't look at hooks that come later."""
    places = hook_points(model)
    if unknown := [name for name in hooks if name not in places]:
        raise ModelError(*(_unknown(name, places) for name in unknown))
    with contextlib.ExitStack() as stack:
        for name, hook in hooks.items():
            handle = places[name].register_forward_hook(lambda _module, _arguments, output, hook=hook: hook(output))
            stack.callback(handle.remove)
        hooked_modules = {places[name] for name in hooks}
        for attention in model.modules():
            if isinstance(attention, Attention) and attention.pattern in hooked_modules:
                stack.callback(setattr, attention, "eager", attention.eager)
                attention.eager = True  # only the written-out path has weights to show
        yield


def _unknown(name: str, places: Mapping[str, nn.Module]) -> str:
    """What to say of a place that the model hasn't: its layers lack that part, or it is misspelled."""
    part = name.rpartition(".")[2]
    if part in OF_A_LAYER and not any(place.endswith(part) for place in places):
        parts = dict.fromkeys(place.rpartition(".")[2] for place in places)
        return f"this model's layers have no {part}, so there is no hook point {name!r}; its places are {', '.join(parts)}"
    return f"this model has no hook point {name!r}{nearest(name, places)}"


@contextlib.contextmanager
def recorded(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """What passed last at each of these places, by name, as it was, gradient and all."""
    found: dict[str, Tensor] = {}
    with hooked(model, {name: lambda tensor, name=name: found.update({name: tensor}) for name in names}):  # type: ignore[misc]
        yield found
