"""The pages under docs/: their links lead somewhere, their commands and recipes are ones that exist, their code runs."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import torch
import typer

from textmill.cli import app
from textmill.errors import GenerationError
from textmill.formats.layouts.gpt2 import GPT2Layout
from textmill.formats.layouts.stock_config import StockConfig
from textmill.inference.reading import read_alone
from textmill.models.architectures import build
from textmill.recipe import check_recipe
from textmill.tokens.loader import IGNORED, Batch

GPT2 = {"vocab_size": 96, "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 2}
ROOT = Path(__file__).parents[2]
PAGES = sorted(ROOT.glob("docs/*.md"))
WRITTEN = [page for page in PAGES if page.name != "reference.md"]  # which is generated: tests/test_reference.py


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_textmill_command_is_understood(page: Path) -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for line in "".join(blocks(page, "sh")).splitlines():
        program, *words = shlex.split(line, comments=True) or [""]
        if Path(program).name == "textmill" and words[:1] != ["--help"]:
            assert words[0] in verbs, line
            verbs[words[0]].make_context(words[0], words[1:])  # raises where an option or an argument is wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_recipe_shown_is_one(page: Path) -> None:
    for text in blocks(page, "toml"):
        values = {"corpus": {"source": "text.txt"}, "train": {"steps": 1}, **tomllib.loads(text)}
        check_recipe(values, page.name)


@pytest.fixture(scope="module")
def extensions() -> dict:
    """What the code of docs/extending.md defines."""
    names: dict = {}
    exec("\n".join(blocks(ROOT / "docs" / "extending.md", "python")), names)
    return names


def test_the_reader_shown_reads(extensions, tmp_path: Path) -> None:
    settings = extensions["CorpusSettings"](source="film.srt")
    path = tmp_path / "film.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nWho is there?\n\n2\n00:00:03,000 --> 00:00:04,000\nA mill.\n")
    [document] = extensions["read_subtitles"](path, "film.srt", settings, None)
    assert (document.text, document.title) == ("Who is there?\nA mill.", "film")
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n")
    [drop] = extensions["read_subtitles"](path, "film.srt", settings, None)
    assert drop.rule == "empty file"


def test_the_objective_shown_counts_what_it_learns(extensions, make_decoder) -> None:
    model, tokens = make_decoder(), torch.arange(34).reshape(2, 17) % 512
    batch = Batch(
        tokens[:, :-1], tokens[:, 1:].contiguous(), torch.arange(16).expand(2, 16), None,
        torch.zeros(2, dtype=torch.int32), torch.zeros(2, dtype=torch.bool), 32,
    )  # fmt: skip
    objective = extensions["SecondHalfObjective"]()
    loss, _, _ = objective(model, batch, None)
    half = batch.targets.clone()
    half[:, :8] = IGNORED
    assert objective.count(batch) == 16
    torch.testing.assert_close(loss, model.token_nats(batch.inputs, half).sum())


def test_the_family_shown_is_judged(extensions, tokenizer) -> None:
    text = "A text of some length, whose tokens all cost the same. " * 20
    symbols = len(tokenizer.encode(text)) + 1
    expected = symbols * torch.log2(torch.tensor(float(tokenizer.vocabulary_size))).item() / (len(text) + 1)
    assert extensions["bits_per_byte_of_knowing_nothing"](tokenizer, text) == pytest.approx(expected)


def test_the_layout_shown_is_one(extensions) -> None:
    layout = extensions["TinyGPTLayout"]()
    config = GPT2Layout().shape_of(StockConfig(GPT2, "GPT-2"))
    assert not list(layout.reasons(config))
    values = {"vocab_size": 96, **layout.settings(config), "tie_word_embeddings": True}
    assert layout.shape_of(StockConfig(values, "config.json")) == config
    model = build(config)
    read = layout.to_stock(model.state_dict(), config)
    back = dict(layout.from_stock([(name, read(name)) for name in layout.stock_shapes(config)], config))
    assert all(torch.equal(back[name], tensor) for name, tensor in model.named_parameters())


def test_what_is_shown_as_wanted_is_read(extensions, make_encoder, make_decoder) -> None:
    wanted, model, inputs = extensions["TokenVectors"](), make_encoder("bert"), [[5, 6, 7], list(range(40))]
    for vectors, tokens in zip(read_alone(model, inputs, wanted), inputs, strict=True):
        expected = torch.nn.functional.normalize(model.hidden(torch.tensor([tokens]))[0], dim=-1)
        torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(GenerationError, match="a decoder sees no token from both sides"):
        read_alone(make_decoder(), inputs, wanted)
