"""Every format gives the same texts; what can't be read is told with its line; what is left out is counted."""

import gzip
from pathlib import Path

import pytest

from textmill.errors import TaskError
from textmill.report.findings import english, finding
from textmill.tasks import Classify
from textmill.tasks.examples import divide
from textmill.tasks.labelled import Reading, read_labelled

TEXTS = [("Où est-ce ?", "place"), ('He said "no", twice', "human")]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    raw = text.encode(encoding)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize(
    ("name", "content", "reading"),
    [
        ("a.txt", 'place Où est-ce ?\nhuman He said "no", twice\n', Reading()),
        ("a.txt", '__label__place Où est-ce ?\r\n\r\n__label__human He said "no", twice', Reading()),
        ("a.txt", 'place\tOù est-ce ?\nhuman\tHe said "no", twice\n', Reading()),
        ("a.csv", 'text,label\nOù est-ce ?,place\n"He said ""no"", twice",human\n', Reading()),
        ("a.csv", '\ufeffLabel,Phrase\nplace,Où est-ce ?\nhuman,"He said ""no"", twice"\n', Reading()),
        ("a.csv", 'id,a,b\n1,Où est-ce ?,place\n2,"He said ""no"", twice",human\n', Reading(text="a", label="b")),
        ("a.tsv", 'label\ttext\nplace\tOù est-ce ?\nhuman\t"He said ""no"", twice"\n', Reading()),
        (
            "a.jsonl",
            '{"text": "Où est-ce ?", "label": "place"}\n{"text": "He said \\"no\\", twice", "labels": ["human"]}\n',
            Reading(),
        ),
        (
            "a.jsonl.gz",
            '{"q": "Où est-ce ?", "c": "place"}\n{"q": "He said \\"no\\", twice", "c": "human"}\n',
            Reading(text="q", label="c"),
        ),
        ("a.txt", 'place Où est-ce ?\nhuman He said "no", twice\n', Reading(encoding="latin-1")),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_texts(name: str, content: str, reading: Reading, tmp_path: Path) -> None:
    found = read_labelled(written(tmp_path / name, content, reading.encoding), reading)
    assert [(example.text, *example.labels) for example in found.examples] == TEXTS
    assert not found.left_out


def test_rows_without_text_or_label_are_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label\nfine,good\n" ",good\nno label,\n\n"two\nlines",bad\n')
    found = read_labelled(path)
    assert [(example.text, example.line) for example in found.examples] == [("fine", 2), ("two\nlines", 7)]
    assert found.left_out == {"no text": [3], "no label": [4]}
    assert "line 3" in str(found) and "line 4" in str(found)


def test_several_labels_of_a_text(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,labels\nx,sport; news\ny,sport\n")
    assert [example.labels for example in read_labelled(path, Reading(separator=";")).examples] == [
        ("sport", "news"),
        ("sport",),
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "subject,body,kind\n1,2,3\n", "which column is the text? Found 'subject', 'body', 'kind'"),
        ("a.csv", "text,label,extra\nx\ny\nz,b,c\n", "lines 2, 3: fewer columns"),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": 3}\n4\n{"text": "y"}\n', "lines 2, 4: write"),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": 3}\nno\n', "line 3: no JSON; write"),
        ("a.jsonl", "[1, 2]\n", "line 1: no JSON object; write"),
        ("a.csv", "text,label\none, two,b\nx,c\n", "line 2: more columns than the header's 2; a text that holds the separator"),
        ("a.tsv", 'text\tlabel\n"x\tb\ny" z\tc\n', "line 3: '\t' expected after"),
        ("a.txt", "", "holds no labelled text; write lines such as: label text"),
        ("a.csv", "", "which column is the text? Found none"),
        ("a.jsonl.gz", "not gzip", "no gzip file"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, content: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TaskError) as told:
        read_labelled(path)
    assert expected in str(told.value)


def test_bytes_of_another_encoding_are_told_with_their_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "a fine\nb naïve\n", "latin-1")
    with pytest.raises(TaskError, match=r"line 2: the byte 0xef is no utf-8; .*latin-1"):
        read_labelled(path)
    with pytest.raises(TaskError, match="no such encoding"):
        read_labelled(path, Reading(encoding="utf-9"))
    with pytest.raises(TaskError, match=r"did you mean 'a.txt'"):
        read_labelled(tmp_path / "b.txt")


def test_none_of_the_labels_is_another_thing_than_a_label_forgotten(tmp_path: Path) -> None:
    lines = '{"text": "a", "labels": []}\n{"text": "b", "label": ""}\n{"text": "c", "labels": ["x", "y"]}\n'
    lines += '{"text": "d", "label": 3}\n'
    found = read_labelled(written(tmp_path / "a.jsonl", lines))
    assert [example.labels for example in found.examples] == [(), ("x", "y"), ("3",)] and found.left_out == {"no label": [2]}
    found = read_labelled(written(tmp_path / "a.txt", "__label__x __label__y c\n__label__oos d\n"), Reading(out_of_scope="oos"))
    assert [(example.text, example.labels) for example in found.examples] == [("c", ("x", "y")), ("d", ())]


def test_what_is_found_in_the_data_is_told_with_its_lines(tmp_path: Path) -> None:
    rows = [f"a word{number}" for number in range(60)] + ["b seen", "b twice", "b  twice", "a twice", "b rare"]
    data, test = written(tmp_path / "train.txt", "\n".join(rows)), written(tmp_path / "test.txt", "a new\nb seen\nc strange\n")
    report = str(Classify().read(data, test).report)
    assert f"1 texts of {data} (line 61) stand in {test}, too (line 2): they are left out there" in report
    assert f"1 texts of {data} stand there again, with the same label (line 63)" in report
    assert "with another label (line 64): the first is called a, and b in line 62" in report
    assert f"1 texts of {test} (line 3) have a label that no training text has, such as c" in report
    assert "unbalanced: a" in report


def test_every_finding_is_said_in_both_languages() -> None:
    told = finding("left_out", {"file": "a", "count": 1200, "reason": "no text", "lines": [3, 4, 5, 6, 7, 8]})
    assert english(told) == "a: 1,200 left out: no text (lines 3, 4, 5, 6, 7 and 1 more)"
    assert str(told.texts["zh"]) == "a：略去 1,200 条：没有文本（第 3, 4, 5, 6, 7 行等，另有 1 行）"


def test_an_encoding_that_can_be_known_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,a\n", encoding="utf-16")
    with pytest.raises(TaskError, match=r"a\.csv is in UTF-16; write --encoding utf-16"):
        read_labelled(tmp_path / "a.csv")
    assert read_labelled(tmp_path / "a.csv", Reading(encoding="utf-16")).examples[0].labels == ("a",)


def test_a_file_that_is_its_own_test_leaves_nothing_to_learn_from(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"{number % 2} text {number}" for number in range(30)), encoding="utf-8")
    with pytest.raises(TaskError, match=r"0 to learn from, 0 to validate on; .*stand"):
        divide(lambda each: read_labelled(each), path, path, None, 0.1)
