"""Batches are a function of (data, plan, seed, step), read no token twice an epoch, and keep documents apart."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.corpus.document import Document
from textmill.errors import CorpusError
from textmill.tokens.data import TokenData
from textmill.tokens.loader import Batch, Loader
from textmill.tokens.permutation import permute
from textmill.tokens.plans import BlockPlan, Phase, StreamPlan
from textmill.tokens.shards import write_shards
from textmill.tokens.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def bpe(tokenizers_by_kind: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers_by_kind["bpe"]


@pytest.fixture(scope="module")
def folder(bpe: Tokenizer, texts: list[str], tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("loader") / "tokens"
    lines = [line for text in texts[-6:] for line in text.split("\n")]  # many short documents, empty ones among them
    write_shards(folder, bpe, [Document(line, str(n), "test") for n, line in enumerate(lines)], shard_tokens=500)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> TokenData:
    return TokenData.open(folder)


def same(left: Batch, right: Batch) -> bool:
    pairs = [(getattr(left, name), getattr(right, name)) for name in left.__dataclass_fields__]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("document_attention", [False, True])
def test_a_batch_depends_on_nothing_but_its_step(folder: Path, data: TokenData, document_attention: bool) -> None:
    plan = BlockPlan(context=32, batch_size=5, document_attention=document_attention)
    loader = Loader(data, plan, seed=3)
    forward = [loader.batch(step) for step in range(60)]
    again = Loader(TokenData.open(folder), plan, seed=3)
    assert all(same(again.batch(step), forward[step]) for step in reversed(range(60)))
    assert not same(Loader(data, plan, seed=4).batch(0), forward[0])


def test_another_process_reads_the_same_batch(folder: Path, data: TokenData) -> None:
    program = """
