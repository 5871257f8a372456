"""Groups of a pass: all rows, each once, in their order; in as many groups as cost least."""

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from textmill.inference.passes import GROUP_COST, TOKEN_COST, Group, grouped
from textmill.models.slots import KeyValueSlots, RecurrentSlots

SLOTS = KeyValueSlots(1, 64, 1, 8, 2, torch.float32, "cpu")


def cost(groups: list[Group]) -> int:
    return sum(
        GROUP_COST + len(group.lengths) * (max(group.lengths) + group.width + TOKEN_COST * group.width) for group in groups
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 9)), max_size=20))
def test_every_row_is_in_one_group_and_no_two_groups_are_better(rows: list[tuple[int, int]]) -> None:
    lengths, tokens = [length for length, _ in rows], [[7] * count for _, count in rows]
    groups = grouped(lengths, tokens, SLOTS)
    assert [length for group in groups for length in group.lengths] == lengths
    assert [each for group in groups for each in group.tokens] == tokens
    assert [group.first for group in groups] == [sum(len(g.lengths) for g in groups[:n]) for n in range(len(groups))]
    if groups:
        assert cost(groups) <= cost([Group(0, lengths, tokens)])
    for at in range(1, len(rows)):
        halves = [Group(0, lengths[:at], tokens[:at]), Group(at, lengths[at:], tokens[at:])]
        assert cost(groups) <= cost(halves)


def test_long_rows_are_read_apart_from_short_ones() -> None:
    assert [len(group.lengths) for group in grouped([50] * 5 + [2000] * 2 + [60] * 3, [[1]] * 10, SLOTS)] == [5, 2, 3]
    assert len(grouped([50, 60, 70], [[1], [1], [1]], SLOTS)) == 1


def test_what_cant_be_packed_is_one_group() -> None:
    recurrent = RecurrentSlots(torch.zeros(4, 1, 1, 8))
    assert len(grouped([1, 3000], [[1], [1] * 9], recurrent)) == 1 and grouped([], [], recurrent) == []


def test_shorter_rows_are_padded() -> None:
    assert Group(0, [1, 1], [[5, 6, 7], [8]]).inputs().tolist() == [[5, 6, 7], [8, 0, 0]]
