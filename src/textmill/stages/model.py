"""The model stage: the weights that validated best -> a model folder that stock transformers loads."""

import shutil
from typing import Any

from .. import __version__
from ..files import sha256_of_file
from ..formats.gguf import save_gguf
from ..formats.model_folder import load_model_folder, save_model_folder
from ..formats.onnx_export import save_onnx
from ..models.architectures import build
from ..training.checkpoints import checkpoint_folder, load_tensors
from ..training.stopping import FinalWeights
from .corpus import source_identity
from .workplace import Workplace, written_by


def make_model(place: Workplace) -> dict[str, Any]:
    """The weights that validated best -> a model folder that stock transformers loads."""
    tokenizer = place.tokenizer()
    model = build(place.recipe.model.config(tokenizer.vocabulary_size))
    weights = FinalWeights(**place.manifest["stages"]["train"]["summary"]["weights"])
    folder = checkpoint_folder(place.folder / "checkpoints", weights.step)
    with written_by("train"):
        tensors = load_tensors(folder, weights.file)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(tensors[name])
    (place.folder / "evaluation.json").unlink(missing_ok=True)  # its scores stand in the model folder that goes
    save_model_folder(
        place.folder / "model",
        model,
        tokenizer,
        {
            "textmill": __version__,
            "recipe": place.recipe.model_dump(mode="json", exclude_none=True),
            "sources": source_identity(place),
            "hashes": {name: entry["hash"] for name, entry in place.manifest["stages"].items()},
            "training": place.manifest["stages"]["train"]["summary"],
        },
        place.recipe.model.architecture,
    )
    _write_others(place)
    return {"hash": sha256_of_file(place.folder / "model" / "model.safetensors"), "step": weights.step}


def other_exports(place: Workplace) -> list[str] | None:
    """What the model is written as beside its folder: part of what the stage is made from, where there is any."""
    return sorted(set(place.recipe.export.formats) - {"huggingface"}) or None


def _write_others(place: Workplace) -> None:
    """model.gguf and onnx/, as the recipe asks, beside the model folder; what isn't asked for any longer goes."""
    wanted, gguf, onnx = other_exports(place) or [], place.folder / "model.gguf", place.folder / "onnx"
    gguf.unlink(missing_ok=True)
    shutil.rmtree(onnx, ignore_errors=True)
    if "gguf" in wanted:
        for note in save_gguf(gguf, place.folder / "model"):
            print(f"  {note}")
    if "onnx" in wanted:
        save_onnx(onnx, load_model_folder(place.folder / "model"), lambda line: print(f"  {line}"))
