"""The one object that turns text into token numbers and back, for training, evaluation and serving alike.

Text never becomes a special token, whatever it spells; what an unknown token can't give back is counted in bytes.
"""

import codecs
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import tokenizers

from ..errors import TokenizerError
from ..files import fingerprint, write_json, write_text
from .settings import Kind
from .splitting import CHARACTER

END_OF_TEXT = "<|endoftext|>"  # begins a text, ends it, and stands between two documents
UNKNOWN = "<|unknown|>"

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"


class Tokenizer:
    """A trained tokenizer. `training` says how it was trained (JSON values; empty where nobody knows).

    Decoding leaves special tokens out; so a text with unknown tokens comes back shorter, never different in between.
    """

    def __init__(self, backend: tokenizers.Tokenizer, training: Mapping[str, Any] | None = None):
        self._backend = backend
        self._backend.encode_special_tokens = True
        self._backend.no_truncation()
        self._backend.no_padding()
        self.training = dict(training or {})
        self._content = json.loads(backend.to_str())
        self.kind = _kind(self._content)
        self.vocabulary_size: int = backend.get_vocab_size()
        self.bos_id: int = backend.get_vocab()[END_OF_TEXT]
        self.eos_id = self.bos_id
        self.unknown_id: int | None = backend.token_to_id(UNKNOWN)
        self._bytes = self._bytes_of_each_token()

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the content of tokenizer.json: tokenizers with the same hash give the same tokens."""
        return fingerprint(self._content)

    def encode(self, text: str) -> list[int]:
        """The text's tokens, without BOS or EOS. Raises TokenizerError for lone surrogates, which UTF-8 can't hold."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, computed on all cores."""
        _refuse_surrogates(texts)
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_with_losses(self, texts: Sequence[str]) -> list[tuple[list[int], int]]:
        """For each text its tokens, and how many of its UTF-8 bytes they can't give back."""
        if self.unknown_id is None:
            return [(ids, 0) for ids in self.encode_batch(texts)]
        return [(ids, self._lost(text, ids, spans)) for text, (ids, spans) in zip(texts, self.encode_with_spans(texts))]

    def encode_with_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """For each text its tokens, and for each token the characters `[begin, end)` that it stands for.

        The tokens of one character's bytes all have that character's span.
        """
        _refuse_surrogates(texts)
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encodings]

    def lost_bytes(self, text: str) -> int:
        """UTF-8 bytes of `text` that decoding its tokens doesn't restore: 0 if and only if it comes back exactly."""
        return self.encode_with_losses([text])[0][1]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the tokens. Bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def decode_stream(self) -> "DecodeStream":
        """For text that arrives token by token."""
        return DecodeStream(self)

    def token_bytes(self, id: int) -> bytes:
        """What one token adds to the text: nothing for a special token. Raises TokenizerError for an unused number."""
        if not 0 <= id < self.vocabulary_size:
            raise TokenizerError(f"token {id} is outside the vocabulary; this tokenizer has 0 to {self.vocabulary_size - 1}")
        return self._bytes[id]

    def save(self, folder: str | Path, model_max_length: int | None = None) -> None:
        """Write tokenizer.json and tokenizer_config.json as stock transformers reads them.

        Stock transformers puts `<|endoftext|>` before a text by default, since every model here is trained to begin
        so; `encode` doesn't.
        """
        config: dict[str, Any] = {
            # Without this class transformers substitutes the one of the model's family, which splits in its own way.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "add_bos_token": True,
            "clean_up_tokenization_spaces": False,
        }
        if self.unknown_id is not None:
            config["unk_token"] = UNKNOWN
        if model_max_length is not None:
            config["model_max_length"] = model_max_length
        config["textmill_training"] = self.training
        write_text(Path(folder) / TOKENIZER_FILE, self._backend.to_str(pretty=True))
        write_json(Path(folder) / CONFIG_FILE, config)

    @classmethod
    def load(cls, folder: str | Path) -> "Tokenizer":
        """Read what `save` wrote. Raises TokenizerError where there is none, or one that textmill can't vouch for."""
        path = Path(folder) / TOKENIZER_FILE
        try:
            text = path.read_text(encoding="utf-8")
            backend = tokenizers.Tokenizer.from_str(text)
        except FileNotFoundError as error:
            raise TokenizerError(f"there is no {TOKENIZER_FILE} in {folder}; give the folder that holds it") from error
        except UnicodeDecodeError as error:
            raise TokenizerError(f"{path} is not UTF-8 text (byte {error.start}); have the tokenizer made anew") from error
        except OSError as error:
            raise TokenizerError(f"cannot read {path}: {error.strerror}") from error
        except Exception as error:  # the library raises a bare Exception for any content it can't read
            raise TokenizerError(f"{path} holds no tokenizer ({error}); have the tokenizer made anew") from error
        if problems := _strangeness(json.loads(backend.to_str()), backend):
            raise TokenizerError(*(f"{path}: {problem}" for problem in problems))
        return cls(backend, _read_training(Path(folder) / CONFIG_FILE))

    def _lost(self, text: str, ids: list[int], spans: list[tuple[int, int]]) -> int:
        return sum(len(text[a:b].encode()) for id, (a, b) in zip(ids, spans) if id == self.unknown_id)

    def _bytes_of_each_token(self) -> list[bytes]:
        byte_of = _byte_alphabet() if self.kind in ("bpe", "byte") else None
        special = {self.bos_id, self.unknown_id}
        table = [b""] * self.vocabulary_size
        for piece, id in self._backend.get_vocab().items():
            if id not in special:
                table[id] = piece.encode() if byte_of is None else bytes(byte_of[character] for character in piece)
        return table


