"""The train stage: token shards -> a trained model, as a checkpoint. And when an earlier training will do, or must not
be touched."""

import dataclasses
import time
from typing import Any

from ..corpus.document import Document
from ..errors import RecipeError, RunError, TrainingError
from ..files import fingerprint, sha256_of_file
from ..formats.onnx_export import refuse_missing_packages
from ..machine.device import best_device
from ..models.architectures import build
from ..models.language_model import LanguageModel
from ..progress import format_count
from ..tokens.data import TokenData
from ..tokens.loader import Loader
from ..tokens.plans import PLANS
from ..tokens.tokenizer import Tokenizer
from ..training.checkpoints import checkpoint_folder, differences, list_checkpoints, refuse_other_training
from ..training.choices import load_choices, plan_steps
from ..training.loop import Training, train
from ..training.memory import refuse_too_large
from ..training.metrics import refuse_missing_tensorboard
from ..training.pretrained_embeddings import begin_with_word_vectors, refuse_unfit_vectors
from ..training.settings import seconds_of
from .corpus import changed_sources, corpus_identity
from .families import FAMILIES
from .workplace import Workplace, longest, written_by

# Held-out text looked at during training: the beginning of some documents, sixteen long ones or hundreds of short ones.
# The final score reads all of more of them. A short training can't wait for as much.
EXCERPTS_BYTES = 96_000
EXCERPTS_BYTES_PER_SECOND = 500
EXCERPT_CHARACTERS, LEAST_CHARACTERS = 6_000, 1_500
TIMED_PART = 8  # one document in so many tells how long a validation takes
SAMPLE_TOKENS = 60
LINEAGE_SECTIONS = ("corpus", "tokenizer", "model", "train")
# What may differ between two trainings of which one is the beginning of the other.
LOOKING_ON = "validations patience sample_prompt checkpoint_steps keep_checkpoints tensorboard"
NOT_LINEAGE = {"corpus.source", "train.embeddings"} | {f"train.{key}" for key in f"time steps tokens {LOOKING_ON}".split()}


def _recipe_lineage(place: Workplace) -> dict[str, Any]:
    """What makes two trainings the same, apart from their length, key by key as the recipe spells it."""
    sections = {name: getattr(place.recipe, name).model_dump(mode="json") for name in LINEAGE_SECTIONS}
    settings = {
        f"{section}.{key}": value
        for section, values in sections.items()
        for key, value in values.items()
        if f"{section}.{key}" not in NOT_LINEAGE
    }
    vectors = place.recipe.train.embeddings
    return {
        **settings,
        "source text": fingerprint(corpus_identity(place))[:12],
        "word vectors": vectors and sha256_of_file(vectors)[:12],
    }


def _lineage(place: Workplace) -> dict[str, Any]:
    """The same, with the tokens that came of it."""
    return {**_recipe_lineage(place), "tokenized text": place.hash("tokens")[:12]}


def refuse_unfit_training(place: Workplace) -> None:
    """Raise, before any stage has touched a file, where the run folder holds a training of something else (RunError), or
    where the training would miss a package, word vectors that fit (RecipeError, ModelError) or memory (TrainingError)."""
    recipe = place.recipe
    refuse_missing_tensorboard(recipe.train)
    if "onnx" in recipe.export.formats:
        refuse_missing_packages()
    config = recipe.model.config(recipe.tokenizer.vocabulary_size)
    if problems := list(FAMILIES[recipe.model.family].problems(config, recipe.train)):
        raise RecipeError(*problems)
    refuse_too_large(recipe.model, recipe.tokenizer.vocabulary_size, recipe.train, best_device())
    if recipe.train.embeddings:
        refuse_unfit_vectors(recipe.train.embeddings, config.width)
    if list_checkpoints(place.folder / "checkpoints"):
        try:
            refuse_other_training(place.folder / "checkpoints", _recipe_lineage(place))
        except RunError as error:
            raise RunError(*error.problems, *changed_sources(place)) from None


def goes_on_training(place: Workplace) -> bool:
    """Whether earlier attempts left a checkpoint to go on from."""
    return bool(list_checkpoints(place.folder / "checkpoints"))


