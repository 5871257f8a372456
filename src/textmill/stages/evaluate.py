"""The evaluate stage: the model folder's bits per byte beside blind baselines, and samples of its writing."""

import time
from collections.abc import Iterator
from typing import Any

from ..evaluation.bits_per_byte import evaluate_scorers
from ..evaluation.document_scores import write_document_scores
from ..evaluation.scorers import NgramScorer, Scorer, XzScorer
from ..evaluation.table import render_evaluation
from ..files import fingerprint, write_json
from ..formats.model_folder import load_model_folder, write_lineage
from ..inference.generate import complete
from ..inference.sampling import Sampling
from ..machine.device import best_device
from ..models.ngram import NgramModel
from .workplace import Workplace, model_scorer, written_by

XZ_BYTES = 8_000_000  # xz reads its training text anew for every document


def make_evaluation(place: Workplace) -> dict[str, Any]:
    """The model folder's bits per byte beside blind baselines on the same documents, and samples of its writing."""
    settings = place.recipe.evaluate
    with written_by("model"):
        folder = load_model_folder(place.folder / "model")
    documents = place.validation_documents(settings.maximum_bytes)
    folder.model.to(best_device())

    def training_texts() -> Iterator[str]:
        return (document.text for document in place.train_documents())

    started = time.perf_counter()
    ngram = NgramScorer(NgramModel.train(training_texts(), settings.ngram_order, settings.baseline_bytes))
    ngram_seconds = round(time.perf_counter() - started, 3)
    scorers: list[Scorer] = [
        model_scorer(folder.model, folder.tokenizer, place.recipe.train.batch_size),
        ngram,
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
    write_document_scores(place.folder, evaluation)
    write_lineage(place.folder / "model", {**folder.lineage, "scores": evaluation.to_dict()})
    scoring = {system.name: seconds for system, seconds in zip(evaluation.systems, evaluation.seconds)}
    return {"hash": fingerprint(report), "scoring_seconds": scoring, "training_seconds": {ngram.name: ngram_seconds}}
