"""The tokens of a GGUF file as it lists them: each one's text, its part and, for some, its score."""

import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from ...errors import ModelError


class TokenType(IntEnum):
    """What a token is for, by llama.cpp's numbers."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # plays a part that no text plays
    USER_DEFINED = 4  # found in a text before anything else is
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """The tokens by their numbers; `scores` only where the file has some."""

    tokens: list[str]
    types: list[int]
    scores: list[float] | None = None

    def of_type(self, kind: TokenType) -> list[str]:
        """The tokens of this type, in order."""
        return [token for token, of_type in zip(self.tokens, self.types) if of_type == kind]

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """Each token's number."""
        return {token: number for number, token in enumerate(self.tokens)}


def read_vocabulary(metadata: Mapping[str, Any]) -> Vocabulary:
    """The tokens that the metadata list, without unused ones at the end, which only fill a matrix up. Raises ModelError where
    the lists don't fit together."""
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise ModelError("tokenizer.ggml.tokens is missing or no list of texts, so there is no tokenizer in it")
    types = _numbers(metadata, "token_type", len(tokens), "iu")
    scores = _numbers(metadata, "scores", len(tokens), "f")
    kinds = [int(TokenType.NORMAL)] * len(tokens) if types is None else [int(kind) for kind in types]
    count = len(tokens)
    while count and kinds[count - 1] == TokenType.UNUSED:
        count -= 1
    token, times = Counter(tokens[:count]).most_common(1)[0] if count else ("", 1)
    if times > 1:
        raise ModelError(f"the token {token[:64]!r} stands {times:,} times in tokenizer.ggml.tokens")
    return Vocabulary(tokens[:count], kinds[:count], None if scores is None else [float(score) for score in scores[:count]])


def _numbers(metadata: Mapping[str, Any], key: str, count: int, sorts: str) -> np.ndarray | None:
    """A list of as many numbers as there are tokens, whose numpy type is one of the `sorts`."""
    found = metadata.get(f"tokenizer.ggml.{key}")
    if found is None:
        return None
    if not isinstance(found, np.ndarray) or len(found) != count:
        length = f"{len(found):,}" if isinstance(found, np.ndarray | list) else "no list"
        raise ModelError(f"tokenizer.ggml.{key} has {length} entries, tokenizer.ggml.tokens {count:,}")
    if found.dtype.kind not in sorts or not np.isfinite(found).all():
        raise ModelError(f"tokenizer.ggml.{key} holds numbers of another type ({found.dtype}), or infinite ones")
    return found
