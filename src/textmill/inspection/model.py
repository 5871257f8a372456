"""A model folder's card: its shape, where its parameters are, what a token costs, and what it was made of."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from ..files import read_json
from ..formats.model_folder import Contents
from ..formats.opened_folder import open_model_folder
from ..models.architectures import FAMILIES, build_empty
from ..models.config import ModelConfig, TransformerConfig
from ..models.count import Count, count, count_spans, state_bytes
from ..models.encoder import EncoderConfig
from ..models.encoder_decoder import EncoderDecoderConfig
from ..models.recurrent import RecurrentConfig
from ..models.task import TaskConfig
from ..progress import format_bytes, format_count, format_seconds
from ..score import BITS_PER_BYTE
from ..tokens.tokenizer import Tokenizer
from .card import Card, rows_of

ACTIVATION_NAMES = {"silu": "SiLU", "gelu": "GELU", "gelu_tanh": "GELU (by tanh)", "relu": "ReLU"}
# Of a parameter's name; all others are norms.
PARTS = ("embedding", "attention", "cross_attention", "feed_forward", "cell", "pooler", "head")
BYTES = {"float32": 4, "bfloat16": 2}


def model_card(path: str | Path) -> Card:
    """The card of a model folder, from its files' headers: no weight is loaded. Raises ModelError where it is damaged."""
    opened = open_model_folder(path)
    folder, config, lineage = opened.path, opened.config, opened.lineage
    formats = sorted(opened.formats)
    tokenizer = Tokenizer.load(folder)
    family = FAMILIES[type(config)].family
    writes = FAMILIES[type(config)].writes and opened.layout.task is None
    costs = cost_values(config, _cost(config, lineage), writes)
    about_tokenizer = _tokenizer_values(folder, tokenizer)
    parameters = parameters_by_part(config)
    about_task = task_values(opened.layout.task, config)
    values = {
        "kind": "model",
        "path": str(folder),
        "family": family,
        "shape": dataclasses.asdict(config),
        "parameters": parameters,
        **({"task": about_task} if about_task else {}),
        "weight_formats": formats,
        "costs": costs,
        "tokenizer": about_tokenizer,
        "lineage": lineage,
    }
    training = lineage.get("training", {})
    return Card(
        f"{folder}: {family_of(config)} of {format_count(parameters['all'])} parameters",
        values,
        {
            "Shape": shape_rows(config),
            "Parameters": parameter_rows(config),
            "Task": rows_of({**about_task, "labels": ", ".join(about_task["labels"])} if about_task else {}),
            "Costs": cost_rows(costs),
            "Tokenizer": rows_of(about_tokenizer),
            "Weights": [("format", ", ".join(formats)), ("files", format_bytes(opened.weights.bytes()))],
            "Lineage": _lineage_rows(lineage),
            "Training": training_rows(training),
            "Scores": score_rows(lineage.get("scores", {})),
        },
        f"Its picture: textmill inspect {folder} --mermaid",
    )


def headline(contents: Contents) -> str:
    """A model in one line."""
    config, tokenizer = contents.config, contents.tokenizer
    template = "with a" if tokenizer.chat_template else "no"
    task = contents.layout.task
    return (
        f"{family_of(config)} of {format_count(count(config).parameters)} parameters, "
        f"{'' if task is None else f'under a head of the kind {task.kind} with {len(task.labels):,} labels, '}"
        f"in the layout of {contents.layout.model_type}; context of {config.context_length:,} tokens; "
        f"{tokenizer.kind} tokenizer of {tokenizer.vocabulary_size:,} tokens; {template} chat template"
    )


def task_values(task: TaskConfig | None, config: ModelConfig) -> dict[str, Any]:
    """What a model was made for beside language, and its head's parameters, which aren't among the body's; empty where it was
    made for none."""
    if task is None:
        return {}
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in task.head(config).parameters())
    return {"kind": task.kind, "labels": list(task.labels), "head_parameters": parameters}


