"""What each stage of a run does: the recipe's sections in, a folder and a summary out.

Each function takes the workplace and returns its summary for the manifest; `hash` in it stands for what was written.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from . import __version__
from .corpus.build import build_corpus
from .corpus.document import Document
from .corpus.readers import name_of
from .corpus.sources import list_sources
from .corpus.store import read_corpus
from .errors import RecipeError, TrainingError
from .evaluation.bits_per_byte import evaluate_scorers, validation_bits_per_byte
from .evaluation.scorers import ModelScorer, NgramScorer, Scorer, XzScorer
from .evaluation.selection import choose_documents
from .evaluation.table import render_evaluation
from .files import atomic_folder, fingerprint, read_json, sha256_of_file, write_json
from .formats.model_folder import load_model_folder, save_model_folder
from .inference.generate import complete
from .inference.sampling import Sampling
from .machine import best_device
from .models.count import count
from .models.decoder import Decoder
from .models.ngram import NgramModel
from .progress import Progress, format_count
from .recipe import Recipe
from .tokens.card import tokenizer_card
from .tokens.data import TokenData
from .tokens.loader import Loader
from .tokens.plans import BlockPlan
from .tokens.shards import write_shards
from .tokens.tokenizer import Tokenizer
from .tokens.training import train_tokenizer
from .training.checkpoints import checkpoint_folder, differences, list_checkpoints, refuse_other_training
from .training.choices import load_choices, plan_steps
from .training.loop import Training, train
from .training.objectives import CausalObjective

# Held-out text looked at during training: the beginning of some documents. The final score reads all of more of them.
EXCERPTS = 16
EXCERPT_CHARACTERS = 6_000
CARD_BYTES = 2_000_000  # of validation text that the tokenizer's card is measured on
XZ_BYTES = 8_000_000  # xz reads its training text anew for every document
SAMPLE_TOKENS = 60
LINEAGE_SECTIONS = ("corpus", "tokenizer", "model", "train")
# What may differ between two trainings of which one is the beginning of the other.
NOT_LINEAGE = {"corpus.source"} | {
    f"train.{key}" for key in ("time", "steps", "tokens", "validations", "sample_prompt", "checkpoint_steps")
}


@dataclass(frozen=True)
class Workplace:
    """Where a stage works: the recipe, the run folder, and the manifest of what is done."""

    recipe: Recipe
    folder: Path
    manifest: dict[str, Any]

    def train_documents(self) -> Iterator[Document]:
        return read_corpus(self.folder / "corpus" / "train.jsonl.zst")

    def validation_documents(self, maximum_bytes: int) -> list[Document]:
        """Held-out documents, chosen by their hashes, of `maximum_bytes` together; one at least, however long."""
        path = self.folder / "corpus" / "validation.jsonl.zst"
        shortest = min(len(document.text.encode()) for document in read_corpus(path)) + 1
        return choose_documents(read_corpus(path), max(maximum_bytes, shortest)).documents

    def text_progress(self, label: str) -> Progress:
        """A progress line over the bytes of the training text."""
        card = read_json(self.folder / "corpus" / "card.json")
        return Progress(label, card["kept"]["train"]["bytes"], "bytes")

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / "tokenizer")

    def hash(self, stage: str) -> str:
        return self.manifest["stages"][stage]["hash"]


def source_identity(place: Workplace) -> dict[str, str]:
    """The SHA-256 of each source file; a file of known size and time isn't read again."""
    memory_file = place.folder / "sources.json"
    memory = read_json(memory_file) if memory_file.is_file() else {}
    seen = {}
    with Progress("sources", None, "bytes") as progress:
        paths = list_sources(place.recipe.corpus, progress)
    for path in paths:
        status = path.stat()
        known = memory.get(str(path), {})
        if (known.get("size"), known.get("modified")) != (status.st_size, status.st_mtime_ns):
            known = {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": sha256_of_file(path)}
        seen[str(path)] = known
    if seen != memory:
        write_json(memory_file, seen)
    return {name_of(Path(path), place.recipe.corpus): known["sha256"] for path, known in seen.items()}


def make_corpus(place: Workplace) -> dict[str, Any]:
    """Sources -> clean documents, split; and what was dropped, by which rule."""
    folder = place.folder / "corpus"
    folder.mkdir(exist_ok=True)
    card = build_corpus(place.recipe.corpus, folder)  # which writes atomically
    kept = card["kept"]
    print(
        f"  {card['read']:,} documents read: {kept['train']['documents']:,} kept for training, "
        f"{kept['validation']['documents']:,} for validation "
        f"({format_count(kept['train']['bytes'] + kept['validation']['bytes'])}B of clean text)"
    )
    for step, rules in card["dropped"].items():
        for rule, dropped in rules.items():
            print(f"  {dropped:,} dropped by {step}: {rule}")
    return {"hash": fingerprint([kept[part]["sha256"] for part in ("train", "validation")]), **card}


def make_tokenizer(place: Workplace) -> dict[str, Any]:
    """Training text -> tokenizer, and its card measured on the validation text."""
    with place.text_progress("  tokenizer") as progress:
        texts = (document.text for document in place.train_documents())
        tokenizer = train_tokenizer(place.recipe.tokenizer, texts, progress)
    with atomic_folder(place.folder / "tokenizer") as folder:
        tokenizer.save(folder)
        card = tokenizer_card(tokenizer, (document.text for document in place.validation_documents(CARD_BYTES)))
        write_json(folder / "card.json", card)
    print(
        f"  {tokenizer.kind}, {tokenizer.vocabulary_size:,} tokens, {card['bytes_per_token']:.2f} bytes per token "
        "of validation text"
    )
    return {"hash": tokenizer.hash, "kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size, **card}


def make_tokens(place: Workplace) -> dict[str, Any]:
    """Training text -> memory-mapped token shards."""
    with place.text_progress("  tokens") as progress:
        shards = write_shards(
            place.folder / "tokens", place.tokenizer(), place.train_documents(), progress=progress
        )  # which writes atomically
    print(f"  {format_count(shards['tokens'])} tokens in {shards['documents']:,} documents")
    return {
        "hash": fingerprint(shards),
        **{key: shards[key] for key in ("documents", "tokens", "text_bytes", "lost_bytes")},
    }


def _recipe_lineage(place: Workplace) -> dict[str, Any]:
    """What makes two trainings the same, apart from their length, key by key as the recipe spells it."""
    sections = {name: getattr(place.recipe, name).model_dump(mode="json") for name in LINEAGE_SECTIONS}
    settings = {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
        if f"{section}.{key}" not in NOT_LINEAGE
    }
    return {**settings, "source text": fingerprint(source_identity(place))[:12]}


def _lineage(place: Workplace) -> dict[str, Any]:
    """The same, with the tokens that came of it."""
    return {**_recipe_lineage(place), "tokenized text": place.hash("tokens")[:12]}


def refuse_changed_training(place: Workplace) -> None:
    """Raise RunError, before any stage has touched a file, where the run folder holds a training of something else."""
    if list_checkpoints(place.folder / "checkpoints"):
        refuse_other_training(place.folder / "checkpoints", _recipe_lineage(place))


def trained_long_enough(place: Workplace) -> str | None:
    """Why a finished training will do though the recipe asks for another length: it is as long, or longer."""
    done = list_checkpoints(place.folder / "checkpoints")
    if not done or done[-1].step != done[-1].steps or differences(done[-1].lineage, _lineage(place)):
        return None
    settings = place.recipe.train
    choices = load_choices(place.folder)
    if choices is None:
        return None
    plan = BlockPlan(place.recipe.model.context_length, settings.batch_size)
    try:
        wanted = plan_steps(settings, plan.tokens_per_step, choices)
    except TrainingError:  # a time too short for one step is shorter than what is there
        wanted = 0
    if wanted > done[-1].steps:
        return None
    return (
        f"trained before for {done[-1].steps:,} steps, and the recipe asks for {wanted:,}: kept as it is "
        "(--restart trains anew)"
    )


def make_checkpoints(place: Workplace) -> dict[str, Any]:
    """Token shards -> a trained model, as a checkpoint."""
    recipe, settings = place.recipe, place.recipe.train
    tokenizer = place.tokenizer()
    config = recipe.model.decoder_config(tokenizer.vocabulary_size)
    data = TokenData.open(place.folder / "tokens")
    plan = BlockPlan(config.context_length, settings.batch_size, settings.document_attention)
    loader = Loader(data, plan, settings.seed)
    _check_prompts(place, tokenizer)
    model = Decoder(config)
    model.initialise(settings.seed)
    model.set_dropout(settings.dropout)
    cost = count(config)
    print(
        f"  decoder of {format_count(cost.parameters)} parameters, {format_count(cost.training_flops)}FLOP a token; "
        f"{loader.unread_tokens(0):,} of {data.tokens:,} tokens are in no block of the first epoch"
    )
    excerpts = [
        dataclasses.replace(document, text=document.text[:EXCERPT_CHARACTERS])
        for document in place.validation_documents(EXCERPTS * 100_000)[:EXCERPTS]
    ]

    def validate(model: Decoder) -> float:
        return validation_bits_per_byte(_scorer(model, tokenizer, settings.batch_size), excerpts)

    def sample(model: Decoder) -> str:
        return settings.sample_prompt + complete(
            model, tokenizer, settings.sample_prompt, Sampling(seed=settings.seed), SAMPLE_TOKENS
        )

    summary = train(
        Training(
            settings=settings,
            model=model,
            objective=CausalObjective(),
            loader=loader,
            count=cost,
            bytes_per_token=data.manifest["text_bytes"] / data.tokens,
            validate=validate,  # type: ignore[arg-type]
            sample=sample,  # type: ignore[arg-type]
            folder=place.folder,
            lineage=_lineage(place),
        )
    )
    return {
        "hash": sha256_of_file(checkpoint_folder(place.folder / "checkpoints", summary.steps) / "model.safetensors"),
        "parameters": cost.parameters,
        **dataclasses.asdict(summary),
    }


def _check_prompts(place: Workplace, tokenizer: Tokenizer) -> None:
    """Raise RecipeError for prompts that leave no room for an answer, before the time for training is spent."""
    room = place.recipe.model.context_length - 2
    prompts = {"train.sample_prompt": place.recipe.train.sample_prompt}
    prompts |= {f"evaluate.prompts, number {n}": text for n, text in enumerate(place.recipe.evaluate.prompts, start=1)}
    problems = [
        f"{key} is {length} tokens long, and model.context_length leaves room for {room}; shorten it"
        for key, text in prompts.items()
        if (length := len(tokenizer.encode(text))) > room
    ]
    if problems:
        raise RecipeError(*problems)


def _scorer(model: Decoder, tokenizer: Tokenizer, rows: int) -> ModelScorer:
    return ModelScorer(model, tokenizer, model.config.context_length, rows, name="textmill")


def make_model(place: Workplace) -> dict[str, Any]:
    """The last checkpoint -> a model folder that stock transformers loads."""
    tokenizer = place.tokenizer()
    model = Decoder(place.recipe.model.decoder_config(tokenizer.vocabulary_size))
    step = place.manifest["stages"]["train"]["summary"]["steps"]
    folder = checkpoint_folder(place.folder / "checkpoints", step)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    for name, parameter in model.named_parameters():
        parameter.data.copy_(tensors[name])
    save_model_folder(
        place.folder / "model",
        model,
        tokenizer,
        {
            "textmill": __version__,
            "recipe": place.recipe.model_dump(mode="json", exclude_none=True),
            "hashes": {name: entry["hash"] for name, entry in place.manifest["stages"].items()},
            "training": place.manifest["stages"]["train"]["summary"],
        },
    )
    return {"hash": sha256_of_file(place.folder / "model" / "model.safetensors"), "step": step}


def make_evaluation(place: Workplace) -> dict[str, Any]:
    """The model folder's bits per byte beside blind baselines on the same documents, and samples of its writing."""
    settings = place.recipe.evaluate
    folder = load_model_folder(place.folder / "model")
    documents = place.validation_documents(settings.maximum_bytes)
    folder.model.to(best_device())

    def training_texts() -> Iterator[str]:
        return (document.text for document in place.train_documents())

    scorers: list[Scorer] = [
        _scorer(folder.model, folder.tokenizer, place.recipe.train.batch_size),
        NgramScorer(NgramModel.train(training_texts(), settings.ngram_order, settings.baseline_bytes)),
        XzScorer(training_texts(), min(settings.baseline_bytes, XZ_BYTES)),
    ]
    evaluation = evaluate_scorers(scorers, documents, settings.bootstrap_samples)
    print(render_evaluation(evaluation))
    samples = [
        {"prompt": prompt, "text": complete(folder.model, folder.tokenizer, prompt, Sampling(seed=seed), 100)}
        for seed, prompt in enumerate(settings.prompts)
    ]
    for sample in samples:
        print(f"\n  {sample['prompt']}|{' '.join(sample['text'].split())}")
    report = {**evaluation.to_dict(), "samples": samples}
    write_json(place.folder / "evaluation.json", report)
    write_json(place.folder / "model" / "textmill.json", {**folder.lineage, "scores": evaluation.to_dict()})
    return {"hash": fingerprint(report)}
