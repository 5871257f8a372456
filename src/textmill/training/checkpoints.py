"""Checkpoints: all that a step reads or writes, in folders that appear whole or not at all.

`checkpoints/step-00001200/` holds `model.safetensors`, `optimizer.safetensors`, `average.safetensors` where weights are
averaged, and `state.json` with their hashes. Never a pickle. The two newest are kept, the one that validated best, and the
one up to which the run doesn't depend on its length, from where it can be prolonged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from ..errors import RunError
from ..files import atomic_folder, read_json, remove_folder, sha256_of_file, write_json
from .averaging import WeightAverage
from .optimizers import Optimizer

KEPT = 2


@dataclass
class TrainState:
    """All that a training step reads or writes. `step` counts the steps done, `seconds` the wall time spent on them.

    `best_step` is the one that validated best so far, with `best_bits_per_byte`; 0 and None before the first validation.
    `stopped_early` says that validation had ceased to improve, so no step follows.
    """

    step: int
    model: nn.Module
    optimizer: Optimizer
    average: WeightAverage | None = None
    carry: Any = None
    seconds: float = 0.0
    skipped_steps: int = 0
    clipped_steps: int = 0
    best_step: int = 0
    best_bits_per_byte: float | None = None
    stopped_early: bool = False


# What of a TrainState is written into state.json as it is.
PLAIN_STATE = ("step", "seconds", "skipped_steps", "clipped_steps", "best_step", "best_bits_per_byte", "stopped_early")


@dataclass(frozen=True)
class Checkpoint:
    """A saved TrainState: where, at which step, of which training, and how long that training was to be.

    `finished`: that training has no further step. `best_step`: where it had validated best.
    """

    folder: Path
    step: int
    steps: int
    decay_start: int
    lineage: dict[str, Any]
    finished: bool
    best_step: int


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def save_checkpoint(folder: Path, state: TrainState, lineage: dict[str, Any], steps: int, decay_start: int) -> None:
    """Write the state, then drop checkpoints that are no longer of use."""
    with atomic_folder(checkpoint_folder(folder, state.step)) as new:
        files = _tensors(state)
        for name, tensors in files.items():
            safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, new / name)
        write_json(
            new / "state.json",
            {
                **{name: getattr(state, name) for name in PLAIN_STATE},
                "steps": steps,
                "decay_start": decay_start,
                "lineage": lineage,
                "sha256": {name: sha256_of_file(new / name) for name in files},
            },
        )
    found = list_checkpoints(folder)
    at_decay = [checkpoint for checkpoint in found if checkpoint.step <= checkpoint.decay_start]
    for checkpoint in found[:-KEPT]:
        if checkpoint not in at_decay[-1:] and checkpoint.step != state.best_step:
            remove_folder(checkpoint.folder)


def _tensors(state: TrainState) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint, file by file."""
    files = {
        "model.safetensors": {name: parameter.detach() for name, parameter in state.model.named_parameters()},
        "optimizer.safetensors": state.optimizer.state(),
    }
    return files if state.average is None else {**files, "average.safetensors": state.average.state()}


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in `folder`, oldest first."""
    found = []
    for path in sorted(folder.glob("step-*")):
        try:
            state = read_json(path / "state.json")
        except (OSError, RunError):
            continue  # damaged: the one before it is taken
        finished = state["stopped_early"] or state["step"] == state["steps"]
        found.append(
            Checkpoint(
                path, state["step"], state["steps"], state["decay_start"], state["lineage"], finished, state["best_step"]
            )
        )
    return found


def discard_after(folder: Path, step: int) -> None:
    """Drop the checkpoints beyond `step`: those of a shorter run that is being prolonged from before its end."""
    for checkpoint in list_checkpoints(folder):
        if checkpoint.step > step:
            remove_folder(checkpoint.folder)


def differences(saved: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What makes a checkpoint one of another model or another training, key by key."""
    return [
        f"{key} was {saved.get(key)!r} and is now {wanted.get(key)!r}"
        for key in sorted(saved.keys() | wanted.keys())
        if saved.get(key) != wanted.get(key)
    ]


def refuse_other_training(folder: Path, lineage: dict[str, Any]) -> None:
    """Raise RunError, with every difference, where the folder holds the checkpoints of another training.

    Only what `lineage` names is compared.
    """
    for checkpoint in list_checkpoints(folder):
        saved = {key: value for key, value in checkpoint.lineage.items() if key in lineage}
        if changed := differences(saved, lineage):
            raise RunError(
                f"{folder.parent} holds another training: {'; '.join(changed)}. "
                "Give a new run folder with --out, or throw that training away with --restart"
            )


def restore(folder: Path, state: TrainState, steps: int, decay_start: int) -> Checkpoint | None:
    """Fill `state` from the newest sound checkpoint that a run of `steps` steps passes through; None without one."""
    for checkpoint in reversed(list_checkpoints(folder)):
        same_length = checkpoint.steps == steps
        if same_length or checkpoint.step <= min(checkpoint.decay_start, decay_start):
            saved = read_json(checkpoint.folder / "state.json")
            if any(
                not (checkpoint.folder / name).is_file() or sha256_of_file(checkpoint.folder / name) != digest
                for name, digest in saved["sha256"].items()
            ):
                print(f"{checkpoint.folder.name} is damaged, its hashes don't match; the checkpoint before it is taken.")
                continue
            _fill(state, checkpoint.folder, saved)
            if not same_length:  # it was validated at other steps, so what was best there says nothing here
                state.best_step, state.best_bits_per_byte, state.stopped_early = 0, None, False
            return checkpoint
    return None


def _fill(state: TrainState, folder: Path, saved: dict[str, Any]) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for name, parameter in state.model.named_parameters():
        parameter.data.copy_(tensors[name])
    state.optimizer.load(safetensors.torch.load_file(folder / "optimizer.safetensors"))
    if state.average is not None:
        state.average.load(safetensors.torch.load_file(folder / "average.safetensors"))
    for name in PLAIN_STATE:
        setattr(state, name, saved[name])
