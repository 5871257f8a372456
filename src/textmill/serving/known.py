"""A JSON object of a request, of which each key is honoured, or refused by its name, or named as unknown."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from .errors import ApiError

Neutral = Mapping[str, tuple[Any, ...]]


class Known(BaseModel):
    """A JSON object whose unknown keys are kept, to be named. `neutral`: keys that are known and not supported, each with the
    values that ask for nothing."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    neutral: ClassVar[Neutral] = {}

    def unknown(self, path: str = "") -> list[str]:
        """The keys that nobody knows here, also in inner objects, each with its path. Raises ApiError for one that is known
        and asks for what isn't supported."""
        found = []
        for name, value in (self.model_extra or {}).items():
            if name not in self.neutral:
                found.append(path + name)
            elif value not in self.neutral[name]:
                allowed = ", ".join(json.dumps(value) for value in self.neutral[name] if value is not None)
                advice = f"it can only be {allowed}" if allowed else "leave it out"
                raise ApiError(400, f"{path}{name} is not supported here; {advice}", path + name, "unsupported_parameter")
        for name in type(self).model_fields:
            value = getattr(self, name)
            for place, inner in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(inner, Known):
                    found += inner.unknown(f"{path}{name}.{place}." if isinstance(value, list) else f"{path}{name}.")
        return found
