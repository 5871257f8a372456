"""How numbers are stored in a GGUF file: plain, or in blocks that share a scale. Names, numbers and sizes are ggml's.

Which of them are read, and which are written, stands here; how, in dequantise.py and quantise.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorType:
    """`block_size` numbers are stored together in `block_bytes` bytes."""

    name: str
    number: int
    block_size: int
    block_bytes: int


READ: dict[str, TensorType] = {
    kind.name: kind
    for kind in (
        TensorType("F32", 0, 1, 4),
        TensorType("F16", 1, 1, 2),
        TensorType("BF16", 30, 1, 2),
        TensorType("Q8_0", 8, 32, 34),
        TensorType("Q4_0", 2, 32, 18),
        TensorType("Q4_1", 3, 32, 20),
        TensorType("Q4_K", 12, 256, 144),
        TensorType("Q6_K", 14, 256, 210),
    )
}
# What `general.file_type` says of a file that is mostly of a type.
WRITTEN = {"F32": 0, "F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2}
BY_NUMBER = {kind.number: kind for kind in READ.values()}
# Those that are only known by name.
UNREAD = {
    6: "Q5_0",
    7: "Q5_1",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    13: "Q5_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}
