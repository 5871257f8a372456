"""A whole life on Chinese text, with characters and with subwords of bytes: what is measured, shown and written."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
SMALL = [
    "--set", "corpus.source=poems.jsonl", "--set", "corpus.chinese_script=simplified", "--set", "corpus.minimum_characters=10",
    "--set", "train.steps=6", "--set", "train.sample_prompt=山", "--set", 'evaluate.prompts=["", "春"]',
]  # fmt: skip


def write_poems(path: Path, count: int = 300) -> None:
    """Made-up quatrains in traditional characters, of five or seven characters a line, as the Tang poems are laid out."""
    choose = random.Random(1)
    characters = "春風秋月山水花鳥雲雨日夜江海天地人心門馬東西南北長安白黃青紅一二三千萬里年歸去來見聞飛落生不無有何處誰"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            title, width = "".join(choose.choices(characters, k=3)), choose.choice((5, 7))
            verses = ["".join(choose.choices(characters, k=width)) for _ in range(4)]
            text = f"{title}\n{verses[0]}，{verses[1]}。\n{verses[2]}，{verses[3]}。"
            record = {"id": f"poem-{number}", "title": title, "text": text}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


@pytest.mark.parametrize(("kind", "vocabulary_size"), [("character", 40), ("bpe", 400)])
def test_a_whole_life_on_chinese_text(place: Path, textmill: Command, kind: str, vocabulary_size: int) -> None:
    write_poems(place / "poems.jsonl")
    size = f"tokenizer.vocabulary_size={vocabulary_size}"
    ended = textmill(place, "run", "recipe.toml", *SMALL, "--set", f"tokenizer.kind={kind}", "--set", size)
    assert ended.returncode == 0, ended.stderr
    run = place / "runs" / "recipe"

    card = json.loads((run / "tokenizer" / "card.json").read_text(encoding="utf-8"))
    assert {"Han", "punctuation", "space"} == set(card["scripts"])
    fertility = card["scripts"]["Han"]["tokens_per_character"]
    if kind == "character":
        assert fertility == 1 and card["bytes_per_token"] > 2.5
        assert 0 < card["lost_bytes"] == 3 * round(card["unknown_share"] * card["tokens"]) and card["lost"]
    else:
        assert fertility < 1.5 and card["lost_bytes"] == 0 and card["lost"] == []

    report = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    model, ngram, xz = report["systems"]
    assert ngram["bits_per_byte"]["signature"]["characters"] > 40
    assert model["bits_per_byte"]["count"] == ngram["bits_per_byte"]["count"] > xz["bits_per_byte"]["count"]
    assert 0 < ngram["bits_per_byte"]["value"] < 8 / 3  # no byte more than a character drawn from all bytes costs
    for sample in report["samples"]:
        assert kind == "bpe" or "\ufffd" not in sample["text"]  # of bytes such a model makes what is no character
    assert "春" in ended.stdout.rpartition("Next:")[2]  # the recipe's own prompt, which the model knows
