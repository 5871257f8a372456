"""Conversations as tokens in which the answers are asked for and nothing else, by exact spans of the chat template; and their
batches, in which several share a row without seeing one another.

A conversation is never cut but behind an answer. Batch `step` is a function of (conversations, seed, step).
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import TokenizerError
from .chat_template import ChatTemplate, Message
from .loader import IGNORED, Batch
from .texts import TextLoader, padded
from .tokenizer import Tokenizer

# For a model that comes without one. A special token ends each message, and no text becomes one, so nobody can write a turn
# into his message.
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] + '\n' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class DialogueTokens:
    """A conversation's tokens (T,) up to its last answer's end, and of each whether it belongs to an answer, (T,) bool.

    `answers`: of each answer the place behind its last token, and how many bytes its text has.
    """

    tokens: np.ndarray
    asked: np.ndarray
    answers: tuple[tuple[int, int], ...]

    @property
    def answer_bytes(self) -> int:
        """Of all answers together."""
        return sum(size for _, size in self.answers)

    def within(self, longest: int) -> "DialogueTokens | None":
        """As many of its turns as have `longest` tokens at most; None where not even the first answer ends by then."""
        kept = tuple(answer for answer in self.answers if answer[0] <= longest)
        if len(kept) == len(self.answers):
            return self
        return DialogueTokens(self.tokens[: kept[-1][0]], self.asked[: kept[-1][0]], kept) if kept else None

    def last_answer(self) -> "DialogueTokens":
        """The same, in which the last answer alone is asked for."""
        asked = self.asked.copy()
        asked[: self.answers[-2][0] if len(self.answers) > 1 else 0] = False
        return DialogueTokens(self.tokens, asked, self.answers[-1:])


def with_template(tokenizer: Tokenizer) -> bool:
    """Give a tokenizer that has no chat template the plain one; whether it was given. Raises TokenizerError where it has no
    token that could end a message."""
    if tokenizer.chat_template is not None:
        return False
    if tokenizer.eos_id is None:
        raise TokenizerError("the base's tokenizer has neither a chat template nor a token that ends a text; take another base")
    tokenizer.chat_template = ChatTemplate(PLAIN_TEMPLATE)
    return True


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> DialogueTokens:
    """The tokens that the chat template makes of a conversation, and which of them are the assistant's answers: what follows
    the template's own invitation to answer, up to the first token at which generation ends.

    What an assistant says before anybody asked is no answer. Raises TokenizerError where the template writes something else
    for a conversation's beginning once it goes on, where it ends answers by no such token, or where nothing is asked.
    """
    text, ids, spans = tokenizer.encode_chat_with_spans(messages)
    begins, ends = (np.array([span[side] for span in spans]) for side in (0, 1))
    is_end = np.isin(ids, list(tokenizer.end_ids))
    asked, answers = np.zeros(len(ids), dtype=bool), []
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or not any(before["role"] == "user" for before in messages[:place]):
            continue
        before = tokenizer.chat_text(messages[:place])
        after = tokenizer.chat_text(messages[: place + 1], False) if place + 1 < len(messages) else text
        if not (after.startswith(before) and text.startswith(after)):
            raise TokenizerError(
                f"the chat template writes the conversation's beginning otherwise once message {place + 1} and what follows it "
                "are there, so what the model would learn isn't what it is asked later; give each answer a conversation of "
                "its own, or the model another template"
            )
        inside = np.flatnonzero((begins >= len(before)) & (ends <= len(after)))
        stops = inside[is_end[inside]]
        if not len(stops):
            raise TokenizerError(
                "the chat template ends an answer by no token at which generation ends, so the model would never learn to "
                "stop; give it a template that writes its EOS token behind each answer"
            )
        asked[inside[0] : stops[0] + 1] = True
        answers.append((int(stops[0]) + 1, len(text[len(before) : begins[stops[0]]].encode())))
    if not answers:
        raise TokenizerError("the conversation holds no answer of the assistant to a message of the user")
    end = answers[-1][0]
    return DialogueTokens(np.array(ids[:end]), asked[:end], tuple(answers))


def packed(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Places of conversations that share a row of at most `room` tokens, row by row: the longest first, each into the fullest
    row that takes it."""
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # what is left of each row, and its number; sorted
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        found = bisect.bisect_left(rooms, (lengths[place], -1))
        left, row = rooms.pop(found) if found < len(rooms) else (room, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(place)
        bisect.insort(rooms, (left - lengths[place], row))
    return rows


def dialogue_batch(dialogues: Sequence[DialogueTokens], room: int = 0) -> Batch:
    """Conversations as a batch, padded at the right: each in a row of its own, or several in rows of up to `room` tokens, each
    of which then is a segment that sees itself alone."""
    lengths = [len(each.tokens) - 1 for each in dialogues]
    rows = packed(lengths, max(room, *lengths)) if room else [[place] for place in range(len(dialogues))]
    inputs, targets, positions, segments = (list[np.ndarray]() for _ in range(4))
    for row in rows:
        chosen = [dialogues[place] for place in row]
        inputs.append(np.concatenate([each.tokens[:-1] for each in chosen]))
        targets.append(np.concatenate([np.where(each.asked[1:], each.tokens[1:], IGNORED) for each in chosen]))
        positions.append(np.concatenate([np.arange(len(each.tokens) - 1) for each in chosen]))
        segments.append(np.repeat(np.arange(len(row)), [lengths[place] for place in row]))
    shared = any(len(row) > 1 for row in rows)
    counted = padded(targets, IGNORED)
    return Batch(
        inputs=padded(inputs, 0),
        targets=counted,
        positions=padded(positions, 0) if shared else torch.arange(counted.size(1)).expand_as(counted),
        segments=padded(segments, -1).int() if shared else None,
        source=torch.zeros(len(rows), dtype=torch.int32),
        continues=torch.zeros(len(rows), dtype=torch.bool),
        tokens=int((counted != IGNORED).sum()),
    )


class DialogueLoader(TextLoader):
    """The batches of conversations under one seed: `batch_size` whole ones each, of like lengths. Short ones share a row of
    `room` tokens, or as many as the batch's longest has; with 0 each has a row of its own, as a model needs that knows no
    segments."""

    def __init__(self, dialogues: Sequence[DialogueTokens], batch_size: int, seed: int, room: int):
        super().__init__(dialogues, batch_size, seed)  # type: ignore[arg-type]
        self.dialogues, self.room = dialogues, room
        self.counts = np.array([int(each.asked.sum()) for each in dialogues])

    def batch(self, step: int) -> Batch:  # type: ignore[override]
        """Batch number `step`, counted from 0; epochs follow each other without a gap."""
        epoch, number = divmod(step, self.steps_per_epoch)
        return dialogue_batch([self.dialogues[place] for place in self._order(epoch)[number]], self.room)

    def tokens_before(self, step: int) -> int:
        """How many tokens of answers the batches before this one ask for."""
        return self._before(step, self.counts)
