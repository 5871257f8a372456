"""Real English (Python's own documentation) and made-up Chinese, and one small tokenizer of each kind."""

import pydoc_data.topics
import random
from pathlib import Path

import pytest

from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

from .foreign import MAKERS

KINDS = ("bpe", "byte", "character", "wordpiece", "unigram", "word")
BYTE_LEVEL = ("bpe", "byte")


def chinese(sentences: int, seed: int = 0) -> str:
    words = ["我们", "学习", "中文", "的", "模型", "语言", "文本", "没有", "空格", "很", "重要", "今天", "天气", "好"]
    choose = random.Random(seed)
    return "".join("".join(choose.choices(words, k=9)) + "。" for _ in range(sentences))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [*list(pydoc_data.topics.topics.values())[:24], chinese(150), "Привет, мир! Это текст.\n" * 20]


@pytest.fixture(scope="session")
def tokenizers_by_kind(texts: list[str]) -> dict[str, Tokenizer]:
    return {kind: train_tokenizer(TokenizerSettings(kind=kind, vocabulary_size=600), texts) for kind in KINDS}


@pytest.fixture(scope="session")
def foreign_folders(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny tokenizers as others make them, by kind. For reading only."""
    place = tmp_path_factory.mktemp("foreign")
    for name, make in MAKERS.items():
        make(texts, place / name)
    return {name: place / name for name in MAKERS}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizers_by_kind: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers_by_kind[request.param]


@pytest.fixture(params=BYTE_LEVEL)
def byte_level(request: pytest.FixtureRequest, tokenizers_by_kind: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers_by_kind[request.param]
