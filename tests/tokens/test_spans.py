"""What is cut out of a text is what is asked for, and nothing else: put back, it is the text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import CorpusError
from textmill.tokens.pairs import pair_batch, read_pairs
from textmill.tokens.spans import MEAN_LENGTH, cut_out, longest_row

MARKS = list(range(900, 1000))
SPECIAL = np.zeros(1000, dtype=bool)
SPECIAL[[0, *MARKS]] = True  # 0 stands between two documents


def put_back(kept: list[int], answer: list[int]) -> list[int]:
    """The text: each mark gives way to what follows it in the answer."""
    spans: dict[int, list[int]] = {}
    for token in answer:
        if token in MARKS:
            spans[token] = []
            last = token
        else:
            spans[last].append(token)
    return [inner for token in kept for inner in spans.get(token, [token])]


@given(
    tokens=st.lists(st.one_of(st.just(0), st.integers(1, 899)), min_size=1, max_size=300),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**32),
)
def test_put_back_it_is_the_text(tokens: list[int], share: float, seed: int) -> None:
    row = np.array(tokens)
    kept, answer = cut_out(row, share, MARKS, SPECIAL, np.random.default_rng(seed))
    assert put_back(kept.tolist(), answer.tolist()) == tokens
    assert [token for token in kept if token in MARKS] == MARKS[: sum(token in MARKS for token in answer)]
    assert 0 not in answer and np.array_equal(row, tokens)
    again = cut_out(row, share, MARKS, SPECIAL, np.random.default_rng(seed))
    assert np.array_equal(again[0], kept) and np.array_equal(again[1], answer)


def test_share_and_number_of_spans_are_fixed_and_their_places_random() -> None:
    row = np.arange(1, 501)
    rows = [cut_out(row, 0.15, MARKS, SPECIAL, np.random.default_rng(seed)) for seed in range(200)]
    assert {len(kept) for kept, _ in rows} == {500 - 75 + 75 // MEAN_LENGTH}
    assert {len(answer) for _, answer in rows} == {75 + 75 // MEAN_LENGTH}
    cut = np.mean([~np.isin(row, kept) for kept, _ in rows], axis=0)
    assert cut[0] == 0 and cut[-1] == 1  # the first stretch stays, the last is a span
    assert cut[20:-20].reshape(-1, 46).mean(axis=1).min() > 0.08 and cut[20:-20].mean() < 0.2
    _, answer = cut_out(np.arange(1, 101).repeat(21), 0.15, MARKS, SPECIAL, np.random.default_rng(0))
    assert longest_row(0.15) == 2000 and np.isin(answer, MARKS).sum() == 100  # as many as there are marks, and no more


def test_a_batch_knows_what_is_padding() -> None:
    batch = pair_batch([([5, 6, 7], [1, 2]), ([8], [3, 4, 9])], pad_id=0, start_id=0)
    assert batch.source.tolist() == [[5, 6, 7], [8, 0, 0]] and batch.lengths is not None and batch.lengths.tolist() == [3, 1]
    assert batch.inputs.tolist() == [[0, 1, 0], [0, 3, 4]] and batch.targets.tolist() == [[1, 2, -100], [3, 4, 9]]
    assert batch.tokens == 5 and batch.rows(0, 1).tokens == 2
    last = pair_batch([([5], [1, 2]), ([8], [3, 4, 9])], pad_id=0, start_id=None)
    assert last.inputs.tolist() == [[2, 1, 0], [9, 3, 4]] and last.lengths is None


def test_pairs_of_a_file_are_read_and_broken_lines_named(tmp_path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"source": "a", "target": "b", "more": 1}\n{"source": "c", "target": "d"}\n', encoding="utf-8")
    assert list(read_pairs(path)) == [("a", "b"), ("c", "d")]
    for line in ("[]", '{"source": "a"}', '{"source": "a", "target": " "}', '{"source": 3, "target": "b"}', "{", ""):
        path.write_text('{"source": "a", "target": "b"}\n' + line + "\n", encoding="utf-8")
        with pytest.raises(CorpusError, match="line 2"):
            list(read_pairs(path))
