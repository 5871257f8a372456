"""Checkpoints: all that a step reads or writes, in folders that appear whole or not at all.

`checkpoints/step-00001200/` holds `model.safetensors`, `optimizer.safetensors`, `average.safetensors` where weights are
averaged, `carry.safetensors` where rows read on in the next batch, and `state.json` with their hashes and its own: no byte of a
checkpoint can change unnoticed. Never a pickle. The newest are kept, the one that validated best, and the one up to which the
run doesn't depend on its length, from where it can be prolonged.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from ..errors import RunError
from ..files import atomic_folder, read_sealed, remove_folder, sha256_of_file, write_sealed
from .averaging import WeightAverage
from .optimizers import Optimizer

STATE_FILE = "state.json"


@dataclass
class TrainState:
    """All that a training step reads or writes. `step` counts the steps done, `seconds` the wall time spent on them.

    `carry` (B, …) is what the rows of the next batch remember, None where they begin anew. `best_step` is the one that
    validated best so far, with `best_validation`; 0 and None before the first validation. `stopped_early` says that
    validation had ceased to improve, so no step follows.
    """

    step: int
    model: nn.Module
    optimizer: Optimizer
    average: WeightAverage | None = None
    carry: Tensor | None = None
    seconds: float = 0.0
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    clipped_steps: int = 0
    best_step: int = 0
    best_validation: float | None = None
    stopped_early: bool = False


# What of a TrainState is written into state.json as it is.
PLAIN_STATE = (
    "step", "seconds", "skipped_steps", "skipped_in_a_row", "clipped_steps", "best_step", "best_validation", "stopped_early",
)  # fmt: skip


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


def save_checkpoint(folder: Path, state: TrainState, lineage: dict[str, Any], steps: int, decay_start: int, keep: int) -> None:
    """Write the state, then drop checkpoints that are no longer of use; the newest `keep` always are."""
    files = _tensors(state)
    needed = sum(tensor.nbytes for tensors in files.values() for tensor in tensors.values())
    with atomic_folder(checkpoint_folder(folder, state.step), needed) as new:
        for name, tensors in files.items():
            safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, new / name)
        write_sealed(
            new / STATE_FILE,
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
    for checkpoint in found[:-keep]:
        if checkpoint not in at_decay[-1:] and checkpoint.step != state.best_step:
            remove_folder(checkpoint.folder)


def learning(model: nn.Module) -> dict[str, nn.Parameter]:
    """What of a model learns, by name: what is frozen is as it was before the training, and isn't saved with it."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _tensors(state: TrainState) -> dict[str, dict[str, Tensor]]:
    """The tensors of a checkpoint, file by file."""
    files = {
        "model.safetensors": {name: parameter.detach() for name, parameter in learning(state.model).items()},
        "optimizer.safetensors": state.optimizer.state(),
    }
    if state.average is not None:
        files["average.safetensors"] = state.average.state()
    if state.carry is not None:
        files["carry.safetensors"] = {"carry": state.carry}
    return files


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """The checkpoints in `folder` whose `state.json` is sound, oldest first. Their tensors aren't looked at."""
    found = []
    for path in _folders(folder):
        with contextlib.suppress(RunError):
            found.append(_read_checkpoint(path))
    return found


def discard_after(folder: Path, step: int) -> None:
    """Drop the checkpoints beyond `step`, damaged ones too: those of a run that goes on from before them."""
    for path in _folders(folder):
        if path.name > checkpoint_folder(folder, step).name:
            remove_folder(path)


def load_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """One file of the checkpoint in `folder`, such as `model.safetensors`. Raises RunError where the checkpoint is damaged."""
    _refuse_damage(folder, _read_state(folder))
    return safetensors.torch.load_file(folder / name)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def _read_state(folder: Path) -> dict[str, Any]:
    """What `state.json` says. Raises RunError where it is missing, damaged, or of another version of textmill."""
    state = read_sealed(folder / STATE_FILE)
    if missing := {*PLAIN_STATE, "steps", "decay_start", "lineage", "sha256"} - state.keys():
        raise RunError(f"{folder / STATE_FILE} is of another version of textmill: it lacks {', '.join(sorted(missing))}")
    return state


def _read_checkpoint(folder: Path) -> Checkpoint:
    state = _read_state(folder)
    finished = state["stopped_early"] or state["step"] == state["steps"]
    return Checkpoint(
        folder, state["step"], state["steps"], state["decay_start"], state["lineage"], finished, state["best_step"]
    )


def _refuse_damage(folder: Path, state: dict[str, Any]) -> None:
    """Raise RunError for a file of tensors that is missing or has another hash than it was written with."""
    for name, digest in state["sha256"].items():
        path = folder / name
        if not path.is_file():
            raise RunError(f"{path} is missing")
        if sha256_of_file(path) != digest:
            raise RunError(f"{path} is damaged: its SHA-256 isn't the one it was written with")


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
    """Fill `state` from the newest sound checkpoint that a run of `steps` steps passes through; None without one.

    A damaged one is passed over, and said to be. Raises RunError where that leaves nothing to go on from: beginning anew
    would write over what may still be saved by hand.
    """
    damages = []
    for path in reversed(_folders(folder)):
        try:
            checkpoint = _read_checkpoint(path)
            same_length = checkpoint.steps == steps
            if not same_length and checkpoint.step > min(checkpoint.decay_start, decay_start):
                continue
            saved = _read_state(path)
            _refuse_damage(path, saved)
        except RunError as damage:
            print(f"{path.name} is passed over, the checkpoint before it is taken: {damage}")
            damages.append(damage)
            continue
        _fill(state, path, saved)
        if not same_length:  # it was validated at other steps, so what was best there says nothing here
            state.best_step, state.best_validation, state.stopped_early = 0, None, False
        return checkpoint
    if damages:
        raise RunError(
            *map(str, damages),
            f"no checkpoint in {folder} is sound, so training can't go on. Copy one back if you have it elsewhere; else train "
            "anew with --restart, which throws these away, or give another run folder with --out",
        )
    return None


def _fill(state: TrainState, folder: Path, saved: dict[str, Any]) -> None:
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for name, parameter in learning(state.model).items():
        parameter.data.copy_(tensors[name])
    device = next(state.model.parameters()).device
    state.optimizer.load(safetensors.torch.load_file(folder / "optimizer.safetensors"))
    if state.average is not None:
        state.average.load(safetensors.torch.load_file(folder / "average.safetensors"))
    if "carry.safetensors" in saved["sha256"]:
        state.carry = safetensors.torch.load_file(folder / "carry.safetensors")["carry"].to(device)
    for name in PLAIN_STATE:
        setattr(state, name, saved[name])
