"""Encoding text as text: no special token comes out of it, whatever it spells.

The tokenizers library can be told to leave added tokens alone; but a model whose own vocabulary holds the piece `<s>` may
still take it, as SentencePiece's do once converted.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tokenizers

from ..errors import TokenizerError
from .character_table import CharacterTable

UNSPELLABLE = "\n "  # before a special token's text in a vocabulary, so that no text can reach it


class PlainEncoder:
    """Encodes with `backend`, whose tokenizer.json is `content`, which isn't kept. `special`: the special tokens and their
    numbers. `unknown_id`: the one of them that a text may give, where it holds what the vocabulary can't spell."""

    def __init__(
        self, backend: tokenizers.Tokenizer, content: Mapping[str, Any], special: Mapping[str, int], unknown_id: int | None
    ):
        self._backend = backend
        self._texts, self._special_ids = set(special), frozenset(special.values())
        self._unknown_id = unknown_id
        self._unknown = next((text for text, id in special.items() if id == unknown_id), "")
        self._characters = CharacterTable.of(content, special, unknown_id)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's tokens, computed on all cores."""
        if self._characters is not None:
            refuse_surrogates(texts)
            return [self._characters.ids(text) for text in texts]
        return [ids for ids, _ in self._encoded(self._backend.encode_batch_fast, texts)]

    def ids_and_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Each text's tokens, and the characters `[begin, end)` that each token stands for."""
        if self._characters is not None:
            return [(ids, [(place, place + 1) for place in range(len(ids))]) for ids in self.ids(texts)]
        return [(ids, encoding.offsets) for ids, encoding in self._encoded(self._backend.encode_batch, texts)]

    def _encoded(self, encode: Callable[..., Any], texts: Sequence[str]) -> Iterator[tuple[list[int], tokenizers.Encoding]]:
        refuse_surrogates(texts)
        for text, encoding in zip(texts, without_panic(encode, texts, add_special_tokens=False)):
            found = self._special_ids.intersection(ids := encoding.ids)
            if found and (found != {self._unknown_id} or self._unknown in text):
                encoding = without_panic(self._unspellable.encode, text, add_special_tokens=False)
                ids = encoding.ids
                if self._special_ids.intersection(ids) - {self._unknown_id}:
                    raise TokenizerError(f"a text spells a special token, and can't be written otherwise: {text[:80]!r}")
            yield ids, encoding

    @functools.cached_property
    def _unspellable(self) -> tokenizers.Tokenizer:
        """The same tokenizer, its special pieces renamed, under their numbers, to what no text can reach."""
        renamed = {text: UNSPELLABLE + text for text in self._texts}
        content = json.loads(self._backend.to_str())
        model = content["model"]
        if model["type"] == "Unigram":
            model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
        else:
            model["vocab"] = {renamed.get(piece, piece): id for piece, id in model["vocab"].items()}
        if model.get("unk_token"):
            model["unk_token"] = renamed.get(model["unk_token"], model["unk_token"])
        if "merges" in model:
            model["merges"] = [pair for pair in model["merges"] if self._texts.isdisjoint([*pair, "".join(pair)])]
        for token in content["added_tokens"]:
            token["content"] = renamed.get(token["content"], token["content"])
        backend = tokenizers.Tokenizer.from_str(json.dumps({**content, "post_processor": None}))
        backend.encode_special_tokens = True
        return backend


def without_panic(encode: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What the library encodes. Where its matcher gives up on a pattern it panics, which no `except Exception` sees; where a
    vocabulary has neither a piece nor an unknown token for a text, it raises a bare Exception. Both are a TokenizerError."""
    try:
        return encode(*arguments, **options)
    except BaseException as error:
        if type(error) is Exception:
            raise TokenizerError(f"the tokenizer can't spell a text: {error}") from error
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"the tokenizer's own pattern gives up on a text ({error}); cut the text into parts") from error


def refuse_surrogates(texts: Sequence[str]) -> None:
    """Raise TokenizerError, with the place, where a text holds what UTF-8 can't."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TokenizerError(
                f"character {error.start} of a text is the lone surrogate U+{ord(text[error.start]):04X}, which "
                "no UTF-8 text holds; replace it, for example by U+FFFD"
            ) from error
