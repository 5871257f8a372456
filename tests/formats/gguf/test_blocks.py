"""The numbers of each storage type: to the bit as the `gguf` package of llama.cpp has them."""

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType

from textmill.errors import ModelError
from textmill.formats.gguf.dequantise import dequantise
from textmill.formats.gguf.quantise import quantise
from textmill.formats.gguf.tensor_types import READ, UNREAD, WRITTEN

SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q4_K": [0, 2], "Q6_K": [208]}  # where a block has its float16 numbers


def random_blocks(name: str, count: int) -> np.ndarray:
    """Blocks of random bytes whose scales are finite."""
    generator = np.random.default_rng(0)
    blocks = generator.integers(0, 256, (count, READ[name].block_bytes), dtype=np.uint8)
    for at in SCALES.get(name, []):
        blocks[:, at : at + 2] = generator.standard_normal((count, 1)).astype(np.float16).view(np.uint8)
    return blocks


@pytest.mark.parametrize("name", READ)
def test_every_number_is_the_one_that_llama_cpp_reads(name: str) -> None:
    blocks = random_blocks(name, 9_000)  # more than one piece
    expected = gguf.quants.dequantize(blocks, GGMLQuantizationType[name])
    assert np.array_equal(dequantise(blocks.reshape(-1), READ[name]).view(np.uint32), expected.reshape(-1).view(np.uint32))


@pytest.mark.parametrize("name", WRITTEN)
def test_every_byte_is_the_one_that_llama_cpp_writes(name: str) -> None:
    generator = np.random.default_rng(1)
    numbers = generator.standard_normal(300_000 // 32 * 32) * np.exp(generator.standard_normal(300_000 // 32 * 32))
    numbers[:32] = 0
    numbers[32:64] = np.arange(-16, 16) * 0.5  # halves, and two of the same size with either sign
    numbers = numbers.astype(np.float32)
    expected = gguf.quants.quantize(numbers.reshape(-1, 32), GGMLQuantizationType[name])
    assert quantise(numbers, READ[name], "weight").tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_what_was_plain_comes_back_as_it_was(name: str) -> None:
    raw = random_blocks(name, 4096).reshape(-1)
    numbers = dequantise(raw, READ[name])
    numbers = numbers[np.isfinite(numbers)]
    assert np.array_equal(dequantise(quantise(numbers, READ[name], "weight"), READ[name]).view("u4"), numbers.view("u4"))


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_what_a_type_cannot_hold_is_refused(name: str) -> None:
    numbers = np.ones(64, dtype=np.float32)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ModelError, match=f"weight w holds infinities or NaN, which {name} can't"):
            quantise(np.where(np.arange(64) == 5, np.float32(bad), numbers), READ[name], "w")
    with pytest.raises(ModelError, match=f"weight w holds numbers up to 3.4e\\+38, which {name} can't; take F32"):
        quantise(np.full(64, np.finfo(np.float32).max), READ[name], "w")


def test_the_types_have_the_numbers_and_sizes_of_ggml() -> None:
    for name, kind in READ.items():
        one = GGMLQuantizationType[name]
        assert (kind.number, kind.block_size, kind.block_bytes) == (one.value, *gguf.constants.GGML_QUANT_SIZES[one])
    for name, file_type in WRITTEN.items():
        assert gguf.LlamaFileType(file_type).name == f"{'ALL' if name == 'F32' else 'MOSTLY'}_{name}"
    for number, name in UNREAD.items():
        assert GGMLQuantizationType[name].value == number
