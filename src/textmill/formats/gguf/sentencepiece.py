"""SentencePiece's BPE (`tokenizer.ggml.model` llama), of Llama 2 and Mistral: ▁ for a space, bytes for what has no token.

SentencePiece merges the two neighbours that make the token with the highest score; the library's BPE wants the pairs in order.
"""

from collections.abc import Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers

from ...errors import ModelError
from ...tokens.pieces import MARK
from .values import Value
from .vocabulary import TokenType, Vocabulary

LONGEST_PIECE = 64  # characters, of a token that is merged from others: every way to cut it in two is tried


def read_sentencepiece(vocabulary: Vocabulary, leading_space: bool) -> tokenizers.Tokenizer:
    """The tokenizer without its special tokens; with `leading_space` one stands before each text. Raises ModelError."""
    if vocabulary.scores is None:
        raise ModelError("tokenizer.ggml.scores is missing, by which a tokenizer of the kind 'llama' merges")
    unknown = next(iter(vocabulary.of_type(TokenType.UNKNOWN)), None)
    backend = tokenizers.Tokenizer(
        models.BPE(
            vocab=vocabulary.numbers,
            merges=_merges(vocabulary, vocabulary.scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    spell: list[normalizers.Normalizer] = [normalizers.Prepend(MARK)] if leading_space else []
    read: list[decoders.Decoder] = [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.normalizer = normalizers.Sequence([*spell, normalizers.Replace(" ", MARK)])
    backend.decoder = decoders.Sequence([*read, decoders.Strip(" ", left=1)] if leading_space else read)
    return backend


def sentencepiece_metadata(content: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Value]:
    """What a GGUF file says of the tokenizer of this tokenizer.json, beside its tokens. Raises ModelError where llama.cpp
    can't do the same."""
    model = content["model"]
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
    rank: dict[str, int] = {}
    for number, (left, right) in enumerate(merges):
        rank.setdefault(left + right, number)
    scores = [-float(rank.get(token, len(merges))) for token in vocabulary.tokens]
    if _merges(vocabulary, scores) != merges:
        raise ModelError("the order of its tokenizer's merges can't be told by one score for each token, as llama.cpp has them")
    return {"tokenizer.ggml.scores": scores, "tokenizer.ggml.add_space_prefix": _leading_space(content)}


def _leading_space(content: dict[str, Any]) -> bool:
    """Whether a space is put before each text. Raises ModelError where more is done to it than writing ▁ for spaces."""
    normalizer, cut = content["normalizer"] or {}, content["pre_tokenizer"] or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    prepended = {"type": "Prepend", "prepend": MARK}
    replaced = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    if steps in ([prepended, replaced], [replaced]) and not cut:
        return prepended in steps
    if not steps and cut.get("type") == "Metaspace" and cut.get("replacement") == MARK and cut.get("split") is False:
        return bool(cut["prepend_scheme"] != "never")
    raise ModelError("its tokenizer changes or cuts text otherwise than by writing ▁ for each space, which llama.cpp can't")


def _merges(vocabulary: Vocabulary, scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every pair of tokens that makes a token, the highest score first; of one token's pairs, in the order of its parts."""
    numbers, found = vocabulary.numbers, []
    for token, score, kind in zip(vocabulary.tokens, scores, vocabulary.types):
        if kind != TokenType.NORMAL:
            continue
        if len(token) > LONGEST_PIECE:
            raise ModelError(
                f"the token {token[:LONGEST_PIECE]!r}… has {len(token):,} characters; {LONGEST_PIECE} are the most"
            )
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(left, right) for left, right in pairs if left in numbers and right in numbers]
        known.sort(key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))
        found += [(-score, left, right) for left, right in known]
    found.sort(key=lambda one: one[0])
    return [(left, right) for _, left, right in found]
