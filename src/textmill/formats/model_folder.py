"""A model folder: what one directory holds so that this code, transformers and others can use it.

`config.json`, `model.safetensors` (or shards of it), `tokenizer.json`, `tokenizer_config.json`, `generation_config.json`,
and `textmill.json` with the model's lineage and the other files' hashes. Nothing is pickled.
"""

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelError
from ..files import atomic_folder, sha256_of_file, write_json, write_sealed
from ..machine.memory import give_back_freed, give_back_libraries
from ..models.architectures import FAMILIES, build_unset
from ..models.config import ModelConfig
from ..models.decoder import DecoderConfig
from ..models.heads import TaskModel
from ..models.language_model import LanguageModel
from ..models.task import Task, body_config
from ..native.library import NoKernels
from ..native.matrices import install, shape_problems
from ..native.packing import Format
from ..native.probe import tried
from ..tokens.tokenizer import Tokenizer
from .layouts import Layout, layout_to_keep
from .layouts.tasks import PREFIX as TASK_PREFIX
from .layouts.tasks import PROBLEM_TYPES
from .opened_folder import LINEAGE_FILE, OpenedFolder, open_model_folder
from .packed_weights import Say, kept_weights, make_weights
from .recognise import find_model_folder
from .weights import DTYPES, SHARD_BYTES, Advance, Stored, total_bytes, write_weights

SAMPLING = {"do_sample": True, "temperature": 0.8, "top_p": 0.95}


@dataclass(frozen=True)
class ModelFolder:
    """A loaded model folder. Where it was made for a `task`, `model` is the body under the task's head, and doesn't write."""

    path: Path
    model: LanguageModel
    tokenizer: Tokenizer
    lineage: dict[str, Any]
    task: Task | None = None

    @property
    def weights(self) -> Format:
        """The numbers in which the model's layers keep their weights."""
        return "float32" if self.model.packed is None else self.model.packed.format


@dataclass(frozen=True)
class Contents:
    """What a model folder is written from. `stored`: number format (F32, …) and shape of each of the layout's tensors, which
    `read` gives one by one; `lineage` says what the model was made of: recipe, data hashes, scores; `generation` is what
    generation_config.json says of sampling, `companions` further JSON files by their names."""

    layout: Layout
    config: ModelConfig
    stored: Mapping[str, Stored]
    read: Callable[[str], Tensor]
    tokenizer: Tokenizer
    lineage: Mapping[str, Any]
    generation: Mapping[str, Any] | None = None
    companions: Mapping[str, Any] = field(default_factory=dict)


def save_model_folder(
    path: str | Path,
    model: LanguageModel,
    tokenizer: Tokenizer,
    lineage: dict[str, Any],
    architecture: str | None = None,
    task: Task | None = None,
) -> None:
    """Write a model's whole folder, atomically, its weights in float32 and in one file.

    Where several stock classes hold the model, `architecture` names the one to write for; where none does, the folder is in
    textmill's own layout. With a `task`, whose body `model` is, its head and labels are written, and nothing of what the body
    has above its last layer. Raises ModelError for labels that can't be told apart.
    """
    config, tensors = model.config, model.state_dict()
    if task is not None:
        if problems := list(task.config.problems()):
            raise ModelError(*problems)
        config = body_config(config)
        tensors |= {TASK_PREFIX + name: tensor for name, tensor in task.model.head.state_dict().items()}
    layout = layout_to_keep(config, architecture, None if task is None else task.config)
    stored = {name: ("F32", shape) for name, shape in layout.stock_shapes(config).items()}
    read = layout.to_stock(tensors, config)
    write_model_folder(path, Contents(layout, config, stored, read, tokenizer, lineage), sys.maxsize)


def write_model_folder(
    path: str | Path, contents: Contents, shard_bytes: int = SHARD_BYTES, advance: Advance | None = None
) -> None:
    """Write a whole folder, atomically, one tensor after the other. `advance` is called with the bytes of weights written."""
    tokenizer, config = contents.tokenizer, contents.config
    refuse_padded_ends(str(path), contents.layout, tokenizer)
    formats = Counter(dtype for dtype, _ in contents.stored.values())
    dtype = str(DTYPES[formats.most_common(1)[0][0]]).removeprefix("torch.")
    with atomic_folder(path, total_bytes(contents.stored)) as folder:
        write_weights(folder, contents.stored, contents.read, shard_bytes, advance)
        write_json(folder / "config.json", contents.layout.stock_config(config, tokenizer, dtype))
        if FAMILIES[type(config)].writes and contents.layout.task is None:
            write_json(folder / "generation_config.json", _generation(contents))
        tokenizer.save(folder, model_max_length=config.context_length)
        for name, value in contents.companions.items():
            (folder / name).parent.mkdir(exist_ok=True)
            write_json(folder / name, value)
        write_lineage(folder, contents.lineage)


