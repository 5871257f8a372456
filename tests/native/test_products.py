"""Packed weights stand for what was packed, as near as their format allows, and are multiplied as what they stand for."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from textmill.native.library import Pool
from textmill.native.packing import FORMATS, GROUP, Format, pack, product, rows

pytestmark = pytest.mark.usefixtures("instruction_set")
SHORT: list[Format] = ["int8", "int4"]


def grouped(x: Tensor) -> Tensor:
    """(…, K) -> (…, groups, GROUP), with zeros behind the last."""
    return torch.nn.functional.pad(x, (0, -x.size(-1) % GROUP)).unflatten(-1, (-1, GROUP))


def rounding_error(weight: Tensor, x: Tensor) -> Tensor:
    """How far products (N, outputs) may be from weight · x, since activations have 8 bits: half a step for each, where a step
    is 1/127 of the group's largest, and 1/127 of that where this is more than 1.5 times the mean of its row's groups'."""
    largest = grouped(x).abs().amax(dim=-1)  # (N, groups)
    twice = largest > 1.51 * largest.mean(dim=-1, keepdim=True)
    half_steps = largest / 254 / torch.where(twice, 127, 1)
    return 1.01 * half_steps @ grouped(weight).abs().sum(dim=-1).T


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outputs=st.integers(1, 70),
    inputs=st.integers(1, 200),
    rows=st.integers(0, 21),
    format=st.sampled_from(FORMATS),
    threads=st.integers(1, 3),
    biased=st.booleans(),
    outliers=st.integers(0, 3),
    size=st.sampled_from([1e-12, 1e-3, 1.0, 1e6]),
    seed=st.integers(0, 2**16),
)
def test_products_of_any_shape(
    outputs: int, inputs: int, rows: int, format: Format, threads: int, biased: bool, outliers: int, size: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight, x = size * torch.randn(outputs, inputs, generator=generator), torch.randn(rows, inputs, generator=generator)
    x[:, torch.randint(inputs, (outliers,), generator=generator)] *= 100
    bias = torch.randn(outputs, generator=generator) if biased else None
    packed = pack(weight, bias, format)
    found, stood_for = product(Pool(threads), packed, x), packed.weight()[:, :inputs]
    expected = torch.nn.functional.linear(x, stood_for, bias)
    allowed = 1e-5 * (1 + x.abs() @ stood_for.abs().T)  # for sums in another order
    if format != "float32":
        allowed = allowed + rounding_error(stood_for, x)
    assert found.shape == expected.shape and ((found - expected).abs() <= allowed).all()


@pytest.mark.parametrize(("format", "most"), [("float32", 0.0), ("int8", 0.0055), ("int4", 0.072)])
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 1e6])
def test_packed_weights_are_near_to_what_was_packed(format: Format, most: float, size: float) -> None:
    weight = size * (torch.randn(200, 640) + 0.5)
    assert (pack(weight, None, format).weight() - weight).norm() <= most * (weight - 0.5 * size).norm()


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outputs=st.integers(1, 70),
    inputs=st.integers(1, 200),
    numbers=st.lists(st.integers(0, 69), max_size=20),
    format=st.sampled_from(FORMATS),
    size=st.sampled_from([1e-12, 1.0, 1e6]),
)
def test_rows_are_what_a_matrix_stands_for(outputs: int, inputs: int, numbers: list[int], format: Format, size: float) -> None:
    wanted = torch.tensor(numbers, dtype=torch.int64) % outputs
    packed = pack(size * torch.randn(outputs, inputs), None, format)
    expected = packed.weight()[wanted, :inputs]
    found = rows(packed, wanted, inputs)
    assert found.shape == expected.shape and ((found - expected).abs() <= (0 if format == "float32" else 1e-6) * size).all()


@pytest.mark.parametrize("number", [-1, 5, 2**40])
def test_a_row_that_is_not_there_is_refused(number: int) -> None:
    with pytest.raises(IndexError, match="has 5 rows"):
        rows(pack(torch.randn(5, 40), None, "int8"), torch.tensor([0, number]), 40)


@pytest.mark.parametrize("format", SHORT)
def test_weights_that_were_already_short_are_packed_without_loss(format: Format) -> None:
    # As in GGUF's Q4_0 for 8 bits, about zero, and in its Q4_1 for 4, above a lowest value.
    least = -8 if format == "int8" else 0
    numbers = torch.randint(least, least + 16, (40, 4, GROUP))
    numbers[..., 0], numbers[..., 1] = least, least + 15
    scales, lowest = (0.01 * torch.rand(40, 4, 1)).half().float(), torch.randn(40, 4, 1).half().float()
    weight = (numbers * scales + (lowest if format == "int4" else 0)).flatten(1)
    lost = (pack(weight, None, format).weight() - weight).abs().view_as(numbers)
    assert (lost <= (0.01 if format == "int8" else 1e-5) * scales).all()  # in 8 bits a sixteenth of the scale is rounded


@pytest.mark.parametrize("format", SHORT)
def test_constant_groups_stay_as_they_are(format: Format) -> None:
    weight = torch.tensor([0.0, -1.5, 3.0]).repeat_interleave(GROUP)[None].repeat(3, 1)
    assert torch.equal(pack(weight, None, format).weight(), weight)
