"""Every format of tagged words gives the same sentences; what can't be read is told with its line, all of it together; what is
read otherwise than it stands there is counted."""

import gzip
import json
from pathlib import Path

import pytest

from textmill.errors import TaskError
from textmill.tasks import Tag
from textmill.tasks.labelled import Reading
from textmill.tasks.tagged import read_tagged
from textmill.tokens.tags import Entity

WORDS = [("Zoë", "met", "Al", "Wu"), ("Go", "!")]
ENTITIES = [(Entity("person", 0, 1), Entity("person", 2, 4)), ()]
BIO = "Zoë B-person\nmet O\nAl B-person\nWu I-person\n\nGo O\n! O\n"
JSON = [
    {"tokens": ["Zoë", "met", "Al", "Wu"], "tags": ["B-person", "O", "B-person", "I-person"]},
    {"text": "Go!", "entities": []},
]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    raw = text.encode(encoding)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize(
    ("name", "content", "reading", "scheme"),
    [
        ("a.conll", BIO, Reading(), "BIO"),
        ("a.txt", BIO.replace("\n", "\r\n"), Reading(), "BIO"),
        ("a.conll", BIO.replace(" ", "\t") + "\n\n \n", Reading(), "BIO"),
        ("a.conll.gz", BIO, Reading(), "BIO"),
        ("a.conll", BIO, Reading(encoding="latin-1"), "BIO"),
        ("a.conll", "\ufeff" + BIO, Reading(), "BIO"),
        ("a.conll", BIO.replace("B-", "I-"), Reading(), "IOB1"),
        ("a.conll", "Zoë S-person\nmet O\nAl B-person\nWu E-person\n\nGo O\n! O", Reading(), "BIOES"),
        ("a.conll", "Zoë U-person\nmet O\nAl B-person\nWu L-person\n\nGo O\n! O", Reading(), "BILOU"),
        ("a.conll", "Zoë S-person\nmet O\nAl B-person\nWu E-person\n\nGo O\n! O", Reading(scheme="BMES"), "BMES"),
        ("a.conll", "-DOCSTART- -X- O\n\nZoë N B-person\nmet V O\nAl N B-person\nWu N I-person\n\nGo V O\n! . O",
         Reading(), "BIO"),
        ("a.conll", "# a text\n1 Zoë B-person x\n2 met O x\n3 Al B-person x\n4 Wu I-person x\n\n1 Go O x\n2 ! O x",
         Reading(text="2", label="-2"), "BIO"),
        ("a.jsonl", "\n".join(map(json.dumps, JSON)), Reading(), "BIO"),
        ("a.jsonl", "\n".join(json.dumps({"w": each, "t": tags}) for each, tags in [
            (WORDS[0], ["B-person", "O", "B-person", "I-person"]), (WORDS[1], ["O", "O"])]),
         Reading(text="w", label="t"), "BIO"),
        ("a.jsonl", json.dumps({"text": "Zoë met Al Wu", "entities": [
            {"start": 7 + 1, "end": 13, "label": "person"}, {"start": 0, "end": 3, "label": "person"}]})
         + "\n\n" + json.dumps(JSON[1]), Reading(), "BIO"),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_sentences(name: str, content: str, reading: Reading, scheme: str, tmp_path: Path) -> None:
    found = read_tagged(written(tmp_path / name, content, reading.encoding), reading)
    assert [example.words for example in found.examples] == WORDS
    assert [example.entities for example in found.examples] == ENTITIES
    assert found.scheme == scheme
    assert not found.noted


def test_a_hash_that_is_a_word_is_no_comment(tmp_path: Path) -> None:
    found = read_tagged(written(tmp_path / "a.conll", "# O\n#ada B-person\n# id 3\n\n#\tO\n"))
    assert [example.words for example in found.examples] == [("#", "#ada"), ("#",)]
    assert found.left_out == {"comments and marks of documents": [3]}


def test_characters_are_known_by_their_length(tmp_path: Path) -> None:
    (example,) = read_tagged(written(tmp_path / "a.bmes", "吴 B-NAME\n重 M-NAME\n阳 E-NAME\n， O\n男 O\n")).examples
    assert (example.text, example.characters, example.scheme) == ("吴重阳，男", True, "BMES")


def test_entities_cut_words(tmp_path: Path) -> None:
    """A text's entity may begin within a word."""
    line = {"text": "anti-Brexit", "entities": [{"start": 5, "end": 8, "label": "x"}]}
    (example,) = read_tagged(written(tmp_path / "a.jsonl", json.dumps(line))).examples
    assert example.words == ("anti", "-", "Bre", "xit")
    assert example.entities == (Entity("x", 2, 3),)


def test_tags_that_are_not_whole_are_taken_as_conlleval_does_and_counted(tmp_path: Path) -> None:
    found = read_tagged(written(tmp_path / "a.conll", "x B-a\ny O\nz I-a\n\nw B-a\nv I-b\n"))
    assert [example.entities for example in found.examples] == [
        (Entity("a", 0, 1), Entity("a", 2, 3)),
        (Entity("a", 0, 1), Entity("b", 1, 2)),
    ]
    assert "2 entities whose tags aren't whole, taken as conlleval takes them (lines 3, 6)" in str(found)


@pytest.mark.parametrize(
    ("name", "content", "reading", "expected"),
    [
        ("a.conll", "x O\ny\nz O\nv Q-a\nw\n", Reading(),
         ["lines 2, 5: 1 column where other lines have 2", "line 4: 'Q-a' is no tag"]),
        ("a.conll", "x\ny\n", Reading(), ["its lines have 1 column, and 2 are needed"]),
        ("a.conll", "x O\n", Reading(label="5"), ["its lines have 2 columns, and 5 are needed"]),
        ("a.conll", "x O\n", Reading(text="word"), ["--text-column word: columns of tagged words are numbered"]),
        ("a.conll", "\n\n", Reading(), ["holds no tagged words"]),
        ("a.conll", "x B-a\ny M-a\nz U-b\nv U-b\n", Reading(), ["of no scheme", "M (line 2)"]),
        ("a.conll", "x B-a\ny S-a\nz E-a\n", Reading(scheme="BIO"), ["lines 2, 3: the tags aren't of BIO"]),
        ("a.conll", "x O\n", Reading(scheme="BIOX"), ["--scheme BIOX: write one of BIO, BIOES, BMES, BILOU, IOB1"]),
        ("a.jsonl", '{"tokens": ["x"], "tags": ["O", "O"]}\nno\n{"tokens": ["x"], "tags": ["Q"]}\n[]\n{"text": "x"}\n',
         Reading(),
         ["line 1: 1 words and 2 tags", "line 2: no JSON", "line 3: 'Q' is no tag", "line 4: no JSON object", "line 5: write"]),
        ("a.jsonl", '{"text": "xy", "entities": [{"start": 0, "end": 9, "label": "a"}]}\n'
         '{"text": "xy", "entities": [{"start": 0, "end": 2, "label": "a"}, {"start": 1, "end": 2, "label": "a"}]}\n'
         '{"text": "xy", "entities": [{"begin": 0}]}', Reading(),
         ["line 1: an entity from 0 to 9 isn't in a text of 2", "line 2: entities that overlap", "line 3: write each"]),
        ("a.jsonl", '{"tokens": [], "tags": []}\n', Reading(), ["holds no tagged words"]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(name: str, content: str, reading: Reading, expected: list[str], tmp_path: Path) -> None:
    with pytest.raises(TaskError) as told:
        read_tagged(written(tmp_path / name, content), reading)
    for part in expected:
        assert part in str(told.value)


def test_what_is_known_of_the_data_is_told_with_its_lines(tmp_path: Path) -> None:
    """Test sentences that stand in training, kinds that training lacks, kinds that are rare, sentences without words."""
    train = "".join(f'{{"tokens": ["Ada{number}"], "tags": ["B-person"]}}\n' for number in range(40))
    train += '{"tokens": [], "tags": []}\n{"tokens": ["seen", "Ely"], "tags": ["O", "B-place"]}\n'
    train += '{"tokens": ["in", "Bath"], "tags": ["O", "B-place"]}\n'
    test = '{"tokens": ["seen", "Ely"], "tags": ["O", "B-place"]}\n{"tokens": ["Acme"], "tags": ["B-firm"]}\n'
    data, judged_by = written(tmp_path / "train.jsonl", train), written(tmp_path / "test.jsonl", test)
    report = str(Tag().read(data, judged_by).report)
    assert "1 left out: no words (line 41)" in report
    assert f"1 texts of {data} (line 42) stand in {judged_by}, too (line 1): they are left out there" in report
    assert f"1 texts of {judged_by} (line 2) have a label that no training text has, such as firm" in report
    assert "the labels are unbalanced: person" in report