def trained_long_enough(place: Workplace) -> str | None:
    """Why a finished training will do though the recipe asks for another length: it is as long, or longer."""
    done = list_checkpoints(place.folder / "checkpoints")
    if not done or done[-1].step != done[-1].steps or differences(done[-1].lineage, _lineage(place)):
        return None
    settings = place.recipe.train
    choices = load_choices(place.folder)
    if choices is None:
        return None
    try:
        wanted = plan_steps(settings, place.recipe.model.context_length, choices)
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
    config = recipe.model.config(tokenizer.vocabulary_size)
    with written_by("tokens"):
        data = TokenData.open(place.folder / "tokens")
    family = FAMILIES[recipe.model.family]
    plan = family.plan if settings.plan == "auto" else PLANS[settings.plan]
    sizes = config.context_length, settings.batch_size, settings.document_attention
    loader = Loader(data, plan(*sizes), settings.seed)
    _check_prompts(place, tokenizer)
    model = build(config)
    model.initialise(settings.seed)
    if settings.embeddings and not goes_on_training(place):  # a checkpoint holds what became of them
        print(f"  {begin_with_word_vectors(model, tokenizer, settings.embeddings)}")
    model.set_dropout(settings.dropout, settings.weight_dropout)
    cost = family.count(config, settings)
    print(
        f"  {recipe.model.architecture}, {model.family} model of {format_count(cost.parameters)} parameters, "
        f"{format_count(cost.training_flops)}FLOP a token; "
        f"{loader.unread_tokens(0):,} of {data.tokens:,} tokens are in no block of the first epoch"
    )
    excerpts = _excerpts(place)

    def validate(model: LanguageModel, excerpts: list[Document] = excerpts) -> float:
        return family.validate(model, tokenizer, excerpts, settings.batch_size)

    def validation_seconds(model: LanguageModel) -> float:
        part = excerpts[: -(-len(excerpts) // TIMED_PART)]  # a short budget can't wait for all of them
        started = time.perf_counter()
        validate(model, part)
        return (time.perf_counter() - started) * _characters(excerpts) / _characters(part)

    def sample(model: LanguageModel) -> str:
        return "".join(family.sample(model, tokenizer, settings.sample_prompt, longest(excerpts), settings.seed, SAMPLE_TOKENS))

    summary = train(
        Training(
            settings=settings,
            model=model,
            objective=family.objective(settings, tokenizer, config),
            loader=loader,
            count=cost,
            verb=family.verb,
            figure=family.figure,
            units_per_target=family.units_per_target(data),
            validate=validate,
            validation_seconds=validation_seconds,
            sample=sample,
            folder=place.folder,
            lineage=_lineage(place),
        )
    )
    weights = summary.weights
    return {
        "hash": sha256_of_file(checkpoint_folder(place.folder / "checkpoints", weights.step) / weights.file),
        "parameters": cost.parameters,
        **dataclasses.asdict(summary),
    }


def _excerpts(place: Workplace) -> list[Document]:
    """The beginnings of held-out documents, in the order of their hashes, until there are enough."""
    excerpts: list[Document] = []
    time = place.recipe.train.time
    missing = EXCERPTS_BYTES if time is None else min(EXCERPTS_BYTES, int(EXCERPTS_BYTES_PER_SECOND * seconds_of(time)))
    for document in place.validation_documents(16 * EXCERPTS_BYTES):
        if missing <= 0 and excerpts:
            break
        length = min(EXCERPT_CHARACTERS, max(missing, LEAST_CHARACTERS))
        excerpts.append(dataclasses.replace(document, text=document.text[:length]))
        missing -= len(excerpts[-1].text.encode())
    return excerpts


def _characters(documents: list[Document]) -> int:
    return sum(len(document.text) for document in documents)


def _check_prompts(place: Workplace, tokenizer: Tokenizer) -> None:
    """Raise RecipeError for prompts that the model couldn't take, before the time for training is spent."""
    family, context = FAMILIES[place.recipe.model.family], place.recipe.model.context_length
    prompts = {"train.sample_prompt": place.recipe.train.sample_prompt}
    prompts |= {f"evaluate.prompts, number {n}": text for n, text in enumerate(place.recipe.evaluate.prompts, start=1)}
    problems = [
        f"{key} {problem}"
        for key, text in prompts.items()
        if text and (problem := family.prompt_problem(text, tokenizer, context))
    ]
    if problems:
        raise RecipeError(*problems)