import sys
from textmill.tokens.data import TokenData
from textmill.tokens.loader import Loader
from textmill.tokens.plans import BlockPlan, Phase, StreamPlan
loader = Loader(TokenData.open(sys.argv[1]), BlockPlan(context=32, batch_size=4), seed=11)
print(loader.batch(123456).inputs.tolist())
"""
    printed = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(Loader(data, BlockPlan(32, 4), seed=11).batch(123456).inputs.tolist())


@pytest.mark.parametrize("context", [2, 7, 64, 1000])
def test_every_token_is_a_target_once_or_counted_as_unread(data: TokenData, context: int) -> None:
    plan = BlockPlan(context, batch_size=30)
    rows_per_epoch = plan.rows_per_epoch(data.tokens)
    steps = -(-2 * rows_per_epoch // 30)
    starts = np.concatenate([plan.rows(data.tokens, 5, step).starts for step in range(steps)])
    orders = []
    for epoch in range(2):
        rows = starts[epoch * rows_per_epoch : (epoch + 1) * rows_per_epoch]
        reads = np.zeros(data.tokens, dtype=int)
        for start in rows:
            reads[start + 1 : start + 1 + context] += 1
        assert reads.max() == 1
        assert reads.sum() + plan.unread_tokens(data.tokens, epoch) == data.tokens
        orders.append(rows.tolist())
    assert orders[0] != orders[1]


def test_the_cuts_move_from_epoch_to_epoch(data: TokenData) -> None:
    offsets = {BlockPlan(64, 1).offset(data.tokens, 0, epoch) for epoch in range(200)}
    assert len(offsets) > 50
    assert max(offsets) < 64


def test_targets_are_the_next_inputs_and_all_count(data: TokenData) -> None:
    plan = BlockPlan(context=50, batch_size=4)
    batch = Loader(data, plan, seed=0).batch(2)
    for row, start in enumerate(plan.rows(data.tokens, 0, 2).starts):
        stretch = data.read(int(start), 51).astype(np.int64)
        assert batch.inputs[row].tolist() == stretch[:-1].tolist()
        assert batch.targets[row].tolist() == stretch[1:].tolist()
    assert batch.tokens == 4 * 50
    assert batch.segments is None
    assert torch.equal(batch.positions, torch.arange(50).expand(4, 50))
    assert not batch.continues.any()


def test_types(data: TokenData) -> None:
    batch = Loader(data, BlockPlan(16, 2, document_attention=True), seed=0).batch(0)
    assert [t.dtype for t in (batch.inputs, batch.targets, batch.positions)] == [torch.int64] * 3
    assert batch.segments is not None
    assert (batch.segments.dtype, batch.continues.dtype, batch.source.dtype) == (torch.int32, torch.bool, torch.int32)
    assert batch.inputs.shape == batch.targets.shape == batch.positions.shape == batch.segments.shape == (2, 16)


def test_with_document_attention_each_document_stands_alone(bpe: Tokenizer, data: TokenData) -> None:
    loader = Loader(data, BlockPlan(context=40, batch_size=6, document_attention=True), seed=1)
    met = 0
    for step in range(20):
        batch = loader.batch(step)
        assert batch.tokens == 6 * 40
        for inputs, positions, segments in zip(batch.inputs, batch.positions, batch.segments):
            assert segments[0] == positions[0] == 0
            for t in range(1, 40):
                if inputs[t] == bpe.bos_id:  # begins a document, so sees nothing before itself
                    met += 1
                    assert (positions[t], segments[t]) == (0, segments[t - 1] + 1)
                else:
                    assert (positions[t], segments[t]) == (positions[t - 1] + 1, segments[t - 1])
    assert met > 100


def test_a_micro_batch_is_some_rows_of_the_batch(data: TokenData) -> None:
    batch = Loader(data, BlockPlan(20, 6, document_attention=True), seed=0).batch(0)
    parts = [batch.rows(0, 2), batch.rows(2, 6)]
    assert torch.equal(torch.cat([part.inputs for part in parts]), batch.inputs)
    assert torch.equal(torch.cat([part.segments for part in parts]), batch.segments)
    assert sum(part.tokens for part in parts) == batch.tokens


def test_a_batch_larger_than_the_epoch(data: TokenData) -> None:
    context = data.tokens // 3
    loader = Loader(data, BlockPlan(context, batch_size=11), seed=0)
    assert loader.rows_per_epoch < 11
    assert loader.batch(0).inputs.shape == (11, context)


def test_the_largest_context_works_and_one_more_is_refused_with_both_numbers(data: TokenData) -> None:
    loader = Loader(data, BlockPlan(data.tokens - 1, 1), seed=0)
    assert loader.batch(7).inputs[0].tolist() == data.read(0, data.tokens - 1).tolist()
    assert loader.unread_tokens(0) == 1
    with pytest.raises(
        CorpusError, match=f"{data.tokens} tokens.*needs {data.tokens + 1}.*model.context_length = {data.tokens - 1}"
    ):
        Loader(data, BlockPlan(data.tokens, 1), seed=0)


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_every_order_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, seed, epoch)), np.arange(size))


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256, 257, 65_535, 65_536, 65_537, 100_000])
def test_sizes_around_the_powers(size: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, 0, 0)), np.arange(size))


def test_a_place_is_found_without_the_others_in_a_huge_order() -> None:
    places = permute(np.arange(1000), 10**15, seed=1, epoch=0)
    assert places.min() >= 0
    assert places.max() < 10**15
    assert len(set(places.tolist())) == 1000
    assert permute(np.array([500]), 10**15, seed=1, epoch=0)[0] == places[500]


def test_an_order_looks_shuffled() -> None:
    size = 10_000
    orders = [permute(np.arange(size), size, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:  # chance: a standard deviation of 0.01, and one fixed point on average
        assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.05
        assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.05
        assert (order == np.arange(size)).sum() < 10
    assert (orders[0] == orders[1]).sum() < 10
    assert (orders[0] == orders[2]).sum() < 10


PHASES = (Phase(until=4, batch_size=2, context=8), Phase(until=9, batch_size=6, context=16))


def test_phases_read_the_same_text_in_the_same_order(data: TokenData) -> None:
    """Whatever the sizes, the tokens come as they would come in one phase: only the cuts into rows and batches differ."""
    plain = Loader(data, BlockPlan(32, 1), seed=5)
    staged = Loader(data, BlockPlan(32, 3), seed=5).following(PHASES)
    sizes = [staged.batch(step).targets.shape for step in (0, 3, 4, 8, 9, 30)]
    assert sizes == [(8, 8), (8, 8), (12, 16), (12, 16), (3, 32), (3, 32)]
    targets = torch.cat([staged.batch(step).targets.flatten() for step in range(30)])
    blocks = staged.plan.blocks_before(30)
    assert blocks == 4 * 2 + 5 * 6 + 21 * 3
    assert torch.equal(targets, torch.cat([plain.batch(block).targets.flatten() for block in range(blocks)]))
    assert staged.plan.tokens_before(30) == len(targets)


def test_a_short_row_knows_nothing_of_the_piece_before_it(data: TokenData) -> None:
    staged = Loader(data, BlockPlan(32, 3, document_attention=True), seed=5).following(PHASES)
    batch = staged.batch(0)
    assert (batch.positions[:, 0] == 0).all() and (batch.segments[:, 0] == 0).all() and batch.pieces == 4


@pytest.mark.parametrize(("context", "rows"), [(8, 5), (64, 1), (3, 40)])
def test_streams_read_on_and_every_token_once_an_epoch(data: TokenData, context: int, rows: int) -> None:
    plan = StreamPlan(context, rows)
    loader, steps = Loader(data, plan, seed=2), plan.steps_per_epoch(data.tokens)
    orders = []
    for epoch in range(2):
        batches = [loader.batch(step) for step in range(epoch * steps, (epoch + 1) * steps)]
        assert not batches[0].continues.any()
        for before, after in itertools.pairwise(batches):
            assert torch.equal(after.inputs[after.continues, 0], before.targets[after.continues, -1])
        wraps = (~torch.stack([batch.continues for batch in batches[1:]])).sum(dim=0)
        assert wraps.max() <= 1
        starts = [plan.rows(data.tokens, 2, step).starts for step in range(epoch * steps, (epoch + 1) * steps)]
        reads = np.zeros(data.tokens, dtype=int)
        for start in np.concatenate(starts):
            reads[start + 1 : start + 1 + context] += 1
        assert reads.max() == 1
        assert reads.sum() + plan.unread_tokens(data.tokens, epoch) == data.tokens
        orders.append(np.concatenate(starts).tolist())
    assert orders[0] != orders[1]


def test_streams_are_a_function_of_the_step(folder: Path, data: TokenData) -> None:
    plan = StreamPlan(8, 5)
    forward = [Loader(data, plan, seed=3).batch(step) for step in range(40)]
    again = Loader(TokenData.open(folder), plan, seed=3)
    assert all(same(again.batch(step), forward[step]) for step in reversed(range(40)))
    assert not same(Loader(data, plan, seed=4).batch(0), forward[0])


def test_more_streams_than_the_corpus_has_are_refused_with_both_numbers(data: TokenData) -> None:
    assert Loader(data, StreamPlan(data.tokens // 4, 3), seed=0).batch(9).inputs.shape == (3, data.tokens // 4)
    with pytest.raises(CorpusError, match=f"{data.tokens} tokens, 4 streams .* need {4 * data.tokens + 1}"):
        Loader(data, StreamPlan(data.tokens, 4), seed=0)
