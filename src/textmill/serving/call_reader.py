"""An answer in which functions may be called, while it comes: parted into what is said and what is called.

It is read in the form that the grammar of calls lets the model write (inference/call_grammar.py), whatever pieces it comes in.
"""

import re
import secrets
from typing import Any, Literal

from ..inference.writing import FinishReason, unfinished
from ..tokens.tool_calls import CLOSING, OPENING, head

HEAD = re.compile(re.escape(head("NAME")).replace("NAME", '([^"]*)'))


class CallReader:
    """Of one answer; `calls` is how many calls were begun."""

    def __init__(self) -> None:
        self.calls = 0
        self._held = ""
        self._inside: Literal["text", "head", "arguments"] = "text"

    def push(self, text: str, ended: FinishReason | None = None) -> dict[str, Any]:
        """What is new, as OpenAI's delta tells it: `content`, and `tool_calls`, each with its `index`, with `id` and name at
        its beginning, and with a piece of its arguments; less what isn't known yet to be the one or the other. `ended`: why
        the answer ends with this text."""
        self._held += text
        content, new = "", dict[int, dict[str, Any]]()
        while True:
            if self._inside == "head":
                if (found := HEAD.match(self._held)) is None:
                    break
                self._held, self._inside = self._held[found.end() :], "arguments"
                function = {"name": found[1], "arguments": ""}
                new[self.calls] = {"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": function}
                self.calls += 1
                continue
            piece, met = self._until(OPENING if self._inside == "text" else CLOSING)
            if self._inside == "arguments":
                if piece:
                    new.setdefault(self.calls - 1, {"function": {"arguments": ""}})["function"]["arguments"] += piece
            elif not self.calls:
                content += piece
            if not met:
                break
            self._inside = "head" if self._inside == "text" else "text"
        if ended in ("end", "stop") and self._inside == "text" and not self.calls:
            content, self._held = content + self._held, ""  # it never grew into a call, and it was the model that ended there
        calls = [{"index": index, **call} for index, call in new.items()]
        return ({"content": content} if content else {}) | ({"tool_calls": calls} if calls else {})

    def _until(self, mark: str) -> tuple[str, bool]:
        """What stands before a mark, or can't belong to it, and whether it was met."""
        before, met, behind = self._held.partition(mark)
        if met:
            self._held = behind
            return before, True
        known = len(self._held) - unfinished(self._held, [mark])
        before, self._held = self._held[:known], self._held[known:]
        return before, False
