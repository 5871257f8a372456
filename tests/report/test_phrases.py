"""Both languages say everything, and numbers are written as each language writes them."""

import re
import string
from importlib.resources import files

import pytest

from textmill.report.phrases import LANGUAGES, Phrase, duration, energy, money, phrase, quantity, shown, usual_language, words

# What a Chinese text leaves in Latin letters: names, file endings, units.
LATIN = {
    "BPE",
    "WordPiece",
    "Unigram",
    "textmill",
    "gram",
    "xz",
    "CO",
    "Wh",
    "CPU",
    "SHA",
    "toml",
    "jsonl",
    "txt",
    "md",
    "ledger",
    "wikitext",
    "fertility",
    "learn",
    "class",
    "weights",
}


def text(value: Phrase, language: str) -> str:
    return str(value.texts[language])


def test_every_language_has_every_phrase_with_the_same_values_in_it() -> None:
    def values(language: str) -> dict[str, set[str | None]]:
        return {key: {name for _, name, *_ in string.Formatter().parse(said) if name} for key, said in words(language).items()}

    assert all(values(language) == values("en") for language in LANGUAGES)


def test_no_english_is_left_in_the_chinese() -> None:
    for key, said in words("zh").items():
        left = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"\{\w+\}", "", said))) - LATIN
        assert not left, f"{key}: {left}"


def test_every_phrase_is_said_somewhere() -> None:
    package = files("textmill.report")
    sources = [*package.iterdir(), *(package / "templates").iterdir()]
    code = "\n".join(file.read_text(encoding="utf-8") for file in sources if file.name.endswith((".py", ".html")))
    made_of_parts = (
        "stage.",
        "rule.",
        "script.",
        "kernel.",
        "verdict.",
        "figure.",
        "answer.good_note_",
        "scores.explain_",
        "scores.note_",
        "scores.accuracy",
        "scores.token_perplexity",
        "scores.word_perplexity",
        "learning.best",
        "learning.averaged",
        "lineage.",
        "kind.",
        "page.automatic",
        "page.light",
        "page.dark",
        "data.",
        "task.lead_",
        "task.perturbed_",
        "score.",
    )
    assert [key for key in words("en") if f'"{key}"' not in code and not key.startswith(made_of_parts)] == []


@pytest.mark.parametrize(
    "value, english, chinese",
    [
        (duration(42), "42 s", "42 秒"),
        (duration(185), "3:05 min", "3 分 05 秒"),
        (duration(7205), "2:00:05 h", "2 小时 00 分"),
        (quantity(7_408_384), "7.41 M", "741 万"),
        (quantity(951_000), "951 k", "95.1 万"),
        (quantity(2.5e8), "250 M", "2.5 亿"),
        (money(0.001, "EUR"), "under 0.01 EUR", "不到 0.01 EUR"),
        (money(1234.5, "EUR"), "1,234.50 EUR", "1,234.50 EUR"),
    ],
)
def test_numbers(value: Phrase, english: str, chinese: str) -> None:
    assert (text(value, "en"), text(value, "zh")) == (english, chinese)


def test_something_is_never_nothing() -> None:
    assert energy(0) == "0 Wh" and energy(1) == "<0.001 Wh" and energy(3600 * 2500) == "2.5 kWh"


def test_what_could_disguise_itself_is_shown() -> None:
    assert shown("a\u202eb\x07c\ud800\n\tعربي 中文") == "a⟨U+202E⟩b⟨U+0007⟩c\ufffd\n\tعربي 中文"


def test_values_are_escaped_in_a_phrase() -> None:
    assert "<script>" not in phrase("lead.begun", source="<script>").__html__()
    assert "{version}" in phrase("lead.begun", source="{version}").__html__()


@pytest.mark.parametrize("name, language", [("zh_CN.UTF-8", "zh"), ("de_DE.UTF-8", "en"), ("C", "en")])
def test_the_environment_chooses_the_language(monkeypatch: pytest.MonkeyPatch, name: str, language: str) -> None:
    monkeypatch.setenv("LC_ALL", name)
    assert usual_language() == language
