"""A vocabulary of single characters as a table of code points: a text's tokens are one look-up, where the library cuts it into
a word a character. Training, evaluation and the tokenizer's card read every text through it.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from .splitting import CHARACTER


class CharacterTable:
    """`vocabulary`: characters and their numbers, of which those in `special` are for no text; `unknown_id` stands for all
    others."""

    def __init__(self, vocabulary: Mapping[str, int], special: Collection[str], unknown_id: int):
        characters = {ord(text): id for text, id in vocabulary.items() if len(text) == 1 and text not in special}
        self._beyond = max(characters, default=0) + 1
        self._ids = np.full(self._beyond + 1, unknown_id, dtype=np.int64)
        self._ids[list(characters)] = list(characters.values())

    @classmethod
    def of(cls, content: Mapping[str, Any], special: Collection[str], unknown_id: int | None) -> "CharacterTable | None":
        """The table that a tokenizer.json stands for; None where it says more than that each character is looked up."""
        alone = {"type": "Split", "pattern": {"Regex": CHARACTER}, "behavior": "Isolated", "invert": False}
        model, added = content["model"], {token["content"] for token in content["added_tokens"]}
        if model["type"] != "WordLevel" or content["pre_tokenizer"] != alone or content["normalizer"] is not None:
            return None
        return None if unknown_id is None or added - set(special) else cls(model["vocab"], special, unknown_id)

    def ids(self, text: str) -> list[int]:
        """The number of each character of a text that UTF-8 can hold."""
        points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        found: list[int] = self._ids[np.minimum(points, self._beyond)].tolist()
        return found
