"""The engine's answers in OpenAI's words: whole, or as a stream of chunks; for chats, and for completions."""

import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from ..inference.request import Delta, TokenLogprob
from ..tokens.tokenizer import Tokenizer
from . import errors

FINISH_REASONS = {"end": "stop", "stop": "stop", "length": "length", "context": "length"}

Piece = tuple[int, Delta]  # of choice number …


class Form:
    """How one answer is written. `kind`: chat or text; `prompt_tokens` were read for it."""

    def __init__(self, chat: bool, model: str, tokenizer: Tokenizer, prompt_tokens: int):
        self.chat, self.tokenizer, self.prompt_tokens = chat, tokenizer, prompt_tokens
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
            choice: dict[str, Any] = {"index": index, "finish_reason": FINISH_REASONS[deltas[-1].finish_reason or "end"]}
            choice["logprobs"] = self._logprobs([one for delta in deltas for one in delta.logprobs])
            text = "".join(delta.text for delta in deltas)
            if self.chat:
                choice["message"] = {"role": "assistant", "content": text, "refusal": None}
            else:
                choice["text"] = text
            choices.append(choice)
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self.head, "object": kind, "choices": choices, "usage": self._usage(dict(pieces).values())}

    async def chunks(self, pieces: AsyncIterator[Piece], include_usage: bool) -> AsyncIterator[str]:
        """The answer as server-sent events. What goes wrong on the way is an event too, which clients raise."""
        last: dict[int, Delta] = {}
        try:
            async for index, delta in pieces:
                if self.chat and index not in last:
                    opening = {"role": "assistant", "content": "", "refusal": None}
                    yield self._event(self._chunk(index, opening, None), include_usage)
                last[index] = delta
                if delta.text or delta.logprobs or delta.finish_reason:
                    new: Any = ({"content": delta.text} if delta.text else {}) if self.chat else delta.text
                    yield self._event(self._chunk(index, new, delta), include_usage)
            if include_usage:
                yield self._event({"choices": [], "usage": self._usage(last.values())}, False)
            yield "data: [DONE]\n\n"
        except Exception as error:
            told = errors.of_exception(error)
            yield f"data: {json.dumps(errors.body(told.status, told.message, told.param, told.code))}\n\n"

    def _chunk(self, index: int, new: Any, delta: Delta | None) -> dict[str, Any]:
        reason = FINISH_REASONS[delta.finish_reason] if delta is not None and delta.finish_reason else None
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
