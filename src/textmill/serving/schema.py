"""What a request may say. Each field is honoured, or refused by its name, or named in the answer's `X-Ignored-Params`:
nothing is ignored in silence."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from ..inference.beam import MOST_PENALTY, BeamSearch
from ..inference.grammar import Grammar, Rule
from ..inference.request import DEFAULT_MAX_TOKENS, Request
from ..inference.sampling import Sampling
from .errors import ApiError, naming
from .known import Known, Neutral
from .messages import Message
from .tools import MOST_TOOLS, Choice, NamedChoice, Tool, callable_tools

MOST_CHOICES = 16  # to one prompt
MOST_ANSWERS = 128  # to all prompts of one request
MOST_TOKENS = 1_000_000  # in numbers that a client sends
Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class Body(Known):
    """A request's JSON object."""

    model: str = Field(max_length=500)

    @model_validator(mode="before")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        """Refuse lone surrogates wherever they stand: JSON can spell them, and no UTF-8 text holds them."""
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a text holds the lone surrogate U+{ord(error.object[error.start]):04X}") from error
        return content


class StreamOptions(Known):
    """How a stream is written."""

    neutral: ClassVar[Neutral] = {"include_obfuscation": (None, False)}
    include_usage: bool = False


class NamedSchema(Known):
    """A JSON schema that an answer has to fit; it always does, whatever `strict` says."""

    name: str = Field(max_length=64)
    content: dict[str, Any] = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Known):
    """What an answer has to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class WritingBody(Body):
    """What chats and completions have in common. `top_k`, `min_p`, `typical_p`, `repetition_penalty`, `guided_regex`,
    `guided_grammar` (Lark), `beam_width` and `length_penalty` go beyond OpenAI's."""

    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1, le=MOST_TOKENS)
    min_p: float | None = Field(None, ge=0, lt=1)
    typical_p: float | None = Field(None, gt=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[Annotated[int, Field(ge=0)], Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=1000
    )
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    n: int | None = Field(None, ge=1, le=MOST_CHOICES)
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    stop: Stop | list[Stop] | None = Field(None, max_length=1000)
    response_format: ResponseFormat | None = None
    guided_regex: str | None = None
    guided_grammar: str | None = None
    beam_width: int | None = Field(None, ge=1, le=MOST_CHOICES)
    length_penalty: float | None = Field(None, ge=-MOST_PENALTY, le=MOST_PENALTY)

    def rules(self) -> dict[str, Callable[[], Rule]]:
        """What makes the rules that the answer has to keep, by the fields that give them. Raises ApiError."""
        form = self.response_format
        given: dict[str, Callable[[], Rule]] = {}
        if form is not None and form.type == "json_object":
            given["response_format"] = lambda: Rule.of_schema({"type": "object"})
        if form is not None and (form.type == "json_schema") != (form.json_schema is not None):
            message = "response_format.json_schema goes with the type json_schema, and with no other"
            raise ApiError(400, message, "response_format", "invalid_value")
        if form is not None and (named := form.json_schema) is not None:
            given["response_format"] = lambda: Rule.of_schema(named.content)
        if (regex := self.guided_regex) is not None:
            given["guided_regex"] = lambda: Rule("regex", regex)
        if (grammar := self.guided_grammar) is not None:
            given["guided_grammar"] = lambda: Rule("lark", grammar)
        return given

    def rule(self) -> tuple[str, Rule] | None:
        """The field that says what the answer has to be, and that; None: anything. Raises ApiError."""
        given = self.rules()
        if len(given) > 1:
            raise ApiError(400, f"{' and '.join(given)} can't both hold; give one", list(given)[-1], "invalid_value")
        for name, make in given.items():
            with naming(name):
                return name, make()
        return None

    def requests(
        self,
        prompts: Sequence[list[int]],
        continues: Sequence[bool],
        logprobs: int | None,
        max_tokens: int | None,
        salt: str,
        grammar: Grammar | None,
        search: BeamSearch | None,
    ) -> list[Request]:
        """What the engine is asked: `n` choices to the first prompt, each with the seed after the one before, or the best of a
        `search`; then to the next, as if it were alone. `continues`: of each prompt (Request). Raises ApiError."""
        most, factor = max_tokens or DEFAULT_MAX_TOKENS, "n" if search is None else "beam_width"
        answers = len(prompts) * (getattr(self, factor) or 1)
        field, product = (factor, factor) if len(prompts) == 1 else ("prompt", f"prompts times {factor}")
        if answers > MOST_ANSWERS:
            raise ApiError(400, f"{product} is at most {MOST_ANSWERS}, found {answers:,}", field, "invalid_value")
        if answers * most > MOST_TOKENS:
            message = f"{product} times max_tokens is at most {MOST_TOKENS:,}, found {answers * most:,}"
            raise ApiError(400, message, field, "invalid_value")
        if isinstance(self.stop, list) and len(self.stop) > 4:
            raise ApiError(400, f"stop has at most 4 strings, found {len(self.stop)}", "stop", "invalid_value")
        if self.stream_options is not None and not self.stream:
            raise ApiError(400, "stream_options is for streams; set stream too", "stream_options", "invalid_value")
        sampling = Sampling(
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k,
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=0.0 if self.min_p is None else self.min_p,
            typical_p=1.0 if self.typical_p is None else self.typical_p,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            logit_bias=tuple((self.logit_bias or {}).items()),
            seed=secrets.randbits(63) if self.seed is None else self.seed % 2**64,
        )
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        one = Request((), sampling, most, stop, logprobs, salt=salt, grammar=grammar, beams=search)
        if search is None:
            seeds = [(sampling.seed + choice) % 2**64 for choice in range(self.n or 1)]
            choices = [replace(one, sampling=replace(sampling, seed=seed)) for seed in seeds]
        else:
            choices = [replace(one, sampling=Sampling(), rank=choice) for choice in range(self.n or 1)]
        return [
            replace(choice, prompt=tuple(prompt), continues=goes_on)
            for prompt, goes_on in zip(prompts, continues, strict=True)
            for choice in choices
        ]


class ChatBody(WritingBody):
    """POST /v1/chat/completions. `continue_final_message` goes beyond OpenAI's: the last message is the beginning of the
    answer, which goes on with it."""

    neutral: ClassVar[Neutral] = {
        "functions": (None, []),
        "function_call": (None, "none"),
        "modalities": (None, ["text"]),
        "audio": (None,),
        "prediction": (None,),
        "web_search_options": (None,),
        "reasoning_effort": (None, "none"),
    }
    messages: list[Message] = Field(min_length=1, max_length=10_000)
    tools: list[Tool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    max_completion_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    continue_final_message: bool | None = False

    def begun(self) -> str | None:
        """What the answer begins with; None where it begins anew. Raises ApiError where the last message is nobody's answer."""
        if not self.continue_final_message:
            return None
        last = self.messages[-1]
        if last.role != "assistant":
            message = f"continue_final_message goes on with an assistant's message; the last one is of the {last.role}"
            raise ApiError(400, message, "continue_final_message", "invalid_value")
        if len(self.messages) == 1:
            message = "continue_final_message goes on with an answer, before which there is at least one message; found none"
            raise ApiError(400, message, "continue_final_message", "invalid_value")
        if last.tool_calls:
            message = "continue_final_message goes on with text, and the last message ends with calls"
            raise ApiError(400, message, "continue_final_message", "invalid_value")
        return last.text()

    def rules(self) -> dict[str, Callable[[], Rule]]:
        """These of every answer, and that functions are called rightly. Raises ApiError."""
        given, choice = super().rules(), self.tool_choice
        if tools := self.callable_tools():
            if self.continue_final_message:
                message = "continue_final_message goes on with text, and tools may be called instead; give one of them"
                raise ApiError(400, message, "continue_final_message", "invalid_value")
            functions = {tool.function.name: tool.function.schema_of_arguments() for tool in tools}
            several = self.parallel_tool_calls is not False and not isinstance(choice, NamedChoice)
            given["tools"] = lambda: Rule.of_calls(functions, choice not in (None, "auto"), several)
        return given

    def callable_tools(self) -> list[Tool]:
        """The tools that may be called in the answer. Raises ApiError."""
        return callable_tools(self.tools or [], self.tool_choice)


Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=MOST_TOKENS)]
Several = Field(min_length=1, max_length=MOST_ANSWERS)


