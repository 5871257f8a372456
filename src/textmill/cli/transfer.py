"""The verbs by which models come in and go out."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(help="A Hugging Face folder, a .gguf file, sample:smollm2, sample:minilm, or hf:owner/name[@revision]."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The model folder to make.")],
) -> None:
    """Make a model folder of a model from elsewhere, checked whole."""
    from ..formats.sources import import_model
    from ..inspection.model import headline
    from ..interruption import stoppable
    from ..models.architectures import FAMILIES
    from ..progress import Progress

    with stoppable(), Progress("importing", None, "bytes", sys.stderr) as progress:
        contents = import_model(source, folder, progress)
    print(f"{folder}: {headline(contents)}")
    family = FAMILIES[type(contents.config)].family
    verb = "chat" if contents.tokenizer.chat_template else "generate" if family in ("decoder", "recurrent") else "inspect"
    if contents.layout.task is not None:
        verb = "inspect"
    print(f"Next: textmill {verb} {folder}")


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A model folder, a run folder, or sample:smollm2.")],
    out: Annotated[Path, typer.Option("--out", help="The folder, or the .gguf file, to write.")],
    to: Annotated[str, typer.Option("--to", help="What for: huggingface, gguf or onnx.")] = "huggingface",
    dtype: Annotated[
        str | None,
        typer.Option(help="Numbers: same (default), float32, bfloat16, float16; gguf: F16 (default), F32, BF16, Q8_0, Q4_0."),
    ] = None,
    shard_size: Annotated[
        float | None,
        typer.Option(min=0.001, help="GB; of huggingface: a larger file of weights is written as several; default: 5."),
    ] = None,
) -> None:
    """Write a model for elsewhere: for transformers and all that reads its folders, for llama.cpp, or as ONNX."""
    from ..errors import ModelError, nearest

    kinds = ("huggingface", "gguf", "onnx")
    if to not in kinds:
        raise ModelError(f"--to {to!r} is unknown{nearest(to, kinds)}; write one of {', '.join(kinds)}")
    if to == "onnx" and dtype not in (None, "float32"):
        raise ModelError(f"--dtype {dtype}: ONNX is written in float32; leave it out")
    if to != "huggingface" and shard_size is not None:
        raise ModelError(f"--shard-size {shard_size:g}: {to} isn't written in several files; leave it out")
    from ..formats.gguf import save_gguf
    from ..formats.model_folder import load_model_folder
    from ..formats.onnx_export import save_onnx
    from ..formats.sources import model_path
    from ..formats.transfer import SAME, export_folder, refuse_existing
    from ..formats.weights import SHARD_BYTES
    from ..interruption import stoppable
    from ..progress import Progress

    path = model_path(model)
    shard_bytes = SHARD_BYTES if shard_size is None else int(shard_size * 1e9)
    with stoppable(), Progress("exporting", None, "bytes", sys.stderr) as progress:
        if to == "huggingface":
            export_folder(path, out, dtype or SAME, shard_bytes, progress.advance)
        elif to == "gguf":
            refuse_existing(out)
            for note in save_gguf(out, path, dtype or "F16"):
                progress.say(note)
        else:
            refuse_existing(out)
            save_onnx(out, load_model_folder(path), progress.say)
    print(f"Written: {out}")
