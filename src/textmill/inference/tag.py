"""What a model with a head for tokens says of words: a tag for each, and the entities that the tags make, with probabilities.

Tags are told together: the likeliest path that their scheme allows, by a CRF's scores where the head has one.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..models.crf import Chain
from ..models.heads import ChainHead
from ..models.language_model import LanguageModel
from ..models.task import Task
from ..tokens.tags import OUTSIDE, Entity, entities_of, marks_ends
from ..tokens.tokenizer import Tokenizer
from ..tokens.words import NO_TOKEN, WordTokens, joined, split_words, tokens_of_words, windows
from .reading import read_alone

OF_TOKENS = ("token", "chain")  # tasks whose head says something of each token
SHOWN_CHARACTERS = 80
LONGEST = 512  # tokens that are read together, where the model's context isn't shorter


@dataclass(frozen=True, eq=False)
class Emissions:
    """Wanted of a reading: what the head gives for each token, (T, labels)."""

    task: Task | None

    def problem(self, model: LanguageModel) -> str | None:
        """Why this model can't give it; None where it can."""
        if self.task is None:
            return f"this is {model.kind} that has no head for labels of tokens"
        if (kind := self.task.config.kind) not in OF_TOKENS:
            return f"this is {model.kind} whose head is of the kind {kind}, which labels no tokens"
        return None

    def of(self, model: LanguageModel, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Of hidden states (T, D)."""
        assert self.task is not None
        return self.task.model.head(hidden[None], tokens.new_tensor([len(tokens)]))[0].float()


@dataclass(frozen=True)
class Told:
    """A sentence's tags, one a word, and its entities, each with its probability."""

    tags: list[str]
    entities: list[tuple[Entity, float]]


@dataclass(frozen=True)
class FoundEntity:
    """An entity: its kind, its text, the characters `[start, end)` of the text where it stands, and how likely it is there."""

    kind: str
    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class TaggedWords:
    """A text's words with a tag for each, and its entities."""

    text: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    entities: tuple[FoundEntity, ...]

    def __str__(self) -> str:
        told = (f"{entity.text} [{entity.kind} {entity.probability:.0%}]" for entity in self.entities)
        return f"{self.text[:SHOWN_CHARACTERS]}: {', '.join(told) or 'nothing'}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "text": self.text,
            "words": [{"word": word, "tag": tag} for word, tag in zip(self.words, self.tags, strict=True)],
            "entities": [dataclasses.asdict(entity) for entity in self.entities],
        }


class Asked:
    """Texts, or words as they are given, that a model with a head for labels of tokens is asked about: `inputs` are to be read,
    and what the head gives for each is `told`. What has more than `longest` tokens, or than the model's context, is read in
    windows that overlap."""

    def __init__(self, task: Task, tokenizer: Tokenizer, texts: Sequence[str | Sequence[str]], longest: int | None = None):
        characters = task.config.characters
        self.task = task
        self.texts = [
            (text, split_words(text, characters)) if isinstance(text, str) else joined(text, characters) for text in texts
        ]
        self.words = [[text[begin:end] for begin, end in spans] for text, spans in self.texts]
        self.sentences = tokens_of_words(tokenizer, self.words, characters)
        room = room_for(task.model.body, tokenizer, longest)
        self.pieces = [inputs_of(sentence, tokenizer, room) for sentence in self.sentences]

    @property
    def inputs(self) -> list[list[int]]:
        """What the model reads: whole inputs, of a text none, one or several windows."""
        return [piece.tokens for pieces in self.pieces for piece in pieces]

    def told(self, emissions: Iterable[Tensor], likely: bool = True) -> list[Told]:
        """Each text's tags and entities, with probabilities unless `likely` is false, which is faster."""
        chain, labels, given = chain_of(self.task), self.task.config.labels, iter(emissions)
        told = []
        for sentence, pieces in zip(self.sentences, self.pieces, strict=True):
            rows = torch.zeros(len(sentence.firsts), len(labels))
            for piece in pieces:
                found = next(given).cpu()
                for word, place in piece.asked:
                    rows[word] = found[place]
            told.append(decoded(rows, sentence.firsts, labels, chain, likely))
        return told

    def tagged(self, emissions: Iterable[Tensor]) -> list[TaggedWords]:
        """The same as words and places of characters."""
        found = []
        for (text, spans), words, told in zip(self.texts, self.words, self.told(emissions), strict=True):
            entities = []
            for (kind, begin, end), probability in told.entities:
                start, stop = spans[begin][0], spans[end - 1][1]
                entities.append(FoundEntity(kind, text[start:stop], start, stop, probability))
            found.append(TaggedWords(text, tuple(words), tuple(told.tags), tuple(entities)))
        return found


