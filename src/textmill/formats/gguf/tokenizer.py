"""The tokenizer of a GGUF file as one of ours, with its special tokens, and back; a model of one of three kinds.

llama.cpp must find the same tokens as we do; what it would do otherwise is refused, with the reason.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import processors

from ...errors import ModelError
from ...tokens.chat_template import ChatTemplate
from ...tokens.pieces import BYTE_PIECE
from ...tokens.special_tokens import SpecialTokens
from ...tokens.tokenizer import Tokenizer
from .byte_level import byte_level_metadata, read_byte_level
from .metadata import told
from .sentencepiece import read_sentencepiece, sentencepiece_metadata
from .splitting import ALIASES
from .values import Value
from .vocabulary import TokenType, Vocabulary, read_vocabulary
from .wordpiece import check_wordpiece, from_gguf, read_wordpiece, to_gguf

# A part that a token plays -> the key of its number; the format spells one of them so.
NUMBER_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unknown": "unknown_token_id",
    "sep": "seperator_token_id",
    "pad": "padding_token_id",
    "cls": "cls_token_id",
    "mask": "mask_token_id",
}
END_KEYS = ("eot_token_id", "eom_token_id")  # further tokens that end what a model writes
BERT_PARTS = {"unknown": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
TEMPLATE_KEY = "tokenizer.chat_template"


def read_tokenizer(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that the metadata tell. Raises ModelError where they are inconsistent or of a kind that isn't read."""
    vocabulary = read_vocabulary(metadata)
    kind = told(metadata, "tokenizer.ggml.model", "")
    texts = vocabulary.tokens
    if kind == "bert":
        texts = [from_gguf(token, of_type) for token, of_type in zip(vocabulary.tokens, vocabulary.types)]
    parts = {part: _token(metadata, key, texts) for part, key in NUMBER_KEYS.items()}
    ends = [_token(metadata, key, texts) for key in END_KEYS]
    if kind == "gpt2":
        backend = read_byte_level(metadata, vocabulary)
    elif kind == "llama":
        backend = read_sentencepiece(vocabulary, told(metadata, "tokenizer.ggml.add_space_prefix", True))
    elif kind == "bert":
        parts |= {part: text for part, text in BERT_PARTS.items() if parts[part] is None and text in texts}
        parts |= {"bos": None, "eos": None}  # llama.cpp's other names for [CLS] and [SEP]
        backend = read_wordpiece(texts, str(parts["unknown"]))
    else:
        raise ModelError(f"tokenizer.ggml.model is {kind!r}; gpt2, llama and bert are read")
    _add_special(backend, vocabulary, texts)
    numbers = {text: number for number, text in enumerate(texts)}
    before, after = _around(kind, metadata, parts)
    if before or after:
        backend.post_processor = _template(before, after, numbers)
    special = SpecialTokens(**parts, ends=frozenset(numbers[text] for text in ends if text is not None))
    template = told(metadata, TEMPLATE_KEY, "")
    return Tokenizer(backend, special, ChatTemplate(template) if template else None)


def _token(metadata: Mapping[str, Any], key: str, texts: Sequence[str]) -> str | None:
    """The text of the token that a key numbers; None where the key is missing."""
    number = metadata.get(f"tokenizer.ggml.{key}")
    if number is None:
        return None
    if type(number) is not int or not 0 <= number < len(texts):
        raise ModelError(f"tokenizer.ggml.{key} is {number!s:.80}; the tokens have the numbers 0 to {len(texts) - 1:,}")
    return texts[number]


def _around(kind: str, metadata: Mapping[str, Any], parts: Mapping[str, str | None]) -> tuple[list[str], list[str]]:
    """What stands before and after every text: as the file says, else as llama.cpp takes it to be."""
    if kind == "bert":
        before, after = parts["cls"], parts["sep"]
        if before is None or after is None:
            raise ModelError("tokenizer.ggml.cls_token_id or seperator_token_id is missing, which stand around a BERT's texts")
        return [before], [after]
    name = told(metadata, "tokenizer.ggml.pre", "")
    begins = parts["bos"] is not None and (kind == "llama" or ALIASES.get(name, name) == "llama-bpe")
    around = []
    for part, usually in (("bos", begins), ("eos", False)):
        text = parts[part]
        wanted = told(metadata, f"tokenizer.ggml.add_{part}_token", usually)
        if wanted and text is None:
            raise ModelError(f"tokenizer.ggml.add_{part}_token is {wanted}, and the file numbers no such token")
        around.append([text] if wanted and text is not None else [])
    return around[0], around[1]


def _template(before: list[str], after: list[str], numbers: Mapping[str, int]) -> processors.PostProcessor:
    try:
        return processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", *after, "$B:1", *(f"{text}:1" for text in after)],
            special_tokens=[(text, numbers[text]) for text in dict.fromkeys([*before, *after])],
        )
    except ValueError as error:  # the library's templates have signs of their own
        raise ModelError(f"{' and '.join([*before, *after])!r} can't stand around a text: {error}") from error


