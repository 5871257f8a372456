"""What an answer may be: an instance of a JSON schema, a match of a regex, a sentence of a Lark grammar, calls of functions.

A rule is checked for size and depth before the library that compiles it (llguidance; Earley's parser over derivatives of
regexes) sees it, and compiled within that library's limits. Compiled rules are kept, the least recently used goes first.
"""

import contextlib
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import llguidance
import numpy as np

from ..errors import GenerationError
from ..tokens.tokenizer import Tokenizer
from ..tokens.tool_calls import OPENING, spelled
from . import call_grammar
from .shortest_end import Candidates, Plan, Spelling, completed, shortest_end
from .small_instance import String, small_instance

MOST_BYTES, MOST_DEPTH = 64_000, 64  # of a rule
KEPT = 64  # compiled rules
MOST_STRINGS = 16  # patterns and formats of one rule for which strings are looked for, and functions for which arguments are
LIMITS = llguidance.LLParserLimits(
    max_grammar_size=100_000, max_lexer_states=50_000, step_lexer_fuel=200_000, step_max_items=20_000, verbose_errors=False
)
# No white space between what JSON is made of: a model can't fill its tokens with it.
COMPACT: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
UNSEEN = {"const", "enum", "default", "examples"}  # keys of a schema that hold data and no schemas


@dataclass(frozen=True)
class Rule:
    """What an answer has to be, as it was asked for. Raises GenerationError for what is too large, too deep, or no rule."""

    kind: Literal["json_schema", "regex", "lark", "calls"]
    text: str

    def __post_init__(self) -> None:
        name = self.name
        size = len(self.text.encode("utf-8", "surrogatepass"))
        if size > MOST_BYTES:
            raise GenerationError(f"a {name} has at most {MOST_BYTES:,} bytes, found {size:,}")
        if "\0" in self.text:
            raise GenerationError(f"a {name} holds no NUL character")
        if (depth := _depth(self.text)) > MOST_DEPTH:
            raise GenerationError(f"a {name} is nested at most {MOST_DEPTH} deep, found {depth}; write it flatter")
        if self.kind == "json_schema":
            _check_schema(self.text)

    @classmethod
    def of_schema(cls, schema: dict[str, Any]) -> "Rule":
        """The rule that an answer is an instance of a JSON schema."""
        try:
            return cls("json_schema", json.dumps(schema))
        except (RecursionError, ValueError) as error:
            raise GenerationError(f"the JSON schema can't be read: {error}; is it nested too deep?") from error

    @classmethod
    def of_calls(cls, functions: Mapping[str, dict[str, Any]], required: bool, several: bool) -> "Rule":
        """The rule that functions, given by their names and the JSON schemas of their parameters, are called rightly. It is
        `required` that one is, or there may be text and no call; `several` may be called."""
        for name, parameters in functions.items():
            with _named(name):
                cls.of_schema(parameters)
        bare = {name: call_grammar.binding(parameters) for name, parameters in functions.items()}
        return cls("calls", json.dumps({"functions": bare, "required": required, "several": several}))

    @property
    def name(self) -> str:
        """What people call it."""
        return {"json_schema": "JSON schema", "regex": "regex", "lark": "grammar", "calls": "set of functions"}[self.kind]

    @property
    def source(self) -> str:
        """The rule as the library takes it. Raises ValueError."""
        if self.kind == "json_schema":
            return llguidance.LLMatcher.grammar_from_json_schema(self.text, overrides=COMPACT)
        if self.kind == "regex":
            return llguidance.LLMatcher.grammar_from_regex(self.text)
        if self.kind == "calls":
            return llguidance.LLMatcher.grammar_from_lark(call_grammar.lark(**json.loads(self.text)))
        return llguidance.LLMatcher.grammar_from_lark(self.text)


@dataclass(frozen=True, eq=False)
class Grammar:
    """A compiled rule: where every answer begins, and the shortest one that was found.

    `opening`: the text from which on it binds; until then an answer is text as any, and may be cut. Where it is empty the
    rule binds from the first token on. `rests`: ways that may lead to an end behind the bytes that were written.
    """

    tokenizer: Tokenizer
    matcher: llguidance.LLMatcher  # only ever copied
    candidates: Candidates
    shortest: Plan
    opening: str = ""
    rests: Callable[[bytes], Iterator[Plan]] = lambda written: iter(())

    def check_room(self, tokens: int) -> None:
        """Raise GenerationError where the shortest answer has more tokens than may be written."""
        if len(self.shortest) > tokens:
            raise GenerationError(
                f"the shortest answer that was found to fit has {len(self.shortest):,} tokens with its end, "
                f"and at most {tokens:,} may be written; raise max_tokens"
            )


