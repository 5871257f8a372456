"""The engine's answers in OpenAI's words: whole, or as a stream of chunks; for chats, and for completions."""

import contextlib
import json
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..inference.request import Delta, Request
from ..tokens.tokenizer import Tokenizer
from . import errors
from .call_reader import CallReader
from .logprobs import LogprobColumns, entry

FINISH_REASONS = {"end": "stop", "stop": "stop", "length": "length", "context": "length"}

Piece = tuple[int, Delta]  # of choice number …


class Pace:
    """How fast an answer comes."""

    def __init__(self) -> None:
        self._tokens: dict[int, int] = {}  # of each choice
        self._at_first, self._first, self._last = 0, 0.0, 0.0

    def note(self, choice: int, tokens: int) -> None:
        """A choice has so many tokens now."""
        self._last = time.perf_counter()
        if not self._tokens:
            self._at_first, self._first = tokens, self._last
        self._tokens[choice] = tokens

    @property
    def tokens_per_second(self) -> float | None:
        """Of all choices together, behind the first piece; None where nothing came behind it."""
        seconds, tokens = self._last - self._first, sum(self._tokens.values()) - self._at_first
        return round(tokens / seconds, 2) if seconds > 0 and tokens > 0 else None


def speed_headers(usage: Mapping[str, Any]) -> dict[str, str]:
    """What the headers of a whole answer tell of its usage: its speed, what was known of the prompt, and what was guessed."""
    speed, guessed = usage["tokens_per_second"], usage["completion_tokens_details"]["accepted_prediction_tokens"]
    known = {"X-Cached-Tokens": str(usage["prompt_tokens_details"]["cached_tokens"]), "X-Guessed-Tokens": str(guessed)}
    return known if speed is None else {"X-Tokens-Per-Second": str(speed), **known}


class Form:
    """How one answer is written: that of a `chat` or of a completion, whose choices are those `asked` for, `n` to each prompt.
    `calls`: in a chat, functions may be called."""

    def __init__(self, chat: bool, model: str, tokenizer: Tokenizer, asked: Sequence[Request], n: int, calls: bool = False):
        self.chat, self.tokenizer, self.n, self.calls = chat, tokenizer, n, calls
        self.prompt_tokens = sum(len(one.prompt) for one in asked[::n])
        self._pace = Pace()
        self._columns = [LogprobColumns(tokenizer, one.continues) for one in asked]
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    async def whole(self, pieces: AsyncGenerator[Piece, None]) -> dict[str, Any]:
        """The answer at once."""
        choices, of = [], dict[int, list[Delta]]()
        async with contextlib.aclosing(pieces):
            async for index, delta in pieces:
                self._pace.note(index, delta.tokens)
                of.setdefault(index, []).append(delta)
        for index, deltas in sorted(of.items()):
            reader, last = CallReader(), deltas[-1]
            new = self._new(reader, replace(last, text="".join(delta.text for delta in deltas)))
            choice: dict[str, Any] = {"index": index, "finish_reason": _reason(reader, last)}
            choice["logprobs"] = self._logprobs(index, deltas)
            if self.chat:
                nothing = None if reader.calls else ""  # a message has something, if only an empty text
                choice["message"] = {"role": "assistant", "content": nothing, "refusal": None, **new}
                for call in new.get("tool_calls", []):
                    del call["index"]
            else:
                choice["text"] = new
            choices.append(choice)
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self.head, "object": kind, "choices": choices, "usage": self._usage({n: of[n][-1] for n in of})}

    async def chunks(self, pieces: AsyncIterator[Piece], include_usage: bool) -> AsyncIterator[str]:
        """The answer as server-sent events. What goes wrong on the way is an event too, which clients raise."""
        last, readers = dict[int, Delta](), defaultdict[int, CallReader](CallReader)
        try:
            async for index, delta in pieces:
                if self.chat and index not in last:
                    opening = {"role": "assistant", "content": "", "refusal": None}
                    yield self._event(self._chunk(index, opening, None, None), include_usage)
                last[index] = delta
                self._pace.note(index, delta.tokens)
                new = self._new(readers[index], delta)
                if new or delta.logprobs or delta.finish_reason:
                    chunk = self._chunk(index, new, delta, delta.finish_reason and _reason(readers[index], delta))
                    yield self._event(chunk, include_usage)
            if include_usage:
                yield self._event({"choices": [], "usage": self._usage(last)}, False)
            yield "data: [DONE]\n\n"
        except Exception as error:
            told = errors.of_exception(error)
            yield f"data: {json.dumps(errors.body(told.status, told.message, told.param, told.code))}\n\n"

    def _new(self, reader: CallReader, delta: Delta) -> Any:
        """What a delta says: of a chat an object, of a text its next piece."""
        if self.calls:
            return reader.push(delta.text, delta.finish_reason)
        return ({"content": delta.text} if delta.text else {}) if self.chat else delta.text

    def _chunk(self, index: int, new: Any, delta: Delta | None, reason: str | None) -> dict[str, Any]:
        logprobs = self._logprobs(index, [delta] if delta is not None else [])
        choice = {"index": index, "delta" if self.chat else "text": new, "logprobs": logprobs, "finish_reason": reason}
        return {"choices": [choice]}

    def _event(self, content: dict[str, Any], usage_follows: bool) -> str:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        usage = {"usage": None} if usage_follows else {}
        return f"data: {json.dumps({**self.head, 'object': kind, **usage, **content}, ensure_ascii=False)}\n\n"

    def cached(self, found: Mapping[int, int]) -> int:
        """Of all prompts' tokens, those that needn't be read, by what each choice `found`: of several choices to one prompt the
        first to come reads it, and the others find it."""
        least: dict[int, int] = {}
        for index, tokens in found.items():
            least[index // self.n] = min(tokens, least.get(index // self.n, tokens))
        return sum(least.values())

    def _usage(self, last: Mapping[int, Delta]) -> dict[str, Any]:
        """What was read and written, of the last delta of each choice."""
        written = sum(delta.tokens for delta in last.values())
        details = {"prompt_tokens_details": {"cached_tokens": self.cached({n: delta.cached for n, delta in last.items()})}}
        guessed = {"accepted_prediction_tokens": "right", "rejected_prediction_tokens": "wrong"}
        details |= {
            "completion_tokens_details": {
                key: sum(getattr(delta, name) for delta in last.values()) for key, name in guessed.items()
            }
        }
        total = self.prompt_tokens + written
        counts = {"prompt_tokens": self.prompt_tokens, "completion_tokens": written, "total_tokens": total}
        return {**counts, **details, "tokens_per_second": self._pace.tokens_per_second}

    def _logprobs(self, index: int, deltas: Sequence[Delta]) -> dict[str, Any] | None:
        told = [one for delta in deltas for one in delta.logprobs]
        if not told:
            return None
        if self.chat:
            return {"content": [entry(self.tokenizer, one) for one in told], "refusal": None}
        return self._columns[index].of(told)


def _reason(reader: CallReader, last: Delta) -> str:
    """Why an answer ended."""
    return "tool_calls" if reader.calls else FINISH_REASONS[last.finish_reason or "end"]