def shape_rows(config: ModelConfig) -> list[tuple[str, str]]:
    """The shape in words."""
    head = f"embedding and head {'tied' if config.tied_embeddings else 'apart'}"
    if isinstance(config, EncoderConfig) and not config.masked_head:
        head = "no head"
    reach = " to learn from, without a limit to read" if isinstance(config, RecurrentConfig) else ""
    return [
        ("layers", f"{_layers(config)} of width {config.width:,}"),
        *(_transformer_rows(config) if isinstance(config, TransformerConfig) else []),
        *([("cells", config.cell.upper())] if isinstance(config, RecurrentConfig) else []),
        ("vocabulary", f"{config.vocabulary_size:,} tokens, {head}"),
        ("context", f"{config.context_length:,} tokens{reach}"),
    ]


def _layers(config: ModelConfig) -> str:
    """How many layers: `6`, or of two halves `6 + 6`."""
    halves = config.halves if isinstance(config, EncoderDecoderConfig) else (config,)
    return " + ".join(str(half.layers) for half in halves)


def _transformer_rows(config: TransformerConfig) -> list[tuple[str, str]]:
    grouped = "" if config.key_value_heads == config.heads else f", {config.key_value_heads} of keys and values"
    gate = {"silu": "SwiGLU", "gelu": "GeGLU"}.get(config.activation, f"gated {config.activation}")
    kind = gate if config.gated else ACTIVATION_NAMES[config.activation]
    norm = {"rms": "RMSNorm", "layer": "LayerNorm"}[config.norm]
    rows = [
        ("heads", f"{config.heads} of {config.head_dim} dimensions{grouped}"),
        ("feed-forward", f"{kind}, {config.feed_forward_width:,} wide"),
        ("norms", f"{norm}, {'after' if config.post_norm else 'before'} each sub-layer"),
        ("positions", f"rotary (base {config.rope_theta:g})" if config.positions == "rotary" else config.positions),
    ]
    if any(config.windows):
        limited = [window for window in config.windows if window]
        rows.append(("windows", f"{len(limited)} of {config.layers} layers see {max(limited):,} tokens"))
    return rows


def parameters_by_part(config: ModelConfig) -> dict[str, int]:
    """Parameters of each part, counted on the live modules, and of all."""
    model = build_empty(config)
    parts = dict.fromkeys((*PARTS, "norms"), 0)
    for name, parameter in model.named_parameters():
        modules = name.replace("position_embedding", "embedding").replace("token_type_embedding", "embedding").split(".")
        part = next((part for part in PARTS if part in modules and "norm" not in name), "norms")
        parts[part] += parameter.numel()
    return {**parts, "all": sum(parts.values())}


def parameter_rows(config: ModelConfig) -> list[tuple[str, str]]:
    """Parameters by part, with shares."""
    parts = parameters_by_part(config)
    return [
        (part.replace("_", "-"), f"{size:>15,}  {size / parts['all']:4.0%}" if part != "all" else f"{size:>15,}")
        for part, size in parts.items()
        if size
    ]


def _cost(config: ModelConfig, lineage: dict[str, Any]) -> Count:
    """What a token costs, in training as the model was trained."""
    masking = lineage.get("recipe", {}).get("train", {}).get("masking")
    if masking is not None and isinstance(config, EncoderDecoderConfig):
        return count_spans(config, masking)
    return count(config, head_share=masking or 1.0) if isinstance(config, EncoderConfig) else count(config)


def cost_values(config: ModelConfig, cost: Count, writes: bool) -> dict[str, Any]:
    """What one token costs, and what the model takes in memory: FLOP and bytes, at full context. One that doesn't write decodes
    none."""
    length = config.context_length
    decoding = {
        "bytes_read_per_decoded_token": {name: cost.decode_bytes(size) for name, size in BYTES.items()},
        "state_bytes_at_full_context": {name: state_bytes(config, length, size) for name, size in BYTES.items()},
    }
    return {
        "forward_flops_per_token": cost.forward_flops,
        "training_flops_per_token": cost.training_flops,
        **(decoding if writes else {}),
        "weight_bytes": {name: cost.parameters * size for name, size in BYTES.items()},
    }