def _add_special(backend: tokenizers.Tokenizer, vocabulary: Vocabulary, texts: Sequence[str]) -> None:
    """All of a sort at once: the library looks through all of them at each call."""
    sorts: dict[bool, list[tokenizers.AddedToken]] = {True: [], False: []}
    for text, of_type in zip(texts, vocabulary.types):
        if of_type in (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED):
            sorts[of_type != TokenType.USER_DEFINED].append(tokenizers.AddedToken(text, normalized=False))
    backend.add_special_tokens(sorts[True])
    backend.add_tokens(sorts[False])


def tokenizer_metadata(content: dict[str, Any], tokenizer: Tokenizer, rows: int, notes: list[str]) -> dict[str, Value]:
    """What a GGUF file says of a tokenizer: `content` is its tokenizer.json, `rows` the model's vocabulary.

    What llama.cpp does otherwise in rare cases is added to `notes`. Raises ModelError where it can't do the same.
    """
    kind = _kind(content)
    texts, types = _listed(content, kind, rows)
    vocabulary = Vocabulary(texts, types)
    metadata: dict[str, Value] = {"tokenizer.ggml.model": kind}
    if kind == "gpt2":
        metadata |= byte_level_metadata(content, notes)
    elif kind == "llama":
        metadata |= sentencepiece_metadata(content, vocabulary)
    else:
        check_wordpiece(content)
        metadata["tokenizer.ggml.pre"] = "default"
        texts = [to_gguf(text, of_type) for text, of_type in zip(texts, types)]
    numbers = vocabulary.numbers
    parts = tokenizer.special.named()
    if kind == "bert":
        parts |= {"bos": parts["cls"], "eos": parts["sep"]} if {"cls", "sep"} <= parts.keys() else {}
    metadata |= {"tokenizer.ggml.tokens": texts, "tokenizer.ggml.token_type": types}
    metadata |= {f"tokenizer.ggml.{NUMBER_KEYS[part]}": numbers[text] for part, text in parts.items()}
    others = sorted(tokenizer.end_ids - {tokenizer.eos_id})
    metadata |= {f"tokenizer.ggml.{key}": number for key, number in zip(END_KEYS, others)}
    if untold := others[len(END_KEYS) :]:
        notes.append(f"a GGUF file names {len(END_KEYS) + 1} tokens that end an answer; {untold} are left out")
    metadata |= _surroundings(tokenizer, kind, {part: numbers[text] for part, text in parts.items()})
    template = tokenizer.chat_template
    if template is None:
        return metadata
    if template.named:
        notes.append(f"of its chat templates only the usual one goes along; {', '.join(template.named)} are left out")
    return {**metadata, TEMPLATE_KEY: template.source}


def _kind(content: dict[str, Any]) -> str:
    model, decoder = content["model"], content["decoder"] or {}
    if model["type"] == "BPE" and decoder.get("type") == "ByteLevel":
        return "gpt2"
    if model["type"] == "BPE" and model.get("byte_fallback"):
        return "llama"
    if model["type"] == "WordPiece":
        return "bert"
    raise ModelError(
        f"its tokenizer is a {model['type']} that llama.cpp has no kind for; byte-level BPE, SentencePiece's BPE and BERT's "
        "WordPiece can be exported"
    )


def _listed(content: dict[str, Any], kind: str, rows: int) -> tuple[list[str], list[int]]:
    """Each token's text and type, by number, up to the model's rows: those that nobody uses are named so."""
    tokens = {number: (text, TokenType.NORMAL) for text, number in content["model"]["vocab"].items()}
    if kind == "llama":
        tokens |= {number: (text, TokenType.BYTE) for number, (text, _) in tokens.items() if BYTE_PIECE.fullmatch(text)}
    for added in content["added_tokens"]:
        if added["lstrip"] or added["rstrip"] or added["single_word"]:
            raise ModelError(f"its token {added['content']!r} takes in the space around it, which llama.cpp can't do")
        tokens[added["id"]] = (added["content"], TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    if kind == "llama" and (unknown := content["model"].get("unk_token")) is not None:
        tokens[content["model"]["vocab"][unknown]] = (unknown, TokenType.UNKNOWN)
    if max(tokens) >= rows:
        raise ModelError(f"its tokenizer has the token {max(tokens)}, its model only {rows} rows; they don't belong together")
    listed = [tokens.get(number, (f"[PAD{number}]", TokenType.UNUSED)) for number in range(rows)]
    return [text for text, _ in listed], [int(of_type) for _, of_type in listed]


def _surroundings(tokenizer: Tokenizer, kind: str, numbers: Mapping[str, int]) -> dict[str, Value]:
    """Whether a text begins with BOS and ends with EOS. Raises ModelError where anything else stands around it."""
    prefix, suffix = list(tokenizer.prefix), list(tokenizer.suffix)
    first, last = (numbers.get(part, -1) for part in ("bos", "eos"))
    if prefix not in ([], [first]) or suffix not in ([], [last]) or (kind == "bert" and not (prefix and suffix)):
        raise ModelError(
            f"its texts stand between the tokens {prefix} and {suffix}; llama.cpp puts BOS before and EOS after, or, for BERT, "
            "[CLS] and [SEP]"
        )
    flags: dict[str, Value] = {"tokenizer.ggml.add_bos_token": bool(prefix), "tokenizer.ggml.add_eos_token": bool(suffix)}
    return {} if kind == "bert" else flags
