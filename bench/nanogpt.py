"""nanoGPT as a peer: where it is, and for `time_to_loss.py` its own train.py as a whole command, on tokens that both read, and
its checkpoint as a model that our evaluator scores.

Its model is GPT-2's layout without biases, which our decoder can spell, so both are scored by the same code.
"""

import argparse
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from textmill.models.decoder import Decoder, DecoderConfig

# The CPU recipe of its README, in full.
RECIPE = {
    "device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 1, "block_size": 64, "batch_size": 12, "n_layer": 4,
    "n_head": 4, "n_embd": 128, "max_iters": 2000, "lr_decay_iters": 2000, "dropout": 0.0,
}  # fmt: skip
DATASET = "same_tokens"


def checkout(text: str) -> Path:
    """The folder that an option --nanogpt names. Raises argparse's error where nanoGPT isn't there."""
    if not (Path(text) / "model.py").is_file():
        raise argparse.ArgumentTypeError(f"{text}: there is no model.py; give a checkout of nanoGPT (bench/README.md)")
    return Path(text)


def train(checkout: Path, folder: Path, tokens: tuple[np.ndarray, np.ndarray], vocabulary: int, flags: dict[str, Any]) -> dict:
    """Run train.py on training and validation tokens, from its start to its exit. Gives `seconds` and `curve`: pairs of seconds
    since the start and the validation loss that it estimates itself. Raises SystemExit with its words where it fails."""
    data = folder / "data" / DATASET
    data.mkdir(parents=True, exist_ok=True)
    for name, part in zip(("train", "val"), tokens):
        part.astype(np.uint16).tofile(data / f"{name}.bin")
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": vocabulary}))  # all that train.py reads of it
    for name in ("configurator.py", "config"):
        if not (folder / name).exists():
            (folder / name).symlink_to(checkout.resolve() / name)
    words = [f"--{name}={value}" for name, value in {**RECIPE, **flags, "dataset": DATASET}.items()]
    script = str(checkout.resolve() / "train.py")
    command = [sys.executable, "-u", script, "config/train_shakespeare_char.py", "--out_dir=out", *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    started, curve, said = time.perf_counter(), [], ""
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = (said + line)[-4000:]
            if match := re.match(r"step \d+: train loss [\d.]+, val loss ([\d.]+)", line):
                curve.append((round(time.perf_counter() - started, 2), float(match[1])))
    if process.returncode:
        raise SystemExit(f"nanoGPT failed:\n{said}")
    return {"seconds": time.perf_counter() - started, "curve": curve}


def load(folder: Path) -> Decoder:
    """The checkpoint that train.py left, as our decoder."""
    checkpoint = torch.load(folder / "out" / "ckpt.pt", map_location="cpu", weights_only=True)
    shape, weights = checkpoint["model_args"], checkpoint["model"]
    width, heads = shape["n_embd"], shape["n_head"]
    model = Decoder(
        DecoderConfig(
            vocabulary_size=shape["vocab_size"], context_length=shape["block_size"], layers=shape["n_layer"], width=width,
            heads=heads, key_value_heads=heads, head_dim=width // heads, feed_forward_width=4 * width, positions="learned",
            norm="layer", norm_epsilon=1e-5, norm_bias=shape["bias"], query_key_norm=False, query_key_value_bias=shape["bias"],
            attention_output_bias=shape["bias"], feed_forward_bias=shape["bias"], activation="gelu", gated=False,
            tied_embeddings=True,
        )
    )  # fmt: skip
    ours: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        name = re.sub(r"^transformer\.h\.", "blocks.", name.removeprefix("_orig_mod."))
        if "attn.c_attn" in name:
            ours |= {name.replace("attn.c_attn", f"attention.{part}"): piece
                     for part, piece in zip(("query", "key", "value"), value.chunk(3))}  # fmt: skip
            continue
        for theirs, new in NAMES.items():
            name = name.replace(theirs, new)
        ours[name] = value
    model.load_state_dict(ours)
    return model.eval()


NAMES = {
    "transformer.wte": "embedding", "transformer.wpe": "position_embedding", "transformer.ln_f": "norm", "lm_head": "head",
    "ln_1": "attention_norm", "ln_2": "feed_forward_norm", "attn.c_proj": "attention.output", "mlp.c_fc": "feed_forward.up",
    "mlp.c_proj": "feed_forward.down",
}  # fmt: skip
"""What its parts are called here."""