class Grammars:
    """Compiles rules for one tokenizer, and keeps them; from any thread."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self._known: OrderedDict[bytes, Grammar] = OrderedDict()
        self._lock = threading.Lock()
        self._library: tuple[llguidance.LLTokenizer, Spelling] | None = None

    def compiled(self, rule: Rule) -> Grammar:
        """Raises GenerationError for a rule that is none, or too complex, or no answer to which was found."""
        found = self.known(rule) or self._compile(rule)
        with self._lock:
            self._known[self._key(rule)] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return found

    def known(self, rule: Rule) -> Grammar | None:
        """A rule that was compiled already and is still kept."""
        key = self._key(rule)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def _key(self, rule: Rule) -> bytes:
        return hashlib.sha256(f"{rule.kind}\0{rule.text}".encode("utf-8", "surrogatepass")).digest()

    def _compile(self, rule: Rule) -> Grammar:
        if rule.kind == "calls":
            return self._of_calls(rule, **json.loads(rule.text))
        matcher, spelling = self._matcher(rule), self._spoken()[1]
        candidates = Candidates(spelling, rule.text)
        found = shortest_end(matcher, candidates)
        if rule.kind == "json_schema":
            found = min(filter(None, [found, self._minimal(matcher, json.loads(rule.text), spelling)]), key=len, default=None)
        if found is None:
            raise GenerationError(
                f"no answer that fits the {rule.kind} was found in this model's tokens within the steps of a search; "
                "it may need very long answers, or characters that the tokenizer hasn't"
            )
        return Grammar(self.tokenizer, matcher, candidates, found)

    def _spoken(self) -> tuple[llguidance.LLTokenizer, Spelling]:
        self._library = self._library or _library_tokenizer(self.tokenizer)
        return self._library

    def _matcher(self, rule: Rule) -> llguidance.LLMatcher:
        """Where the answers to a rule begin."""
        try:
            matcher = llguidance.LLMatcher(self._spoken()[0], rule.source, log_level=0, limits=LIMITS)
        except ValueError as error:
            raise GenerationError(f"the {rule.name} can't be read: {error!s:.500}") from error
        if matcher.is_error():
            problem = matcher.get_error().strip() or "it is faulty"
            if rule.kind == "calls":  # whose text, and the place in it, isn't the client's
                problem = problem.splitlines()[0].rpartition("failed to compile ")[2]
            raise GenerationError(f"the {rule.name} can't be followed: {problem:.500}")
        return matcher

    def _of_calls(self, rule: Rule, functions: dict[str, Any], required: bool, several: bool) -> Grammar:
        """The grammar of calls, each of which is known to have an end."""
        spelling, samples, searches = self._spoken()[1], [], 0
        string = self._strings(spelling)
        for name, parameters in functions.items():
            with _named(name):
                alone = self._matcher(Rule.of_calls({name: parameters}, required=True, several=False))
                sample = spelled(name, json.dumps(small_instance(parameters, string), ensure_ascii=False)).encode()
                if completed(alone, self._greedy(sample), spelling) is None:
                    searches += 1
                    if searches > MOST_STRINGS:
                        raise GenerationError(
                            f"they are too hard, as those of {MOST_STRINGS} functions before; write simpler ones"
                        )
                    sample = spelled(name, self._searched(parameters, spelling)).encode()
                samples.append(sample)
        matcher, candidates = self._matcher(rule), Candidates(spelling, rule.text)

        def rests(written: bytes) -> Iterator[Plan]:
            return map(self._greedy, call_grammar.rests(samples, written))

        if not required:
            return Grammar(self.tokenizer, matcher, candidates, tuple(spelling.ends[:1]), OPENING, rests)
        plans = [plan for sample in samples if (plan := completed(matcher, self._greedy(sample), spelling)) is not None]
        if not plans:
            raise GenerationError("no call was found that fits; write simpler parameters")
        return Grammar(self.tokenizer, matcher, candidates, min(plans, key=len), rests=rests)

    def _searched(self, parameters: dict[str, Any], spelling: Spelling) -> str:
        """Short arguments of a function."""
        rule = Rule("lark", f"start: {call_grammar.of_arguments(parameters)}")
        found = shortest_end(self._matcher(rule), Candidates(spelling, rule.text))
        if found is None:
            raise GenerationError("no arguments that fit were found in this model's tokens within the steps of a search")
        return self.tokenizer.decode(found)

    def _greedy(self, text: bytes) -> Plan:
        """A text's tokens, the longest first: also of the middle of a text, which the tokenizer may begin with a space."""
        return tuple(self._spoken()[0].greedy_tokenize(text.decode("utf-8", "ignore")))

    def _minimal(self, matcher: llguidance.LLMatcher, schema: Any, spelling: Spelling) -> Plan | None:
        """A small instance of the schema as tokens, where that fits it."""
        small = small_instance(schema, self._strings(spelling))
        text = json.dumps(small, separators=(",", ":"), ensure_ascii=False)
        return completed(matcher, tuple(self.tokenizer.encode(text)), spelling)

    def _strings(self, spelling: Spelling) -> String:
        """What finds a string that fits a part of a schema; for `MOST_STRINGS` unlike parts, since each takes a search."""
        strings: dict[str, str] = {}  # by what they have to fit

        def string(part: dict[str, Any]) -> str:
            rule = Rule.of_schema({key: part[key] for key in ("type", "pattern", "format") if key in part})
            if rule.text not in strings and len(strings) < MOST_STRINGS:
                alone = self._matcher(rule)
                found = shortest_end(alone, Candidates(spelling, rule.text))
                strings[rule.text] = json.loads(self.tokenizer.decode(found)) if found else ""
            return strings.get(rule.text, "")

        return string


