"""Readers stream every format in every compression, and every fault of a file is said with its place."""

import bz2
import gzip
import json
import os
from pathlib import Path

import pytest
import zstandard

from textmill.corpus.document import Document, Drop
from textmill.corpus.plaintext import PIECE_CHARACTERS
from textmill.corpus.readers import read_documents
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.sources import find_sources, list_sources
from textmill.errors import CorpusError

PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.ZstdCompressor().compress}
PAGE = (
    "<page><title>{0}</title><ns>{1}</ns><id>{2}</id>{3}"
    "<revision><id>99</id><model>wikitext</model><text>{4}</text></revision></page>"
)


def dump(*pages: str) -> str:
    names = '<namespace key="0"/><namespace key="4">Wikipedia</namespace><namespace key="6">Bild</namespace>'
    return f'<mediawiki xml:lang="de"><siteinfo><namespaces>{names}</namespaces></siteinfo>{"".join(pages)}</mediawiki>'


ARTICLE = PAGE.format("Hund", 0, 7, "", "[[Bild:A.jpg|thumb|x]]Ein '''Hund''' &amp;amp; mehr.")


def read(path: Path, **options: object) -> list[Document | Drop]:
    settings = CorpusSettings(source=str(path), **options)
    found = read_documents(path, settings)
    return [one if isinstance(one, Document | Drop) else one.read(settings) for one in found]


def problem(path: Path, **settings: object) -> str:
    with pytest.raises(CorpusError) as caught:
        read(path, **settings)
    return str(caught.value)


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize(
    ("name", "data"),
    [("a.txt", "你好 🌍"), ("a.md", "# 你好"), ("a.jsonl", '{"text": "你好"}'), ("a.xml", dump(ARTICLE))],
)
def test_every_format_in_every_compression(tmp_path: Path, name: str, data: str, ending: str) -> None:
    path = write(tmp_path, name + ending, PACK[ending](data.encode()))
    (document,) = read(path)
    assert isinstance(document, Document)
    assert document.text == (
        "Ein Hund & mehr." if ".xml" in name else "# 你好" if ".md" in name else "你好 🌍"[: 4 if ".txt" in name else 2]
    )


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
def test_many_streams_in_one_file(tmp_path: Path, ending: str) -> None:
    text = dump(*(PAGE.format(f"T{number}", 0, number, "", "Text. " * 50) for number in range(200)))
    parts = [PACK[ending](text[start : start + 3000].encode()) for start in range(0, len(text), 3000)]
    assert [document.id for document in read(write(tmp_path, "d.xml" + ending, b"".join(parts)))] == [
        str(n) for n in range(200)
    ]


def test_a_book_is_cut_at_blank_lines_without_loss(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 150 for number in range(400))
    documents = read(write(tmp_path, "book.txt", text))
    assert "".join(document.text for document in documents) == text
    assert all(document.text.endswith("\n\n") for document in documents[:-1])
    assert [document.id for document in documents] == [f"book.txt#{n}" for n in range(1, len(documents) + 1)]
    longer = read(write(tmp_path, "book.txt", text + "\n\nmore" * 9000))
    assert longer[: len(documents) - 1] == documents[:-1]


def test_one_endless_line_is_cut_too(tmp_path: Path) -> None:
    documents = read(write(tmp_path, "line.txt", "字" * (5 * PIECE_CHARACTERS + 7)))
    assert sum(len(document.text) for document in documents) == 5 * PIECE_CHARACTERS + 7
    assert max(len(document.text) for document in documents) <= 2 * PIECE_CHARACTERS


def test_a_dump_counts_what_it_passes_over(tmp_path: Path) -> None:
    pages = [
        ARTICLE,
        PAGE.format("Köter", 0, 8, '<redirect title="Hund"/>', "#WEITERLEITUNG [[Hund]]"),
        PAGE.format("Töle", 0, 9, "", "#REDIRECT [[Hund]]"),
        PAGE.format("Wikipedia:Rat", 4, 10, "", "x"),
        PAGE.format("Leer", 0, 11, "", " "),
        PAGE.format("Nur", 0, 12, "", "{{Box}}"),
        PAGE.format("J", 0, 13, "", "x").replace("wikitext", "json"),
    ]
    article, *drops = read(write(tmp_path, "d.xml", dump(*pages)))
    assert isinstance(article, Document)
    assert (article.id, article.title, article.language, article.text) == ("7", "Hund", "de", "Ein Hund & mehr.")
    rules = [drop.rule for drop in drops if isinstance(drop, Drop)]
    assert rules == ["redirect", "redirect", "other namespace", "empty page", "no prose", "no wikitext"]