class DecodeStream:
    """Text out of tokens that come one at a time: only whole characters, and in the end whatever is left."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def step(self, id: int) -> str:
        """The characters that this token completes; often none."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def flush(self) -> str:
        """U+FFFD for a character that was begun and never ended, else nothing. The stream is fresh again afterwards."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


def _refuse_surrogates(texts: Sequence[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TokenizerError(
                f"character {error.start} of a text is the lone surrogate U+{ord(text[error.start]):04X}, which "
                "no UTF-8 text holds; replace it, for example by U+FFFD"
            ) from error


def _kind(content: dict[str, Any]) -> Kind:
    """Which kind a tokenizer.json holds, read off its structure."""
    model, splitting = content["model"]["type"], content["pre_tokenizer"] or {}
    if model == "BPE":
        return "bpe" if content["model"]["merges"] or splitting.get("type") != "ByteLevel" else "byte"
    if model == "WordLevel":
        return "character" if splitting.get("pattern") == {"Regex": CHARACTER} else "word"
    return cast(Kind, model.lower())


def _strangeness(content: dict[str, Any], backend: tokenizers.Tokenizer) -> list[str]:
    """Why this tokenizer isn't one whose promises (lossless, one separator, exact token bytes) textmill can keep."""
    problems = []
    if backend.token_to_id(END_OF_TEXT) is None:
        problems.append(f"has no {END_OF_TEXT} token, which begins and ends every document")
    if content["normalizer"] is not None:
        problems.append("has a normaliser, so that it can't give a text back as it was")
    decoder = (content["decoder"] or {}).get("type")
    if decoder != ("ByteLevel" if content["model"]["type"] == "BPE" else "Fuse"):
        problems.append(f"joins its pieces in a way that isn't known here (decoder {decoder})")
    size = backend.get_vocab_size()
    if decoder == "ByteLevel" and not _byte_alphabet().keys() <= backend.get_vocab().keys():
        problems.append("lacks some of the 256 bytes, so that it can't hold every text")
    if '"add_prefix_space": true' in json.dumps(content["pre_tokenizer"]):
        problems.append("puts a space before each text, so that it can't give a text back as it was")
    if set(backend.get_vocab().values()) != set(range(size)):
        problems.append(f"its {size} tokens don't have the numbers 0 to {size - 1}")
    if foreign := sorted({token["content"] for token in content["added_tokens"]} - {END_OF_TEXT, UNKNOWN}):
        problems.append(f"has special tokens that aren't known here: {', '.join(foreign[:5])}")
    return [f"{problem}; train one with textmill" for problem in problems]


def _read_training(path: Path) -> dict[str, Any]:
    """How the tokenizer was trained, if its folder says so."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")).get("textmill_training", {}))
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:
        raise TokenizerError(f"{path} is not what textmill wrote ({error}); have the tokenizer made anew") from error


def _byte_alphabet() -> dict[str, int]:
    """Which byte each character of a byte-level piece stands for: itself where printable Latin-1, else the next one
    from U+0100 on (Radford et al. 2019, GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}
