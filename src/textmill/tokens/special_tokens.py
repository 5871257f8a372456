"""Which tokens of a vocabulary play a part that no text plays: begin, end, padding, unknown, mask; and who says so.

A tokenizer made here has the names below. One from elsewhere has its own, told by the files that lie beside it.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TokenizerError
from ..files import read_foreign_json

END_OF_TEXT = "<|endoftext|>"  # begins a text, ends it, and stands between two documents
UNKNOWN = "<|unknown|>"
PAD = "<|pad|>"
MASK = "<|mask|>"
SPAN = "<|span_{}|>"  # number 0, 1, …: what stands for a cut-out span of text, and before it in the answer

CONFIG_FILE = "tokenizer_config.json"

# What a tokenizer whose files name no part at all most likely means, best first.
CONVENTIONS = {
    "bos": (END_OF_TEXT, "<|begin_of_text|>", "<s>"),
    "eos": (END_OF_TEXT, "<|end_of_text|>", "</s>"),
    "pad": (PAD, "[PAD]", "<pad>"),
    "unknown": (UNKNOWN, "[UNK]", "<unk>"),
    "mask": (MASK, "[MASK]", "<mask>"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
}


@dataclass(frozen=True)
class SpecialTokens:
    """The text of the token that plays each part; None where there is none.

    `ends`: numbers of further tokens at which generation ends. What a whole input begins and ends with isn't told here,
    but by the tokenizer's post-processor, as for the stock classes (transformers 5 ignores `add_bos_token` beside it).
    """

    bos: str | None = None
    eos: str | None = None
    pad: str | None = None
    unknown: str | None = None
    mask: str | None = None
    cls: str | None = None
    sep: str | None = None
    ends: frozenset[int] = frozenset()

    def named(self) -> dict[str, str]:
        """The parts that are played, and the text of each one's token."""
        return {part: text for part in CONVENTIONS if (text := getattr(self, part)) is not None}

    def stock_config(self) -> dict[str, Any]:
        """What `tokenizer_config.json` says of them."""
        return {f"{_stock(part)}_token": text for part, text in self.named().items()}


def own_special_tokens(vocabulary: Mapping[str, int]) -> SpecialTokens:
    """The parts in a tokenizer that was trained here."""
    return by_convention(vocabulary, {END_OF_TEXT, UNKNOWN, PAD, MASK})


def by_convention(vocabulary: Mapping[str, int], special: Iterable[str]) -> SpecialTokens:
    """The parts of those `special` tokens whose names everyone uses for them."""
    known = [text for text in special if text in vocabulary]
    return _played({part: next((text for text in names if text in known), None) for part, names in CONVENTIONS.items()})


def read_special_tokens(folder: Path, vocabulary: Mapping[str, int], special: Iterable[str]) -> SpecialTokens:
    """The parts as the files beside a tokenizer.json tell them: tokenizer_config.json, else special_tokens_map.json, else
    the numbers in generation_config.json and config.json, else what is usual.

    Raises TokenizerError, with all that is wrong, where a file names a token that there isn't.
    """
    named = read_config(folder / "special_tokens_map.json") | read_config(folder / CONFIG_FILE)
    parts = {part: _text(named.get(f"{_stock(part)}_token")) for part in CONVENTIONS}
    problems = [
        f"{folder}: its files name {text!r} as the {_stock(part)} token, and its tokenizer.json has no such token"
        for part, text in parts.items()
        if text is not None and text not in vocabulary
    ]
    generation, model = read_config(folder / "generation_config.json"), read_config(folder / "config.json")
    text_of = {id: text for text, id in vocabulary.items()}
    for part in ("bos", "eos", "pad"):
        numbers = _numbers(generation.get(f"{part}_token_id")) or _numbers(model.get(f"{part}_token_id"))
        if parts[part] is None and numbers:
            parts[part] = text_of.get(numbers[0])
    if problems:
        raise TokenizerError(*(f"{problem}; have the two files agree" for problem in problems))
    found = _played(parts) if any(parts.values()) else by_convention(vocabulary, special)
    ends = {*_numbers(generation.get("eos_token_id")), *_numbers(model.get("eos_token_id"))}
    return dataclasses.replace(found, ends=frozenset(ends & text_of.keys()))


def read_config(path: Path) -> dict[str, Any]:
    """A small JSON object; empty where there is no such file. Raises TokenizerError where it is anything else."""
    value = read_foreign_json(path, TokenizerError) if path.exists() else {}
    if not isinstance(value, dict):
        raise TokenizerError(f"{path} holds no JSON object; fetch or make the tokenizer anew")
    return value


def _played(parts: Mapping[str, Any]) -> SpecialTokens:
    return dataclasses.replace(SpecialTokens(), **parts)


def _stock(part: str) -> str:
    return "unk" if part == "unknown" else part


def _text(value: Any) -> str | None:
    """The text of a token that is written as such, or as an object with its text and its habits."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def _numbers(value: Any) -> list[int]:
    """Token numbers written as one number or as a list of them."""
    return [number for number in (value if isinstance(value, list) else [value]) if type(number) is int]
