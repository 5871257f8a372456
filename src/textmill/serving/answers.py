"""The engine's answers in OpenAI's words: whole, or as a stream of chunks; for chats, and for completions."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..inference.request import Delta, TokenLogprob
from ..tokens.tokenizer import Tokenizer
from . import errors

FINISH_REASONS = {"end": "stop", "stop": "stop", "length": "length", "context": "length"}


class Form:
    """How one answer is written. `kind`: chat or text; `prompt_tokens` were read for it."""

    def __init__(self, chat: bool, model: str, tokenizer: Tokenizer, prompt_tokens: int):
        self.chat, self.tokenizer, self.prompt_tokens = chat, tokenizer, prompt_tokens
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, deltas: Sequence[Delta]) -> dict[str, Any]:
        """The answer at once."""
        text, last = "".join(delta.text for delta in deltas), deltas[-1]
        choice: dict[str, Any] = {"index": 0, "finish_reason": FINISH_REASONS[last.finish_reason or "end"]}
        choice["logprobs"] = self._logprobs([one for delta in deltas for one in delta.logprobs])
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self.head, "object": kind, "choices": [choice], "usage": self._usage(last)}

    async def chunks(self, deltas: AsyncIterator[Delta], include_usage: bool) -> AsyncIterator[str]:
        """The answer as server-sent events. What goes wrong on the way is an event too, which clients raise."""
        begun, last = not self.chat, None
        try:
            async for delta in deltas:
                last = delta
                if not begun:
                    begun = True
                    yield self._event(self._chunk({"role": "assistant", "content": "", "refusal": None}, None), include_usage)
                if delta.text or delta.logprobs or delta.finish_reason:
                    new: Any = ({"content": delta.text} if delta.text else {}) if self.chat else delta.text
                    yield self._event(self._chunk(new, delta), include_usage)
            if include_usage and last is not None:
                yield self._event({"choices": [], "usage": self._usage(last)}, False)
            yield "data: [DONE]\n\n"
        except Exception as error:
            told = errors.of_exception(error)
            yield f"data: {json.dumps(errors.body(told.status, told.message, told.param, told.code))}\n\n"

    def _chunk(self, new: Any, delta: Delta | None) -> dict[str, Any]:
        reason = FINISH_REASONS[delta.finish_reason] if delta is not None and delta.finish_reason else None
        logprobs = self._logprobs(delta.logprobs if delta is not None else ())
        return {"choices": [{"index": 0, "delta" if self.chat else "text": new, "logprobs": logprobs, "finish_reason": reason}]}

    def _event(self, content: dict[str, Any], usage_follows: bool) -> str:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        usage = {"usage": None} if usage_follows else {}
        return f"data: {json.dumps({**self.head, 'object': kind, **usage, **content}, ensure_ascii=False)}\n\n"

    def _usage(self, last: Delta) -> dict[str, Any]:
        total = self.prompt_tokens + last.tokens
        details = {"prompt_tokens_details": {"cached_tokens": last.cached}}
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": last.tokens, "total_tokens": total, **details}

    def _logprobs(self, told: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not told:
            return None
        if self.chat:
            return {"content": [self._entry(one) for one in told], "refusal": None}
        return {
            "tokens": [self._text(one.token) for one in told],
            "token_logprobs": [one.logprob for one in told],
            "top_logprobs": [{self._text(token): value for token, value in one.alternatives} for one in told],
            "text_offset": [],
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
