"""A layout: how one stock class of transformers names and keeps the tensors and settings of one of our families.

Each is one file beside this one. All that it does to a tensor is to stack, part or transpose it, so that every bit comes back.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...errors import ModelError
from ...models.architectures import build_empty
from ...models.config import ModelConfig
from ...models.task import TaskConfig
from ...tokens.tokenizer import Tokenizer
from .stock_config import StockConfig

Held = Mapping[str, tuple[Any, ...]]
"""The values that each of our settings may have."""


@dataclass(frozen=True)
class Piece:
    """One tensor of the stock class: ours, stacked along their first dimension, then `transposed` where the class keeps
    (in, out), or as the `one_row` of a matrix."""

    theirs: str
    ours: tuple[str, ...]
    transposed: bool = False
    one_row: bool = False

    def join(self, tensors: Iterable[Tensor]) -> Tensor:
        """Our tensors, in the order of `ours` -> theirs."""
        parts = list(tensors)
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        return joined.T if self.transposed else joined[None] if self.one_row else joined

    def split(self, tensor: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
        """Theirs -> ours by name, whose `shapes` are known to fit."""
        tensor = tensor.T if self.transposed else tensor[0] if self.one_row else tensor
        return dict(zip(self.ours, tensor.split([shapes[name][0] for name in self.ours])))


PARTS = ("weight", "bias")


def both(ours: str | tuple[str, ...], theirs: str, parts: Iterable[str] = PARTS) -> list[Piece]:
    """A module's weight and bias, or only those `parts`; several of ours are stacked."""
    names = (ours,) if isinstance(ours, str) else ours
    return [Piece(f"{theirs}.{part}", tuple(f"{name}.{part}" for name in names)) for part in parts]


