"""Word vectors come and go as text without losing a digit; what is broken in a file is named with its line."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.errors import ModelError
from textmill.formats.word_vectors import read_word_vectors, vector_dimension, write_word_vectors

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
word = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)


@given(rows=st.dictionaries(word, st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=8))
def test_what_is_written_comes_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, rows: dict[str, list[float]]) -> None:
    path = tmp_path_factory.mktemp("vectors") / "v.txt"
    vectors = np.array(list(rows.values()), dtype=np.float32)
    write_word_vectors(path, list(rows), vectors)
    found = read_word_vectors(path)
    assert found.words == list(rows) and found.read == len(rows)
    assert found.vectors.tobytes() == vectors.tobytes()


@pytest.mark.parametrize(
    "text",
    ["2 3\nthe 1 2 3 \nof 4 5 6 \n", "the 1 2 3\nof 4 5 6\n", "the\t1\t2\t3\r\nof 4 5 6\r\n\n"],
    ids=["word2vec", "GloVe", "Windows"],
)
def test_both_formats_are_told_apart(tmp_path: Path, text: str) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(text.encode())
    found = read_word_vectors(path)
    assert found.words == ["the", "of"] and found.vectors.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert vector_dimension(path) == 3


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "v.txt.gz"
    path.write_bytes(gzip.compress(b"the 1 2\n"))
    assert read_word_vectors(path).words == ["the"]
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ModelError, match="truncated"):
        read_word_vectors(path)


def test_only_what_is_wanted_is_kept_and_all_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\nb 3 4\na 5 6\nb 7 8\nc x y\na 9 9\n. . . 5 6\n")
    found = read_word_vectors(path, {"a", "c c", ". . ."})
    assert found.words == ["a", ". . ."] and found.vectors.tolist() == [[1, 2], [5, 6]]
    assert (found.read, found.duplicates) == (7, 2)
    nothing = read_word_vectors(path, {"z"})
    assert nothing.words == [] and nothing.vectors.shape == (0, 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a 1 2\nb 3\n", r"line 2: 1 number behind 'b', where the first line says 2"),
        ("2 2\na 1 2\nb 3 4 5\n", r"line 3: 3 numbers behind 'b', where the first line says 2"),
        ("a 1 2\nb 3 four\n", r"line 2: 'four' is no number"),
        ("a 1 2\nb 3 nan\n", r"line 2: 'nan' is no number that a weight could have"),
        ("a 1 2\nb 1e39 -inf\n", r"line 2: '1e39' is no number that a weight could have"),
        ("3 2\na 1 2\nb 3 4\n", r"promises 3 words, and 2 follow"),
        ("a 1 2\n b 3\n", r"line 2: begins with a blank"),
        ("", "the file is empty"),
        ("\n\nword\n", "line 3 is 'word'"),
        (b"3 2\nab\xff\xfe\x00", r"not UTF-8 text: byte 0xff at offset 6 \(line 2\).*binary format isn't read"),
        ("9223372036854775808 9223372036854775808\na 1\n", r"line 2: 1 number behind 'a'"),
        ("x" * 1_100_000, r"line 1: longer than 1,048,576"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: str | bytes, expected: str) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=expected) as caught:
        read_word_vectors(path)
    assert all(str(path) in problem for problem in caught.value.problems)


def test_broken_lines_come_together_and_not_without_end(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("a 1 2\nb x 2\nc 1 2\nd 1\n")
    with pytest.raises(ModelError) as caught:
        read_word_vectors(path)
    assert [re.search(r"line (\d)", problem)[1] for problem in caught.value.problems] == ["2", "4"]  # type: ignore[index]
    path.write_text("a 1 2\n" + "b 1\n" * 1000)
    with pytest.raises(ModelError) as caught:
        read_word_vectors(path)
    assert len(caught.value.problems) == 11 and "reading stopped" in caught.value.problems[-1]


def test_no_file_and_no_word(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read_word_vectors(tmp_path / "none.txt")
    with pytest.raises(ModelError, match="can't be read"):
        vector_dimension(tmp_path)
    for name, unfit in (("v.txt", "two words"), ("v.txt.gz", "word")):
        with pytest.raises(ModelError, match=r"'two words' can't be written|leave out \.gz"):
            write_word_vectors(tmp_path / name, [unfit], np.zeros((1, 2)))
    assert not list(tmp_path.iterdir())


SOUND = b"3 4\nthe 0.25 -1.5 3e-05 0\nof 1 2 3 4\nsea\xc3\xa9 0.1 0.2 0.3 0.4\n"


@given(
    place=st.integers(0, len(SOUND)),
    cut=st.integers(0, 12),
    added=st.binary(max_size=8) | st.sampled_from([b"\n", b" ", b"9223372036854775808 ", b"nan ", b"3 4\n", b"1e999999 "]),
    ending=st.sampled_from(["", ".gz", ".zst", ".bz2"]),
)
def test_a_damaged_file_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, place: int, cut: int, added: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("damaged") / f"v.txt{ending}"
    path.write_bytes(SOUND[:place] + added + SOUND[place + cut :])
    try:
        found = read_word_vectors(path)
    except ModelError as error:
        assert all(str(path) in problem for problem in error.problems)
    else:
        assert found.vectors.shape == (len(found.words), found.dimension) and np.isfinite(found.vectors).all()
        assert len(found.words) + found.duplicates == found.read
