"""Tools and calls that can't be: each is refused by a real server process in its own words, with the field's name."""

from typing import Any

import pytest
import requests

ASKED: Any = [{"role": "user", "content": "How warm is it in Bern?"}]
CHOICE: Any = {"type": "function", "function": {"name": "weather"}}


def function(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **more}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def exchange(arguments: str, **result: Any) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"messages": [*ASKED, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "x", **result}]}


@pytest.mark.parametrize(
    ("more", "param", "why"),
    [
        ({"tools": [function(name="a b")]}, "tools.0.function.name", "match"),
        ({"tools": [function(name="a" * 65)]}, "tools.0.function.name", "match"),
        ({"tools": [function(), function()]}, "tools.1.function.name", "two tools have the name f"),
        ({"tools": [function(name=f"f{n}") for n in range(129)]}, "tools", "128"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools.0.type", "function"),
        ({"tools": [function(parameters={"type": "string"})]}, "tools", "have the type object; found string"),
        ({"tools": [function(parameters=nested(40))]}, "tools", "parameters of f: a JSON schema is nested at most 64 deep"),
        ({"tools": [function(parameters={"enum": ["a" * 70_000]})]}, "tools", "at most 64,000 bytes"),
        ({"tools": [function(parameters={"properties": {"a": {"$ref": "http://a.b/c"}}})]}, "tools", "only point into"),
        (
            {"tools": [function(parameters={"properties": {"a": {"minLength": 10**9, "type": "string"}}, "required": ["a"]})]},
            "tools",
            "f",
        ),
        (
            {"tools": [function(parameters={"not": {}})]},
            "tools",
            r"the parameters of f: the set of functions can't be followed: JSON schema: Unimplemented keys: \[.not.\]$",
        ),
        ({"tool_choice": "auto"}, "tool_choice", "there are none"),
        ({"tool_choice": CHOICE}, "tool_choice", "there are none"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "there are none"),
        ({"tools": [function()], "tool_choice": "maybe"}, "tool_choice", "auto"),
        ({"tools": [function()], "tool_choice": CHOICE}, "tool_choice", "names weather, which is none of the tools f"),
        ({"tools": [function()], "response_format": {"type": "json_object"}}, "tools", "can't both hold"),
        ({"tools": [function()], "beam_width": 2}, "tools", "can't be; leave that out"),
        ({"tools": [function()], "guided_regex": "a"}, "tools", "guided_regex and tools can't both hold"),
        (
            {"tools": [function()], "tool_choice": "required", "max_tokens": 3},
            "max_tokens",
            r"has \d+ tokens .* at most 3 may",
        ),
        (
            {
                "tools": [function()],
                "continue_final_message": True,
                "messages": [*ASKED, {"role": "assistant", "content": "a"}],
            },
            "continue_final_message",
            "tools may be called instead",
        ),
        (exchange("{", tool_call_id="call_1"), "messages.1.tool_calls.0.function.arguments", "no JSON"),
        (exchange("", tool_call_id="call_1"), "messages.1.tool_calls.0.function.arguments", "no JSON"),
        (exchange('{"a": NaN}', tool_call_id="call_1"), "messages.1.tool_calls.0.function.arguments", "NaN is no JSON"),
        (exchange("[1]", tool_call_id="call_1"), "messages.1.tool_calls.0.function.arguments", "is a JSON object"),
        (exchange('{"a": ' + "[" * 500 + "]" * 500 + "}", tool_call_id="call_1"), None, "nested at most 64 deep"),
        (exchange('{"a": ' + "[" * 90_000 + "]" * 90_000 + "}", tool_call_id="call_1"), None, "no JSON"),
        (
            exchange("{}", tool_call_id="call_2"),
            "messages.2.tool_call_id",
            "no assistant's message before it has a call call_2",
        ),
        (exchange("{}"), "messages.2.tool_call_id", "names the call that it answers"),
        ({"messages": [{"role": "user", "content": "a", "tool_call_id": "b"}]}, "messages.0.tool_call_id", "and no other"),
        ({"messages": [{**exchange("{}")["messages"][1], "role": "user"}]}, "messages.0.tool_calls", "the assistant alone"),
        ({"messages": [{"role": "assistant", "tool_calls": []}]}, "messages.0.content", "found none"),
    ],
)
def test_what_can_t_be_is_told(address: str, more: dict[str, Any], param: str | None, why: str) -> None:
    body = {"model": "caller", "messages": ASKED, "max_tokens": 60, **more}
    answer = requests.post(f"{address}/v1/chat/completions", json=body, timeout=30)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert param is None or error["param"] == param, error
    with pytest.raises(ValueError, match=why):
        raise ValueError(error["message"])


def test_what_nobody_knows_of_a_tool_is_named(address: str) -> None:
    tools = [{**function(strict=True, colour=1), "cache_control": {}}]
    body = {"model": "caller", "messages": ASKED, "tools": tools, "max_tokens": 2}
    answer = requests.post(f"{address}/v1/chat/completions", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Ignored-Params"] == "tools.0.cache_control, tools.0.function.colour"
