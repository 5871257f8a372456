"""What a tokenizer does to real text, in numbers: how short it makes it, script by script, and which tokens idle.

Text is read once, piece by piece, so memory doesn't grow with it.
"""

import functools
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from .tokenizer import Tokenizer

PIECE = 65_536  # characters encoded at a time
EXAMPLES = 10


def tokenizer_card(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, Any]:
    """Measure `tokenizer` on `texts` and return JSON values.

    `scripts` gives tokens per character (fertility) for each script. A token counts for the first letter or digit of
    the characters it stands for, else for its first character; the tokens of one character's bytes all count for it.
    `lost` shows what unknown tokens stood for most often. Ratios are None where the texts are empty.
    """
    uses = np.zeros(tokenizer.vocabulary_size, dtype=np.int64)
    lost: Counter[str] = Counter()
    characters_of: Counter[str] = Counter()
    tokens_of: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for text in texts:
        totals["texts"] += 1
        for piece in tokenizer.pieces(text, PIECE):
            [(ids, spans)] = tokenizer.encode_with_spans([piece])
            uses += np.bincount(np.array(ids, dtype=np.int64), minlength=len(uses))
            totals["bytes"] += len(piece.encode())
            totals["lost_bytes"] += tokenizer.lost_bytes(piece)
            for character, count in Counter(piece).items():
                characters_of[_script(character)] += count
            for stretch, count in Counter(piece[begin:end] for begin, end in spans).items():
                tokens_of[_script_of_stretch(stretch)] += count
            lost.update(piece[begin:end] for id, (begin, end) in zip(ids, spans) if id == tokenizer.unknown_id)
    tokens, characters = int(uses.sum()), characters_of.total()
    return {
        "kind": tokenizer.kind,
        "vocabulary_size": tokenizer.vocabulary_size,
        "hash": tokenizer.hash,
        "training": tokenizer.training,
        "texts": totals["texts"],
        "bytes": totals["bytes"],
        "characters": characters,
        "tokens": tokens,
        "bytes_per_token": _ratio(totals["bytes"], tokens),
        "characters_per_token": _ratio(characters, tokens),
        "unknown_share": _ratio(_unknown_uses(tokenizer, uses), tokens),
        "lost_bytes": totals["lost_bytes"],
        "lost": [stretch for stretch, _ in sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]],
        "scripts": {
            script: {
                "characters": count,
                "tokens": tokens_of[script],
                "tokens_per_character": _ratio(tokens_of[script], count),
            }
            for script, count in characters_of.most_common()
        },
        "never_used": _never_used(tokenizer, uses),
        "longest": [_show(tokenizer, id) for id in _by_length(tokenizer)[:EXAMPLES]],
    }


@functools.lru_cache(maxsize=65_536)
def _script(character: str) -> str:
    """The script of a letter by the first word of its Unicode name (`Latin`, `Han`, `Cyrillic`, …), else what it is."""
    if character.isspace():
        return "space"  # Unicode calls a line's end a control character
    category = unicodedata.category(character)[0]
    if category == "L":
        first = unicodedata.name(character, "UNNAMED").split()[0]
        return "Han" if first == "CJK" else first.capitalize()
    return {"N": "digits", "Z": "space", "C": "control", "M": "marks"}.get(category, "punctuation")


def _script_of_stretch(stretch: str) -> str:
    telling = (character for character in stretch if character.isalnum())
    return _script(next(telling, stretch[:1] or " "))


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None


def _unknown_uses(tokenizer: Tokenizer, uses: np.ndarray) -> int:
    return 0 if tokenizer.unknown_id is None else int(uses[tokenizer.unknown_id])


def _never_used(tokenizer: Tokenizer, uses: np.ndarray) -> dict[str, Any]:
    """Tokens that the texts never gave, special ones aside, and the first few of them."""
    idle = [int(id) for id in np.flatnonzero(uses == 0) if id not in tokenizer.special_ids]
    return {"count": len(idle), "examples": [_show(tokenizer, id) for id in idle[:EXAMPLES]]}


def _by_length(tokenizer: Tokenizer) -> list[int]:
    """The longest first, in characters as a person counts them; of equal ones, the earliest."""
    lengths = [len(tokenizer.token_bytes(id).decode("utf-8", "ignore")) for id in range(tokenizer.vocabulary_size)]
    return sorted(range(tokenizer.vocabulary_size), key=lambda id: (-lengths[id], id))


def _show(tokenizer: Tokenizer, id: int) -> str:
    """The token's text; bytes that are no whole character as `\\xe5`."""
    return tokenizer.token_bytes(id).decode("utf-8", "backslashreplace")
