"""The values of a `config.json`, asked for one by one, with their types and bounds; all that is wrong is told together."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from ...errors import ModelError

# The names of transformers -> ours; the first name of each is the one to be written.
ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
STOCK_ACTIVATIONS = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
LARGEST_SIZE = 1 << 31
MOST_LAYERS = 10_000
LONGEST_CONTEXT = 1 << 20  # tokens; tables of positions are made for so many


class StockConfig:
    """A config.json. What isn't as it must be is added to `problems`, and a value that fits stands in for it, so that the rest
    can be looked at; `check` raises them."""

    def __init__(self, values: Mapping[str, Any], where: str):
        self.values, self.where = values, where
        self.problems: list[str] = []

    def wrong(self, problem: str) -> None:
        """Note what is wrong."""
        self.problems.append(f"{self.where}: {problem}")

    def check(self) -> None:
        """Raise ModelError with all that was wrong."""
        if self.problems:
            raise ModelError(*self.problems)

    def given(self, key: str) -> Any:
        """The value as it stands there; None where there is none."""
        return self.values.get(key)

    def size(self, key: str, default: int | None = None, largest: int = LARGEST_SIZE, least: int = 1) -> int:
        """A whole number. Without a default it must be there."""
        value = self.given(key)
        if value is None and default is not None:
            return default
        if value is None:
            self.wrong(f"{key} is missing")
        elif type(value) is not int:
            self.wrong(f"{key} must be a whole number, found {_shown(value)}")
        elif not least <= value <= largest:
            self.wrong(f"{key} must be {least:,} to {largest:,}, found {_shown(value)}")
        else:
            return value
        return least

    def plain_heads(self, width_key: str, heads_key: str) -> dict[str, int]:
        """Width and heads of a class whose heads are together as wide as the model, each with keys and values of its own."""
        width, heads = self.size(width_key), self.size(heads_key)
        if width % heads:
            self.wrong(f"{width_key} ({width}) must be a multiple of {heads_key} ({heads})")
        return {"width": width, "heads": heads, "key_value_heads": heads, "head_dim": max(1, width // heads)}

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0. Without a default it must be there."""
        value = self.given(key)
        if value is None and default is not None:
            return default
        if value is None:
            self.wrong(f"{key} is missing")
        elif type(value) not in (int, float):
            self.wrong(f"{key} must be a number, found {_shown(value)}")
        elif not 0 < value < 1e30 or not math.isfinite(value):
            self.wrong(f"{key} must be above 0 and finite, found {_shown(value)}")
        else:
            return float(value)
        return 1.0

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.given(key)
        if value is None:
            return default
        if type(value) is not bool:
            self.wrong(f"{key} must be true or false, found {_shown(value)}")
            return default
        return value

    def one_of(self, key: str, choices: Mapping[str, Any], default: str) -> Any:
        """What the word under `key` stands for in `choices`."""
        value = self.given(key)
        value = default if value is None else value
        if not isinstance(value, str) or value not in choices:
            self.wrong(f"{key} is {_shown(value)}; held are {', '.join(choices)}")
            return choices[default]
        return choices[value]

    def must_be(self, key: str, *allowed: Any) -> None:
        """Refuse another value than these; None stands for a key that isn't there, and the first is what the class takes."""
        value = self.given(key)
        if value is not None and not any(type(value) is type(one) and value == one for one in allowed):
            self.wrong(f"{key} is {_shown(value)}; only {' or '.join(map(_shown, allowed))} is held")

    def section(self, key: str) -> "StockConfig":
        """The object under `key`; an empty one where there is none. Its problems are this one's."""
        value = self.given(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(f"{key} must be an object, found {_shown(value)}")
            value = None
        inner = StockConfig(value or {}, f"{self.where}: {key}")
        inner.problems = self.problems
        return inner

    def words(self, key: str, choices: Collection[str], count: int) -> list[str] | None:
        """A list of `count` of these words; None where it isn't there."""
        value = self.given(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != count:
            self.wrong(f"{key} must be a list of {count} words, found {_shown(value)}")
        elif strange := [word for word in value if not isinstance(word, str) or word not in choices]:
            self.wrong(f"{key} has {_shown(strange[0])}; held are {', '.join(choices)}")
        else:
            return value
        return None


def _shown(value: Any) -> str:
    """A value of the file, cut where it is long: a number may have a million digits."""
    if type(value) is int and value.bit_length() > 200:
        return "a number of more than 60 digits"
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
