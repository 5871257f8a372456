"""Calls of functions, by OpenAI's own client against a real server process: whatever a model with random weights writes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest
import requests

import textmill

ASKED: Any = [{"role": "user", "content": "How warm is it in Bern?"}]
PARAMETERS = {
    "weather": {
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "A town."},
            "unit": {"enum": ["celsius", "kelvin"]},
            "days": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 7}, "minItems": 1},
        },
        "required": ["place", "unit"],
        "additionalProperties": False,
    },
    "weather_map": {
        "type": "object",
        "properties": {"around": {"$ref": "#/$defs/point"}},
        "required": ["around"],
        "additionalProperties": False,
        "$defs": {
            "point": {
                "type": "object",
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                "required": ["x", "y"],
                "additionalProperties": False,
            }
        },
    },
    "now": None,
}
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "description": f"Tells the {name}.", "parameters": parameters}}
    for name, parameters in PARAMETERS.items()
]
NAMED: Any = {"type": "function", "function": {"name": "weather"}}
ALIKE = {"model": "caller", "messages": ASKED, "tools": TOOLS, "max_tokens": 150}


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)


@pytest.fixture(scope="module")
def opening(folders: dict[str, Path]) -> int:
    """The number of the token that opens a call."""
    [token] = textmill.load(folders["caller"]).tokenizer.encode("<tool_call>")
    return token


def checked(message: Any) -> list[tuple[str, str]]:
    """The calls of an answer, each known to fit its function's schema."""
    found = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    for name, arguments in found:
        parameters = PARAMETERS[name] or {"type": "object", "additionalProperties": False}
        jsonschema.validate(json.loads(arguments), parameters)
    ids = [call.id for call in message.tool_calls]
    assert len(set(ids)) == len(ids) and all(id.startswith("call_") for id in ids)
    return found


def streamed(chunks: Any) -> tuple[str, list[tuple[str, str]], str | None]:
    """The text, the calls and the reason that a stream gives, put together as clients do."""
    text, calls, reason = "", list[list[str]](), None
    for chunk in chunks:
        [choice] = chunk.choices
        assert reason is None
        text, reason = text + (choice.delta.content or ""), choice.finish_reason
        assert choice.delta.tool_calls != []
        for piece in choice.delta.tool_calls or []:
            if piece.index == len(calls):
                assert piece.id and piece.type == "function"
                calls.append([piece.function.name, ""])
            else:
                assert piece.index == len(calls) - 1 and piece.id is None and piece.function.name is None
            calls[piece.index][1] += piece.function.arguments
    return text, [(name, arguments) for name, arguments in calls], reason


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"seed": 5, "temperature": 1.2}, {"seed": 8, "temperature": 2}])
@pytest.mark.parametrize("choice", ["required", NAMED])
def test_who_must_call_calls_rightly_streamed_or_not(client: openai.OpenAI, choice: Any, sampling: dict[str, Any]) -> None:
    asked = {**ALIKE, "max_tokens": 60, "tool_choice": choice, **sampling}
    [whole] = client.chat.completions.create(**asked).choices
    assert whole.finish_reason == "tool_calls" and whole.message.content is None
    calls = checked(whole.message)
    if choice is NAMED:
        assert [name for name, _ in calls] == ["weather"]
    assert streamed(client.chat.completions.create(**asked, stream=True)) == ("", calls, "tool_calls")


def test_several_calls_or_one(client: openai.OpenAI) -> None:
    found = set()
    for seed in range(4):
        asked = {**ALIKE, "tools": TOOLS[2:], "tool_choice": "required", "seed": seed, "temperature": 1.5}
        found.add(len(checked(client.chat.completions.create(**asked).choices[0].message)))
        [one] = client.chat.completions.create(**asked, parallel_tool_calls=False).choices
        assert len(checked(one.message)) == 1 and one.finish_reason == "tool_calls"
    assert max(found) > 1


def test_who_may_call_says_something_or_calls_or_both(client: openai.OpenAI, opening: int) -> None:
    found = set()
    for seed, bias in [(0, -100), (1, 100), (2, 8), (3, 8), (4, 8), (5, 8)]:
        asked = {**ALIKE, "seed": seed, "max_tokens": 80, "logit_bias": {opening: bias}}
        answer = client.chat.completions.create(**asked)
        [whole] = answer.choices
        text, calls = whole.message.content or "", checked(whole.message) if whole.message.tool_calls else []
        assert streamed(client.chat.completions.create(**asked, stream=True)) == (text, calls, whole.finish_reason)
        assert "<tool_call" not in text
        if calls:
            assert whole.finish_reason == "tool_calls" and whole.message.content == (text or None)
        else:
            assert "tool_calls" not in whole.message.model_fields_set and whole.message.content is not None
            assert whole.finish_reason == "stop" or (answer.usage and answer.usage.completion_tokens == 80)
        found.add((bool(text), bool(calls)))
    assert found == {(True, False), (False, True), (True, True), (False, False)}


