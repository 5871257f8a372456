"""The picture of a model comes from its live modules: right shapes, right order, layers that are alike drawn once."""

import re

import pytest
import torch

from textmill.inspection.mermaid import model_picture, picture
from textmill.inspection.trace import trace
from textmill.models.decoder import Decoder
from textmill.models.settings import ModelSettings
from textmill.models.task import TaskConfig, body_config

NODE = r'n\d+(\["[^"\[\]]+"\]|\(\["[^"]+"\]\)|\(\("[^"]"\)\)|\[/"[^"]+"/\])'
LINE = re.compile(
    rf'( {{4}})+({NODE}|n\d+ (-->\|"[^"|]+"\||-\.->) n\d+|subgraph [a-z]\w*\["[^"]+"\]|end)'
)  # all that is used of Mermaid's flowcharts


def check_grammar(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Every line is one that Mermaid takes, every arrow joins two nodes that are there, every frame is closed. Returns
    the nodes' texts and the arrows."""
    first, *lines = text.splitlines()
    assert first == "flowchart TD"
    assert all(LINE.fullmatch(line) for line in lines), [line for line in lines if not LINE.fullmatch(line)]
    depth = 0
    for line in lines:
        depth += line.strip().startswith("subgraph ") - (line.strip() == "end")
        assert depth >= 0
    assert depth == 0
    nodes = dict(re.findall(r'^ +(n\d+)[\[(/]+"([^"]+)"', text, flags=re.MULTILINE))
    arrows = re.findall(r"^ +(n\d+) (?:-->\|[^|]+\||-\.->) (n\d+)$", text, flags=re.MULTILINE)
    assert {name for arrow in arrows for name in arrow} == set(nodes)
    return nodes, arrows


@pytest.mark.parametrize("preset", ["0.5m", "3m", "1b"])
def test_presets(preset: str) -> None:
    text = model_picture(ModelSettings(preset=preset).config(8192))
    nodes, arrows = check_grammar(text)
    named = {id: label.split("<br/>")[0] for id, label in nodes.items()}
    joined = {(named[source], named[target]) for source, target in arrows}
    assert {
        ("token ids", "embedding"), ("embedding", "attention_norm"), ("attention_norm", "query"), ("query", "query_norm"),
        ("query_norm", "attention"), ("rotary", "attention"), ("value", "attention"), ("attention", "output"),
        ("output", "+"), ("embedding", "+"), ("gate", "SiLU"), ("SiLU", "×"), ("up", "×"), ("×", "down"), ("down", "+"),
        ("+", "norm"), ("norm", "head"), ("head", "logits"),
    } <= joined  # fmt: skip
    assert ("key", "attention") not in joined  # it passes through its norm
    config = ModelSettings(preset=preset).config(8192)
    assert f'"Block × {config.layers}"' in text
    assert text.count("attention_norm<br/>") == 1
    assert f"B × {config.key_value_heads} × T × {config.head_dim}" in text
    assert f"B × T × {config.feed_forward_width:,}" in text and "B × T × 8,192" in text


def test_both_halves_of_an_encoder_decoder_with_both_their_inputs() -> None:
    text = model_picture(ModelSettings(architecture="mbart", preset="12m").config(8192))
    nodes, arrows = check_grammar(text)
    named = {id: label.split("<br/>")[0] for id, label in nodes.items()}
    joined = {(named[source], named[target]) for source, target in arrows}
    assert {
        ("source ids", "embedding"),
        ("target ids", "embedding"),
        ("norm", "key"),
        ("cross_attention_norm", "query"),
    } <= joined
    assert text.count('["Block × 2"]') == 2 and '["cross_attention"]' in text
    assert "B × S × 512" in text and "B × T × 512" in text and "B × T × 8,192" in text


def test_layers_that_differ_are_drawn_apart(make_decoder) -> None:
    model: Decoder = make_decoder(layers=4)
    model.blocks[2].feed_forward.gate = torch.nn.Sequential(model.blocks[2].feed_forward.gate, torch.nn.Tanh())
    text = picture(model, trace(model, torch.zeros(7, 11, dtype=torch.long), {7: "B", 11: "T"}))
    check_grammar(text)
    assert '"Block × 2"' in text and text.count('["Block"]') == 2
    assert "Tanh" in text


def test_looking_changes_nothing(make_decoder) -> None:
    model: Decoder = make_decoder()
    inputs = torch.arange(12).view(2, 6)
    with torch.no_grad():
        before = model(inputs)
        trace(model, inputs, {})
        assert torch.equal(model(inputs), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("architecture", ["qwen3", "bert", "modernbert", "lstm", "marian"])
def test_a_tasks_head_is_drawn(architecture: str) -> None:
    config = body_config(ModelSettings(architecture=architecture, preset="0.5m").config(512))
    text = model_picture(config, TaskConfig("sequence", ("a", "b", "c")))
    nodes, arrows = check_grammar(text)
    outputs = {node for node, said in nodes.items() if said == f"output<br/>Linear {config.width} → 3"}
    assert len(outputs) == 1 and 'subgraph head["head"]' in text
    assert arrows[-1][0] in outputs and nodes[arrows[-1][1]] == "logits" and text.count('"B × 3"') == 1
