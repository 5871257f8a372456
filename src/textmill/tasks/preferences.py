"""Pairs of answers from files, one of which is preferred: .jsonl, a conversation and two answers to it, or two transcripts that
differ in their last answer alone, as hh-rlhf has them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TaskError
from ..tokens.chat_template import Message
from .dialogues import checked_messages, spoken
from .examples import Found, decoded
from .json_lines import LeftOut, Malformed, json_lines

FORM = (
    'write {"prompt": "a question", "chosen": "the better answer", "rejected": "the other"}, with "messages" in the place of '
    '"prompt" where more was said before, or two transcripts "\\n\\nHuman: …\\n\\nAssistant: …" as chosen and rejected'
)
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


@dataclass(frozen=True)
class Preference:
    """A conversation, the answer to it that is preferred and the other, and where they stand."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    file: str = ""
    line: int = 0

    @property
    def text(self) -> str:
        """What is answered: pairs of answers to the same are learnt from together, or not at all."""
        return spoken(self.messages)

    @property
    def labels(self) -> tuple[str, ...]:
        """None: the preference is all there is to learn."""
        return ()


def read_preferences(path: str | Path, encoding: str = "utf-8") -> Found[Preference]:
    """The pairs of a .jsonl. Raises TaskError with the lines that can't be read."""
    path, found = Path(path), Found[Preference]()
    for number, (messages, chosen, rejected) in json_lines(path, decoded(path, encoding), FORM, _pair, found.left_out):
        found.examples.append(Preference(tuple(messages), chosen, rejected, str(path), number))
    if not found.examples:
        raise TaskError(f"{path} holds no pair of answers; {FORM}, one a line")
    return found


def _pair(value: dict[str, Any]) -> tuple[list[Message], str, str]:
    chosen, rejected = value.get("chosen"), value.get("rejected")
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise Malformed(f"`chosen` and `rejected` are to be texts; {FORM}")
    if "messages" in value:
        messages = checked_messages(value["messages"], FORM)
    elif "prompt" in value:
        messages = checked_messages([{"role": "user", "content": value["prompt"]}], FORM)
    else:
        messages, chosen, rejected = _transcripts(chosen, rejected)
    if messages[-1]["role"] != "user":
        raise Malformed("the last message isn't the user's, so that there is nothing to answer")
    if not chosen.strip() or not rejected.strip():
        raise LeftOut("an empty answer")
    if chosen == rejected:
        raise LeftOut("both answers are the same")
    return messages, chosen, rejected


def _transcripts(chosen: str, rejected: str) -> tuple[list[Message], str, str]:
    """Two transcripts' shared beginning, and the last answer of each."""
    (*before, better), (*other, worse) = (_turns(text) for text in (chosen, rejected))
    if before != other or not before:
        raise LeftOut("the two conversations differ before their last answers")
    if better["role"] != "assistant" or worse["role"] != "assistant":
        raise Malformed(f"a transcript doesn't end with the assistant's answer; {FORM}")
    if any(not message["content"] for message in before):
        raise LeftOut("an empty message before the answers")
    return list[Message](before), better["content"], worse["content"]


def _turns(text: str) -> list[dict[str, str]]:
    begin, *parts = TURN.split(text)
    if begin.strip() or not parts:
        raise Malformed(f"neither a prompt, nor messages, nor transcripts that begin with Human:; {FORM}")
    return [
        {"role": SPEAKERS[speaker], "content": content.strip()}
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
