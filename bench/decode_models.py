"""What `decode.py` measures: the models' folders, and their files for llama.cpp, which makes the short ones of our export."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import gguf
import torch

from decode_pipe import Worker
from textmill.corpus.store import read_corpus
from textmill.formats.model_folder import save_model_folder
from textmill.machine.cores import usable_cores
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.training import train_tokenizer

KINDS = ("F32", "Q8_0", "Q4_K_M", "Q4_0")
RECIPE = Path(__file__).parent.parent / "recipes" / "wikipedia-sample.toml"


def textmill(*words: str | Path) -> None:
    """One of our commands."""
    subprocess.run([sys.executable, "-m", "textmill", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def random_model(folder: Path) -> Path:
    """A model folder of the Llama shape with 134 M parameters, whose weights are random."""
    path = folder / "llama-134m"
    if not path.exists():
        config = DecoderConfig(
            vocabulary_size=32_000, context_length=1024, layers=12, width=768, heads=12, key_value_heads=12, head_dim=64,
            feed_forward_width=2048, tied_embeddings=False, query_key_norm=False,
        )  # fmt: skip
        model = Decoder(config)
        model.initialise(0)
        tokenizer = train_tokenizer(TokenizerSettings(kind="byte"), ["nothing"])
        save_model_folder(path, model, tokenizer, {}, architecture="LlamaForCausalLM")
    return path


def files_for_llama_cpp(model: str, name: str, folder: Path, python: Path) -> dict[str, Path]:
    """One of each of KINDS."""
    files = {kind: folder / f"{name}-{kind}.gguf" for kind in KINDS}
    if not files["F32"].exists():
        textmill("export", model, "--to", "gguf", "--dtype", "F32", "--out", files["F32"])
    with Worker(python, "decode_llama_cpp.py") as quantiser:
        for kind in KINDS[1:]:
            if not files[kind].exists():
                making = files[kind].with_suffix(".part")
                quantiser.ask("quantise", source=str(files["F32"]), target=str(making), kind=kind, threads=usable_cores())
                making.rename(files[kind])
    return files


def tensor_types(file: Path) -> dict[str, int | str]:
    """How many matrices of a file are of each type, and of which type the embedding and the head are."""
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors if len(tensor.shape) > 1}
    types = {name.removesuffix(".weight"): tensor.tensor_type.name for name, tensor in tensors.items()}
    single = {name: types.pop(name) for name in ("token_embd", "output") if name in types}
    return {**dict(Counter(types.values()).most_common()), **single}


def held_out(run: Path | None, folder: Path) -> list[str]:
    """Texts of the Wikipedia sample that no model here has learned from: those that a run has held out, or that one would."""
    if run is None:
        run = folder / "held-out"
        if not run.exists():
            textmill("corpus", RECIPE, "--out", run)
    return [document.text for document in read_corpus(run / "corpus" / "validation.jsonl.zst")]


def windows(texts: list[list[int]], length: int, tokens: int) -> list[list[int]]:
    """Pieces of `length` tokens each, `tokens` in all, from one text after the other in turn."""
    pieces = [[text[at : at + length] for at in range(0, len(text) - length + 1, length)] for text in texts]
    in_turn = [own[number] for number in range(max(map(len, pieces))) for own in pieces if number < len(own)]
    if len(in_turn) * length < tokens:
        raise ValueError(f"the texts have {len(in_turn)} pieces of {length} tokens; {tokens} tokens are asked for")
    return in_turn[: tokens // length]


def some_tokens(count: int, vocabulary_size: int, seed: int = 0) -> list[int]:
    """Random ones."""
    return torch.randint(vocabulary_size, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
