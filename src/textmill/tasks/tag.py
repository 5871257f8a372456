"""A tag for each word, and the entities that the tags make: names of people, places, products.

task = textmill.tasks.Tag()
model = task.train("sample:minilm", "train.conll", test="test.conll", out="runs/names")
model("Ada Lovelace lived in London .").entities
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ..errors import TaskError
from ..evaluation.entities import entity_f1, kind_name, plain_f1
from ..evaluation.label_metrics import accuracy
from ..files import fingerprint
from ..formats.model_folder import ModelFolder, load_model_folder
from ..inference.tag import OF_TOKENS, Asked, TaggedWords, emissions_of, inputs_of, room_for
from ..models.settings import ModelSettings
from ..models.task import Task, TaskConfig
from ..report.task_page import write_task_page
from ..score import F1_SHORTFALL
from ..tokens.loader import IGNORED
from ..tokens.tags import LETTERS, OUTSIDE, Entity, Scheme, tags_of
from ..tokens.texts import TextTokens
from ..tokens.tokenizer import Tokenizer
from ..tokens.words import WordTokens, joined, tokens_of_words
from ..training.labels import balanced_weights
from .application import Application
from .augmentation import augmented, edited_tagging, words_outside
from .dictionary import EntityDictionary
from .examples import Split, divide
from .judged import Judged
from .labelled import Reading
from .learning import Learning, chosen_base, learn_task
from .settings import TaskRecipe
from .tagged import TaggedText, read_tagged

MOST_MISTAKES = 50
PLAIN = Reading()
USUAL = TaskRecipe(model=ModelSettings(architecture="bilstm", preset="1m"))


@dataclass(frozen=True)
class Tagger:
    """A model folder with a head for labels of tokens, ready to be asked."""

    folder: ModelFolder

    @classmethod
    def load(cls, path: str | Path) -> "Tagger":
        """Of a model folder, or of the folder that a task was learnt in. Raises TaskError where it labels no tokens."""
        folder = load_model_folder(path)
        if folder.task is None or folder.task.config.kind not in OF_TOKENS:
            raise TaskError(f"{folder.path} has no head for labels of tokens")
        return cls(folder)

    def __call__(self, text: str | Sequence[str]) -> TaggedWords:
        return self.predict([text])[0]

    def predict(self, texts: Sequence[str | Sequence[str]], longest: int | None = None) -> list[TaggedWords]:
        """What it says of each text, or of words as they are given. What has more than `longest`
        tokens, or than the model's context, is read in windows that overlap."""
        assert self.folder.task is not None
        asked = Asked(self.folder.task, self.folder.tokenizer, texts, longest)
        return asked.tagged(emissions_of(asked))