def test_a_call_that_is_begun_is_whole_however_few_tokens_there_are(client: openai.OpenAI, opening: int) -> None:
    reasons = set()
    for most in range(1, 60, 6):
        asked = {**ALIKE, "max_tokens": most, "seed": most, "logit_bias": {opening: 8}, "temperature": 1.5}
        [choice] = client.chat.completions.create(**asked).choices
        reasons.add(choice.finish_reason)
        assert (choice.finish_reason == "tool_calls") == bool(choice.message.tool_calls and checked(choice.message))
    assert reasons >= {"tool_calls", "length"}


def test_several_choices_each_have_their_calls(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**ALIKE, tool_choice="required", n=3, seed=1, logprobs=True)
    for choice in answer.choices:
        checked(choice.message)
        written = b"".join(bytes(one.bytes or []) for one in choice.logprobs.content).decode()  # type: ignore[union-attr]
        assert choice.message.tool_calls
        assert all(call.function.arguments in written for call in choice.message.tool_calls)  # type: ignore[union-attr]


def test_a_stop_string_ends_text_and_no_call(client: openai.OpenAI, opening: int) -> None:
    for choice in ("auto", "required"):
        asked = {**ALIKE, "tool_choice": choice, "seed": 1, "stop": ['"', "e", "{"], "logit_bias": {opening: 100}}
        assert checked(client.chat.completions.create(**asked).choices[0].message)
    asked = {**ALIKE, "seed": 1, "logit_bias": {opening: -100}}
    [whole] = client.chat.completions.create(**asked).choices
    [cut] = client.chat.completions.create(**asked, stop="e").choices
    assert whole.message.content and "e" in whole.message.content
    assert cut.message.content == whole.message.content.partition("e")[0] and cut.finish_reason == "stop"


def test_what_a_call_gave_goes_in_again(client: openai.OpenAI, folders: dict[str, Path]) -> None:
    [first] = client.chat.completions.create(**ALIKE, tool_choice="required", seed=4).choices
    calls = checked(first.message)
    messages = [*ASKED, first.message]
    for call in first.message.tool_calls or []:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": [{"type": "text", "text": "12 °C"}]})
    for more in ({}, {"tools": TOOLS}, {"tools": TOOLS, "tool_choice": "none"}):
        answer = client.chat.completions.create(model="caller", messages=messages, max_tokens=5, **more)
        # As the template is given it: arguments as objects, no content of a message that only calls.
        made = [{"type": "function", "function": {"name": name, "arguments": json.loads(text)}} for name, text in calls]
        results = [{"role": "tool", "content": "12 °C"} for _ in calls]
        told = [
            {"type": "function", "function": {**tool["function"], "parameters": parameters or NOTHING}}
            for tool, parameters in zip(TOOLS, PARAMETERS.values())
        ]
        prompt = textmill.load(folders["caller"]).tokenizer.encode_chat(
            [*ASKED, {"role": "assistant", "tool_calls": made}, *results],
            tools=told if "tools" in more and len(more) == 1 else (),
        )
        assert answer.usage and answer.usage.prompt_tokens == len(prompt)


NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


def test_who_must_not_call_doesn_t_hear_of_tools(client: openai.OpenAI) -> None:
    asked: Any = {"model": "caller", "messages": ASKED, "max_tokens": 9, "seed": 2}
    plain = client.chat.completions.create(**asked)
    for more in ({"tools": TOOLS, "tool_choice": "none"}, {"tools": []}, {"tool_choice": "none", "parallel_tool_calls": True}):
        answer = client.chat.completions.create(**asked, **more)
        assert answer.choices == plain.choices and answer.usage and plain.usage
        assert answer.usage.prompt_tokens == plain.usage.prompt_tokens


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
            None,
            "f",
        ),
        (
            {"tools": [function(parameters={"not": {}})]},
            None,
            r"the parameters of f: the calls can't be followed: JSON schema: Unimplemented keys: \[.not.\]$",
        ),
        ({"tool_choice": "auto"}, "tool_choice", "there are none"),
        ({"tool_choice": NAMED}, "tool_choice", "there are none"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "there are none"),
        ({"tools": [function()], "tool_choice": "maybe"}, "tool_choice", "auto"),
        ({"tools": [function()], "tool_choice": NAMED}, "tool_choice", "names weather, which is none of the tools f"),
        ({"tools": [function()], "response_format": {"type": "json_object"}}, "tools", "can't both hold"),
        ({"tools": [function()], "beam_width": 2}, "tools", "can't be; leave that out"),
        ({"tools": [function()], "guided_regex": "a"}, "tools", "guided_regex and tools can't both hold"),
        ({"tools": [function()], "tool_choice": "required", "max_tokens": 3}, None, r"has \d+ tokens .* at most 3 may be"),
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
