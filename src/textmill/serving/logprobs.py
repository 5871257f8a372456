"""Log-probabilities in OpenAI's words: of chats an entry for each token, with its bytes; of completions columns, whose tokens
have names, since several of them may have the same text, or none of their own."""

from collections.abc import Sequence
from typing import Any

from ..inference.request import TokenLogprob
from ..tokens.tokenizer import Tokenizer

LEAST = -9999.0  # what OpenAI tells of a token that can't be


class LogprobColumns:
    """Those of one choice of a completion, as its tokens come. `continues`: it goes on from a text (Request)."""

    def __init__(self, tokenizer: Tokenizer, continues: bool):
        self.tokenizer, self._stream = tokenizer, tokenizer.decode_stream(continues)
        self._written = 0  # characters

    def of(self, told: Sequence[TokenLogprob]) -> dict[str, Any]:
        """What is told of the next tokens. `text_offset`: where in the choice's text each begins, in characters; one that is a
        part of a character begins where that does."""
        offsets = []
        for one in told:
            offsets.append(self._written)
            self._written += len(self._stream.step(one.token)) if one.token < self.tokenizer.vocabulary_size else 0
        return {
            "tokens": [name(self.tokenizer, one.token) for one in told],
            "token_logprobs": [max(one.logprob, LEAST) for one in told],
            "top_logprobs": [self._alternatives(one) for one in told],
            "text_offset": offsets,
        }

    def _alternatives(self, one: TokenLogprob) -> dict[str, float]:
        """Each under its name; where a likelier one has the same, under its number."""
        found: dict[str, float] = {}
        for token, value in one.alternatives:
            own = name(self.tokenizer, token)
            found[f"token_id:{token}" if own in found else own] = max(value, LEAST)
        return found


def entry(tokenizer: Tokenizer, one: TokenLogprob) -> dict[str, Any]:
    """What is told of a chat's token."""
    alternatives = [_told(tokenizer, token, value) for token, value in one.alternatives]
    return {**_told(tokenizer, one.token, one.logprob), "top_logprobs": alternatives}


def name(tokenizer: Tokenizer, token: int) -> str:
    """A token's text; of one that is a part of a character, its bytes as OpenAI spells them: `bytes:\\xe4\\xb8`."""
    content = _content(tokenizer, token)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)


def _told(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    # A token may be half a character: the bytes tell all of it.
    content = _content(tokenizer, token)
    return {"token": content.decode("utf-8", "replace"), "logprob": max(logprob, LEAST), "bytes": list(content)}


def _content(tokenizer: Tokenizer, token: int) -> bytes:
    """A token's bytes; none where it is a model's row beyond the vocabulary."""
    return tokenizer.token_bytes(token) if token < tokenizer.vocabulary_size else b""
