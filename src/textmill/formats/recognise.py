"""What a file or folder is, from its first bytes and its names, and what its owner can do with it here."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from .safetensors_header import LARGEST_HEADER

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
FIRST_BYTES = 512


@dataclass(frozen=True)
class Recognised:
    """`kind` is one of model, run, checkpoint, recipe, weights, gguf, foreign, missing; `what` says it in words, `advice` what
    to do."""

    kind: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}; {self.advice}"


def recognise(path: str | Path) -> Recognised:
    """Say what `path` is. Reads little more than its first bytes, and runs nothing that it holds."""
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        fetch = f"textmill import hf:{path.as_posix()} {path.name}"
        elsewhere = f"; to fetch it from the Hugging Face hub, write {fetch}" if _may_be_on_hub(path) else ""
        return Recognised("missing", f"{path} does not exist", f"looked from {Path.cwd()}{elsewhere}")
    if not path.is_file():
        return Recognised("foreign", f"{path} is no file and no folder", "give a model folder, a run folder or a recipe")
    try:
        with open(path, "rb") as stream:
            return _file(path, stream.read(FIRST_BYTES))
    except OSError as error:
        return Recognised("foreign", f"{path} can't be read: {error.strerror}", "check its permissions")


def looks_like_hub_name(text: str) -> bool:
    """Whether this is what one would write for a model on the Hugging Face hub: owner/name, perhaps @revision."""
    return re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,96})?", text) is not None


def _may_be_on_hub(path: Path) -> bool:
    return looks_like_hub_name(path.as_posix()) and not path.parent.exists()


def _folder(path: Path) -> Recognised:
    give = "give a model folder, such as runs/wikipedia-sample/model, or a run folder"
    if (path / "manifest.json").is_file() and (path / "recipe.toml").is_file():
        return Recognised("run", f"{path} is a run folder", "its model is in model/ once it is finished")
    if (path / "config.json").is_file():
        return Recognised("model", f"{path} is a model folder", "generate, chat and evaluate take it")
    if (path / "state.json").is_file() and (path / "optimizer.safetensors").is_file():
        run = path.parent.parent
        return Recognised(
            "checkpoint",
            f"{path} is a checkpoint: one moment of a training, without tokenizer and shape",
            f"its run is {run}: `textmill run {run / 'recipe.toml'} --out {run}` goes on with it and makes the model folder",
        )
    names = sorted(inner.name for inner in path.iterdir())
    if {".lock", "recipe.toml"} <= set(names):
        way = f"`textmill run {path / 'recipe.toml'} --out {path}` goes on with it"
        return Recognised("foreign", f"{path} is a run folder, and no stage of it is done yet", way)
    if not names:
        return Recognised("foreign", f"{path} is an empty folder", give)
    pickled = [name for name in names if name.endswith(PICKLES)]
    if pickled:
        return Recognised(
            "foreign",
            f"{path} holds {pickled[0]} and no config.json",
            f"{pickled[0]} {conversion(path / pickled[0])}",
        )
    if "model.safetensors" in names or "tokenizer.json" in names:
        return Recognised("foreign", f"{path} holds no config.json, so it is not a whole model folder", "fetch it anew")
    found = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return Recognised("foreign", f"{path} holds no config.json, so it is not a model folder (it holds {found})", give)


def _file(path: Path, head: bytes) -> Recognised:
    size = path.stat().st_size
    if not size:
        return Recognised("foreign", f"{path} is an empty file", "give a model folder, a run folder or a recipe")
    if head.startswith(b"GGUF"):
        way = f"textmill import {path} {path.with_suffix('').name} makes a model folder of it"
        return Recognised("gguf", f"{path} is a GGUF file, the format of llama.cpp", way)
    zipped = head.startswith(b"PK\x03\x04")
    if (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or (zipped and b"/data.pkl" in head):
        return Recognised("foreign", f"{path} isn't opened", f"it {conversion(path)}")
    if zipped:
        return Recognised("foreign", f"{path} is a zip archive", "unpack it, and give the folder in it that has a config.json")
    if _is_safetensors(head, size):
        return Recognised("weights", f"{path} holds weights (safetensors)", f"give the folder that it is in, {path.parent}")
    if path.suffix == ".toml":
        return Recognised("recipe", f"{path} is a recipe", "textmill run takes it")
    if head.lstrip()[:1] in (b"{", b"[") and path.suffix == ".json":
        return Recognised("foreign", f"{path} is a JSON file", f"give the folder that it is in, {path.parent}")
    kind = "a text file" if _is_text(head) else "a file of a kind that isn't known here"
    return Recognised("foreign", f"{path} is {kind}", "give a model folder, a run folder or a recipe (.toml)")


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9:
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return 2 <= length <= min(size - 8, LARGEST_HEADER) and head[8:9] == b"{"


def _is_text(head: bytes) -> bool:
    try:
        head[: len(head) - 4 if len(head) == FIRST_BYTES else None].decode()
    except UnicodeDecodeError as error:
        return error.start > FIRST_BYTES - 8
    return b"\0" not in head


def conversion(path: Path) -> str:
    """Why a pickle isn't opened, and the way to make safetensors of it and of those that belong to it."""
    whole = path.name.startswith("pytorch_model")
    pattern, target = ("pytorch_model*.bin", "model") if whole else (path.name, path.stem)
    return (
        "is a pickle, which can run code when opened: convert it, by a Python that has torch and safetensors, with\n"
        "    import glob, safetensors.torch, torch\n"
        f"    files = [torch.load(f, 'cpu', weights_only=True) for f in glob.glob({str(path.with_name(pattern))!r})]\n"
        "    tensors = {name: tensor.clone() for file in files for name, tensor in file.items()}\n"
        f"    safetensors.torch.save_file(tensors, {str(path.with_name(target))!r} + '.safetensors')\n"
        "which also fails on one that holds code; a whole model folder has config.json and tokenizer.json beside it"
    )


def find_model_folder(path: str | Path) -> Path:
    """The model folder that `path` names: itself, or `model` in a run folder."""
    path = Path(path)
    inner = path / "model"
    return inner if not (path / "config.json").is_file() and (inner / "config.json").is_file() else path
