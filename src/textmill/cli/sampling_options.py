"""The options that say how tokens are picked, once for all verbs that let a model write.

What they are given is checked by `Sampling`, whose settings they name: all that is wrong is told together.
"""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..inference.sampling import Sampling


def chosen(
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token; higher is wilder.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens only.")] = None,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest tokens that together have this probability.")] = 0.95,
    min_p: Annotated[float, typer.Option(help="Leave out tokens less likely than this share of the likeliest.")] = 0.0,
    typical_p: Annotated[
        float, typer.Option(help="Below 1: draw from the tokens nearest to the expected surprise that together have this much.")
    ] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1: tokens of the text so far become less likely.")] = 1.0,
    presence_penalty: Annotated[
        float, typer.Option(help="Above 0: tokens that the answer holds already become less likely; -2 to 2.")
    ] = 0.0,
    frequency_penalty: Annotated[
        float, typer.Option(help="Above 0: the more often the answer holds a token, the less likely it becomes; -2 to 2.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
) -> "Sampling":
    """What these options say. Raises GenerationError."""
    from ..inference.sampling import Sampling

    penalties: dict[str, Any] = {"presence_penalty": presence_penalty, "frequency_penalty": frequency_penalty}
    return Sampling(repetition_penalty, temperature, top_k, top_p, min_p, seed, typical_p=typical_p, **penalties)


def changed(sampling: "Sampling") -> list[str]:
    """The options that say anything but what they say by default."""
    plain = chosen()
    names = [name for name in inspect.signature(chosen).parameters if getattr(sampling, name) != getattr(plain, name)]
    return [f"--{name.replace('_', '-')}" for name in names]


def with_sampling_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with these options in the place of its parameter `sampling`, which gets what they say."""
    options, parameters = inspect.signature(chosen).parameters, list[inspect.Parameter]()
    for name, parameter in inspect.signature(verb).parameters.items():
        parameters += options.values() if name == "sampling" else [parameter]

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        own = {name: given.pop(name) for name in options}
        verb(**given, sampling=chosen(**own))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
