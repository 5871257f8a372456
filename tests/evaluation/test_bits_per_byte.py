"""Figures are what their definitions say, carry how they were made, and are compared over the same documents."""

import json
import math
import pydoc_data.topics
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from textmill.corpus.document import Document
from textmill.errors import CorpusError
from textmill.evaluation.bits_per_byte import evaluate_scorers, validation_bits_per_byte
from textmill.evaluation.scorers import DocumentScore, NgramScorer, XzScorer, document_score
from textmill.evaluation.selection import choose_documents
from textmill.evaluation.settings import EvaluationSettings
from textmill.evaluation.table import render_evaluation
from textmill.models.ngram import NgramModel

TOPICS = sorted(pydoc_data.topics.topics.items())
TRAINING = [text for _, text in TOPICS[::2]]
DOCUMENTS = [Document(text, id=title, source="topics") for title, text in TOPICS[1::2]]


class FixedRate:
    """Pays so many bits a byte, whatever the byte, or `first_bits` in the first document; loses nothing."""

    def __init__(self, name: str, bits: float, first_bits: float | None = None, maximum_documents: int | None = None):
        self.name, self.bits, self.maximum_documents = name, bits, maximum_documents
        self.first_bits = bits if first_bits is None else first_bits
        self.signature: dict[str, Any] = {"bits": bits}

    def score(self, documents: Sequence[Document]) -> Iterator[DocumentScore]:
        for index, document in enumerate(documents[: self.maximum_documents]):
            size = len(document.text.encode()) + 1
            bits = self.bits if index else self.first_bits
            yield document_score(document, size * bits * math.log(2), tokens=2 * size)


def test_figures_follow_their_definitions() -> None:
    documents = [Document("one two", "a", "s"), Document("三", "b", "s")]
    system = evaluate_scorers([FixedRate("fixed", 2.0)], documents, samples=200).systems[0]
    assert system.bits_per_byte.value == pytest.approx(2)
    assert (system.bits_per_byte.unit, system.bits_per_byte.count) == ("bits/byte", 2)
    assert system.token_perplexity.value == pytest.approx(2)  # two tokens a byte, so one bit each
    assert system.word_perplexity.value == pytest.approx(2 ** (2 * 12 / 5))  # 12 bytes; 3 words and 2 ends
    assert validation_bits_per_byte(FixedRate("fixed", 2.0), documents) == pytest.approx(2)


def test_a_figure_says_how_it_was_made() -> None:
    def signature(documents: list[Document]) -> dict[str, Any]:
        scorer = NgramScorer(NgramModel.train(TRAINING, order=3))
        return evaluate_scorers([scorer], documents, samples=200).systems[0].bits_per_byte.signature

    made = signature(DOCUMENTS[:5])
    assert made["order"] == 3
    assert made["bytes"] == sum(len(document.text.encode()) + 1 for document in DOCUMENTS[:5])
    assert made["lost_bytes"] == 0
    assert made["textmill"]
    assert signature(DOCUMENTS[:5][::-1]) == made
    assert signature(DOCUMENTS[:4])["documents_sha256"] != made["documents_sha256"]


def test_systems_are_compared_over_the_documents_both_have_scored() -> None:
    documents = DOCUMENTS[:12]
    better, worse = (NgramScorer(NgramModel.train(TRAINING, order)) for order in (4, 2))
    some = XzScorer(TRAINING[:3], maximum_documents=4)
    evaluation = evaluate_scorers([better, worse, some], documents, samples=500)
    against_worse, against_xz = evaluation.differences
    assert (against_worse.count, against_xz.count) == (12, 4)
    values = [system.bits_per_byte.value for system in evaluation.systems]
    assert against_worse.value == pytest.approx(values[0] - values[1])
    assert against_worse.low <= against_worse.value <= against_worse.high < 0
    chosen = {score.id for score in some.score(documents)}
    shared = [document for document in documents if document.id in chosen]
    assert against_xz.value == pytest.approx(validation_bits_per_byte(better, shared) - values[2])


def test_comparison_turned_round_has_the_other_sign() -> None:
    first, second = (NgramScorer(NgramModel.train(TRAINING, order)) for order in (3, 2))
    (one,) = evaluate_scorers([first, second], DOCUMENTS[:12], samples=500).differences
    (other,) = evaluate_scorers([second, first], DOCUMENTS[:12], samples=500).differences
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))


