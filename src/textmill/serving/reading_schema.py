"""What a request to a model that reads may say: texts, and what is wanted of each."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from .known import Neutral
from .messages import TextPart
from .schema import Body, Tokens, by_place, kind_of_texts

MOST_TEXTS = 2048
Several = Field(min_length=1, max_length=MOST_TEXTS)
Texts = Annotated[
    Annotated[str, Tag("one text")]
    | Annotated[Tokens, Tag("one list of tokens")]
    | Annotated[list[str], Several, Tag("several texts")]
    | Annotated[list[Tokens], Several, Tag("several lists of tokens")],
    Discriminator(kind_of_texts),
]


class EmbeddingBody(Body):
    """POST /v1/embeddings. Tokens are a whole input: nothing is put around them."""

    neutral: ClassVar[Neutral] = {"dimensions": (None,)}
    input: Texts
    encoding_format: Literal["float", "base64"] | None = "float"

    def inputs(self) -> dict[str, str | list[int]]:
        """Each of them, by the name of its place."""
        return by_place("input", self.input)


class FillBody(Body):
    """POST /v1/fill, which goes beyond OpenAI's: the likeliest tokens for each mask, written `<|mask|>` or as the model's
    tokenizer spells it."""

    input: str | Annotated[list[str], Several]
    top_k: int | None = Field(None, ge=1, le=20)

    def inputs(self) -> dict[str, Any]:
        """Each text, by the name of its place."""
        return by_place("input", self.input)


class ClassifyBody(Body):
    """POST /v1/classify, as vLLM has it. Tokens are a whole input: nothing is put around them."""

    neutral: ClassVar[Neutral] = {
        "add_special_tokens": (None, True),
        "truncate_prompt_tokens": (None,),
        "use_activation": (None, True),
        "activation": (None, True),
        "softmax": (None, True),
        "priority": (None, 0),
    }
    input: Texts

    def inputs(self) -> dict[str, str | list[int]]:
        """Each of them, by the name of its place."""
        return by_place("input", self.input)


class TagBody(Body):
    """POST /v1/tag, which goes beyond OpenAI's: the tags of a text's words, and its entities. A list is of texts, a list of
    lists of sentences as their words."""

    input: str | Annotated[list[str], Several] | Annotated[list[Annotated[list[str], Field(min_length=1)]], Several]

    def texts(self) -> list[str | list[str]]:
        """Each of them."""
        return [self.input] if isinstance(self.input, str) else list(self.input)


class ModerationBody(Body):
    """POST /v1/moderations. Without a model, the only one that moderates is asked. A list of parts is one text."""

    model: str = Field("", max_length=500)
    input: str | Annotated[list[str], Several] | Annotated[list[TextPart], Several]

    def inputs(self) -> dict[str, Any]:
        """Each text, one result each, by the name of its place."""
        if isinstance(self.input, list) and (parts := [part.text for part in self.input if isinstance(part, TextPart)]):
            return {"input": "\n".join(parts)}
        return by_place("input", self.input)
