"""A real server process on a free port, with tiny models of several kinds."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import tokenizers
import torch

import textmill
from textmill.formats.model_folder import save_model_folder
from textmill.models.heads import TaskModel
from textmill.models.task import Task, TaskConfig
from textmill.tokens.chat_template import ChatTemplate
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.special_tokens import MASK, PAD
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"
TOOL_TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}{% for message in messages %}{{ message.role }}: "
    "{{ message.content }}{% for call in message.tool_calls %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>"
    "{% endfor %}\n{% endfor %}assistant:"
)


@pytest.fixture(scope="session")
def serve(starter: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """`with serve(WORDS…) as address`: `textmill serve WORDS…` in a process of its own, which is ended in an orderly way."""

    @contextmanager
    def running(*words: object) -> Iterator[str]:
        server = starter.leave(tmp_path_factory.getbasetemp(), "serve", *words, "--port", 0)
        try:
            yield server.first_line().split(" at ")[1].split("/v1")[0]
        finally:
            code = server.end()
        assert code in (0, -signal.SIGTERM)

    return running


@pytest.fixture(scope="session")
def folders(
    make_decoder, make_recurrent, make_encoder, make_encoder_decoder, tokenizer: Tokenizer, texts: list[str], tmp_path_factory
) -> dict[str, Path]:
    """A model with a chat template, one whose template knows calls, a base model, a recurrent one, an encoder, and three with
    labels: an encoder whose labels stand for themselves, a recurrent model that chooses one, and an encoder that tags words."""
    place = tmp_path_factory.mktemp("served")
    size = {"vocabulary_size": tokenizer.vocabulary_size, "context_length": 256}
    answering = Tokenizer(tokenizer._backend, chat_template=ChatTemplate(TEMPLATE), training=tokenizer.training)
    backend = tokenizers.Tokenizer.from_str(tokenizer._backend.to_str())
    backend.add_tokens([tokenizers.AddedToken("<tool_call>", normalized=False)])  # as Qwen's has it: a text, and one token
    calling = Tokenizer(backend, tokenizer.special, ChatTemplate(TOOL_TEMPLATE))
    masking = train_tokenizer(TokenizerSettings(vocabulary_size=tokenizer.vocabulary_size), texts, special=(PAD, MASK))
    for name, model, spoken in [
        ("talker", make_decoder(**size), answering),
        ("caller", make_decoder(vocabulary_size=calling.vocabulary_size, context_length=1024), calling),
        ("base", make_decoder(**size, layers=1), tokenizer),
        ("lstm", make_recurrent(**size), tokenizer),
        ("encoder", make_encoder("bert", **size), masking),
    ]:
        save_model_folder(place / name, model, spoken, {})
    for name, body, kind, labels in [
        ("moderator", make_encoder("bert", **size, layers=1), "multi_label", ("insult", "threat", "neutral")),
        ("sorter", make_recurrent(vocabulary_size=tokenizer.vocabulary_size, layers=1), "sequence", ("OK", "spam")),
        ("tagger", make_encoder("bert", **size, layers=1), "chain", ("O", "B-name", "I-name", "B-place", "I-place")),
    ]:
        task = TaskConfig(kind, labels)
        head = task.head(body.config)
        generator = torch.Generator().manual_seed(4)
        for parameter in head.parameters():
            parameter.data.normal_(0.0, 0.3, generator=generator)
        save_model_folder(place / name, body, tokenizer, {}, task=Task(task, TaskModel(body, head)))
    return {path.name: path for path in place.iterdir()}


@pytest.fixture(scope="session")
def endless(folders: dict[str, Path]) -> dict[str, Any]:
    """A completion that is one letter, again and again."""
    letter = textmill.load(folders["lstm"]).tokenizer.encode("x")[0]
    return {"model": "lstm", "prompt": "The", "max_tokens": 900_000, "logit_bias": {str(letter): 100}}


@pytest.fixture(scope="session")
def address(serve, folders: dict[str, Path]) -> Iterator[str]:
    """Where all of them are served."""
    with serve(*folders.values(), "--rows", 3, "--queue", 8) as found:
        yield found


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    """OpenAI's own client, of that server."""
    return openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
