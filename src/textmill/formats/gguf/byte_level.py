"""Byte-level BPE (`tokenizer.ggml.model` gpt2): GPT-2, Llama 3, Qwen, SmolLM, and what textmill trains."""

from collections.abc import Mapping
from typing import Any

import tokenizers
from tokenizers import decoders, models

from ...errors import ModelError
from .metadata import told
from .splitting import name_of, splitting_of
from .values import Value
from .vocabulary import Vocabulary


def read_byte_level(metadata: Mapping[str, Any], vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    """The tokenizer without its special tokens. Raises ModelError."""
    merges = metadata.get("tokenizer.ggml.merges", [])
    if not isinstance(merges, list) or any(merge.count(" ") != 1 for merge in merges):
        raise ModelError("tokenizer.ggml.merges is no list of two tokens each with a space between them")
    numbers, pairs = vocabulary.numbers, []
    for merge in merges:
        left, _, right = merge.partition(" ")
        if missing := next((token for token in (left, right, left + right) if token not in numbers), None):
            raise ModelError(f"tokenizer.ggml.merges names {missing[:64]!r}, which is no token")
        pairs.append((left, right))
    splitter, whole_words = splitting_of(told(metadata, "tokenizer.ggml.pre", ""))
    backend = tokenizers.Tokenizer(models.BPE(vocab=numbers, merges=pairs, ignore_merges=whole_words))
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.ByteLevel()
    return backend


def byte_level_metadata(content: dict[str, Any], notes: list[str]) -> dict[str, Value]:
    """What a GGUF file says of the byte-level tokenizer of this tokenizer.json, beside its tokens. Raises ModelError where
    llama.cpp can't do the same; but for the NFC normaliser of Qwen, of which `notes` then has a word."""
    model, normalizer = content["model"], content["normalizer"]
    if normalizer == {"type": "NFC"}:
        notes.append("llama.cpp doesn't compose accents (NFC) before it cuts text, so decomposed text gets other tokens there")
    elif normalizer is not None:
        raise ModelError(f"its tokenizer changes text by {normalizer.get('type')} first, which llama.cpp doesn't")
    if found := [key for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout") if model.get(key)]:
        raise ModelError(f"its tokenizer has {' and '.join(found)}, which llama.cpp's byte-level tokenizers don't")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {"tokenizer.ggml.pre": name_of(content), "tokenizer.ggml.merges": merges}
