"""Words replaced by what a masked encoder thinks likely in their places: edits that a dictionary couldn't make.

All chosen words of a text are masked at once and one of the likeliest is drawn for each, by its probability (Kobayashi 2018,
"Contextual Augmentation", without the label).
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from ..errors import TaskError
from ..evaluation.words import word_spans, words_of
from ..formats.model_folder import load_model_folder
from ..formats.sources import model_path
from ..inference.fill import MaskedTokens, masked_input
from ..inference.reading import read_alone, unreadable
from ..tokens.special_tokens import MASK

LIKELIEST = 10  # tokens of which one is drawn


class MaskedWords:
    """A masked encoder that edits texts. Raises TaskError for a model that guesses no masked words."""

    def __init__(self, name: str | Path):
        folder = load_model_folder(model_path(name))
        self.model, self.tokenizer = folder.model, folder.tokenizer
        self.wanted = MaskedTokens(self.tokenizer, LIKELIEST)
        if folder.task is not None or (problem := self.wanted.problem(self.model)):
            reason = "it is made for a task" if folder.task is not None else problem
            raise TaskError(f"learn.augment_model = {str(name)!r} can't replace words: {reason}")

    def edited(self, texts: Sequence[str], share: float, chances: Sequence[Random]) -> list[str]:
        """The texts, a share of each one's words replaced, at least one; what is too long for the encoder stays as it is."""
        places = [_masked_places(text, share, chance) for text, chance in zip(texts, chances, strict=True)]
        inputs = {
            number: masked_input(self.tokenizer, _masked(text, masked))
            for number, (text, masked) in enumerate(zip(texts, places))
            if masked and not {MASK, self.tokenizer.special.mask} & set(text.split())
        }
        readable = [number for number, tokens in inputs.items() if unreadable(self.model, tokens) is None]
        found = read_alone(self.model, [inputs[number] for number in readable], self.wanted) if readable else []
        edited = list(texts)
        for number, guesses in zip(readable, found, strict=True):
            edited[number] = self._replaced(texts[number], places[number], guesses, chances[number])
        return edited

    def _replaced(self, text: str, places: Sequence[tuple[int, int]], guesses: Sequence[Sequence], chance: Random) -> str:
        parts, written = [], 0
        for (begin, end), candidates in zip(places, guesses, strict=True):
            old = text[begin:end]
            new = {each.text.strip(): each.probability for each in candidates if words_of(each.text) == [each.text.strip()]}
            new.pop(old, None)
            drawn = chance.choices(list(new), weights=list(new.values()))[0] if new else old
            parts += [text[written:begin], drawn]
            written = end
        return "".join([*parts, text[written:]])


def _masked_places(text: str, share: float, chance: Random) -> list[tuple[int, int]]:
    """Where the words stand that are to be masked, in their order."""
    spans = word_spans(text)
    return sorted(chance.sample(spans, max(1, round(share * len(spans))))) if spans else []


def _masked(text: str, places: Sequence[tuple[int, int]]) -> str:
    parts, written = [], 0
    for begin, end in places:
        parts += [text[written:begin], MASK]
        written = end
    return "".join([*parts, text[written:]])
