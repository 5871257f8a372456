"""The model stage: the weights that validated best -> a model folder that stock transformers loads."""

from typing import Any

from .. import __version__
from ..files import sha256_of_file
from ..formats.model_folder import save_model_folder
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
    return {"hash": sha256_of_file(place.folder / "model" / "model.safetensors"), "step": weights.step}