class Tag(Application[TaggedText, Tagger]):
    """The task: learns from tagged words to tag others. `usual`: the recipe where none is given."""

    name: ClassVar = "tag"
    usual: ClassVar[TaskRecipe] = USUAL
    asked: ClassVar = 'predict {folder} "a text"'

    def __init__(self, recipe: TaskRecipe = USUAL, reading: Reading = PLAIN):
        self.recipe, self.reading = recipe, reading

    def read(self, data: str | Path, test: str | Path | None = None, validation: str | Path | None = None) -> Split[TaggedText]:
        """The sentences of these files, checked; `report` tells what was found. Raises TaskError with all that is wrong."""
        return divide(lambda path: read_tagged(path, self.reading), data, test, validation, self.recipe.learn.validation)

    def learn(
        self, base: str | Path | None, split: Split[TaggedText], out: str | Path, restart: bool = False, judging: bool = True
    ) -> Tagger:
        """Learn from sentences that are read already, be judged by the test where `judging`, and write the folder `out`."""
        learn = self.recipe.learn
        if learn.crf and (learn.class_weights != "none" or learn.label_smoothing):
            raise TaskError(
                "learn.crf tells the tags of a sentence together: leave learn.class_weights and label_smoothing out"
            )
        if learn.augment and "mask" in learn.augment_by:
            raise TaskError(
                'learn.augment_by "mask" may put one word in another\'s place that is tagged; leave it out of tagging'
            )
        characters, scheme = split.training[0].characters, split.training[0].scheme
        kinds = sorted({kind for example in split.training for kind in example.labels})
        labels = (OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in LETTERS[scheme]))
        config = TaskConfig("chain" if learn.crf else "token", labels, characters)
        if problems := list(config.problems()):
            raise TaskError(*problems)
        chosen = chosen_base(base, [example.text for example in split.training], self._recipe(characters))
        training = Encoding(
            augmented(split, learn, edited_tagging, words_outside),
            chosen.tokenizer,
            scheme,
            labels,
            room_for(chosen.body, chosen.tokenizer, learn.longest),
        )
        held_out = Encoding(split.validation, chosen.tokenizer, scheme, labels, training.room)
        if told := training.told():
            print(told)
        weights = None
        if learn.class_weights == "balanced":
            targets = torch.from_numpy(np.concatenate([text.target for text in training.texts]))
            weights = balanced_weights(targets[targets != IGNORED], len(labels))
        learning = Learning(
            base=chosen,
            task=config,
            learn=learn,
            training=training.texts,
            validation=held_out.texts,
            class_weights=weights,
            shown=lambda task: _shown(task, chosen.tokenizer, split.validation[0]),
            validate=_shortfall(split.validation, chosen.tokenizer, learn.longest),
            figure=F1_SHORTFALL,
            lineage={"base": chosen.name, "data": hash_of([*split.training, *split.validation]), "scheme": scheme},
        )
        model = Tagger.load(learn_task(learning, Path(out), restart))
        if split.test and judging:
            judged = judge(model, split, scheme, learn.longest)
            print(judged)
            judged.write(Path(out))
            print(f"  {write_task_page(Path(out))}: open it in a browser")
        return model

    def _recipe(self, characters: bool) -> TaskRecipe:
        """The recipe; where characters are tagged, with characters in place of words as tokens."""
        tokenizer = self.recipe.tokenizer
        if not characters or tokenizer.kind != "word":
            return self.recipe
        return self.recipe.model_copy(update={"tokenizer": tokenizer.model_copy(update={"kind": "character"})})


def hash_of(examples: Sequence[TaggedText]) -> str:
    """Of words and entities."""
    return fingerprint([[example.words, example.entities] for example in examples])[:12]


class Encoding:
    """Sentences as `texts` of tokens with a target for each: the number of its word's tag for a word's first token, where it is
    among `labels`, else none. More than `room` tokens are read in windows that overlap, and each word is asked for once."""

    def __init__(self, examples: Sequence[TaggedText], tokenizer: Tokenizer, scheme: Scheme, labels: Sequence[str], room: int):
        numbers = {label: number for number, label in enumerate(labels)}
        self.room, self.texts = room, list[TextTokens]()
        self.parted = self.without_tokens = 0
        characters = examples[0].characters if examples else False
        sentences: list[WordTokens] = tokens_of_words(tokenizer, [example.words for example in examples], characters)
        for example, sentence in zip(examples, sentences, strict=True):
            tags = tags_of(example.entities, len(example.words), scheme)
            pieces = inputs_of(sentence, tokenizer, room)
            self.parted += len(pieces) > 1
            self.without_tokens += sum(first < 0 for first in sentence.firsts)
            for piece in pieces:
                target = np.full(len(piece.tokens), IGNORED)
                for word, place in piece.asked:
                    target[place] = numbers.get(tags[word], IGNORED)
                if (target != IGNORED).any():
                    self.texts.append(TextTokens(np.array(piece.tokens), target))

    def told(self) -> str:
        """What is to be known of it: a line each."""
        lines = []
        if self.parted:
            lines.append(
                f"  {self.parted:,} training sentences of more than {self.room} tokens are read in windows that overlap"
            )
        if self.without_tokens:
            lines.append(f"  {self.without_tokens:,} words have no token in this tokenizer, and are taken for {OUTSIDE}")
        return "\n".join(lines)


