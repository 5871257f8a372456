"""An answer under a grammar is whole: JSON that fits its schema, a match of the regex; or it is refused, with both numbers."""

import json
import re

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.errors import GenerationError
from textmill.inference.engine import Engine
from textmill.inference.grammar import Grammars, Rule
from textmill.inference.request import Request
from textmill.inference.sampling import Sampling

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 1},
        "inner": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
    },
    "required": ["name", "age", "tags", "inner"],
    "additionalProperties": False,
}
SAMPLINGS = [Sampling(temperature=0), Sampling(temperature=2.0, top_p=1.0, seed=3), Sampling(temperature=1.0, seed=9, top_k=20)]


@pytest.fixture(scope="module")
def grammars(tokenizer) -> Grammars:
    return Grammars(tokenizer)


@pytest.fixture(scope="module")
def decoder(make_decoder, tokenizer):
    return make_decoder(vocabulary_size=tokenizer.vocabulary_size, context_length=256)


def written(engine: Engine, *requests: Request) -> list[tuple[str, str | None]]:
    """The text of each answer, and why it ended."""
    answers = [engine.submit(request) for request in requests]
    while engine.tick():
        pass
    for answer in answers:
        if answer.error:
            raise answer.error
    return [("".join(delta.text for delta in answer.deltas), answer.deltas[-1].finish_reason) for answer in answers]


@pytest.mark.parametrize("family", ["decoder", "lstm", "marian"])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_every_family_writes_what_fits(
    family, sampling, make_decoder, make_recurrent, make_encoder_decoder, tokenizer, grammars
):
    size = {"vocabulary_size": tokenizer.vocabulary_size}
    if family == "marian":
        model = make_encoder_decoder("marian", **size, decoder_start="last")
    else:
        model = (make_decoder if family == "decoder" else make_recurrent)(**size)
    grammar = grammars.compiled(Rule.of_schema(PERSON))
    regex = grammars.compiled(Rule("regex", r"[A-Z][a-z]{3,}( [0-9]+)*!"))
    prompt = tuple(tokenizer.encode_whole("The class"))
    most = len(grammar.shortest) + 3
    asked = [Request(prompt, sampling, most, grammar=grammar), Request(prompt, sampling, 12, grammar=regex)]
    (text, reason), (match, ended) = written(Engine(model, tokenizer), *asked)
    jsonschema.validate(json.loads(text), PERSON)
    assert re.fullmatch(r"[A-Z][a-z]{3,}( [0-9]+)*!", match)
    assert reason == ended == "end"


SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 3, "maxLength": 9},
        {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
        {"type": "integer"},
        {"type": "integer", "minimum": 17, "maximum": 2100},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["north", "south by east", 7]},
        {"const": {"a": [1]}},
        {"type": ["string", "null"]},
    ]
)


def schema_around(inner: st.SearchStrategy) -> st.SearchStrategy:
    parts = st.dictionaries(st.sampled_from(["name", "size", "of the", "x"]), inner, max_size=3)
    objects = parts.flatmap(
        lambda found: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(found),
                "required": st.lists(st.sampled_from(sorted(found)), unique=True) if found else st.just([]),
                "additionalProperties": st.booleans(),
            }
        )
    )
    arrays = st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 3))
    return objects | arrays | st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    schema=st.recursive(SCALARS, schema_around, max_leaves=6),
    most=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    temperature=st.sampled_from([0.0, 1.0, 2.0]),
)
def test_json_always_closes(decoder, tokenizer, grammars, schema, most, seed, temperature) -> None:
    """A random schema, and any number of tokens: what comes is JSON that fits, or an error with both numbers."""
    grammar = grammars.compiled(Rule.of_schema(schema))
    asked = Request((5,), Sampling(temperature=temperature, top_p=1.0, seed=seed), most, grammar=grammar)
    engine = Engine(decoder, tokenizer, rows=1)
    if len(grammar.shortest) > most:
        with pytest.raises(GenerationError, match=rf"has {len(grammar.shortest)} tokens with its end, and at most {most} may"):
            engine.submit(asked)
        return
    [(text, reason)] = written(engine, asked)
    jsonschema.validate(json.loads(text), schema)
    assert reason == "end"


@pytest.mark.parametrize("seed", range(4))
def test_a_model_s_free_choice_is_kept_while_there_is_room(decoder, tokenizer, grammars, seed: int) -> None:
    """Long before its end an answer isn't hurried: it is longer than the shortest one."""
    grammar = grammars.compiled(Rule("regex", "[a-z ]{2,}!"))
    [(text, _)] = written(Engine(decoder, tokenizer), Request((5,), Sampling(1.0, seed=seed), 40, grammar=grammar))
    assert re.fullmatch("[a-z ]{2,}!", text) and len(text) > 6


@pytest.mark.parametrize(
    "part",
    [
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "pattern": "^(foo|ba+r)[0-9]{2,}~$"},
        {"type": "string", "minLength": 60},
    ],
)
def test_long_forms_are_written_many_times(decoder, tokenizer, grammars, part: dict) -> None:
    """What a search over the whole schema wouldn't reach is put together from its parts."""
    schema = {"type": "array", "items": part, "minItems": 3, "maxItems": 3}
    grammar = grammars.compiled(Rule.of_schema(schema))
    most = len(grammar.shortest) + 2
    [(text, _)] = written(Engine(decoder, tokenizer), Request((5,), Sampling(1.0, seed=1), most, grammar=grammar))
    jsonschema.validate(json.loads(text), schema, format_checker=jsonschema.FormatChecker())


