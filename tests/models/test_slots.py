"""Room for many rows takes memory only where a row has been."""

import psutil
import torch

from textmill.models.slots import KeyValueSlots


def test_what_no_row_has_reached_takes_no_memory() -> None:
    before = psutil.Process().memory_info().rss
    slots = KeyValueSlots(4, 16, 4, 64, 8192, torch.float32, "cpu")
    slots.keys[0][:, :, :10] = 1.0
    taken = psutil.Process().memory_info().rss - before
    assert slots.bytes > 1e9 and taken < 5e6
    assert slots.values[3][15, 3, 8191, 63] == 0


def test_any_number_format() -> None:
    slots = KeyValueSlots(1, 2, 1, 8, 4, torch.bfloat16, "cpu")
    assert slots.keys[0].dtype == torch.bfloat16 and slots.keys[0].shape == (2, 1, 4, 8) and not slots.keys[0].any()