def _library_tokenizer(tokenizer: Tokenizer) -> tuple[llguidance.LLTokenizer, Spelling]:
    """The tokenizer as the library takes it: the bytes of each token; what has none can't be text."""
    spelt = [tokenizer.token_bytes(id) for id in range(tokenizer.vocabulary_size)]
    special = {id for id, content in enumerate(spelt) if not content} | set(tokenizer.end_ids)
    special |= {id for id in (tokenizer.pad_id, tokenizer.unknown_id) if id is not None}
    ends = sorted(tokenizer.end_ids)

    class Spoken:
        def __init__(self) -> None:
            self.eos_token_id, self.bos_token_id = ends[0], None
            self.tokens = [b"\xff<%d>" % id if id in special else content for id, content in enumerate(spelt)]
            self.special_token_ids = sorted(special)

        def __call__(self, text: str | bytes) -> list[int]:
            return tokenizer.encode(text if isinstance(text, str) else text.decode("utf-8", "replace"))

    wrapped = llguidance.TokenizerWrapper(Spoken())
    writable = np.array([id not in special for id in range(len(spelt))])
    return llguidance.LLTokenizer(wrapped, eos_token=ends), Spelling(spelt, writable, ends)


@contextlib.contextmanager
def _named(function: str) -> Iterator[None]:
    """Says of which function a problem is."""
    try:
        yield
    except GenerationError as error:
        raise GenerationError(f"the parameters of {function}: {error}") from error


def _depth(text: str) -> int:
    """How deep brackets of any kind are nested in a rule, counted without regard to quotes."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}" and depth > 0)
        deepest = max(deepest, depth)
    return deepest


def _check_schema(text: str) -> None:
    """Raise GenerationError for a schema that isn't an object, or points elsewhere. The text is known not to be deep."""
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise GenerationError(f"the JSON schema isn't JSON: {error}") from error
    if not isinstance(schema, dict):
        raise GenerationError(f"a JSON schema is an object, found {text:.80}")
    open_parts: list[Any] = [schema]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, dict):
            for key in ("$ref", "$dynamicRef"):
                if isinstance(target := part.get(key), str) and not target.startswith("#"):
                    raise GenerationError(f"{key} can only point into the schema itself (#…), found {target:.200}")
            open_parts += [value for key, value in part.items() if key not in UNSEEN]
        elif isinstance(part, list):
            open_parts += part