def cost_rows(costs: dict[str, Any]) -> list[tuple[str, str]]:
    """The same in words."""

    def in_both(key: str) -> str:
        return ", ".join(f"{format_bytes(size)} in {name}" for name, size in costs[key].items())

    rows = [
        ("one token forward", f"{format_count(costs['forward_flops_per_token'])}FLOP at full context"),
        ("one token trained", f"{format_count(costs['training_flops_per_token'])}FLOP"),
    ]
    if "bytes_read_per_decoded_token" in costs:
        rows += [
            ("one token decoded", f"reads {in_both('bytes_read_per_decoded_token')}"),
            ("what it remembers", f"{in_both('state_bytes_at_full_context')}, for one text at full context"),
        ]
    return [*rows, ("weights in memory", in_both("weight_bytes"))]


def family_of(config: ModelConfig) -> str:
    """`a decoder`, `an encoder`, …"""
    family = FAMILIES[type(config)].family
    noun = "recurrent model" if family == "recurrent" else family
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def training_rows(training: dict[str, Any]) -> list[tuple[str, str]]:
    """How long a training was, as far as its summary says."""
    if not training:
        return []
    rows = [
        ("steps", f"{training['steps']:,}"),
        ("tokens", f"{format_count(training['tokens'])}, {training['epochs']:.2f} times through the text"),
        ("time", f"{format_seconds(training['seconds'])} on {training['machine']}"),
    ]
    if training.get("share_of_peak") is not None:
        share = f"{training['share_of_peak']:.0%} of the matrix peak"
        rows.append(("speed", f"{training['tokens_per_second']:,.0f} tokens/s, {share}"))
    return rows


def score_rows(scores: dict[str, Any]) -> list[tuple[str, str]]:
    """What the model and what stood beside it reached."""
    figure = scores.get("figure", BITS_PER_BYTE.key)
    return [(system["name"], score_text(system[figure])) for system in scores.get("systems", [])]


def score_text(score: dict[str, Any]) -> str:
    """`2.345 [2.3, 2.4] bits/byte (n = 12)`, of a score as it stands in a file."""
    low, high = ("unknown" if score[key] is None else f"{score[key]:.3f}" for key in ("low", "high"))
    value = math.nan if score["value"] is None else score["value"]
    return f"{value:.3f} [{low}, {high}] {score['unit']} (n = {score['count']})"


def _tokenizer_values(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    read = tokenizer.training.get("read_bytes")
    values: dict[str, Any] = {
        "kind": tokenizer.kind,
        "vocabulary_size": tokenizer.vocabulary_size,
        "hash": tokenizer.hash[:12],
        "chat_template": "yes: it answers" if tokenizer.chat_template else "none: a base model",
    }
    card = folder.parent / "tokenizer" / "card.json"
    if card.is_file() and (measured := read_json(card)).get("hash") == tokenizer.hash:
        values["bytes_per_token"] = f"{measured['bytes_per_token']:.2f} on validation text"
    return {**values, **({"trained_on": f"{format_bytes(read)} of text"} if read else {})}


def _lineage_rows(lineage: dict[str, Any]) -> list[tuple[str, str]]:
    if not lineage:
        return [("textmill.json", "none: where this model comes from isn't known")]
    rows = [("textmill", str(lineage.get("textmill", "unknown")))]
    imported = lineage.get("imported", {})
    rows += [(label, str(imported[key])) for label, key in (("imported from", "from"), ("commit", "commit")) if key in imported]
    files = {**lineage.get("sources", {}), **imported.get("sha256", {})}
    rows += [(name, f"SHA-256 {digest[:12]}…") for name, digest in list(files.items())[:5]]
    rows += [(f"{name} stage", f"{digest[:12]}…") for name, digest in lineage.get("hashes", {}).items()]
    return rows
