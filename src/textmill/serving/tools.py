"""The functions that a request lets the model call, and which of them it may or has to."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from .errors import ApiError
from .known import Known

MOST_TOOLS = 128
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class Function(Known):
    """A function; `parameters` is a JSON schema that its arguments always fit, whatever `strict` says."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def schema_of_arguments(self) -> dict[str, Any]:
        """The JSON schema of an object. Raises ApiError where it is of something else."""
        parameters = dict(NO_PARAMETERS if self.parameters is None else self.parameters)
        parameters.setdefault("type", "object")  # behind the others, which keep their order
        if parameters["type"] != "object":
            message = f"tools: parameters of {self.name} have the type object; found {parameters['type']!s:.80}"
            raise ApiError(400, message, "tools", "invalid_value")
        return parameters


class Tool(Known):
    """What may be called."""

    type: Literal["function"]
    function: Function

    def told(self) -> dict[str, Any]:
        """What a chat template is given; many fail where a key is missing."""
        name, description = self.function.name, self.function.description or ""
        parameters = self.function.schema_of_arguments()
        parameters.setdefault("properties", {})
        return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


class NamedFunction(Known):
    """A function by its name."""

    name: Name


class NamedChoice(Known):
    """The one function that has to be called."""

    type: Literal["function"]
    function: NamedFunction


Choice = Literal["none", "auto", "required"] | NamedChoice


def callable_tools(tools: Sequence[Tool], choice: Choice | None) -> list[Tool]:
    """The tools that may be called in an answer. Raises ApiError."""
    names = [tool.function.name for tool in tools]
    for number, name in enumerate(names):
        if name in names[:number]:
            message = f"two tools have the name {name}, so that a call couldn't say which it means"
            raise ApiError(400, message, f"tools.{number}.function.name", "invalid_value")
    if choice == "none":
        return []
    if choice is not None and not tools:
        raise ApiError(400, "tool_choice chooses among tools, and there are none; give some", "tool_choice", "invalid_value")
    if not isinstance(choice, NamedChoice):
        return list(tools)
    if choice.function.name not in names:
        message = f"tool_choice names {choice.function.name}, which is none of the tools {', '.join(names):.200}"
        raise ApiError(400, message, "tool_choice", "invalid_value")
    return [tools[names.index(choice.function.name)]]
