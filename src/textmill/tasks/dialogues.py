"""Conversations from files to learn answers from: .jsonl, a conversation a line, or a question and its answer.

What can't be read is told with its line, all such lines of a file together; what is left out is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TaskError
from ..tokens.chat_template import Message
from .examples import Found, decoded
from .json_lines import Malformed, json_lines

ROLES = ("system", "user", "assistant")
FORM = (
    'write {"messages": [{"role": "user", "content": "a question"}, {"role": "assistant", "content": "its answer"}]} '
    'or {"prompt": "a question", "answer": "its answer"}'
)
NO_ANSWER = "no answer of the assistant to a message of the user"


@dataclass(frozen=True)
class Dialogue:
    """A conversation, up to its last answer, and where it stands: its file and line, counted from 1."""

    messages: tuple[Message, ...]
    file: str = ""
    line: int = 0

    @property
    def text(self) -> str:
        """All that is said, each message behind its role."""
        return spoken(self.messages)

    @property
    def labels(self) -> tuple[str, ...]:
        """None: what is to be learnt stands in the conversation."""
        return ()


def spoken(messages: Sequence[Message]) -> str:
    """Messages as one text."""
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def read_dialogues(path: str | Path, encoding: str = "utf-8") -> Found[Dialogue]:
    """The conversations of a .jsonl. Raises TaskError with the lines that can't be read."""
    path, found = Path(path), Found[Dialogue]()
    for number, messages in json_lines(path, decoded(path, encoding), FORM, _messages, found.left_out):
        kept = up_to_last_answer(messages)
        if not kept:
            found.left_out.setdefault(NO_ANSWER, []).append(number)
            continue
        if len(kept) < len(messages):
            found.left_out.setdefault("a last message without an answer, the rest was kept", []).append(number)
        found.examples.append(Dialogue(tuple(kept), str(path), number))
    if not found.examples:
        raise TaskError(f"{path} holds no conversation with an answer; {FORM}, one a line")
    return found


def checked_messages(value: Any, form: str) -> list[Message]:
    """A list of messages with a role and a text. Raises Malformed where it is something else."""
    if not isinstance(value, list) or not value or not all(isinstance(message, dict) for message in value):
        raise Malformed(f"`messages` is no list of messages; {form}")
    for message in value:
        if message.get("role") not in ROLES:
            raise Malformed(f"the role {message.get('role')!r}; write one of {', '.join(ROLES)}")
        if not isinstance(message.get("content"), str):
            raise Malformed(f"a message whose content is no text; {form}")
        if not message["content"].strip():
            raise Malformed("an empty message; leave it out, or say what it says")
        if unknown := sorted(message.keys() - {"role", "content"}):
            raise Malformed(f"a message with {', '.join(map(repr, unknown))} beside its role and content; leave that out")
    return [{"role": message["role"], "content": message["content"]} for message in value]


def up_to_last_answer(messages: Sequence[Message]) -> Sequence[Message]:
    """The messages up to the assistant's last answer to the user; none where there is no such answer."""
    asked = next((place for place, message in enumerate(messages) if message["role"] == "user"), len(messages))
    answers = [place for place, message in enumerate(messages) if place > asked and message["role"] == "assistant"]
    return messages[: answers[-1] + 1] if answers else []


def _messages(value: dict[str, Any]) -> list[Message]:
    if "messages" in value:
        return checked_messages(value["messages"], FORM)
    if isinstance(value.get("prompt"), str) and isinstance(value.get("answer"), str):
        pair = [{"role": "user", "content": value["prompt"]}, {"role": "assistant", "content": value["answer"]}]
        return checked_messages(pair, FORM)
    raise Malformed(f"neither messages nor a prompt with its answer; {FORM}")
