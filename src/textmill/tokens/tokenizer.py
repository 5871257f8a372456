"""The one object that turns text into token numbers and back, for training, evaluation and serving alike.

It knows what begins and ends a text, and the chat template. Text never becomes a special token, whatever it spells; what
doesn't come back is counted in bytes.
"""

import codecs
import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import tokenizers

from ..errors import TokenizerError
from ..files import fingerprint, write_json, write_text
from .chat_template import ANSWER, ChatTemplate, Marks, Message, read_chat_template
from .pieces import Pieces, holds_all_bytes, spelling_of, unrestored_bytes
from .plain_encoding import PlainEncoder, refuse_surrogates, without_panic
from .special_tokens import CONFIG_FILE, END_OF_TEXT, SPAN, SpecialTokens, own_special_tokens, read_config, read_special_tokens
from .splitting import CHARACTER, independent_pieces
from .tokenizer_file import TOKENIZER_FILE, read_backend

if TYPE_CHECKING:
    from .settings import Kind


class Tokenizer:
    """A tokenizer of this project, or one from elsewhere that gives the tokens its own stock class gives.

    `special` says which tokens play which part (for a tokenizer trained here it needn't be given), `chat_template` how a
    conversation is written, `training` how it was trained (JSON values; empty where nobody knows), `content` what the
    tokenizer.json of `backend` says, where it was read already. What a whole input begins and ends with is told by `backend`'s
    post-processor. Decoding leaves special tokens out.

    `bos_id`, `eos_id`, `pad_id`, `mask_id`: numbers of those tokens, or None. `unknown_id`: what stands for text that the
    vocabulary can't spell; None where it can spell all. `prefix`, `suffix`: what begins and ends a whole input.
    `span_ids`: what stands for cut-out spans, number 0 first; usually none.
    `lossless`: only unknown characters are lost on the way.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        special: SpecialTokens | None = None,
        chat_template: ChatTemplate | None = None,
        training: Mapping[str, Any] | None = None,
        content: Mapping[str, Any] | None = None,
    ):
        vocabulary = backend.get_vocab()
        self.special = special or own_special_tokens(vocabulary)
        named = self.special.named()
        if missing := sorted(set(named.values()) - vocabulary.keys()):
            raise TokenizerError(f"the special tokens {', '.join(missing)} are not in the vocabulary; name ones that are")
        # A token that plays a part is special, also where its own file forgot to say so.
        said = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
        forgotten = [text for text in named.values() if text not in said]
        backend.add_special_tokens(forgotten)
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend  # `content` isn't kept: it takes more memory than all else
        self.chat_template, self.training = chat_template, dict(training or {})
        if content is None or forgotten:
            content = json.loads(backend.to_str())
        self.kind = _kind(content)
        self.vocabulary_size: int = backend.get_vocab_size()
        ids = {part: vocabulary[text] for part, text in named.items()}
        self.bos_id: int | None = ids.get("bos")
        self.eos_id: int | None = ids.get("eos")
        self.pad_id: int | None = ids.get("pad")
        self.mask_id: int | None = ids.get("mask")
        spans = itertools.takewhile(vocabulary.__contains__, map(SPAN.format, itertools.count()))
        self.span_ids = [vocabulary[text] for text in spans]
        self.unknown_id = _unknown_id(content, vocabulary)
        self.special_ids: set[int] = {id for id, token in backend.get_added_tokens_decoder().items() if token.special}
        if self.unknown_id is not None:
            self.special_ids.add(self.unknown_id)
        apart = {text: id for text, id in vocabulary.items() if id in self.special_ids}
        self._plain = PlainEncoder(backend, content, apart, self.unknown_id)
        self._pieces = Pieces(content, backend.id_to_token, self.vocabulary_size, self.special_ids)
        self.lossless = self._pieces.lossless
        self.prefix, self.suffix = self._surroundings()

    @property
    def begins_word(self) -> np.ndarray:
        """Whether each token begins a word, (V,) bool."""
        return self._pieces.begins_word

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the content of tokenizer.json: tokenizers with the same hash give the same tokens."""
        return fingerprint(json.loads(self._backend.to_str()))

    @functools.cached_property
    def end_ids(self) -> frozenset[int]:
        """Every token at which generation ends: EOS, further ones that its files name, and the chat template's end of turn."""
        return frozenset(self.special.ends | {id for id in (self.eos_id, self._end_of_turn()) if id is not None})

    @property
    def document_start_id(self) -> int:
        """What stands before a document's first token where documents are scored, or follow each other."""
        return self._told("begins", self._separator, self.bos_id, self.eos_id)

    @property
    def document_end_id(self) -> int:
        """What stands for a document's end."""
        return self._told("ends", self._separator, self.eos_id)

    def encode(self, text: str) -> list[int]:
        """The text's tokens, without BOS or EOS. Raises TokenizerError for lone surrogates, which UTF-8 can't hold."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, computed on all cores."""
        return self._plain.ids(texts)

    def encode_whole(self, text: str) -> list[int]:
        """The text as a whole input, as the stock class gives it: `prefix`, its tokens, `suffix`.

        Where the text is written with BOS in front, that is the BOS: there is never a second one.
        """
        return [*self.prefix, *self.encode(self._without_bos(text)), *self.suffix]

    def encode_beginning(self, text: str) -> list[int]:
        """The text as the beginning of one that a model is to go on with: `prefix` and its tokens, and at least one."""
        return [*self.prefix, *self.encode(self._without_bos(text))] or [self.document_start_id]

    def encode_chat(
        self, messages: Sequence[Message], add_generation_prompt: bool = True, tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """A conversation's tokens, as the stock class's `apply_chat_template` gives them, ready for a model to answer.

        `messages` have a `role` and a `content`, and calls of `tools` as that method takes them. The template alone writes
        special tokens: where a message or a tool spells one, its text is encoded. Raises TokenizerError where there is no
        template, or it can't be applied.
        """
        stretches = self._chat_stretches(messages, add_generation_prompt, tools)
        return [id for stretch, is_text in stretches for id in self._encoded_stretch(stretch, is_text)[0]]

    def encode_chat_with_spans(self, messages: Sequence[Message]) -> tuple[str, list[int], list[tuple[int, int]]]:
        """A whole conversation as its template's text, its tokens, and for each token the characters `[begin, end)` of the
        text that it stands for. Raises TokenizerError as `encode_chat` does."""
        text, ids, spans = "", list[int](), list[tuple[int, int]]()
        for stretch, is_text in self._chat_stretches(messages, False, ()):
            found, places = self._encoded_stretch(stretch, is_text)
            ids += found
            spans += [(len(text) + begin, len(text) + end) for begin, end in places]
            text += stretch
        return text, ids, spans

    def chat_text(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """What the template makes of a conversation. Raises TokenizerError as `encode_chat` does."""
        return "".join(stretch for stretch, _ in self._chat_stretches(messages, add_generation_prompt, ()))

    def encode_with_losses(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """For each text its tokens, and how many of its UTF-8 bytes they don't give back."""
        if not self.lossless or self._pieces.strips_space:
            return [(ids, self._lost(text, ids, spans)) for text, (ids, spans) in zip(texts, self.encode_with_spans(texts))]
        encoded = self.encode_batch(texts)
        lossy = [self.unknown_id in ids for ids in encoded]  # nothing else is lost
        spans = iter(self.encode_with_spans([text for text, loses in zip(texts, lossy) if loses]))
        return [(ids, self._lost(text, *next(spans)) if loses else 0) for text, ids, loses in zip(texts, encoded, lossy)]

    def encode_with_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """For each text its tokens, and for each token the characters `[begin, end)` that it stands for.

        The tokens of one character's bytes all have that character's span.
        """
        return self._plain.ids_and_spans(texts)

    def lost_bytes(self, text: str) -> int:
        """UTF-8 bytes of `text` that decoding its tokens doesn't restore: 0 if and only if it comes back exactly."""
        if self.unknown_id is None and self.lossless and not self._pieces.strips_space:
            refuse_surrogates([text])
            return 0
        return self.encode_with_losses([text])[0][1]

    def pieces(self, text: str, length: int) -> Iterator[str]:
        """The text in pieces of about `length` characters whose tokens, joined, are the text's own: one piece where that
        isn't known of this tokenizer."""
        return independent_pieces(text, length) if self.training else iter([text])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the tokens. Bytes that are no UTF-8 become U+FFFD."""
        content = b"".join(map(self.token_bytes, ids))
        return (content.removeprefix(b" ") if self._pieces.strips_space else content).decode("utf-8", "replace")

    def decode_stream(self, continues: bool = False) -> "DecodeStream":
        """For text that arrives token by token. `continues`: it goes on from another text, so that a space which begins it
        belongs to it."""
        return DecodeStream(self, strips_space=self._pieces.strips_space and not continues)

    def token_bytes(self, id: int) -> bytes:
        """What one token adds to the text: nothing for a special token. Raises TokenizerError for an unused number."""
        if not 0 <= id < self.vocabulary_size:
            raise TokenizerError(f"token {id} is outside the vocabulary; this tokenizer has 0 to {self.vocabulary_size - 1}")
        return self._pieces.bytes_of(id)

    def save(self, folder: str | Path, model_max_length: int | None = None) -> None:
        """Write tokenizer.json and tokenizer_config.json as stock transformers reads them.

        Stock transformers puts `<|endoftext|>` before a text by default where the tokenizer was trained here, since every
        model here is trained to begin so; `encode` doesn't.
        """
        config: dict[str, Any] = {
            # Without this class transformers substitutes the one of the model's family, which splits in its own way.
            "tokenizer_class": "PreTrainedTokenizerFast",
            **self.special.stock_config(),
            "add_bos_token": self.bos_id in self.prefix,  # which tokenizer.json says too, for those who read only this
            "clean_up_tokenization_spaces": False,
        }
        if self.chat_template is not None:
            config |= self.chat_template.stock_config()
        if model_max_length is not None:
            config["model_max_length"] = model_max_length
        if self.training:
            config["textmill_training"] = self.training
        write_text(Path(folder) / TOKENIZER_FILE, self._backend.to_str(pretty=True))
        write_json(Path(folder) / CONFIG_FILE, config)

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read what `save` wrote, or another's tokenizer.json with the files beside it.

        Raises TokenizerError where there is none, or one that textmill can't vouch for.
        """
        folder = Path(folder)
        config = read_config(folder / CONFIG_FILE)
        training = config.get("textmill_training")
        if not isinstance(training, dict | None):
            raise TokenizerError(f"{folder / CONFIG_FILE} is not what textmill wrote; have the tokenizer made anew")
        backend, content = read_backend(folder, trained_here=training is not None)
        template = read_chat_template(folder, config)
        if training is not None:
            return cls(backend, chat_template=template, training=training, content=content)
        added = [token.content for token in backend.get_added_tokens_decoder().values() if token.special]
        return cls(backend, read_special_tokens(folder, backend.get_vocab(), added), template, content=content)

    @property
    def _separator(self) -> int | None:
        id = self._backend.token_to_id(END_OF_TEXT)
        return id if id in self.special_ids else None

    def _told(self, what: str, *candidates: int | None) -> int:
        found = next((id for id in candidates if id is not None), None)
        if found is None:
            raise TokenizerError(f"this tokenizer has no token that {what} a document, so documents can't be scored with it")
        return found

    def _chat_stretches(
        self, messages: Sequence[Message], add_generation_prompt: bool, tools: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[str, bool]]:
        """A conversation in its template, in stretches; and of each whether it is text alone, whatever it spells."""
        if self.chat_template is None:
            raise TokenizerError("this tokenizer has no chat template; give the text to go on from instead of messages")
        marks, variables = Marks([*messages, *tools], self._special_texts), self.special.stock_config()
        rendered = self.chat_template.render(marks.put(messages), variables, add_generation_prompt, marks.put(tools))
        refuse_surrogates([rendered])
        return marks.stretches(rendered)

    def _encoded_stretch(self, stretch: str, is_text: bool) -> tuple[list[int], list[tuple[int, int]]]:
        if is_text:
            return self.encode_with_spans([stretch])[0]
        encoding = without_panic(self._backend_with_special.encode, stretch, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def _end_of_turn(self) -> int | None:
        """The special token that the chat template writes behind an answer, if any."""
        if self.chat_template is None:
            return None
        turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": ANSWER}]
        try:
            rendered = self.chat_template.render(turns, self.special.stock_config(), add_generation_prompt=False)
        except TokenizerError:  # it wants more than two messages, which is for `encode_chat` to say
            return None
        behind = rendered.rpartition(ANSWER)[2]
        ends = [(behind.index(text), -len(text), text) for text in self._special_texts if text in behind]
        return self._backend.token_to_id(min(ends)[2]) if ends else None

    @functools.cached_property
    def _special_texts(self) -> list[str]:
        return [token.content for token in self._backend.get_added_tokens_decoder().values() if token.special]

    @functools.cached_property
    def _backend_with_special(self) -> tokenizers.Tokenizer:
        """The same tokenizer, which takes special tokens where a text spells them."""
        return tokenizers.Tokenizer.from_str(self._backend.to_str())

    def _without_bos(self, text: str) -> str:
        return text.removeprefix(self.special.bos or "") if self.bos_id in self.prefix else text

    def _surroundings(self) -> tuple[list[int], list[int]]:
        """What the post-processor puts before and after a whole input."""
        plain, encoding = self.encode("a"), without_panic(self._backend.encode, "a")
        ids, added = encoding.ids, encoding.special_tokens_mask
        count = added.index(0) if 0 in added else len(ids)
        prefix, suffix = ids[:count], ids[count + len(plain) :]
        if ids != [*prefix, *plain, *suffix] or not all(0 <= id < self.vocabulary_size for id in ids):
            raise TokenizerError("the tokenizer's post-processor puts other things round a text than tokens of its vocabulary")
        return prefix, suffix

    def _lost(self, text: str, ids: list[int], spans: list[tuple[int, int]]) -> int:
        return 0 if self.decode(ids) == text else max(1, unrestored_bytes(text, ids, spans, self._pieces))


class DecodeStream:
    """Text out of tokens that come one at a time: only whole characters, and in the end whatever is left.

    `strips_space`: the one space that the first token begins with is left out.
    """

    def __init__(self, tokenizer: Tokenizer, strips_space: bool = False):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._strips_space, self._begun = strips_space, False

    def step(self, id: int) -> str:
        """The characters that this token completes; often none."""
        content = self._tokenizer.token_bytes(id)
        if content and not self._begun:
            content = content.removeprefix(b" ") if self._strips_space else content
            self._begun = True
        return self._decoder.decode(content)

    def flush(self) -> str:
        """U+FFFD for a character that was begun and never ended, else nothing. The stream is fresh again afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._begun = False
        return rest


def _kind(content: Mapping[str, Any]) -> "Kind":
    """Which kind a tokenizer.json holds, read off its structure."""
    model, splitting = content["model"]["type"], content["pre_tokenizer"] or {}
    if model == "BPE":
        return "bpe" if content["model"]["merges"] or splitting.get("type") != "ByteLevel" else "byte"
    if model == "WordLevel":
        return "character" if splitting.get("pattern") == {"Regex": CHARACTER} else "word"
    return cast("Kind", model.lower())


def _unknown_id(content: Mapping[str, Any], vocabulary: Mapping[str, int]) -> int | None:
    """The token that the model itself gives for what it can't spell; None where bytes spell everything."""
    model = content["model"]
    if spelling_of(content) == "byte-level" and holds_all_bytes(vocabulary):
        return None
    return model.get("unk_id") if model["type"] == "Unigram" else vocabulary.get(model.get("unk_token"))
