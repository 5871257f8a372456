"""Whatever a model writes where functions may be called, a call that is begun is whole and fits its function's schema."""

import json
from typing import Any

import jsonschema
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.errors import GenerationError
from textmill.inference.call_grammar import binding, rests
from textmill.inference.engine import Engine
from textmill.inference.grammar import Grammars, Rule
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.tool_calls import spelled

PARTS: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "integer", "minimum": 17, "maximum": 2100},
    {"enum": ["north", "south by east", 7, "中文"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1},
    {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}]},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
]
PARAMETERS = st.dictionaries(st.sampled_from(["name", "size", "of the"]), st.sampled_from(PARTS), max_size=3).map(
    lambda parts: {"type": "object", "properties": parts, "required": sorted(parts), "additionalProperties": False}
)
FUNCTIONS = st.dictionaries(st.sampled_from(["get", "get_all", "set-2"]), PARAMETERS, min_size=1)


@pytest.fixture(scope="module")
def calling(tokenizer) -> Tokenizer:
    """A tokenizer in which the tag that opens a call is one token."""
    backend = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
    backend.add_tokens([tokenizers.AddedToken("<tool_call>", normalized=False)])
    return Tokenizer(backend, tokenizer.special)


@pytest.fixture(scope="module")
def grammars(calling) -> Grammars:
    return Grammars(calling)


@pytest.fixture(scope="module")
def decoder(make_decoder, calling):
    return make_decoder(vocabulary_size=calling.vocabulary_size, context_length=256)


def called(text: str) -> tuple[str, list[tuple[str, Any]]]:
    """The text before the calls, and the calls, which make up all the rest."""
    before, tag, rest = text.partition("<tool_call>")
    rest, found = tag + rest, []
    while rest:
        rest = rest.removeprefix("\n" if found else "")
        assert rest.startswith("<tool_call>\n")
        content, end = json.JSONDecoder().raw_decode(rest, len("<tool_call>\n"))
        assert list(content) == ["name", "arguments"] and rest[end:].startswith("\n</tool_call>")
        found.append((content["name"], content["arguments"]))
        rest = rest[end + len("\n</tool_call>") :]
    return before, found


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    functions=FUNCTIONS,
    required=st.booleans(),
    several=st.booleans(),
    most=st.integers(1, 110),
    bias=st.sampled_from([-100.0, 3.0, 100.0]),
    seed=st.integers(0, 2**32),
    temperature=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_a_call_that_is_begun_is_whole(
    decoder, calling, grammars, functions, required, several, most, bias, seed, temperature
) -> None:
    grammar = grammars.compiled(Rule.of_calls(functions, required, several))
    sampling = Sampling(temperature=temperature, top_p=1.0, seed=seed, logit_bias=((calling.vocabulary_size - 1, bias),))
    engine = Engine(decoder, calling, rows=1)
    request = Request((5,), sampling, most, grammar=grammar)
    if required and len(grammar.shortest) > most:
        with pytest.raises(GenerationError, match=rf"has {len(grammar.shortest)} tokens with its end, and at most {most} may"):
            engine.submit(request)
        return
    answer = engine.submit(request)
    while engine.tick():
        pass
    assert answer.error is None
    before, calls = called("".join(delta.text for delta in answer.deltas))
    for name, arguments in calls:
        jsonschema.validate(arguments, functions[name])
    reason = answer.deltas[-1].finish_reason
    if required:
        assert calls and not before
    if calls:
        assert reason == "end" and (several or len(calls) == 1)
    else:
        assert reason == "end" or (reason == "length" and answer.deltas[-1].tokens == most)


def test_a_model_that_wants_to_call_may(decoder, calling, grammars) -> None:
    """Of any function, also one whose arguments no small example fits."""
    hard = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(foo|ba+r)~[0-9]{2,}$"}}, "required": ["a"]}
    functions = {"easy": {"type": "object", "properties": {}, "additionalProperties": False}, "hard": hard}
    grammar = grammars.compiled(Rule.of_calls(functions, required=False, several=False))
    names = set()
    for seed in range(8):
        engine = Engine(decoder, calling, rows=1)
        bias = ((calling.vocabulary_size - 1, 100.0),)
        answer = engine.submit(Request((5,), Sampling(1.0, top_p=1.0, seed=seed, logit_bias=bias), 90, grammar=grammar))
        while engine.tick():
            pass
        [(name, arguments)] = called("".join(delta.text for delta in answer.deltas))[1]
        jsonschema.validate(arguments, functions[name])
        names.add(name)
    assert names == {"easy", "hard"}


def test_searches_for_one_set_of_functions_are_bounded(grammars) -> None:
    """Whatever their parameters are: 16 patterns are searched for, and then the arguments of 16 functions."""
    parts = [{"type": "string", "pattern": f"^a{{{number}}}$"} for number in range(40)]
    functions = {f"f{n}": {"type": "object", "properties": {"a": part}, "required": ["a"]} for n, part in enumerate(parts)}
    for size in (16, 32):
        grammars.compiled(Rule.of_calls(dict(list(functions.items())[:size]), required=True, several=True))
    with pytest.raises(GenerationError, match="the parameters of f32: they are too hard, as those of 16 functions before"):
        grammars.compiled(Rule.of_calls(functions, required=True, several=True))


def test_text_is_free_where_no_call_is_begun(decoder, calling, grammars) -> None:
    """It has the tokens that any text has."""
    rules = [Rule.of_calls({"get": {"type": "object"}}, required=False, several=True), Rule("regex", "(.|\n)*")]
    for seed in range(3):
        answers = []
        for rule in rules:
            engine = Engine(decoder, calling, rows=1)
            answers.append(engine.submit(Request((5,), Sampling(1.0, seed=seed), 20, grammar=grammars.compiled(rule))))
            while engine.tick():
                pass
        assert answers[0].read[:16] == answers[1].read[:16] and len(answers[0].read) == 21


def test_what_is_missing_of_a_call() -> None:
    samples = [spelled("get", "{}").encode(), spelled("set", '{"a": 1}').encode()]
    whole = b'<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>'
    assert list(rests(samples, b"Well: <tool_call>\n{")) == [sample[13:] for sample in samples]
    assert list(rests(samples, b'<tool_call>\n{"name": "s')) == [samples[1][len('<tool_call>\n{"name": "s') :]]
    assert list(rests(samples, whole + b"\n<tool")) == [sample[5:] for sample in samples]
    assert list(rests(samples, whole + b"\n" + whole[:-1])) == [b">"]
    assert list(rests(samples, b"<tool_call>\n[")) == []


def test_only_what_binds_of_a_schema_is_kept() -> None:
    said = {
        "title": "A",
        "type": "object",
        "properties": {"title": {"type": "string", "description": "b"}, "default": {"enum": [{"title": 1}], "default": 2}},
        "required": ["title"],
        "$defs": {"description": {"anyOf": [{"examples": [1], "type": "null"}]}},
    }
    assert binding(said) == {
        "type": "object",
        "properties": {"title": {"type": "string"}, "default": {"enum": [{"title": 1}]}},
        "required": ["title"],
        "$defs": {"description": {"anyOf": [{"type": "null"}]}},
    }
