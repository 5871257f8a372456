"""Calls of functions, by OpenAI's own client against a real server process: whatever a model with random weights writes."""

import json
from pathlib import Path
from typing import Any, Literal

import jsonschema
import openai
import pydantic
import pytest

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
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
NAMED: Any = {"type": "function", "function": {"name": "weather"}}
ALIKE = {"model": "caller", "messages": ASKED, "tools": TOOLS, "max_tokens": 150}


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


class Weather(pydantic.BaseModel):
    """Tells the weather."""

    place: str
    unit: Literal["celsius", "kelvin"]
    days: list[int] = pydantic.Field(description="From today on.")


def test_the_client_s_own_helpers_make_objects_of_calls(client: openai.OpenAI) -> None:
    asked: Any = {**ALIKE, "tools": [openai.pydantic_function_tool(Weather)], "tool_choice": "required", "seed": 2}
    [whole] = client.chat.completions.parse(**asked).choices
    with client.chat.completions.stream(**asked) as events:
        told = [event.parsed_arguments for event in events if event.type == "tool_calls.function.arguments.done"]
        [streamed] = events.get_final_completion().choices
    made = [[call.function.parsed_arguments for call in one.message.tool_calls or []] for one in (whole, streamed)]
    assert made[0] == made[1] == told and all(isinstance(one, Weather) for one in told) and told
    assert whole.finish_reason == streamed.finish_reason == "tool_calls"


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


def test_who_must_not_call_doesn_t_hear_of_tools(client: openai.OpenAI) -> None:
    asked: Any = {"model": "caller", "messages": ASKED, "max_tokens": 9, "seed": 2}
    plain = client.chat.completions.create(**asked)
    for more in ({"tools": TOOLS, "tool_choice": "none"}, {"tools": []}, {"tool_choice": "none", "parallel_tool_calls": True}):
        answer = client.chat.completions.create(**asked, **more)
        assert answer.choices == plain.choices and answer.usage and plain.usage
        assert answer.usage.prompt_tokens == plain.usage.prompt_tokens
