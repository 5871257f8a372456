"""The messages of a chat as a request gives them: what is said, which functions were called, and what they gave."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import Field

from .errors import ApiError
from .known import Known, Neutral
from .tools import Name

MOST_DEPTH = 64  # of a call's arguments
Id = Annotated[str, Field(min_length=1, max_length=200)]


class TextPart(Known):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class CalledFunction(Known):
    """What was called; `arguments` is the text of a JSON object."""

    name: Name
    arguments: str


class Call(Known):
    """A call that an assistant made."""

    id: Id
    type: Literal["function"]
    function: CalledFunction

    def said(self, path: str) -> dict[str, Any]:
        """What a chat template is given: arguments as an object. Raises ApiError."""
        name, path = self.function.name, f"{path}.function.arguments"
        try:
            arguments = json.loads(self.function.arguments, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, f"{path} of a call of {name} is no JSON: {error!s:.200}", path, "invalid_value") from error
        if not isinstance(arguments, dict) or _deeper_than(arguments, MOST_DEPTH):
            found = f"{self.function.arguments:.80}"
            message = f"{path} is a JSON object, nested at most {MOST_DEPTH} deep; found {found}"
            raise ApiError(400, message, path, "invalid_value")
        return {"id": self.id, "type": "function", "function": {"name": name, "arguments": arguments}}


class Message(Known):
    """One message of a conversation; an answer of this server is one as it stands."""

    neutral: ClassVar[Neutral] = {"refusal": (None,), "annotations": (None, []), "audio": (None,), "function_call": (None,)}
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: Id | None = None

    def text(self) -> str:
        """What is said in it."""
        return "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content or ""


def said(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """What a chat template is given. Raises ApiError for a message that doesn't fit its role, or a result of no call."""
    found, called = [], dict[str, str]()  # which function, by the call's id
    for number, message in enumerate(messages):
        path, role = f"messages.{number}", "system" if message.role == "developer" else message.role
        if message.content is None and not message.tool_calls:
            raise _refused(f"{path}.content", f"a message of the {message.role} has a content; found none")
        one: dict[str, Any] = {"role": role, "content": None if message.content is None else message.text()}
        if message.tool_calls:
            if role != "assistant":
                raise _refused(f"{path}.tool_calls", f"the assistant alone calls functions; found calls of the {message.role}")
            one["tool_calls"] = [call.said(f"{path}.tool_calls.{n}") for n, call in enumerate(message.tool_calls)]
            called |= {call.id: call.function.name for call in message.tool_calls}
        if (role == "tool") != (message.tool_call_id is not None):
            raise _refused(f"{path}.tool_call_id", "a message of the role tool, and no other, names the call that it answers")
        if message.tool_call_id is not None:
            if message.tool_call_id not in called:
                why = f"no assistant's message before it has a call {message.tool_call_id:.100}"
                raise _refused(f"{path}.tool_call_id", why)
            one |= {"tool_call_id": message.tool_call_id, "name": called[message.tool_call_id]}
        found.append(one)
    return found


def _refused(path: str, why: str) -> ApiError:
    return ApiError(400, f"{path}: {why}", path, "invalid_value")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _deeper_than(value: Any, most: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return most == 0 or any(_deeper_than(inner, most - 1) for inner in (value.values() if isinstance(value, dict) else value))
