"""The symbols of the n-gram: whole characters where they are common, bytes for all else.

A Chinese character has three bytes, so seven bytes of context would be two characters: a weak baseline is easily beaten.
Here the text's own common characters are one symbol each. In English almost nothing changes by it.
"""

from collections.abc import Iterable

import numpy as np

END = 256  # the document's end; as context, what stands before its beginning. Below it, the bytes.
SMALLEST_BITS = 9
WIDTHS = (SMALLEST_BITS, 10, 12)  # bits of a symbol: 7, 6 or 5 of them fit 64 bits
SPELLED_SHARE = 0.02  # of the characters: so many at most are spelled in bytes, if a wider symbol can help it

_SPELLED = 0xFFFF  # stands in the table for a character that is no symbol
_CODE_POINTS = 0x110000
_ASCII = 128
_ESCAPED = 0xDC80  # where Python's `surrogateescape` puts the bytes from 0x80 on that are no UTF-8


class Alphabet:
    """256 bytes, the document's end, and `characters`, each of more than one byte in UTF-8."""

    def __init__(self, characters: np.ndarray):
        self.characters = characters  # (n,) code points; the first is symbol 257
        self.size = END + 1 + len(characters)
        self.bits = max(SMALLEST_BITS, (self.size - 1).bit_length())
        self._table = np.full(_CODE_POINTS, _SPELLED, dtype=np.uint16)
        self._table[:_ASCII] = np.arange(_ASCII)
        self._table[_ESCAPED : _ESCAPED + _ASCII] = np.arange(_ASCII, 256)
        self._table[characters] = np.arange(END + 1, self.size)

    @classmethod
    def of(cls, texts: Iterable[bytes]) -> "Alphabet":
        """The most frequent characters of `texts`: as many as the narrowest symbols hold that leave few spelled out."""
        counts = np.zeros(_CODE_POINTS, dtype=np.int64)
        for text in texts:
            if not text.isascii():
                points, times = np.unique(_code_points(text), return_counts=True)
                counts[points] += times
            else:
                counts[0] += len(text)  # only the total matters of ASCII
        total = int(counts.sum())
        counts[:_ASCII] = 0
        counts[_ESCAPED : _ESCAPED + _ASCII] = 0
        common = np.argsort(-counts, kind="stable")[: int(np.count_nonzero(counts))]
        characters = common
        for bits in WIDTHS:
            characters = common[: (1 << bits) - END - 1]
            if counts[common[len(characters) :]].sum() <= SPELLED_SHARE * total:
                break
        return cls(characters)

    def symbols(self, text: bytes) -> np.ndarray:
        """The symbols of a text, which may be any bytes: (n,) uint16."""
        if text.isascii():
            return np.frombuffer(text, dtype=np.uint8).astype(np.uint16)
        points = _code_points(text)
        symbols = self._table[points]
        spelled = symbols == _SPELLED
        if not spelled.any():
            return symbols
        rare = points[spelled]
        lengths = np.ones(len(points), dtype=np.int64)
        lengths[spelled] = 2 + (rare >= 0x800).astype(np.int64) + (rare >= 0x10000)
        symbols = np.repeat(symbols, lengths)
        symbols[np.repeat(spelled, lengths)] = np.frombuffer(rare.tobytes().decode("utf-32-le").encode(), dtype=np.uint8)
        return symbols

    def text(self, symbols: np.ndarray) -> bytes:
        """The text of symbols, (n,), none of them the end, in UTF-8: what `symbols` was given."""
        return b"".join(
            bytes([symbol]) if symbol < END else chr(self.characters[symbol - END - 1]).encode() for symbol in symbols.tolist()
        )


def _code_points(text: bytes) -> np.ndarray:
    """(n,) uint32; a byte that is no UTF-8 is a code point of its own."""
    return np.frombuffer(text.decode("utf-8", "surrogateescape").encode("utf-32-le", "surrogatepass"), dtype="<u4")
