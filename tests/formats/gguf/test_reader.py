"""A GGUF file's header: read as the `gguf` package reads it; where it lies, an error in little memory, whatever it says."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import ModelError
from textmill.formats.gguf.reader import MAGIC, GgufFile, read_gguf
from textmill.formats.gguf.tensor_types import READ
from textmill.formats.gguf.writer import write_gguf

from .test_blocks import random_blocks

METADATA = {
    "general.architecture": "llama",
    "llama.block_count": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.tokens": ["<s>", "Ġa", "短", ""],
    "tokenizer.ggml.token_type": [3, 1, 1, 1],
    "tokenizer.ggml.scores": [0.0, -1.0, -2.5, -3.0],
}
TENSORS = {
    "token_embd.weight": torch.arange(4 * 32, dtype=torch.float32).view(4, 32),
    "blk.0.attn_norm.weight": torch.linspace(-1, 1, 5),
}
STORED = {"token_embd.weight": (READ["Q8_0"], (4, 32)), "blk.0.attn_norm.weight": (READ["F32"], (5,))}
MEMORY = 4_000_000  # bytes; the file has some 700


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "good.gguf"
    write_gguf(path, METADATA, STORED, TENSORS.__getitem__)
    return path


@pytest.fixture
def read_changed(good: Path, tmp_path: Path) -> Callable[..., GgufFile]:
    """Read the good file with every `old` replaced by `new`; they have the same length, or what follows moves."""

    def read(*replacements: tuple[bytes, bytes]) -> GgufFile:
        content = good.read_bytes()
        for old, new in replacements:
            assert old in content
            content = content.replace(old, new)
        (tmp_path / "changed.gguf").write_bytes(content)
        return read_gguf(tmp_path / "changed.gguf")

    return read


def u32(number: int) -> bytes:
    return struct.pack("<I", number)


def u64(number: int) -> bytes:
    return struct.pack("<Q", number)


def text(value: str) -> bytes:
    return u64(len(value.encode())) + value.encode()


def test_what_is_written_is_what_both_readers_read(good: Path) -> None:
    ours, theirs = read_gguf(good), gguf.GGUFReader(good)
    assert list(ours.metadata) == list(METADATA)
    for key, value in METADATA.items():
        assert np.asarray(ours.metadata[key]).tolist() == value == theirs.fields[key].contents()
    for tensor in theirs.tensors:
        numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape.tolist()[::-1])
        assert torch.equal(ours.tensor(tensor.name), torch.tensor(numbers))
    assert torch.equal(ours.tensor("blk.0.attn_norm.weight"), TENSORS["blk.0.attn_norm.weight"])


def test_what_another_writer_wrote_is_read(tmp_path: Path) -> None:
    """With every type of value, and another alignment."""
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_custom_alignment(64)
    values = {"uint8": 200, "int8": -100, "uint16": 60_000, "int16": -30_000, "int32": -5, "uint64": 2**63, "int64": -(2**62)}
    for name, value in values.items():
        getattr(writer, f"add_{name}")(name, value)
    writer.add_float64("float64", 0.1)
    writer.add_array("booleans", [True, False])
    matrix = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float16)
    writer.add_tensor("a.weight", matrix)
    writer.add_tensor("b.weight", matrix.astype(np.float32)[0])
    blocks = {name: random_blocks(name, 6).reshape(3, -1) for name in ("Q4_K", "Q6_K")}  # three rows of two blocks
    for name, raw in blocks.items():
        writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = read_gguf(path)
    assert {name: file.metadata[name] for name in values} == values
    assert file.metadata["float64"] == 0.1 and file.metadata["booleans"].tolist() == [True, False]
    assert np.array_equal(file.tensor("a.weight").numpy(), matrix.astype(np.float32))
    assert file.places["b.weight"].start % 64 == 0
    for name, raw in blocks.items():
        assert file.tensor(name).shape == (3, 512)
        assert np.array_equal(file.tensor(name).numpy(), gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name]))
    path.write_bytes(path.read_bytes().replace(MAGIC + u32(3), MAGIC + u32(2)))
    assert read_gguf(path).metadata.keys() == file.metadata.keys()  # version 2 is laid out alike


def test_the_same_input_gives_the_same_bytes(good: Path, tmp_path: Path) -> None:
    write_gguf(tmp_path / "again.gguf", METADATA, STORED, TENSORS.__getitem__)
    assert (tmp_path / "again.gguf").read_bytes() == good.read_bytes()


def test_rows_that_are_no_whole_blocks_are_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weight w has rows of 5 numbers; Q8_0 has blocks of 32, so take F16"):
        write_gguf(tmp_path / "no.gguf", {}, {"w": (READ["Q8_0"], (2, 5))}, lambda name: torch.ones(2, 5))
    assert not list(tmp_path.iterdir())


NORM = text("blk.0.attn_norm.weight")
EMBEDDING = text("token_embd.weight")
LIES = {
    "no GGUF file: it begins with b'GGML'": [(MAGIC, b"GGML")],
    "GGUF version 1;": [(MAGIC + u32(3), MAGIC + u32(1))],
    "GGUF version 3, big-endian": [(MAGIC + u32(3), MAGIC + struct.pack(">I", 3))],
    r"it says that it has 9,223,372,036,854,775,808 tensors; 65,536 are the most": [(u32(3) + u64(2), u32(3) + u64(2**63))],
    r"has 9,223,372,036,854,775,808 metadata entries": [(u64(2) + u64(7), u64(2) + u64(2**63))],
    r"would take 9,223,372,036,854,775,808 bytes": [(text("llama.block_count"), u64(2**63) + b"llama.block_count")],
    "the key 'general.architecture' stands twice": [(text("llama.rope.freq_base"), text("general.architecture"))],
    "would have 1,152,921,504,606,846,976 strings": [(u32(8) + u64(4), u32(8) + u64(2**60))],
    "'tokenizer.ggml.token_type' would take 36,893,488,147,419,103,232 bytes": [(u32(5) + u64(4), u32(5) + u64(2**63))],
    "is of type 99, which GGUF doesn't have": [(text("llama.block_count") + u32(4), text("llama.block_count") + u32(99))],
    "is an array of type 9;": [(u32(9) + u32(8) + u64(4), u32(9) + u32(9) + u64(4))],
    "is neither true nor false but 7": [(u32(7) + b"\1", u32(7) + b"\7")],
    "is not UTF-8 text": [("短".encode(), b"\xff\xfe\xfd")],
    "tensor 'token_embd.weight' stands twice": [(NORM, EMBEDDING)],
    "has 4,294,967,295 dimensions; 1 to 4 can be": [(EMBEDDING + u32(2), EMBEDDING + u32(2**32 - 1))],
    r"has shape \(0, 32\), which holds nothing": [(u64(32) + u64(4) + u32(8), u64(32) + u64(0) + u32(8))],
    "would end at byte 313,594,649,253,062,377,": [(u64(32) + u64(4) + u32(8), u64(32) + u64(2**63) + u32(8))],
    "has rows of 33 numbers; Q8_0 has blocks of 32": [(u64(32) + u64(4) + u32(8), u64(33) + u64(4) + u32(8))],
    "'token_embd.weight' is of type Q5_K; read are F32, F16, BF16, ": [(u64(4) + u32(8), u64(4) + u32(13))],
    "is of type number 999, which isn't known": [(u64(4) + u32(8), u64(4) + u32(999))],
    "begins at 3, which isn't a multiple of 32": [(u64(4) + u32(8) + u64(0), u64(4) + u32(8) + u64(3))],
    "'blk.0.attn_norm.weight' overlap": [(u64(5) + u32(0) + u64(160), u64(5) + u32(0) + u64(128))],
    r"'blk.0.attn_norm.weight' would end at byte .*; it may be truncated": [
        (u64(5) + u32(0) + u64(160), u64(5) + u32(0) + u64(192))
    ],
}


@pytest.mark.parametrize("message", LIES)
def test_a_lie_is_told_what_and_where(read_changed: Callable[..., GgufFile], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_changed(*LIES[message])


@pytest.mark.parametrize("alignment", [0, 1, 33, 2**31])
def test_an_alignment_that_cannot_be_is_refused(tmp_path: Path, alignment: int) -> None:
    write_gguf(tmp_path / "odd.gguf", {"general.alignment": alignment}, STORED, TENSORS.__getitem__)
    with pytest.raises(ModelError, match=f"general.alignment is {alignment}; a power of two from 8 to"):
        read_gguf(tmp_path / "odd.gguf")


def test_only_the_first_problems_of_many_are_told(tmp_path: Path) -> None:
    names = [f"weight.{number}" for number in range(100)]
    write_gguf(tmp_path / "many.gguf", {}, dict.fromkeys(names, (READ["F32"], (8,))), lambda name: torch.ones(8))
    (tmp_path / "many.gguf").write_bytes((tmp_path / "many.gguf").read_bytes()[: -32 * 90])
    with pytest.raises(ModelError, match=r"weight\.10") as refused:
        read_gguf(tmp_path / "many.gguf")
    assert len(refused.value.problems) == 9 and "and 82 more" in refused.value.problems[-1]


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    for path, message in (
        (tmp_path / "empty.gguf", "no GGUF file"),
        (tmp_path, "can't be read"),
        (tmp_path / "none", "can't be"),
    ):
        with pytest.raises(ModelError, match=message):
            read_gguf(path)


@st.composite
def mutations(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Places in a file and what is written there: odd bytes, or numbers that are large where a count or an offset is read."""
    numbers = st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1])
    written = st.one_of(st.binary(min_size=1, max_size=4), numbers.map(lambda n: struct.pack("<Q", n)), st.just(u32(2**32 - 1)))
    return draw(st.lists(st.tuples(st.integers(0, 900), written), min_size=1, max_size=3))


@settings(max_examples=300, deadline=None)
@given(changes=mutations(), length=st.one_of(st.none(), st.integers(0, 900)))
def test_whatever_a_header_says_it_is_an_error_or_a_consistent_file(
    good: Path, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bytes]], length: int | None
) -> None:
    content = bytearray(good.read_bytes())
    for at, written in changes:
        at %= len(content)
        content[at : at + len(written)] = written
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    path.write_bytes(content[:length])
    tracemalloc.start()
    try:
        file = read_gguf(path)
        ends = 0
        for place in sorted(file.places.values(), key=lambda place: place.start):
            assert ends <= place.start and place.start + place.size <= len(content[:length])
            assert file.tensor(place.name).shape == place.shape
            ends = place.start + place.size
    except ModelError as error:
        assert all(str(path) in problem for problem in error.problems)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY
