"""What each stage of a run does: the recipe's sections in, a folder and a summary out.

Each function takes the workplace and returns its summary for the manifest; `hash` in it stands for what was written.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .corpus.build import build_corpus
from .corpus.document import Document
from .corpus.sources import list_sources
from .corpus.store import read_corpus
from .evaluation.bits_per_byte import evaluate_scorers, validation_bits_per_byte
from .evaluation.scorers import ModelScorer, NgramScorer, Scorer, XzScorer
from .evaluation.selection import choose_documents
from .evaluation.table import render_evaluation
from .files import atomic_folder, fingerprint, read_json, sha256_of_file, write_json
from .formats.model_folder import load_model_folder, save_model_folder
from .inference.generate import complete
from .inference.sampling import Sampling
from .models.count import count
from .models.decoder import Decoder
from .models.ngram import NgramModel
from .progress import format_count
from .recipe import Recipe
from .tokens.card import tokenizer_card
from .tokens.data import TokenData
from .tokens.loader import Loader
from .tokens.plans import BlockPlan
from .tokens.shards import write_shards
from .tokens.tokenizer import Tokenizer
from .tokens.training import train_tokenizer
from .training.calibration import Choices, plan_steps
from .training.checkpoints import differences, list_checkpoints
from .training.loop import Training, train
from .training.objectives import CausalObjective

# Held-out text looked at during training: the beginning of some documents. The final score reads all of more of them.
GLANCE_DOCUMENTS = 16
GLANCE_CHARACTERS = 6_000
XZ_BYTES = 8_000_000  # xz reads its training text anew for every document
SAMPLE_TOKENS = 60
# What may differ between two trainings of which one is the beginning of the other.
LENGTH_SETTINGS = {"time", "steps", "tokens", "validations", "sample_prompt", "checkpoint_steps"}


@dataclass(frozen=True)
class Workplace:
    """Where a stage works: the recipe, the run folder, and the manifest of what is done."""

    recipe: Recipe
    folder: Path
    manifest: dict[str, Any]

    def train_documents(self) -> Iterator[Document]:
        return read_corpus(self.folder / "corpus" / "train.jsonl.zst")

    def validation_documents(self) -> list[Document]:
        """The documents to judge by: no more of them than the recipe allows."""
        documents = read_corpus(self.folder / "corpus" / "validation.jsonl.zst")
        return choose_documents(documents, self.recipe.evaluate.maximum_bytes).documents

    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.folder / "tokenizer")

    def hash(self, stage: str) -> str:
        return self.manifest["stages"][stage]["hash"]


def source_identity(place: Workplace) -> dict[str, str]:
    """The SHA-256 of each source file; a file of known size and time isn't read again."""
    memory_file = place.folder / "sources.json"
    memory = read_json(memory_file) if memory_file.is_file() else {}
    seen = {}
    for path in list_sources(place.recipe.corpus):
        status = path.stat()
        known = memory.get(str(path), {})
        if (known.get("size"), known.get("modified")) != (status.st_size, status.st_mtime_ns):
            known = {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": sha256_of_file(path)}
        seen[str(path)] = known
    if seen != memory:
        write_json(memory_file, seen)
    return {Path(path).name: known["sha256"] for path, known in seen.items()}


def make_corpus(place: Workplace) -> dict[str, Any]:
    """Sources -> clean documents, split; and what was dropped, by which rule."""
    with atomic_folder(place.folder / "corpus") as folder:
        card = build_corpus(place.recipe.corpus, folder)
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
    tokenizer = train_tokenizer(place.recipe.tokenizer, (document.text for document in place.train_documents()))
    with atomic_folder(place.folder / "tokenizer") as folder:
        tokenizer.save(folder)
        texts = (document.text for document in place.validation_documents())
        card = tokenizer_card(tokenizer, texts)
        write_json(folder / "card.json", card)
    print(
        f"  {tokenizer.kind}, {tokenizer.vocabulary_size:,} tokens, {card['bytes_per_token']:.2f} bytes per token "
        "of validation text"
    )
    return {"hash": tokenizer.hash, "kind": tokenizer.kind, "vocabulary_size": tokenizer.vocabulary_size, **card}


def make_tokens(place: Workplace) -> dict[str, Any]:
    """Training text -> memory-mapped token shards."""
    with atomic_folder(place.folder / "tokens") as folder:
        shards = write_shards(folder, place.tokenizer(), place.train_documents())
    print(f"  {format_count(shards['tokens'])} tokens in {shards['documents']:,} documents")
    return {
        "hash": fingerprint(shards),
        **{key: shards[key] for key in ("documents", "tokens", "text_bytes", "lost_bytes")},
    }


def _lineage(place: Workplace) -> dict[str, Any]:
    """All that makes two trainings the same, apart from their length, key by key as the recipe spells it."""
    recipe = place.recipe
    settings = {f"model.{key}": value for key, value in recipe.model.model_dump(mode="json").items()}
    settings |= {
        f"train.{key}": value
        for key, value in recipe.train.model_dump(mode="json").items()
        if key not in LENGTH_SETTINGS
    }
    return {**settings, "tokens": place.hash("tokens")}


def trained_long_enough(place: Workplace) -> str | None:
    """Why a finished training will do though the recipe asks for another length: it is as long, or longer."""
    done = list_checkpoints(place.folder / "checkpoints")
    if not done or done[-1].step != done[-1].steps or differences(done[-1].lineage, _lineage(place)):
        return None
    settings = place.recipe.train
    tokens_per_step = settings.batch_size * place.recipe.model.context_length
    wanted = plan_steps(settings, tokens_per_step, Choices.from_dict(read_json(place.folder / "choices.json")))
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
    model = Decoder(config)
    model.initialise(settings.seed)
    cost = count(config)
    loader = Loader(data, plan, settings.seed)
    print(
        f"  decoder of {format_count(cost.parameters)} parameters, {format_count(cost.training_flops)}FLOP a token; "
        f"{loader.unread_tokens(0):,} of {data.tokens:,} tokens are in no block of the first epoch"
    )
    glance = [
        dataclasses.replace(document, text=document.text[:GLANCE_CHARACTERS])
        for document in place.validation_documents()[:GLANCE_DOCUMENTS]
    ]

    def validate(model: Decoder) -> float:
        return validation_bits_per_byte(_scorer(model, tokenizer, settings.batch_size), glance)

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
    newest = list_checkpoints(place.folder / "checkpoints")[-1]
    return {
        "hash": sha256_of_file(newest.folder / "model.safetensors"),
        "parameters": cost.parameters,
        **dataclasses.asdict(summary),
    }


def _scorer(model: Decoder, tokenizer: Tokenizer, rows: int) -> ModelScorer:
    return ModelScorer(model, tokenizer, model.config.context_length, rows, name="textmill")


def make_model(place: Workplace) -> dict[str, Any]:
    """The last checkpoint -> a model folder that stock transformers loads."""
    import safetensors.torch

    tokenizer = place.tokenizer()
    model = Decoder(place.recipe.model.decoder_config(tokenizer.vocabulary_size))
    newest = list_checkpoints(place.folder / "checkpoints")[-1]
    tensors = safetensors.torch.load_file(newest.folder / "model.safetensors")
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
    return {"hash": sha256_of_file(place.folder / "model" / "model.safetensors"), "step": newest.step}


def make_evaluation(place: Workplace) -> dict[str, Any]:
    """The model folder's bits per byte beside blind baselines on the same documents, and samples of its writing."""
    settings = place.recipe.evaluate
    folder = load_model_folder(place.folder / "model")
    documents = place.validation_documents()

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