def test_the_better_baseline_is_the_one_that_counts() -> None:
    systems = [FixedRate("model", 2.0), FixedRate("weak", 4.0), FixedRate("strong", 2.21)]
    text = render_evaluation(evaluate_scorers(systems, DOCUMENTS[:8], samples=200))
    assert text.endswith("model is 0.21 [0.21, 0.21] bits per byte below the better baseline, strong.")
    lines = text.splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert "model less weak    -2.000" in text and "model less strong  -0.210" in text


def test_the_better_baseline_is_found_over_the_documents_that_all_have_scored() -> None:
    """A baseline that scored only the document that is hard for the model isn't the better one for that."""
    model = FixedRate("model", 3.0, first_bits=6.0)
    systems = [model, FixedRate("strong", 2.0, first_bits=3.0), FixedRate("few", 3.5, maximum_documents=1)]
    evaluation = evaluate_scorers(systems, DOCUMENTS[:8], samples=200)
    assert evaluation.differences[0].value < evaluation.differences[1].value
    assert (evaluation.closest, evaluation.to_dict()["closest"]) == (0, 0)
    assert "above the better baseline, strong" in render_evaluation(evaluation)


def test_a_worse_model_and_an_open_question_are_called_so() -> None:
    worse = evaluate_scorers([FixedRate("model", 3.0), FixedRate("n-gram", 2.5)], DOCUMENTS[:8], samples=200)
    assert render_evaluation(worse).endswith("model is 0.50 [0.50, 0.50] bits per byte above n-gram.")
    same = evaluate_scorers([FixedRate("model", 2.0), FixedRate("n-gram", 2.0)], DOCUMENTS[:8], samples=200)
    assert "holds zero" in render_evaluation(same)


def test_one_document_gives_figures_without_intervals() -> None:
    evaluation = evaluate_scorers([FixedRate("a", 2.0), FixedRate("b", 3.0)], DOCUMENTS[:1], samples=200)
    plain = evaluation.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["systems"][0]["bits_per_byte"]["low"] is None
    assert plain["differences"][0]["value"] == pytest.approx(-1)
    text = render_evaluation(evaluation)
    assert "unknown" in text and "nan" not in text


def test_a_perplexity_too_great_for_a_float_is_left_open() -> None:
    plain = evaluate_scorers([FixedRate("a", 2.0)], [Document("x" * 5000, "a", "s")], samples=200).to_dict()
    assert plain["systems"][0]["word_perplexity"]["value"] is None


def test_unfit_documents_are_refused_all_together() -> None:
    with pytest.raises(CorpusError, match="no documents to evaluate"):
        evaluate_scorers([FixedRate("a", 2.0)], [])
    with pytest.raises(CorpusError, match="no documents to evaluate"):
        validation_bits_per_byte(FixedRate("a", 2.0), [])
    unfit = [Document("x", "a", "s"), Document("y", "a", "s"), Document("\ud800", "b", "s"), Document("x", "a", "t")]
    with pytest.raises(CorpusError) as refusal:
        evaluate_scorers([FixedRate("a", 2.0)], unfit)
    assert len(refusal.value.problems) == 2


def test_choice_of_documents_fits_and_depends_on_their_ids_alone() -> None:
    everything = choose_documents(DOCUMENTS, 10**9)
    assert sorted(document.id for document in everything.documents) == sorted(document.id for document in DOCUMENTS)
    for maximum in (5_000, 40_000, 150_000):
        selection = choose_documents(DOCUMENTS, maximum)
        assert selection == choose_documents(DOCUMENTS[::-1], maximum)
        assert selection.bytes == sum(len(document.text.encode()) + 1 for document in selection.documents) <= maximum
        assert len(selection.documents) + selection.left_out_documents == len(DOCUMENTS)
        assert selection.bytes + selection.left_out_bytes == everything.bytes
        # In the order of the hashes, up to the first that no longer fits; too large ones are passed over.
        fitting = [document for document in everything.documents if len(document.text.encode()) < maximum]
        assert selection.documents == fitting[: len(selection.documents)]


def test_choice_of_documents_is_the_same_wherever_the_source_lies() -> None:
    moved = [Document(document.text, document.id, source="elsewhere") for document in DOCUMENTS]
    here, there = (choose_documents(documents, 40_000).documents for documents in (DOCUMENTS, moved))
    assert [document.id for document in here] == [document.id for document in there]


def test_no_document_small_enough_is_an_error_that_says_so() -> None:
    with pytest.raises(CorpusError, match=f"none of the {len(DOCUMENTS)} documents .* maximum_bytes = 3; .* --maximum-bytes"):
        choose_documents(DOCUMENTS, 3)


def test_every_setting_is_documented() -> None:
    assert all(field.description for field in EvaluationSettings.model_fields.values())
