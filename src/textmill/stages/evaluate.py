"""The evaluate stage: the model folder beside blind baselines on the same documents, and samples of what it makes of text."""

from collections.abc import Iterator
from typing import Any

from ..evaluation.document_scores import write_document_scores
from ..files import fingerprint, write_json
from ..formats.model_folder import load_model_folder, write_lineage
from ..machine.device import best_device
from ..native.probe import operations_here
from .families import FAMILIES
from .workplace import Workplace, longest, written_by

SAMPLE_TOKENS = 100


def make_evaluation(place: Workplace) -> dict[str, Any]:
    """The model folder beside blind baselines on the same documents, and samples of what it makes of text."""
    settings, family = place.recipe.evaluate, FAMILIES[place.recipe.model.family]
    with written_by("model"):
        folder = load_model_folder(place.folder / "model")
    documents = place.validation_documents(settings.maximum_bytes)
    model, tokenizer = folder.model.to(best_device()), folder.tokenizer
    if model.device.type == "cpu":
        model.set_fused(operations_here())

    def training_texts() -> Iterator[str]:
        return (document.text for document in place.train_documents())

    judged = family.evaluate(model, tokenizer, documents, training_texts, settings, place.recipe.train.batch_size)
    evaluation = judged.evaluation
    print(judged.text)
    samples = [
        family.sample(model, tokenizer, prompt, longest(documents), seed, SAMPLE_TOKENS)._asdict()
        for seed, prompt in enumerate(settings.prompts)
    ]
    for sample in samples:
        print(f"\n  {sample['prompt']}|{' '.join(sample['text'].split())}")
    report = {**evaluation.to_dict(), "samples": samples}
    write_json(place.folder / "evaluation.json", report)
    write_document_scores(place.folder, evaluation)
    write_lineage(place.folder / "model", {**folder.lineage, "scores": evaluation.to_dict()})
    scoring = dict(zip(evaluation.names, evaluation.seconds))
    return {"hash": fingerprint(report), "scoring_seconds": scoring, "training_seconds": judged.training_seconds}
