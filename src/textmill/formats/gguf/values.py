"""The values of a GGUF file's metadata: numbers, truth, text, and lists of these, each after a number that names its type.

`Reading` goes over a file's bytes with distrust: whatever a file says of its lengths and counts is held against what is there
before anything is made of it.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ModelError

Value = bool | int | float | str | Sequence[bool] | Sequence[int] | Sequence[float] | Sequence[str]

# The format's numbers for types, with struct's letters; the letters are numpy's as well.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?", 10: "Q", 11: "q", 12: "d"}


class Reading:
    """A place in a file's bytes that only moves on. Every `take` and `read` raises ModelError, with the byte's place, where
    the bytes don't hold what they should."""

    def __init__(self, where: str, data: Any, limit: int):
        self._where, self._data, self._limit = where, data, limit
        self.position = 0

    def fail(self, problem: str) -> ModelError:
        return ModelError(f"{self._where}: {problem} (byte {self.position:,}); it may be truncated or damaged, fetch it anew")

    def take(self, length: int, what: str) -> bytes:
        """The next `length` bytes."""
        if length > self._limit - self.position:
            raise self.fail(f"{what} would take {length:,} bytes, {self._limit - self.position:,} are left")
        start, self.position = self.position, self.position + length
        return self._data[start : self.position]

    def number(self, letter: str, what: str) -> Any:
        """One scalar; `letter` is struct's."""
        raw = self.take(struct.calcsize(f"<{letter}"), what)
        if letter == "?" and raw not in (b"\0", b"\1"):
            raise self.fail(f"{what} is neither true nor false but {raw[0]}")
        return struct.unpack(f"<{letter}", raw)[0]

    def string(self, what: str) -> str:
        """A length, and so many bytes of UTF-8."""
        raw = self.take(self.number("Q", f"the length of {what}"), what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.fail(f"{what} is not UTF-8 text") from error

    def value(self, what: str) -> Any:
        """A type's number and a value of it; numbers of an array as a numpy array, its strings as a list."""
        kind = self.number("I", f"the type of {what}")
        if kind == STRING:
            return self.string(what)
        if kind in SCALARS:
            return self.number(SCALARS[kind], what)
        if kind != ARRAY:
            raise self.fail(f"{what} is of type {kind}, which GGUF doesn't have")
        return self._array(what)

    def _array(self, what: str) -> Any:
        kind = self.number("I", f"the type of {what}")
        count = self.number("Q", f"the length of {what}")
        if kind in SCALARS:
            letter = SCALARS[kind]
            numbers = np.frombuffer(self.take(count * struct.calcsize(f"<{letter}"), what), dtype=f"<{letter}")
            if kind == BOOL and (numbers.view(np.uint8) > 1).any():
                raise self.fail(f"{what} holds what is neither true nor false")
            return numbers
        if kind != STRING:
            raise self.fail(f"{what} is an array of type {kind}; arrays of numbers, truth values and strings are read")
        if count * 8 > self._limit - self.position:  # each string has a length of eight bytes
            raise self.fail(f"{what} would have {count:,} strings, {self._limit - self.position:,} bytes are left")
        return [self.string(what) for _ in range(count)]


def encode_value(value: Value) -> bytes:
    """A type's number and the value. Whole numbers are written as UINT32, in arrays as INT32, other ones as FLOAT32: so
    llama.cpp reads them."""
    if isinstance(value, str):
        return struct.pack("<I", STRING) + encode_string(value)
    if isinstance(value, bool | int | float):
        kind = _type_of(value)
        return struct.pack(f"<I{SCALARS[kind]}", kind, value)
    kind = STRING if not value or isinstance(value[0], str) else _type_of(value[0])
    head = struct.pack("<IIQ", ARRAY, INT32 if kind == UINT32 else kind, len(value))
    if kind == STRING:
        return head + b"".join(encode_string(str(one)) for one in value)
    return head + struct.pack(f"<{len(value)}{SCALARS[INT32 if kind == UINT32 else kind]}", *value)


def encode_string(text: str) -> bytes:
    """The length in bytes, and the UTF-8."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _type_of(value: bool | int | float) -> int:
    return BOOL if isinstance(value, bool) else UINT32 if isinstance(value, int) else FLOAT32
