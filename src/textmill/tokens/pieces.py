"""What the pieces of a vocabulary stand for: how each of the ways to spell text in pieces is turned into bytes again.

Byte-level (GPT-2), a mark in the place of the space (SentencePiece), `##` before what goes on (BERT), pieces as they are.
"""

import functools
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tokenizers.decoders

Spelling = Literal["byte-level", "marked", "wordpiece", "spaced", "plain"]

MARK = "▁"  # U+2581, what SentencePiece writes for a space
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
MARKED_STEPS = {"Replace", "ByteFallback", "Fuse", "Strip"}
# Blocks of the scripts that are written without spaces: Thai to Myanmar, Khmer, kana and Han.
UNSPACED = ((0x0E00, 0x109F), (0x1780, 0x17FF), (0x3040, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
TAKES_SPACES_AWAY = ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "CharDelimiterSplit", "Delimiter")


def spelling_of(content: Mapping[str, Any]) -> Spelling | None:
    """How a tokenizer.json spells text in pieces, read off its decoder; None where it is a way that isn't known here."""
    decoder = content["decoder"]
    match decoder and decoder["type"]:
        case None:
            return "spaced"
        case "ByteLevel":
            return "byte-level"
        case "WordPiece":
            return "wordpiece"
        case "Fuse":
            return "plain"
        case "Metaspace":
            return "marked"
        case "Sequence":
            steps = decoder["decoders"]
            if [step["type"] for step in steps] == ["ByteLevel"]:
                return "byte-level"
            replaced = [(step["pattern"].get("String"), step["content"]) for step in steps if step["type"] == "Replace"]
            known = {step["type"] for step in steps} <= MARKED_STEPS and replaced == [(MARK, " ")]
            return "marked" if known else None
    return None


class Pieces:
    """The bytes of each token of a tokenizer.json whose spelling is known, and whose `size` numbers have no gaps. `texts` gives
    a number's piece: each is looked at when it is first asked for, since a vocabulary is large, and an answer short.

    `strips_space`: a text loses the one space that its first token begins with. `lossless`: only unknown characters are lost
    on the way.
    """

    def __init__(self, content: Mapping[str, Any], texts: Callable[[int], str | None], size: int, special: Collection[int]):
        spelling = spelling_of(content)
        self.strips_space, self.lossless = _strips_space(spelling, content), _is_lossless(spelling, content)
        self._text_of, self._size, self._special, self._spell = texts, size, special, _speller(spelling, content)
        self._continuation = content["decoder"]["prefix"] if spelling == "wordpiece" else ""
        self._bytes: dict[int, bytes] = {}

    def bytes_of(self, id: int) -> bytes:
        """What a token adds to a text; nothing for a special one."""
        if id not in self._bytes:
            self._bytes[id] = b"" if id in self._special else self._spell(self._text_of(id) or "")
        return self._bytes[id]

    @functools.cached_property
    def begins_word(self) -> np.ndarray:
        """Whether each token begins a word, (V,) bool. A special one stands for itself."""
        goes_on = self._continuation
        return np.array(
            [
                id in self._special or (not text.startswith(goes_on) if goes_on else _begins_word(self.bytes_of(id)))
                for id, text in enumerate(self._text_of(id) or "" for id in range(self._size))
            ],
            dtype=bool,
        )


def unrestored_bytes(text: str, ids: Sequence[int], spans: Sequence[tuple[int, int]], pieces: Pieces) -> int:
    """How many UTF-8 bytes of `text` its tokens don't give back in their place. `spans`: each token's characters.

    Tokens of one character's bytes are taken together. A stretch between two tokens counts where it isn't what their
    joining puts there.
    """
    lost = reached = place = 0
    while place < len(ids):
        begin, end = spans[place]
        restored = pieces.bytes_of(ids[place])
        place += 1
        while place < len(ids) and spans[place] == (begin, end):
            restored += pieces.bytes_of(ids[place])
            place += 1
        source = text[begin:end].encode()
        between = text[reached : max(begin, reached)].encode()
        if restored[:1] == b" " and source[:1] != b" ":  # the space before a word stands outside the token's characters
            lost += bool(reached) and between[:1] != b" "  # or stands nowhere in the text
            restored, between = restored[1:], between.removeprefix(b" ")
        lost += len(between) + (0 if restored == source else len(source))
        reached = max(end, reached)
    return lost + len(text[reached:].encode())


def _speller(spelling: Spelling | None, content: Mapping[str, Any]) -> Callable[[str], bytes]:
    """The function from a piece to its bytes."""
    if spelling == "byte-level":
        byte_of = byte_alphabet()

        def from_alphabet(piece: str) -> bytes:
            known = all(character in byte_of for character in piece)  # an added token may be written as it is
            return bytes(byte_of[character] for character in piece) if known else piece.encode()

        return from_alphabet
    if spelling == "marked":
        mark = content["decoder"].get("replacement", MARK)
        fallback = '"ByteFallback"' in json.dumps(content["decoder"])

        def from_marks(piece: str) -> bytes:
            byte = BYTE_PIECE.fullmatch(piece) if fallback else None
            return bytes([int(byte[1], 16)]) if byte else piece.replace(mark, " ").encode()

        return from_marks
    if spelling == "wordpiece":
        prefix = content["decoder"]["prefix"]
        decoder = tokenizers.decoders.WordPiece(prefix, content["decoder"]["cleanup"])

        def from_wordpiece(piece: str) -> bytes:
            if piece.isalnum():
                return b" " + piece.encode()
            # The library's own decoder knows which punctuation it draws to the word before.
            return decoder.decode(["a", piece])[1:].encode()

        return from_wordpiece
    return (lambda piece: b" " + piece.encode()) if spelling == "spaced" else str.encode


def _strips_space(spelling: Spelling | None, content: Mapping[str, Any]) -> bool:
    if spelling == "marked" and content["decoder"]["type"] == "Metaspace":
        return content["decoder"].get("prepend_scheme", "always") != "never"
    if spelling == "marked":
        steps = content["decoder"]["decoders"]
        return any(step["type"] == "Strip" and step["content"] == " " and step["start"] > 0 for step in steps)
    return spelling in ("wordpiece", "spaced")


def _is_lossless(spelling: Spelling | None, content: Mapping[str, Any]) -> bool:
    normalisers = _steps(content["normalizer"], "normalizers")
    marks_only = all(
        step["type"] == "Prepend" or (step["type"] == "Replace" and step["pattern"] == {"String": " "}) for step in normalisers
    )
    splitters = _steps(content["pre_tokenizer"], "pretokenizers")
    keeps = not any(
        step["type"] in TAKES_SPACES_AWAY or step.get("behavior") == "Removed" or step.get("add_prefix_space")
        for step in splitters
    )
    spells_all = spelling != "byte-level" or holds_all_bytes(content["model"]["vocab"])
    return spelling not in ("wordpiece", "spaced") and marks_only and keeps and spells_all


def _steps(component: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """The steps of a component that may be absent, one step, or a sequence of them."""
    if component is None:
        return []
    return [step for inner in component[key] for step in _steps(inner, key)] if component["type"] == "Sequence" else [component]


def _begins_word(content: bytes) -> bool:
    """Whether bytes begin a word: not where they go on with a letter or a digit of a script that parts words by spaces.

    A letter of an unspaced script is a word of its own, as in `splitting.WORD`. Of a character whose first byte stands
    alone only the block is known: Han and kana where it is U+3000 to U+9FFF, or beyond U+FFFF.
    """
    if content[:1] >= b"\x80" and not _whole_first_character(content):
        return 0xE3 <= content[0] <= 0xE9 or content[0] >= 0xF0
    first = content.decode("utf-8", "replace")[:1]
    return not (first.isalnum() or first == "_") or any(begin <= ord(first) <= end for begin, end in UNSPACED)


def _whole_first_character(content: bytes) -> bool:
    for size in range(1, 5):
        try:
            content[:size].decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def holds_all_bytes(vocabulary: Collection[str]) -> bool:
    """Whether a byte-level vocabulary can spell every text: it holds each byte that UTF-8 uses."""
    unused = {0xC0, 0xC1, *range(0xF5, 0x100)}
    return all(character in vocabulary for character, byte in byte_alphabet().items() if byte not in unused)


def byte_alphabet() -> dict[str, int]:
    """Which byte each character of a byte-level piece stands for: itself where printable Latin-1, else the next one
    from U+0100 on (Radford et al. 2019, GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}