def test_jsonl_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"body": "x\\ud83d\\ude00\\ud800", "name": 5}\r\n\n{"body": "y", "title": "Y"}\n')
    first, second = read(path, text_field="body", id_field="name")
    assert isinstance(first, Document) and isinstance(second, Document)
    assert (first.text, first.id) == ("x😀\ufffd", "5")
    assert (second.id, second.title) == ("a.jsonl:3", "Y")


def test_broken_lines_are_reported_together(tmp_path: Path) -> None:
    lines = ['{"text": "fine"}', "{oops", "[1]", '{"txt": "x"}', '{"text": 5}', '{"text": "fine too"}']
    message = problem(write(tmp_path, "a.jsonl", "\n".join(lines)))
    assert "line 2: not valid JSON" in message
    assert "line 3: a list instead of an object" in message
    assert "line 4: no field 'text'; its fields: 'txt'; name the right one by corpus.text_field or --text-field" in message
    assert "line 5: the field 'text' holds a number instead of a string" in message
    assert len(message.splitlines()) == 4


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.txt.gz"])
def test_the_byte_that_is_not_utf8(tmp_path: Path, name: str) -> None:
    before = '{"text": "x"}\n' * 20_000
    data = before.encode() + b'{"text": "\xc3\x28"}'
    message = problem(write(tmp_path, name, gzip.compress(data) if name.endswith("gz") else data))
    assert f"byte 0xc3 at offset {len(before) + 10:,} (line 20,001)" in message
    assert "corpus.encoding or --encoding" in message


def test_other_encodings_and_byte_order_marks(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path, "a.txt", "汉字".encode("gb18030")), encoding="gb18030")
    assert isinstance(document, Document) and document.text == "汉字"
    (document,) = read(write(tmp_path, "b.txt", b"\xef\xbb\xbfabc"))
    assert isinstance(document, Document) and document.text == "abc"
    assert "byte 0xe5 at offset 3 (line 1): unexpected end of data" in problem(write(tmp_path, "c.txt", "汉字".encode()[:-1]))


NOTES = {
    "a.md": ("plain utf-8, 你好. " * 5).encode(),
    "b/中文 笔记.txt": ("汉字笔记，一篇接一篇。" * 9).encode("gb18030"),
    "c.txt": ("été, où, ça va très bien. " * 5).encode("latin-1"),
    "d.txt": ("saved as Unicode by Notepad, 你好. " * 5).encode("utf-16"),
    "e.md": b"\x89PNG\r\n\x1a\n\x00\xff\xfe\x80",
}


def folder_of_notes(folder: Path) -> list[Path]:
    return [write(folder, name, data) for name, data in NOTES.items()]


def test_notes_of_a_folder_that_are_in_another_encoding_are_dropped_with_their_place(tmp_path: Path) -> None:
    paths = folder_of_notes(tmp_path)
    settings = CorpusSettings(source=str(tmp_path))
    found = {path.name: list(read_documents(path, settings)) for path in paths}
    assert [name for name, (one,) in found.items() if isinstance(one, Document)] == ["a.md", "d.txt"]
    (drop,) = found["c.txt"]
    assert isinstance(drop, Drop) and (drop.rule, drop.threshold) == ("another encoding", "utf-8")
    assert drop.value == "byte 0xe9 at offset 0 (line 1)"
    (document,) = found["d.txt"]
    assert isinstance(document, Document) and document.text == NOTES["d.txt"].decode("utf-16")


def test_a_note_that_breaks_late_gives_no_piece(tmp_path: Path) -> None:
    path = write(tmp_path, "long.txt", b"word " * 3 * PIECE_CHARACTERS + b"\xff")
    (drop,) = read_documents(path, CorpusSettings(source=str(tmp_path)))
    assert isinstance(drop, Drop) and drop.rule == "another encoding"