class Layout:
    """What a stock class holds. `architectures` are the names of its classes that config.json may give, the one to be written
    first; `prefix` begins its tensors' names where there is a head above them, and is left out by some who write them;
    `passed_over` are patterns (regular expressions) of names that such files have, and that nothing depends on.
    `heads`: for each kind of models/heads.py the class that has one on the same body, and its name for the last product;
    `head_modules`: its names for the modules before it. `task`: what such a class was made for (layouts/tasks.py).

    `holds` are the values of each of our settings that the class takes, beside or in the place of those that are `usual` in its
    family; an empty tuple: any. `plain_heads`: its heads are together as wide as the model, each with keys and values of its
    own."""

    model_type: str
    architectures: tuple[str, ...]
    config_class: type[Any]
    prefix: str = ""
    passed_over: tuple[str, ...] = ()
    heads: ClassVar[Mapping[str, tuple[str, str]]] = {}
    head_modules: ClassVar[Mapping[str, str]] = {}
    task: TaskConfig | None = None
    usual: ClassVar[Held] = {}
    holds: ClassVar[Held] = {}
    plain_heads: ClassVar[bool] = False

    def reasons(self, config: Any) -> Iterator[str]:
        """Why the class can't hold a shape (of `config_class`): a sentence each; none where it can."""
        for name, values in {**self.usual, **self.holds}.items():
            if values and (found := getattr(config, name)) not in values:
                yield f"{name} is {_word(found)}, and {self.model_type} has {' or '.join(map(_word, values))}"
        if self.plain_heads and config.key_value_heads != config.heads:
            yield f"it has {config.key_value_heads} heads of keys and values, and {self.model_type} has one for each query head"
        if self.plain_heads and config.heads * config.head_dim != config.width:
            yield f"{config.heads} heads of {config.head_dim} aren't as wide as the model ({config.width})"
        yield from self.further_reasons(config)

    def further_reasons(self, config: Any) -> Iterator[str]:
        """What can't be told setting by setting."""
        yield from ()

    def fixed(self) -> dict[str, Any]:
        """Our settings that are always the same in this class."""
        return {name: values[0] for name, values in {**self.usual, **self.holds}.items() if len(values) == 1}

    def pieces(self, config: Any) -> list[Piece]:
        """Every tensor of the class; a tied head is none, as in what transformers writes."""
        raise NotImplementedError

    def settings(self, config: Any) -> dict[str, Any]:
        """The shape as `config.json` spells it, without what every class has."""
        raise NotImplementedError

    def shape_of(self, stock: StockConfig) -> ModelConfig:
        """Our shape from a config.json. What it asks for and we don't hold is added to the problems of `stock`."""
        raise NotImplementedError

    def stock_config(self, config: Any, tokenizer: Tokenizer, dtype: str = "float32") -> dict[str, Any]:
        """The whole `config.json`; `dtype` is what most of the weights are stored as."""
        return {
            "architectures": [self.architectures[0]],
            "model_type": self.model_type,
            "vocab_size": config.vocabulary_size,
            **self.settings(config),
            "tie_word_embeddings": config.tied_embeddings,
            "bos_token_id": tokenizer.bos_id,
            "eos_token_id": tokenizer.eos_id,
            "pad_token_id": tokenizer.eos_id if tokenizer.pad_id is None else tokenizer.pad_id,
            "dtype": dtype,
        }

    def generation_settings(self, config: Any, tokenizer: Tokenizer) -> dict[str, Any]:
        """What `generation_config.json` says beyond what every model's does."""
        return {}

    def copies(self, config: Any) -> dict[str, str]:
        """Names under which some files hold one of the tensors again, and its name: a tied head, for one."""
        return {}

    def constants(self, config: Any) -> dict[str, Tensor]:
        """Tensors that the class has and we don't, with the only values that we hold: written, and compared when read."""
        return {}

    def may_lack(self, config: Any) -> set[str]:
        """Tensors that files of the class may do without."""
        return set()

    def empty(self, config: Any) -> Mapping[str, Tensor]:
        """Our tensors by name, without memory."""
        return build_empty(config).state_dict()

    def stock_shapes(self, config: ModelConfig) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor of the class, by its name; constants are among them."""
        empty = self.empty(config)
        tensors = {piece.theirs: piece.join(empty[name] for name in piece.ours) for piece in self.pieces(config)}
        return {name: tuple(tensor.shape) for name, tensor in {**tensors, **self.constants(config)}.items()}

    def to_stock(self, tensors: Mapping[str, Tensor], config: ModelConfig) -> Callable[[str], Tensor]:
        """Looks a tensor of the stock class up by its name, made of ours."""
        pieces, constants = {piece.theirs: piece for piece in self.pieces(config)}, self.constants(config)

        def look_up(name: str) -> Tensor:
            return constants[name] if name in constants else pieces[name].join(tensors[ours] for ours in pieces[name].ours)

        return look_up

    def from_stock(self, tensors: Iterable[tuple[str, Tensor]], config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
        """The stock class's tensors, whose names and shapes are known to fit, under ours, one after the other."""
        shapes = {name: tensor.shape for name, tensor in self.empty(config).items()}
        pieces = {piece.theirs: piece for piece in self.pieces(config)}
        for name, tensor in tensors:
            yield from pieces[name].split(tensor, shapes).items()


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(getattr(value, "kind", value))


def choose(layouts: Iterable[Layout], config: ModelConfig, preferred: str | None, strange: str, unfit: str) -> Layout:
    """The first layout that holds a shape; of several, the one whose model_type is `preferred`. Raises ModelError where none
    does: `strange` where none is of the shape's family, else `unfit` with the reasons of those that come nearest."""
    reasons = {layout: list(layout.reasons(config)) for layout in layouts if isinstance(config, layout.config_class)}
    fitting = [layout for layout, found in reasons.items() if not found]
    if fitting:
        return next((layout for layout in fitting if layout.model_type == preferred), fitting[0])
    if not reasons:
        raise ModelError(strange)
    fewest = min(map(len, reasons.values()))
    near = [f"{layout.model_type}: {', '.join(found)}" for layout, found in reasons.items() if len(found) == fewest]
    raise ModelError(f"{unfit} ({'; '.join(near)})")
