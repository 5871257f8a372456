"""Answers of a given form, by OpenAI's own client against a real server process."""

import json
import re
from typing import Any

import jsonschema
import openai
import pytest

ASKED: Any = [{"role": "user", "content": "What does a class statement do?"}]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    "required": ["name", "size"],
    "additionalProperties": False,
}
NAMED: Any = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA, "strict": True}}
FIELD_OF = {"guided_regex": r"[0-9]{4}-[0-9]{2}", "guided_grammar": 'start: "(" start ")" | "x"'}


@pytest.mark.parametrize("more", [{"temperature": 0}, {"seed": 5, "temperature": 1.2}])
@pytest.mark.parametrize("form", [NAMED, {"type": "json_object"}])
def test_json_is_whole_streamed_or_not(client: openai.OpenAI, form: Any, more: dict) -> None:
    asked = {"model": "talker", "messages": ASKED, "max_tokens": 40, "response_format": form, **more}
    [choice] = client.chat.completions.create(**asked).choices
    assert choice.finish_reason == "stop"
    found = json.loads(choice.message.content)
    jsonschema.validate(found, SCHEMA if form is NAMED else {"type": "object"})
    chunks = client.chat.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content


def test_several_choices_each_fit(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="talker", messages=ASKED, max_tokens=40, response_format=NAMED, n=3, seed=1)
    for choice in answer.choices:
        jsonschema.validate(json.loads(choice.message.content or ""), SCHEMA)


@pytest.mark.parametrize("model", ["base", "lstm"])
def test_a_regex_and_a_grammar_in_completions(client: openai.OpenAI, model: str) -> None:
    texts = {}
    for field, rule in FIELD_OF.items():
        answer = client.completions.create(model=model, prompt="In", max_tokens=30, seed=3, extra_body={field: rule})
        texts[field] = answer.choices[0].text
        assert answer.choices[0].finish_reason == "stop"
    assert re.fullmatch(FIELD_OF["guided_regex"], texts["guided_regex"])
    inner = texts["guided_grammar"].strip("()")
    assert inner == "x" and texts["guided_grammar"].count("(") == texts["guided_grammar"].count(")")


@pytest.mark.parametrize(
    "field, value, why",
    [
        ("response_format", {"type": "json_schema"}, "goes with the type json_schema"),
        ("response_format", {"type": "xml"}, "json_object"),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"$ref": "http://example.com/a.json"}}},
            "only point into the schema itself",
        ),
        ("guided_regex", "(" * 30_000 + ")" * 30_000, "at most 64 deep"),
        ("guided_regex", "a{3", "can't be followed"),
        ("guided_regex", "a" * 70_000, "at most 64,000 bytes"),
        ("guided_regex", "a{1000000}", "no answer that fits"),
        ("guided_grammar", "start: nothing", "can't be followed"),
    ],
)
def test_a_bad_rule_is_told(client: openai.OpenAI, field: str, value: Any, why: str) -> None:
    with pytest.raises(openai.BadRequestError, match=why) as refused:
        client.chat.completions.create(model="talker", messages=ASKED, extra_body={field: value})
    assert (refused.value.param or "").startswith(field)


def test_too_few_tokens_are_told_with_both_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"has \d+ tokens with its end, and at most 5 may be written") as refused:
        client.chat.completions.create(model="talker", messages=ASKED, max_tokens=5, response_format=NAMED)
    assert refused.value.param == "max_tokens"


def test_two_rules_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="can't both hold"):
        client.chat.completions.create(model="talker", messages=ASKED, response_format=NAMED, extra_body={"guided_regex": "a"})
