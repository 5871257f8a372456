"""The card's figures add up and can be counted by hand."""

import pytest

from textmill.tokens.card import tokenizer_card
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer


def test_a_byte_tokenizer_by_hand(tokenizers_by_kind: dict[str, Tokenizer]) -> None:
    card = tokenizer_card(tokenizers_by_kind["byte"], ["ab 12", "中文мир", ""])
    assert (card["texts"], card["bytes"], card["characters"], card["tokens"]) == (3, 17, 10, 17)
    assert card["bytes_per_token"] == 1
    assert {name: row["tokens_per_character"] for name, row in card["scripts"].items()} == {
        "Latin": 1,
        "Han": 3,
        "Cyrillic": 2,
        "digits": 1,
        "space": 1,
    }
    assert card["never_used"]["count"] == 256 - len(set("ab 12中文мир".encode()))


def test_the_parts_add_up(tokenizer: Tokenizer, texts: list[str]) -> None:
    card = tokenizer_card(tokenizer, iter(texts))
    ids = tokenizer.encode_batch(texts)
    assert card["tokens"] == sum(map(len, ids)) == sum(row["tokens"] for row in card["scripts"].values())
    assert card["characters"] == sum(map(len, texts)) == sum(row["characters"] for row in card["scripts"].values())
    assert card["lost_bytes"] == sum(map(tokenizer.lost_bytes, texts))
    assert card["bytes_per_token"] == pytest.approx(sum(len(text.encode()) for text in texts) / card["tokens"])
    used = set().union(*ids) - {tokenizer.unknown_id}
    specials = 1 if tokenizer.unknown_id is None else 2
    assert card["never_used"]["count"] == tokenizer.vocabulary_size - len(used) - specials
    longest = max(len(tokenizer.token_bytes(id).decode(errors="ignore")) for id in range(tokenizer.vocabulary_size))
    assert len(card["longest"][0]) == longest
    assert bool(card["lost"]) == bool(card["lost_bytes"])
    assert {"Latin", "Han", "Cyrillic"} <= card["scripts"].keys()


def test_chinese_is_told_script_by_script_and_what_is_lost_is_named() -> None:
    poems = ["山居\n空山新雨后，天气晚来秋。", "春\n春眠不觉晓，处处闻啼鸟。"]
    tokenizer = train_tokenizer(TokenizerSettings(kind="character", vocabulary_size=60), poems)
    card = tokenizer_card(tokenizer, ["春山\n空山霭霭𠀀，处处鸟𠀀。"])
    assert {name: row["characters"] for name, row in card["scripts"].items()} == {"Han": 11, "punctuation": 2, "space": 1}
    assert card["lost"] == ["霭", "𠀀"] and card["lost_bytes"] == 2 * 3 + 2 * 4
    assert card["unknown_share"] == pytest.approx(4 / 14)
    assert card["scripts"]["Han"]["tokens_per_character"] == 1


def test_no_text_is_no_error(tokenizer: Tokenizer) -> None:
    card = tokenizer_card(tokenizer, [])
    assert card["tokens"] == 0
    assert card["bytes_per_token"] is None
