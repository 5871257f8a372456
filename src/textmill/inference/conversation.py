"""A conversation as data: who added which text, and what of it the model sees next. No terminal, no model.

A base model continues a text, so its conversation is one running text that the user and the model write by turns. A model
with a chat template answers messages. The class that turns the turns into a prompt owns the difference.
"""

import bisect
import unicodedata
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import GenerationError
from ..tokens.chat_template import Message
from ..tokens.tokenizer import Tokenizer

APPEND_WITHOUT_SPACE = ("Pc", "Pe", "Pf", "Po")  # categories of punctuation that follows a word closely


@dataclass(frozen=True)
class Turn:
    """What the user typed and what the model wrote upon it. `closed`: the model ended the document, or its answer, there."""

    typed: str
    written: str
    closed: bool = False


@dataclass(frozen=True)
class View:
    """What the model sees next: a text, or a whole input's tokens. `hidden` says in words what is out of its sight."""

    prompt: str | list[int]
    hidden: str = ""


class Presentation(Protocol):
    """How a conversation is written: the running text of a base model, or messages in a chat template."""

    def view(self, tokenizer: Tokenizer, turns: list[Turn], typed: str, room: int) -> View:
        """What the model goes on from, once `typed` is added: at most `room` tokens of it, the newest."""

    def text(self, turns: list[Turn]) -> str:
        """All that was typed and written, for a reader."""


class RunningText:
    """A base model's conversation: what both wrote, as one text. A document that the model closed is left behind."""

    def prompt(self, turns: list[Turn], typed: str) -> str:
        """The text that the model goes on from."""
        text = ""
        for turn in turns:
            text = "" if turn.closed else joined(text, turn.typed) + turn.written
        return joined(text, typed)

    def view(self, tokenizer: Tokenizer, turns: list[Turn], typed: str, room: int) -> View:
        """The end of the text."""
        sight = in_sight(tokenizer, self.prompt(turns, typed), room)
        hidden = (
            f"it sees the last {sight.tokens:,} of the text's {sight.tokens + sight.dropped_tokens:,}, not its first "
            f"{sight.dropped_characters:,} characters"
        )
        return View(sight.text, hidden if sight.dropped_tokens else "")

    def text(self, turns: list[Turn]) -> str:
        """The documents, parted by a blank line."""
        documents, text = [], ""
        for turn in turns:
            text = joined(text, turn.typed) + turn.written
            if turn.closed:
                documents.append(text)
                text = ""
        return "\n\n".join([*documents, text] if text else documents)


@dataclass(frozen=True)
class Messages:
    """A conversation with a model that answers, in its chat template. `system` says beforehand how it is to answer. Where
    not all of it fits, the oldest turns go first, each with its answer."""

    system: str | None = None

    def view(self, tokenizer: Tokenizer, turns: list[Turn], typed: str, room: int) -> View:
        """The newest messages. Raises GenerationError where the last one alone is too long."""

        def encoded(first: int) -> list[int]:
            return tokenizer.encode_chat([*self._messages(turns[first:]), {"role": "user", "content": typed}])

        first = bisect.bisect_left(range(len(turns)), True, key=lambda dropped: len(encoded(dropped)) <= room)
        if len(ids := encoded(first)) > room:
            raise GenerationError(
                f"the message is {len(ids):,} tokens long, and there is room for {room:,}; say it in fewer words"
            )
        return View(ids, f"it doesn't see the first {first} of {len(turns)} turns" if first else "")

    def text(self, turns: list[Turn]) -> str:
        """Each message behind its role, parted by blank lines."""
        return "\n\n".join(f"{message['role']}: {message['content']}" for message in self._messages(turns))

    def _messages(self, turns: list[Turn]) -> list[Message]:
        said: list[Message] = [] if self.system is None else [{"role": "system", "content": self.system}]
        for turn in turns:
            said += [{"role": "user", "content": turn.typed}, {"role": "assistant", "content": turn.written}]
        return said


def joined(text: str, typed: str) -> str:
    """`typed` put behind `text`: with a space between two words, where the script parts words by spaces."""
    if not text or not typed or text[-1].isspace() or typed[0].isspace():
        return text + typed
    closes = unicodedata.category(typed[0]) in APPEND_WITHOUT_SPACE and typed[0] not in "\"'"
    return text + typed if closes or _unspaced(text[-1]) or _unspaced(typed[0]) else f"{text} {typed}"


def _unspaced(character: str) -> bool:
    """Whether `character` is of a script that is written without spaces: Han, kana, Thai and the like; or full-width."""
    name = unicodedata.name(character, "")
    return unicodedata.east_asian_width(character) in "WF" or name.startswith(("THAI ", "LAO ", "KHMER ", "MYANMAR "))


@dataclass
class Conversation:
    """The turns so far, and the seed of the next one: answer number n is drawn with seed + n, so the same lines give the
    same text again."""

    presentation: Presentation = field(default_factory=RunningText)
    turns: list[Turn] = field(default_factory=list)
    seed: int = 0
    answers: int = 0

    def next_seed(self) -> int:
        """The seed of the next answer."""
        self.answers += 1
        return (self.seed + self.answers - 1) % 2**64

    def reseed(self, seed: int) -> None:
        self.seed, self.answers = seed, 0

    def undo(self) -> Turn | None:
        """Take the last turn back, what was typed and what was written; None where there is none."""
        return self.turns.pop() if self.turns else None

    def text(self) -> str:
        """All that was typed and written."""
        return self.presentation.text(self.turns)


@dataclass(frozen=True)
class Sight:
    """The end of a prompt that fits into the context, and how much of the prompt lies before it, out of sight."""

    text: str
    tokens: int
    dropped_tokens: int
    dropped_characters: int


def in_sight(tokenizer: Tokenizer, prompt: str, room: int) -> Sight:
    """The longest end of `prompt` of at most `room` tokens, begun at a character, or at a word where one begins soon."""
    if not prompt:
        return Sight("", 0, 0, 0)
    [(ids, spans)] = tokenizer.encode_with_spans([prompt])
    if len(ids) <= room:
        return Sight(prompt, len(ids), 0, 0)
    start = spans[len(ids) - room][1]  # the token there may begin within a character; the next character is whole
    blank = next((place for place in range(start, min(start + 20, len(prompt))) if prompt[place].isspace()), None)
    text = prompt[start if blank is None else blank :]
    while len(kept := tokenizer.encode(text)) > room:  # cut elsewhere, a text may fall into more tokens
        text = text[1:]
    return Sight(text, len(kept), len(ids) - len(kept), len(prompt) - len(text))