def test_a_schema_that_refers_to_itself_many_times_is_quick(grammars) -> None:
    grammar = grammars.compiled(
        Rule.of_schema({"anyOf": [{"type": "null"}, *[{"type": "array", "items": {"$ref": "#"}}] * 40]})
    )
    assert len(grammar.shortest) <= 5


def test_in_a_batch_as_alone(decoder, tokenizer, grammars) -> None:
    """Answers with a grammar and without, side by side, are those of each alone."""
    rules = [None, Rule.of_schema(PERSON), Rule("regex", "(ab|cd)+"), None, Rule("lark", 'start: "(" start ")" | "x"')]
    asked = [
        Request((5 + n,), Sampling(temperature=1.0, seed=n), 45, grammar=rule and grammars.compiled(rule))
        for n, rule in enumerate(rules)
    ]
    together = written(Engine(decoder, tokenizer, rows=3), *asked)
    assert together == [written(Engine(decoder, tokenizer), one)[0] for one in asked]


def test_a_grammar_of_characters_beyond_ascii(decoder, tokenizer, grammars) -> None:
    """Characters of several tokens each are whole."""
    grammar = grammars.compiled(Rule("regex", "[\u4e00-\u9fff]{2,}。"))
    [(text, _)] = written(Engine(decoder, tokenizer), Request((5,), Sampling(temperature=1.0), 30, grammar=grammar))
    assert re.fullmatch("[\u4e00-\u9fff]{2,}。", text)


def nested(depth: int) -> dict:
    schema: dict = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "make, why",
    [
        (lambda: Rule("regex", "(" * 60_000 + "a" + ")" * 60_000), "at most 64,000 bytes, found 120,001"),
        (lambda: Rule("regex", "(" * 20_000 + "a" + ")" * 20_000), "nested at most 64 deep, found 20000"),
        (lambda: Rule("lark", "start: " + "(" * 20_000 + '"a"' + ")" * 20_000), "nested at most 64 deep"),
        (lambda: Rule.of_schema(nested(100)), "nested at most 64 deep, found 101"),
        (lambda: Rule.of_schema(nested(100_000)), "nested too deep"),
        (lambda: Rule.of_schema({"enum": ["a" * 70_000]}), "at most 64,000 bytes"),
        (lambda: Rule.of_schema({"properties": {"a": {"$ref": "file:///etc/passwd"}}}), "only point into the schema itself"),
        (lambda: Rule("json_schema", "[1]"), "is an object, found"),
        (lambda: Rule("json_schema", "{"), "isn't JSON"),
        (lambda: Rule("regex", "((((a{1000}){1000}){1000}){1000})"), "no answer that fits the regex"),
        (lambda: Rule("lark", 'start: (("a"{1000}){1000}){1000}'), "grammar|lark"),
        (lambda: Rule.of_schema({"type": "string", "minLength": 10**9}), "no answer that fits the json_schema"),
        (lambda: Rule.of_schema({"type": "array", "minItems": 10**9}), "no answer that fits the json_schema"),
        (lambda: Rule.of_schema({"type": "object", "unheard": 1, "not": {}}), "can't be followed"),
        (lambda: Rule.of_schema({"type": "integer", "minimum": 5, "maximum": 3}), "can't be followed"),
        (lambda: Rule.of_schema({"$ref": "#"}), "json_schema"),
        (lambda: Rule.of_schema({"type": "object", "required": 5}), "can't be followed"),
        (lambda: Rule.of_schema({"properties": {"a": 5}}), "can't be followed"),
        (lambda: Rule.of_schema({"type": "array", "minItems": 900, "items": {"$ref": "#"}}), "json_schema"),
        (lambda: Rule("lark", 'start: start "a"'), "no answer that fits"),
        (lambda: Rule("lark", "start: nothing"), "can't be followed"),
        (lambda: Rule("regex", "a)"), "can't be followed"),
    ],
)
def test_what_is_no_rule_or_a_bomb_is_refused(grammars, make, why: str) -> None:
    with pytest.raises(GenerationError, match=why):
        grammars.compiled(make())


def test_compiled_rules_are_kept_and_bounded(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textmill.inference.grammar.KEPT", 2)
    grammars = Grammars(tokenizer)
    first = grammars.compiled(Rule("regex", "a"))
    assert grammars.compiled(Rule("regex", "a")) is first
    for pattern in "bcd":
        grammars.compiled(Rule("regex", pattern))
    assert len(grammars._known) == 2 and grammars.compiled(Rule("regex", "a")) is not first


def test_a_grammar_is_of_its_model_s_tokenizer(decoder, tokenizer, grammars) -> None:
    other = type(tokenizer)(tokenizer._backend)
    with pytest.raises(GenerationError, match="another tokenizer"):
        Engine(decoder, other).submit(Request((5,), grammar=grammars.compiled(Rule("regex", "a"))))
