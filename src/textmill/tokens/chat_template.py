"""A model's chat template: from messages to the one text that its model was trained to answer.

It is rendered as transformers renders it, in a process of its own with bounds. A special token that a message spells is
kept out of it on the way, so that nobody can write one into a conversation.
"""

import contextlib
import json
import re
import subprocess
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import TokenizerError
from ..processes import end_worker, start_worker
from .tool_calls import TRIAL, TRIAL_TOOL, in_words, reads_back

TEMPLATE_FILE = "chat_template.jinja"
LARGEST_TEMPLATE = 16_000_000  # characters, and bytes of a file
SECONDS = 20.0  # for one rendering; templates in use take a hundredth of a second
FOR_TOOLS = "tool_use"  # the name of a template that is taken where there are tools
ANSWER = "answer"  # what stands for an answer where only its surroundings are wanted

Message = Mapping[str, Any]


class ChatTemplate:
    """One template, and those of other names that came with it (for tools, for retrieval), which are kept."""

    def __init__(self, source: str, named: Mapping[str, str] | None = None, seconds: float = SECONDS):
        if len(source) > LARGEST_TEMPLATE:
            raise TokenizerError(
                f"a chat template of {len(source):,} characters isn't rendered; more than {LARGEST_TEMPLATE:,} is none"
            )
        self.source, self.named, self.seconds = source, dict(named or {}), seconds
        self._writes_calls: dict[str, bool] = {}  # by a template's source
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(
        self,
        messages: Sequence[Message],
        variables: Mapping[str, Any] | None = None,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The text of a conversation; `variables` are what the template may ask for beside it, such as `bos_token`, `tools` the
        functions that may be called, which are told in words where the template doesn't (see tool_calls.py).

        Raises TokenizerError where the template refuses the conversation, is wrong, or takes too much time or memory.
        """
        if not messages:
            raise TokenizerError("a conversation has at least one message")
        source, variables = self.named.get(FOR_TOOLS, self.source) if tools else self.source, variables or {}
        knows_calls = bool(tools) or any(message.get("role") == "tool" or message.get("tool_calls") for message in messages)
        if knows_calls and not self._reads_back(source, variables):
            source, messages, tools = self.source, in_words(messages, tools), ()
        answer = self._rendered(source, messages, variables, add_generation_prompt, tools)
        if "problem" in answer:
            raise TokenizerError(f"the chat template can't be applied: {answer['problem']}")
        return answer["text"]

    def stock_config(self) -> dict[str, Any]:
        """What `tokenizer_config.json` says of it."""
        if not self.named:
            return {"chat_template": self.source}
        every = {"default": self.source, **self.named}
        return {"chat_template": [{"name": name, "template": source} for name, source in every.items()]}

    def _reads_back(self, source: str, variables: Mapping[str, Any]) -> bool:
        """Whether a template tells of tools, and writes calls in the form in which they are read."""
        if source not in self._writes_calls:
            answer = self._rendered(source, TRIAL, variables, False, [TRIAL_TOOL])
            self._writes_calls[source] = reads_back(answer.get("text", ""))
        return self._writes_calls[source]

    def _rendered(
        self,
        source: str,
        messages: Sequence[Message],
        variables: Mapping[str, Any],
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]],
    ) -> dict[str, str]:
        """The text, or the problem."""
        said = [{key: value for key, value in message.items() if value is not None} for message in messages]
        asked = {"messages": said, "add_generation_prompt": add_generation_prompt, "documents": None}
        asked["tools"] = list(tools) or None
        with self._lock:
            return self._ask({"source": source, "variables": {**variables, **asked}})

    def _ask(self, request: dict[str, Any]) -> dict[str, str]:
        """Have the worker render, and end it where it takes too long; the next one that is needed is a fresh one."""
        process = self._process or self._start()
        assert process.stdin and process.stdout
        timer = threading.Timer(self.seconds, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        except (OSError, ValueError):
            self._process = None
            end_worker(process)
            return {"problem": f"it takes more than {self.seconds:g} seconds, or more memory than a template gets"}
        except BaseException:  # interrupted between question and answer
            self._process = None
            end_worker(process)
            raise
        finally:
            timer.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        process = start_worker(f"{__package__}.template_worker")
        weakref.finalize(self, end_worker, process)
        assert process.stdout
        if not process.stdout.readline():
            raise TokenizerError("the process that renders chat templates doesn't start; what it said stands above")
        self._process = process
        return process


def read_chat_template(folder: Path, config: Mapping[str, Any]) -> ChatTemplate | None:
    """The template that a tokenizer's folder brings: a file of its own, else in its tokenizer_config.json; or None."""
    named: dict[str, str] = {}
    match config.get("chat_template"):
        case str(source):
            named["default"] = source
        case list(entries):
            named = {
                one["name"]: one["template"] for one in entries if isinstance(one, dict) and one.keys() >= {"name", "template"}
            }
    path = folder / TEMPLATE_FILE
    with contextlib.suppress(FileNotFoundError):
        try:
            if path.stat().st_size > LARGEST_TEMPLATE:
                raise TokenizerError(
                    f"{path} has {path.stat().st_size:,} bytes; more than {LARGEST_TEMPLATE:,} is no chat template"
                )
            named["default"] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{path} is not UTF-8 text (byte {error.start}); fetch it anew") from error
    if not all(isinstance(text, str) for pair in named.items() for text in pair):
        raise TokenizerError(f"{folder}: its chat templates are no texts with names; fetch its tokenizer_config.json anew")
    return ChatTemplate(named.pop("default"), named) if "default" in named else None


class Marks:
    """A character that no message has, in the place of each special token that a message spells: the template never sees the
    token, so nothing that it does with a message can bring it about."""

    def __init__(self, messages: Sequence[Message], special: Collection[str]):
        said = json.dumps(list(messages), ensure_ascii=False)
        self._unused = (character for character in map(chr, range(0xF0000, 0x10FFFE)) if character not in said)
        self._longest_first = "|".join(re.escape(text) for text in sorted(special, key=len, reverse=True)) or "(?!)"
        self._special = re.compile(self._longest_first)
        self._mark_of: dict[str, str] = {}

    def put(self, value: Any) -> Any:
        """The same JSON value with marks for its spelled special tokens."""
        if isinstance(value, str):
            return self._special.sub(self._mark, value)
        if isinstance(value, Mapping):
            return {self.put(key): self.put(inner) for key, inner in value.items()}
        return [self.put(inner) for inner in value] if isinstance(value, list | tuple) else value

    def stretches(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """The rendered text as it was spelled, in stretches; and of each whether it is text alone, whatever it spells.

        A stretch of text lies between two special tokens that the template wrote; all else is one stretch with them.
        """
        text_of = {mark: text for text, mark in self._mark_of.items()}
        waiting, text, spells, place = "", "", False, 0
        for found in re.finditer(f"[{''.join(text_of)}]|({self._longest_first})" if text_of else "(?!)", rendered):
            text += rendered[place : found.start()]
            place = found.end()
            if found[1] is None:
                text, spells = text + text_of[found[0]], True
            elif spells:
                yield waiting, False
                yield text, True
                waiting, text, spells = found[1], "", False
            else:
                waiting, text = waiting + text + found[1], ""
        text += rendered[place:]
        if spells:
            yield waiting, False
            yield text, True
        else:
            yield waiting + text, False

    def _mark(self, found: re.Match[str]) -> str:
        if found[0] not in self._mark_of:
            self._mark_of[found[0]] = next(self._unused)
        return self._mark_of[found[0]]