def kind_of_texts(texts: Any) -> str:
    """What texts are meant to be, by their first part."""
    if not isinstance(texts, list):
        return "one text"
    of_parts: dict[type, str] = {str: "several texts", list: "several lists of tokens"}
    return of_parts.get(type(texts[0]), "one list of tokens") if texts else "one list of tokens"


def by_place(field: str, given: Any) -> dict[str, str | list[int]]:
    """Each text of a field that takes one or several, by the name of its place."""
    if kind_of_texts(given).startswith("one"):
        return {field: given}
    return {f"{field}.{place}": text for place, text in enumerate(given)}


class CompletionBody(WritingBody):
    """POST /v1/completions. A prompt is a text, or its tokens; there may be several."""

    neutral: ClassVar[Neutral] = {"best_of": (None, 1), "echo": (None, False), "suffix": (None, "")}
    prompt: Annotated[
        Annotated[str, Tag("one text")]
        | Annotated[Tokens, Tag("one list of tokens")]
        | Annotated[list[str], Several, Tag("several texts")]
        | Annotated[list[Tokens], Several, Tag("several lists of tokens")],
        Discriminator(kind_of_texts),
    ] = ""
    logprobs: int | None = Field(None, ge=0, le=5)

    def prompts(self) -> dict[str, str | list[int]]:
        """Each of them, by the name of its place."""
        return by_place("prompt", self.prompt)
