"""BERT's WordPiece (`tokenizer.ggml.model` bert): lower case, no accents. GGUF marks what begins a word, BERT what doesn't."""

from collections.abc import Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from ...errors import ModelError
from ...tokens.pieces import MARK
from .vocabulary import TokenType

CONTINUES = "##"
# What llama.cpp does to a text, in the words of the library; `None` follows `lowercase`.
NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True}


def read_wordpiece(tokens: Sequence[str], unknown: str) -> tokenizers.Tokenizer:
    """The tokenizer of these tokens, as BERT writes them, without its special ones."""
    numbers = {token: number for number, token in enumerate(tokens)}
    if len(numbers) < len(tokens) or unknown not in numbers:
        raise ModelError("tokenizer.ggml.tokens is no vocabulary of the kind 'bert'")
    backend = tokenizers.Tokenizer(models.WordPiece(numbers, unk_token=unknown, continuing_subword_prefix=CONTINUES))
    backend.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix=CONTINUES)
    return backend


def check_wordpiece(content: dict[str, Any]) -> None:
    """Raises ModelError where llama.cpp can't do what the WordPiece tokenizer of this tokenizer.json does."""
    normalizer = dict(content["normalizer"] or {})
    accents = normalizer.pop("strip_accents", None)
    problems = []
    if content["model"].get("continuing_subword_prefix") != CONTINUES:
        problems.append("its tokenizer doesn't mark pieces inside a word by ##")
    if normalizer != NORMALIZER or accents is False:
        problems.append("its tokenizer keeps upper case or accents, or changes text otherwise than BERT's uncased one")
    if (content["pre_tokenizer"] or {}).get("type") != "BertPreTokenizer":
        problems.append("its tokenizer cuts text otherwise than BERT's")
    if problems:
        raise ModelError(*(f"{problem}; llama.cpp can't" for problem in problems))


def from_gguf(token: str, kind: int) -> str:
    """A token as BERT writes it."""
    if kind == TokenType.CONTROL:
        return token
    return token.removeprefix(MARK) if token.startswith(MARK) else CONTINUES + token


def to_gguf(token: str, kind: int) -> str:
    """A token as GGUF writes it."""
    if kind == TokenType.CONTROL:
        return token
    return token.removeprefix(CONTINUES) if token.startswith(CONTINUES) else MARK + token