def note(text: str) -> None:
    """Say something to whoever sits before a terminal."""
    print(text, file=sys.stderr, flush=True)


def load_model_folder(path: str | Path, weights: Format | None = None, say: Say = note) -> ModelFolder:
    """Read a model folder, or the one in a run folder, tensor by tensor into float32. Raises ModelError, with all that is
    wrong, where it can't be used.

    With `weights`, its layers multiply by weights in this format, by the C++ kernels, which are for inference on a CPU alone:
    in int8 and int4 those of every family (ModelError where there are no kernels), in float32 a decoder's where the kernels
    read it whole, else torch's. `say` is told what a user should know of that.
    """
    folder = find_model_folder(path)
    reasons = [] if weights is None else _without_kernels(weights)
    kept = None if weights is None or reasons else kept_weights(folder, weights, say)
    opened = open_model_folder(folder, None if kept is None else kept.hashes)
    tokenizer = load_tokenizer(opened.path, opened.config)
    give_back_freed()  # before layers that nobody writes to are made in it
    refuse_padded_ends(str(opened.path), opened.layout, tokenizer)
    model, task = build_unset(opened.config), None
    set_weights = model.state_dict()
    if opened.layout.task is not None:
        head = opened.layout.task.head(opened.config)
        task = Task(opened.layout.task, TaskModel(model, head).eval())
        set_weights |= {TASK_PREFIX + name: tensor for name, tensor in head.state_dict().items()}
        model.writes = False
    if weights == "float32":
        reasons = reasons or shape_problems(opened.config)
        if reasons and isinstance(opened.config, DecoderConfig) and task is None:
            say(f"read by torch: {'; '.join(reasons)}")
    tensors = functools.partial(own_tensors, opened)
    if weights is None or (weights == "float32" and (reasons or task is not None)):
        for name, tensor in tensors():
            set_weights[name].copy_(tensor)
    else:
        made = make_weights(folder, model, tensors, weights, opened.hashes, say) if kept is None else kept.parts
        install(model, made, weights)
        for name, part in made.items():
            if name.startswith(TASK_PREFIX):
                set_weights[name].copy_(part)
        give_back_libraries()  # before the weights are read, which take the room of what loading needed
    return ModelFolder(opened.path, model.eval(), tokenizer, opened.lineage, task)


def own_tensors(opened: OpenedFolder) -> Iterator[tuple[str, Tensor]]:
    """A folder's tensors under our names, one after the other, as they are stored."""
    return opened.layout.from_stock(opened.stock_tensors(), opened.config)


def _without_kernels(weights: Format) -> list[str]:
    """Why there are no kernels here. Raises ModelError where only they can multiply by weights of this format."""
    try:
        tried()
    except NoKernels as error:
        if weights != "float32":
            advice = "leave --weights out, for float32 by torch"
            raise ModelError(f"weights in {weights} are multiplied by the C++ kernels alone, and {error}; {advice}") from error
        return [str(error)]
    return []


def load_tokenizer(folder: Path, config: ModelConfig) -> Tokenizer:
    """A folder's tokenizer. Raises ModelError where it has more tokens than the model."""
    tokenizer = Tokenizer.load(folder)
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise ModelError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size} tokens, the model only {config.vocabulary_size}; "
            "these two don't belong together"
        )
    return tokenizer


def refuse_padded_ends(where: str, layout: Layout, tokenizer: Tokenizer) -> None:
    """A decoder's head takes a text's last token, and transformers takes none that is padding for one."""
    of_texts = layout.task is not None and layout.task.kind in PROBLEM_TYPES and layout.config_class is DecoderConfig
    padding = tokenizer.eos_id if tokenizer.pad_id is None else tokenizer.pad_id
    if of_texts and tokenizer.suffix[-1:] == [padding]:
        raise ModelError(
            f"{where}: its tokenizer ends each text with token {padding}, which is also the padding; the head takes a text's "
            "last token, and transformers passes over this one, so give the padding a token of its own"
        )


def _generation(contents: Contents) -> dict[str, Any]:
    """generation_config.json: where a text begins and ends, and how tokens are drawn."""
    tokenizer = contents.tokenizer
    ends = sorted(tokenizer.end_ids)
    return {
        **contents.layout.generation_settings(contents.config, tokenizer),
        **(SAMPLING if contents.generation is None else contents.generation),
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": tokenizer.eos_id if tokenizer.pad_id is None else tokenizer.pad_id,
    }


def write_lineage(folder: Path, lineage: Mapping[str, Any]) -> None:
    """Write textmill.json, with the hash of each other file that is there now."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != LINEAGE_FILE)
    write_sealed(folder / LINEAGE_FILE, {**lineage, "sha256": {path.name: sha256_of_file(path) for path in files}})