def test_of_several_encodings_the_first_that_fits_the_whole_file(tmp_path: Path) -> None:
    paths = folder_of_notes(tmp_path)
    settings = CorpusSettings(source=str(tmp_path), encoding=["utf-8", "gb18030"])
    texts = [one.text if isinstance(one, Document) else one.rule for path in paths for one in read_documents(path, settings)]
    assert texts[0] == NOTES["a.md"].decode() and texts[1] == NOTES["b/中文 笔记.txt"].decode("gb18030")
    assert texts[4] == "another encoding"
    (picture,) = read_documents(paths[4], settings.model_copy(update={"encoding": "latin-1"}))
    assert isinstance(picture, Drop)  # though latin-1 has a character for every byte
    message = problem(paths[4], encoding=["utf-8", "gb18030"])  # named, not met in a folder
    assert "is not utf-8, nor gb18030: byte 0x89 at offset 0 (line 1)" in message


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
@pytest.mark.parametrize("name", ["a.xml", "a.jsonl"])
def test_truncated_files_say_how_far_they_were_read(tmp_path: Path, name: str, ending: str) -> None:
    noise = [os.urandom(300).hex() for _ in range(3000)]
    pages = [PAGE.format(f"T{number}", 0, number, "", text) for number, text in enumerate(noise)]
    data = dump(*pages) if name == "a.xml" else "\n".join(json.dumps({"text": text}) for text in noise)
    packed = PACK[ending](data.encode())
    message = problem(write(tmp_path, name + ending, packed[: len(packed) * 3 // 4]))
    assert "truncated" in message
    assert 0 <= int(message.split("after ")[1].split(" ")[0].replace(",", "")) < 3000


def test_truncated_and_malformed_xml(tmp_path: Path) -> None:
    whole = dump(ARTICLE, ARTICLE)
    assert "ends in the middle, after 1 documents" in problem(write(tmp_path, "a.xml", whole[:-60]))
    message = problem(write(tmp_path, "b.xml", whole.replace("</ns>", "</nx>")))
    assert "not well-formed XML: mismatched tag at line 1" in message


def test_files_that_are_something_else(tmp_path: Path) -> None:
    assert "root element is <rss>" in problem(write(tmp_path, "a.xml", "<rss><page/></rss>"))
    assert "damaged, or not compressed" in problem(write(tmp_path, "a.txt.gz", "plain"))
    assert "damaged, or not compressed" in problem(write(tmp_path, "a.txt.bz2", "plain"))
    assert "damaged, or not compressed" in problem(write(tmp_path, "a.txt.zst", "plain"))
    redirect = PAGE.format("A", 0, 1, '<redirect title="B"/>', "x")
    assert "no articles: 1 pages (1 redirect)" in problem(write(tmp_path, "b.xml", dump(redirect)))


def test_an_entity_bomb_is_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    for page in ("<!DOCTYPE html>\n<html><body>Sign in<br></body></html>", "<html><p>Sign in</p></html>"):
        assert "is a web page" in problem(write(tmp_path, "page.xml", page))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "lol">{entities}]>' + dump(ARTICLE.replace("mehr", "&e9;"))
    assert "entity bomb" in problem(write(tmp_path, "a.xml", bomb))


def test_folders_are_walked_in_order_and_others_named(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/y.jsonl.gz", ".hidden.txt", ".git/x.txt", "paper.pdf"):
        write(tmp_path, name, "x")
    files, others = find_sources(CorpusSettings(source=str(tmp_path)))
    assert [path.relative_to(tmp_path).as_posix() for path in files] == ["a/y.jsonl.gz", "a/z.md", "b.txt"]
    assert [path.name for path in others] == ["paper.pdf"]
    (document,) = read_documents(tmp_path / "b.txt", CorpusSettings(source=str(tmp_path)))
    assert document.id == f"{tmp_path.name}/b.txt#1"


def test_all_problems_of_the_sources_together(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    paths = [
        tmp_path / "missing.txt",
        write(tmp_path, "empty.txt", ""),
        write(tmp_path, "a.jsnl", "x"),
        tmp_path / "nothing",
    ]
    with pytest.raises(CorpusError) as caught:
        list_sources(CorpusSettings(source=[str(path) for path in paths]))
    missing, empty, unknown, folder = caught.value.problems
    assert "does not exist" in missing
    assert "is empty" in empty
    assert "did you mean '.jsonl'?" in unknown
    assert "did you mean" not in problem(write(tmp_path, "paper.pdf", "%PDF"))
    assert "is an empty folder" in folder


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_no_read_permission(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "x")
    path.chmod(0)
    with pytest.raises(CorpusError, match="no read permission"):
        list_sources(CorpusSettings(source=str(path)))
