"""One Chinese script: phrases decide, Japanese stays, and what was changed is counted."""

import io
from pathlib import Path

import pytest

from textmill.corpus.build import build_corpus
from textmill.corpus.chinese import convert_chinese
from textmill.corpus.document import Document
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.store import read_corpus


def convert(text: str, script: str, language: str = "zh") -> str:
    return convert_chinese(script)(Document(text, "1", "a", language=language)).text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("simplified", "traditional"),
    [("他的头发很长，明天出发", "他的頭髮很長，明天出發"), ("皇后在后面", "皇后在後面"), ("干净的面条", "乾淨的麵條")],
)
def test_phrases_decide(simplified: str, traditional: str) -> None:
    assert convert(simplified, "traditional") == traditional
    assert convert(traditional, "simplified") == simplified


def test_what_is_traditional_already_is_written_alike() -> None:
    assert convert("因为群众在里面。是為，因爲羣衆在裏面", "traditional") == "因為群眾在裡面。是為，因為群眾在裡面"


@pytest.mark.parametrize("text", ["東京の図書館は大きい。", "東京タワー", "No Chinese at all", "👩‍👩‍👧 مرحبا", "한국어 음악"])
@pytest.mark.parametrize("script", ["simplified", "traditional"])
def test_what_is_not_chinese_stays(text: str, script: str) -> None:
    assert convert(text, script) == text


def test_japanese_in_a_chinese_line_and_beside_it() -> None:
    line = "日本動畫導演、動畫師與漫畫家宮崎駿的作品有風之谷（風の谷のナウシカ）與龍貓等多部電影，廣受歡迎"
    simplified = convert(line, "simplified")
    assert "日本动画导演" in simplified and "风之谷（風の谷のナウシカ）与龙猫" in simplified
    assert convert("電腦\n図書館へ行くと、体育館があった\n電腦", "simplified") == "电脑\n図書館へ行くと、体育館があった\n电脑"
    assert convert("東京圖書館", "simplified", language="ja") == "東京圖書館"


def test_the_step_is_counted_and_comes_before_duplicates(tmp_path: Path) -> None:
    texts = [f"第{number}號電腦在圖書館後面，頭髮很長的人明天出發。" for number in range(40)] + [
        "第0号电脑在图书馆后面，头发很长的人明天出发。"
    ]
    for number, text in enumerate(texts):
        (tmp_path / f"{number:02}.txt").write_text(text, encoding="utf-8")
    settings = CorpusSettings(source=str(tmp_path), chinese_script="simplified", minimum_characters=1, validation_fraction=0.5)
    folder = tmp_path / "corpus"
    folder.mkdir()
    card = build_corpus(settings, folder, io.StringIO())
    assert card["changed"]["chinese script"] == {"documents": 40, "characters_removed": 0}
    assert card["dropped"] == {"duplicates": {"same text": 1}}
    assert all("图书馆后面" in document.text for document in read_corpus(folder / "train.jsonl.zst"))
