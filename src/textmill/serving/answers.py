"""The engine's answers in OpenAI's words: whole, or as a stream of chunks; for chats, and for completions."""

import json
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..inference.request import Delta, TokenLogprob
from ..tokens.tokenizer import Tokenizer
from . import errors
from .call_reader import CallReader

FINISH_REASONS = {"end": "stop", "stop": "stop", "length": "length", "context": "length"}

Piece = tuple[int, Delta]  # of choice number …


class Form:
    """How one answer is written: to a `chat`, or to a text; `prompt_tokens` were read for it. `calls`: in a chat, functions
    may be called."""

    def __init__(self, chat: bool, model: str, tokenizer: Tokenizer, prompt_tokens: int, calls: bool = False):
        self.chat, self.tokenizer, self.prompt_tokens, self.calls = chat, tokenizer, prompt_tokens, calls
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The answer at once."""
        choices = []
        for index in sorted({index for index, _ in pieces}):
            deltas = [delta for of, delta in pieces if of == index]
            reader, last = CallReader(), deltas[-1]
            new = self._new(reader, replace(last, text="".join(delta.text for delta in deltas)))
            choice: dict[str, Any] = {"index": index, "finish_reason": _reason(reader, last)}
            choice["logprobs"] = self._logprobs([one for delta in deltas for one in delta.logprobs])
            if self.chat:
                choice["message"] = {"role": "assistant", "content": self._nothing, "refusal": None, **new}
                for call in new.get("tool_calls", []):
                    del call["index"]
            else:
                choice["text"] = new
            choices.append(choice)
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self.head, "object": kind, "choices": choices, "usage": self._usage(dict(pieces).values())}

    async def chunks(self, pieces: AsyncIterator[Piece], include_usage: bool) -> AsyncIterator[str]:
        """The answer as server-sent events. What goes wrong on the way is an event too, which clients raise."""
        last, readers = dict[int, Delta](), defaultdict[int, CallReader](CallReader)
        try:
            async for index, delta in pieces:
                if self.chat and index not in last:
                    opening = {"role": "assistant", "content": self._nothing, "refusal": None}
                    yield self._event(self._chunk(index, opening, None, None), include_usage)
                last[index] = delta
                new = self._new(readers[index], delta)
                if new or delta.logprobs or delta.finish_reason:
                    chunk = self._chunk(index, new, delta, delta.finish_reason and _reason(readers[index], delta))
                    yield self._event(chunk, include_usage)
            if include_usage:
                yield self._event({"choices": [], "usage": self._usage(last.values())}, False)
            yield "data: [DONE]\n\n"
        except Exception as error:
            told = errors.of_exception(error)
            yield f"data: {json.dumps(errors.body(told.status, told.message, told.param, told.code))}\n\n"

    @property
    def _nothing(self) -> str | None:
        """The content of a message of which nothing is known to be content."""
        return None if self.calls else ""

    def _new(self, reader: CallReader, delta: Delta) -> Any:
        """What a delta says: of a chat an object, of a text its next piece."""
        if self.calls:
            return reader.push(delta.text, delta.finish_reason)
        return ({"content": delta.text} if delta.text else {}) if self.chat else delta.text

    def _chunk(self, index: int, new: Any, delta: Delta | None, reason: str | None) -> dict[str, Any]:
        logprobs = self._logprobs(delta.logprobs if delta is not None else ())
        choice = {"index": index, "delta" if self.chat else "text": new, "logprobs": logprobs, "finish_reason": reason}
        return {"choices": [choice]}

    def _event(self, content: dict[str, Any], usage_follows: bool) -> str:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        usage = {"usage": None} if usage_follows else {}
        return f"data: {json.dumps({**self.head, 'object': kind, **usage, **content}, ensure_ascii=False)}\n\n"

    def _usage(self, last: Iterable[Delta]) -> dict[str, Any]:
        """What was read and written, of the last delta of each choice."""
        ends = list(last)
        written = sum(delta.tokens for delta in ends)
        # Of several choices the first to come reads the prompt, and the others find it.
        details = {"prompt_tokens_details": {"cached_tokens": min((delta.cached for delta in ends), default=0)}}
        guessed = {"accepted_prediction_tokens": "right", "rejected_prediction_tokens": "wrong"}
        details |= {
            "completion_tokens_details": {key: sum(getattr(delta, name) for delta in ends) for key, name in guessed.items()}
        }
        total = self.prompt_tokens + written
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": written, "total_tokens": total, **details}

    def _logprobs(self, told: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not told:
            return None
        if self.chat:
            return {"content": [self._entry(one) for one in told], "refusal": None}
        return {
            "tokens": [self._text(one.token) for one in told],
            "token_logprobs": [one.logprob for one in told],
            "top_logprobs": [{self._text(token): value for token, value in one.alternatives} for one in told],
        }

    def _entry(self, one: TokenLogprob) -> dict[str, Any]:
        alternatives = [self._told(token, value) for token, value in one.alternatives]
        return {**self._told(one.token, one.logprob), "top_logprobs": alternatives}

    def _told(self, token: int, logprob: float) -> dict[str, Any]:
        # A token may be half a character: the bytes tell all of it.
        content = self.tokenizer.token_bytes(token) if token < self.tokenizer.vocabulary_size else b""
        return {"token": content.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(content)}

    def _text(self, token: int) -> str:
        return str(self._told(token, 0.0)["token"])


def _reason(reader: CallReader, last: Delta) -> str:
    """Why an answer ended."""
    return "tool_calls" if reader.calls else FINISH_REASONS[last.finish_reason or "end"]