def judge(model: Tagger, split: Split[TaggedText], scheme: Scheme, longest: int | None = None) -> Judged:
    """The model's scores on the test sentences, beside those of the dictionary of training entities."""
    signature = {
        "data": hash_of([*split.training, *split.validation]),
        "test": hash_of(split.test),
        "sentences": len(split.test),
    }
    found = model.predict([example.words for example in split.test], longest)
    wanted = [list(example.entities) for example in split.test]
    spans = [joined(example.words, example.characters)[1] for example in split.test]
    guessed = [_in_words(each, places) for each, places in zip(found, spans, strict=True)]
    scores = entity_f1(wanted, guessed, signature)
    right = [
        one == other
        for example, each in zip(split.test, found, strict=True)
        for one, other in zip(tags_of(example.entities, len(example.words), scheme), each.tags, strict=True)
    ]
    dictionary = EntityDictionary([*split.training, *split.validation])
    baseline = entity_f1(wanted, [dictionary.entities(example.words) for example in split.test], signature)
    of_kinds = [score for name, score in scores.items() if kind_name(name)]
    chief = [scores[name] for name in ("F1", "precision", "recall")]
    return Judged(
        scores=[*chief, accuracy(right, signature), *of_kinds],
        baselines={"dictionary of training entities": list(baseline.values())},
        more=_errors(split.test, found, guessed),
    )


def _in_words(found: TaggedWords, spans: Sequence[tuple[int, int]]) -> list[Entity]:
    begins, ends = {begin: n for n, (begin, _) in enumerate(spans)}, {end: n + 1 for n, (_, end) in enumerate(spans)}
    return [Entity(entity.kind, begins[entity.start], ends[entity.end]) for entity in found.entities]


def _errors(test: Sequence[TaggedText], found: Sequence[TaggedWords], guessed: Sequence[list[Entity]]) -> dict[str, Any]:
    """The most confident mistakes, and which kind was taken for which: what a page shows."""
    mistakes: list[dict[str, Any]] = []
    confusions: Counter[tuple[str, str]] = Counter()
    for example, each, entities in zip(test, found, guessed, strict=True):
        wanted = {(entity.begin, entity.end): entity.kind for entity in example.entities}
        said = {(entity.begin, entity.end): entity.kind for entity in entities}
        for place in wanted.keys() | said.keys():
            one, other = wanted.get(place, OUTSIDE), said.get(place, OUTSIDE)
            confusions[one, other] += one != other
        for entity, detail in zip(entities, each.entities, strict=True):
            kind = wanted.get((entity.begin, entity.end), OUTSIDE)
            if kind != entity.kind:
                mistakes.append(
                    {
                        "text": example.text,
                        "file": example.file,
                        "line": example.line,
                        "label": f"{detail.text}: {kind}",
                        "said": f"{detail.text}: {entity.kind}",
                        "probability": detail.probability,
                    }
                )
    mistakes.sort(key=lambda mistake: -mistake["probability"])
    often = [{"label": one, "said": other, "count": count} for (one, other), count in confusions.most_common() if count]
    return {"mistakes": mistakes[:MOST_MISTAKES], "confusions": often[:MOST_MISTAKES]}


def _shortfall(examples: Sequence[TaggedText], tokenizer: Tokenizer, longest: int | None) -> Callable[[Task], float]:
    """What the F1 on these sentences lacks: by it the best weights are chosen."""
    wanted = [example.entities for example in examples]

    def shortfall(task: Task) -> float:
        asked = Asked(task, tokenizer, [example.words for example in examples], longest)
        told = asked.told(emissions_of(asked), likely=False)
        return 1 - plain_f1(wanted, [[entity for entity, _ in each.entities] for each in told])

    return shortfall


def _shown(task: Task, tokenizer: Tokenizer, example: TaggedText) -> str:
    asked = Asked(task, tokenizer, [example.words])
    return str(asked.tagged(emissions_of(asked))[0])