def emissions_of(asked: Asked) -> list[Tensor]:
    """What the head gives for each input. Raises GenerationError for a task that labels no tokens."""
    return read_alone(asked.task.model.body, asked.inputs, Emissions(asked.task))


def room_for(model: LanguageModel, tokenizer: Tokenizer, longest: int | None = None) -> int:
    """How many tokens of a sentence are read together, beside what frames them."""
    limit = min(longest or LONGEST, model.context_limit or LONGEST)
    return max(1, limit - len(tokenizer.prefix) - len(tokenizer.suffix))


@dataclass(frozen=True)
class Piece:
    """What is read of a sentence together: whole input, and which word is asked for at which place of it."""

    tokens: list[int]
    asked: list[tuple[int, int]]


def inputs_of(sentence: WordTokens, tokenizer: Tokenizer, room: int) -> list[Piece]:
    """A sentence as the inputs in which it is read: one, or windows that overlap."""
    known = [word for word, first in enumerate(sentence.firsts) if first != NO_TOKEN]
    if not known:
        return []
    begins = [sentence.firsts[word] for word in known] + [len(sentence.tokens)]
    begins[0] = 0
    sizes = [end - begin for begin, end in itertools.pairwise(begins)]
    pieces = []
    for window in windows(sizes, room):
        start = begins[window.begin]
        tokens = sentence.tokens[start : begins[window.end]][:room]
        asked = [
            (known[n], len(tokenizer.prefix) + sentence.firsts[known[n]] - start)
            for n in range(window.told_from, window.told_to)
        ]
        pieces.append(Piece([*tokenizer.prefix, *tokens, *tokenizer.suffix], asked))
    return pieces


def chain_of(task: Task) -> Chain:
    """How the labels of a head for tokens follow each other: as its CRF has learnt, or as their scheme allows."""
    head = task.model.head
    return head.chain if isinstance(head, ChainHead) else Chain(len(task.config.labels)).exclude(task.config.labels)


def decoded(emissions: Tensor, firsts: Sequence[int], labels: Sequence[str], chain: Chain, likely: bool = True) -> Told:
    """The tags of words with emissions (W, labels); words without a token are outside."""
    known = [word for word, first in enumerate(firsts) if first != NO_TOKEN]
    rows = emissions[known]
    path = chain.best_path(rows)
    own = [labels[label] for label in path]
    entities = entities_of(own)
    spans = [(entity.begin, path[entity.begin : entity.end]) for entity in entities]
    longer = _longer(spans, labels, len(path))
    asked = [*spans, *(span for span in longer if span)]
    found = chain.span_probabilities(rows, asked) if spans and likely else [1.0] * len(spans) + [0.0] * len(spans)
    further = iter(found[len(spans) :])
    tags = [OUTSIDE] * len(firsts)
    for word, label in zip(known, own, strict=True):
        tags[word] = label
    told = []
    for entity, probability, more in zip(entities, found, longer, strict=False):
        probability -= next(further) if more else 0.0
        told.append((Entity(entity.kind, known[entity.begin], known[entity.end - 1] + 1), max(0.0, probability)))
    return Told(tags, told)


def _longer(spans: list[tuple[int, list[int]]], labels: Sequence[str], words: int) -> list[tuple[int, list[int]] | None]:
    """For each entity the path on which it goes on by one word, where the scheme marks no ends; None where it can't."""
    numbers = {label: number for number, label in enumerate(labels)}
    found: list[tuple[int, list[int]] | None] = []
    for begin, path in spans:
        inside = numbers.get(f"I-{labels[path[0]][2:]}")
        open_ended = inside is not None and not marks_ends(labels) and begin + len(path) < words
        found.append((begin, [*path, inside]) if open_ended and inside is not None else None)
    return found
