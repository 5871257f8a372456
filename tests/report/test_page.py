"""The page of a real run: complete, true to the manifest, safe against its own content, and the same every time."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from textmill.errors import RunError
from textmill.files import write_sealed
from textmill.report.page import write_picture, write_report

from .conftest import HOSTILE, Pages

SECTIONS = ("scores", "samples", "learning", "text", "tokenizer", "cost", "recipe", "lineage", "next")
VOID = {"meta", "link", "input", "br", "use", "img"}
FOREIGN = {"code", "bdi", "svg", "style", "script", "title", "label"}
NAMES = {"CO", "textmill", "gram", "xz", "kB", "MB", "Wh", "USD", "cpu", "float", "fused", "toml"}


class Page(HTMLParser):
    """What a browser would make of the page, as far as the tests ask."""

    def __init__(self, source: str):
        super().__init__()
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[list[tuple[str, dict[str, str | None]]], str]] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((list(self.open), data))

    def ids(self) -> set[str | None]:
        return {attributes["id"] for _, attributes in self.tags if "id" in attributes}

    def text(self, language: str = "en") -> str:
        """What a reader of that language sees; words of the page only, and of the run."""
        visible = [
            data for path, data in self.texts if not any(values.get("data-l") not in (None, language) for _, values in path)
        ]
        return re.sub(r"\s+", " ", " ".join(visible))


def test_every_section_is_there_with_the_manifests_numbers(pages: Pages) -> None:
    page = Page(pages.finished)
    assert set(SECTIONS) <= page.ids()
    stages = json.loads((pages.run / "manifest.json").read_text())["stages"]
    evaluation = json.loads((pages.run / "evaluation.json").read_text())
    english = page.text()
    for system in evaluation["systems"]:
        score = system["bits_per_byte"]
        assert all(f"{score[key]:.3f}" in english for key in ("value", "low", "high"))
    corpus, training = stages["corpus"]["summary"], stages["train"]["summary"]
    for number in (corpus["read"], corpus["kept"]["train"]["documents"], training["steps"]):
        assert f" {number:,} " in english
    assert f"{training['share_of_peak']:.0%}" in english
    assert f"{stages['tokenizer']['summary']['bytes_per_token']:.2f}" in english
    assert all(entry["hash"] in english for name, entry in stages.items() if name != "report")
    assert "too short" in english and "text seen before" in english


def test_nothing_of_the_run_becomes_markup_or_hides(pages: Pages) -> None:
    for source in (pages.killed, pages.finished):
        page = Page(source)
        assert sum(tag == "script" for tag, _ in page.tags) == 1
        assert not any(tag in ("img", "iframe", "object", "form") for tag, _ in page.tags)
        assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert not set("\u202e\u2067\u0007") & set(source)
        assert "⟨U+202E⟩" in page.text() and "{{ 7 * 191 }}" in page.text() and "1337" not in page.text()
    english = Page(pages.finished).text()
    assert f"dropped {HOSTILE.replace(chr(0x202E), '⟨U+202E⟩').replace(chr(7), '⟨U+0007⟩')}" in english
    assert "run <b>&" in english


def test_nothing_is_asked_of_the_network(pages: Pages) -> None:
    for tag, attributes in Page(pages.finished).tags:
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), (tag, attributes)
    assert "@import" not in pages.finished and "default-src 'none'" in pages.finished
    assert all("#" in place or "var(" in place for place in re.findall(r"url\(([^)]*)\)", pages.finished))


def test_all_words_of_the_page_are_in_both_languages(pages: Pages) -> None:
    for source in (pages.killed, pages.finished):
        page = Page(source)
        for path, data in page.texts:
            translated = any("data-l" in values for _, values in path)
            of_the_run = any(tag in FOREIGN or "writing" in (values.get("class") or "") for tag, values in path)
            if not (translated or of_the_run):
                assert set(re.findall(r"[A-Za-z]{2,}", data)) <= NAMES, data
        per_language = {name: sum(values.get("data-l") == name for _, values in page.tags) for name in ("en", "zh")}
        assert per_language["en"] == per_language["zh"] > 60
    assert '<html lang="zh-Hans">' in pages.finished and '<html lang="en">' in pages.killed


def test_a_killed_run_shows_what_there_is(pages: Pages) -> None:
    page = Page(pages.killed)
    english = page.text()
    assert re.search(r"training stopped at step \d+ of 100,000", english)
    assert "停在第" in page.text("zh")
    assert {"samples", "learning", "text", "tokenizer", "cost", "recipe", "next"} <= page.ids()
    assert "scores" not in page.ids() and "Not measured yet" in english
    assert "Finish this run" in english


def test_a_run_of_which_only_the_recipe_is_there(pages: Pages, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes((pages.run / "recipe.toml").read_bytes())
    page = Page(write_report(tmp_path, "en").read_text(encoding="utf-8"))
    assert "the stage “text” is still to be done" in page.text()


def test_the_same_run_gives_the_same_bytes(pages: Pages) -> None:
    once = write_report(pages.run, "zh").read_bytes()
    assert write_report(pages.run, "zh").read_bytes() == once
    assert once.decode() == pages.finished


def test_the_curve_alone_is_an_svg_with_words(pages: Pages, tmp_path: Path) -> None:
    picture = write_picture(pages.run, tmp_path / "curve.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg") and "bits per byte" in picture and "prefers-color-scheme" in picture
    assert "-gram" in picture and "textmill" in picture


def test_a_folder_of_another_version_is_said_to_be_one(pages: Pages, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes((pages.run / "recipe.toml").read_bytes())
    stages = {"train": {"hash": "", "seconds": 1, "summary": {"steps": 3}}}
    write_sealed(tmp_path / "manifest.json", {"stages": stages})
    (tmp_path / "metrics.jsonl").write_bytes((pages.run / "metrics.jsonl").read_bytes().splitlines(True)[0])
    with pytest.raises(RunError, match="run its recipe again"):
        write_report(tmp_path, "en")


@pytest.mark.parametrize("manifest", ["[]", "{}", "{", '{"stages": {}}'])
def test_a_manifest_that_is_not_as_it_was_written_is_named(pages: Pages, tmp_path: Path, manifest: str) -> None:
    (tmp_path / "recipe.toml").write_bytes((pages.run / "recipe.toml").read_bytes())
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(RunError, match=r"manifest\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "folder, language, expected",
    [("nowhere", None, "is not a folder"), ("model", None, "holds no recipe.toml"), ("", "zhh", "did you mean 'zh'")],
)
def test_mistakes_are_told(pages: Pages, folder: str, language: str | None, expected: str) -> None:
    with pytest.raises(RunError, match=expected):
        write_report(pages.run / folder, language)
