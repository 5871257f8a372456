"""Text unlike a clean reference is dropped and counted, the same with any number of processes and after any kill."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.corpus.build import build_corpus
from textmill.corpus.quality import QualityMeasure, deciles
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.store import read_corpus, read_drops
from textmill.evaluation.quality import NgramQuality
from textmill.files import sha256_of_file
from textmill.formats.ngram_folder import load_ngram, save_ngram
from textmill.models.ngram import NgramModel

THRESHOLD = 4.5


@pytest.fixture(scope="module")
def measure(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> NgramQuality:
    return NgramQuality.learn(texts[::2], tmp_path_factory.mktemp("quality") / "ngram")


@pytest.fixture(scope="module")
def documents(texts: list[str]) -> dict[str, str]:
    """Clean documents, and others, by their ids."""
    draw = random.Random(4)
    clean = {f"clean {number}": text[:3000] for number, text in enumerate(texts[1::2]) if len(text) > 300}
    keys, others = "asdfjkl;qweruiop", {}
    for number in range(12):
        others[f"mashed {number}"] = "".join(draw.choices(keys, k=400))
        others[f"binary {number}"] = draw.randbytes(300).decode("latin-1")
        others[f"encoded {number}"] = draw.randbytes(300).hex()
    return clean | others


def write(path: Path, documents: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in documents.items()))
    return path


def build(
    source: Path, folder: Path, measure: QualityMeasure, bits: float | None = THRESHOLD, **options: Any
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    settings = CorpusSettings(source=str(source), quality_reference="reference.txt", quality_bits=bits)
    return build_corpus(settings, folder, measure=measure, **options)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in sorted(folder.iterdir())}


def test_noise_is_dropped_clean_text_kept_and_the_counts_add_up(measure, documents, tmp_path: Path) -> None:
    card = build(write(tmp_path / "in.jsonl", documents), tmp_path / "out", measure)
    drops = [drop for drop in read_drops(tmp_path / "out" / "dropped.jsonl.zst") if drop.step == "quality"]
    assert {drop.id for drop in drops} == {id for id in documents if not id.startswith("clean")}
    assert {(drop.rule, drop.threshold) for drop in drops} == {("unlike the reference", THRESHOLD)}
    kept = [*read_corpus(tmp_path / "out" / "train.jsonl.zst"), *read_corpus(tmp_path / "out" / "validation.jsonl.zst")]
    figures = {one.id: one.metadata["quality_bits"] for one in kept} | {drop.id: drop.value for drop in drops}
    assert all(figures[one.id] == round(measure(one.text), 3) for one in kept)
    assert all((figures[id] > THRESHOLD) != id.startswith("clean") for id in documents)
    assert card["dropped"] == {"quality": {"unlike the reference": 36}} and "quality" not in card["changed"]
    assert card["read"] == len(documents) == len(kept) + 36 == card["quality"]["judged"]
    shown, ordered = card["quality"]["deciles"], sorted(figures.values())
    assert [shown[0], shown[5], shown[10]] == pytest.approx(
        [ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]], abs=0.005
    )


def test_without_a_threshold_all_is_measured_and_nothing_dropped(measure, documents, tmp_path: Path) -> None:
    card = build(write(tmp_path / "in.jsonl", documents), tmp_path / "out", measure, bits=None)
    assert card["dropped"] == {} and card["quality"]["judged"] == len(documents)


def test_the_bytes_do_not_depend_on_the_workers(measure, documents, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", documents)
    for workers in (1, 2):
        build(source, tmp_path / str(workers), measure, workers=workers, block_characters=20_000)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")


class PowerCut(Exception):
    """Ends a build without a word, as a kill does."""


class Counting:
    """The measure, which counts what it is asked for, and may be broken off."""

    def __init__(self, measure: NgramQuality, breaks_at: int | None = None):
        self.measure, self.identity, self.breaks_at = measure, measure.identity, breaks_at
        self.calls = 0

    def __call__(self, text: str) -> float:
        self.calls += 1
        if self.calls == self.breaks_at:
            raise PowerCut
        return self.measure(text)


def test_a_build_that_was_broken_off_ends_as_one_that_was_not(measure, documents, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", documents)
    build(source, tmp_path / "whole", measure, workers=1, block_characters=20_000)
    with pytest.raises(PowerCut):
        build(source, tmp_path / "cut", Counting(measure, breaks_at=60), workers=1, block_characters=20_000)
    rest = Counting(measure)
    build(source, tmp_path / "cut", rest, workers=1, block_characters=20_000)
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")
    assert 0 < rest.calls < len(documents)  # what was finished wasn't measured again


def test_blocks_judged_by_another_reference_are_thrown_away(measure, documents, texts, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", documents)
    assert NgramQuality.learn(texts[::2], tmp_path / "again").identity == measure.identity
    other = Counting(NgramQuality.learn(texts[:5], tmp_path / "other"))
    with pytest.raises(PowerCut):
        build(source, tmp_path / "cut", Counting(measure, breaks_at=60), workers=1, block_characters=20_000)
    build(source, tmp_path / "cut", other, workers=1, block_characters=20_000)
    assert other.calls == len(documents)


def test_a_worker_needs_no_torch_for_it() -> None:
    code = "import sys, textmill.evaluation.quality; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0


def test_an_n_gram_comes_back_from_its_folder_as_it_was(texts, tmp_path: Path) -> None:
    model = NgramModel.train(texts[:20], order=4)
    save_ngram(model, tmp_path / "ngram")
    again = load_ngram(tmp_path / "ngram")
    assert again.facts() == model.facts()
    assert again.nats(texts[30]).tobytes() == model.nats(texts[30]).tobytes()


@given(st.lists(st.integers(0, 900), min_size=1, max_size=60))
def test_deciles_are_those_of_the_sorted_figures(figures: list[int]) -> None:
    ordered = sorted(figures)
    bins = Counter(f"{figure / 100:.2f}" for figure in figures)
    assert deciles(bins) == [ordered[part * (len(ordered) - 1) // 10] / 100 for part in range(11)]
    assert deciles(Counter()) == []


def test_a_threshold_needs_a_reference_and_a_reference_a_measure(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quality_bits needs"):
        CorpusSettings(source="a", quality_bits=3)
    with pytest.raises(ValueError, match="go together"):
        build_corpus(CorpusSettings(source="a", quality_reference="b"), tmp_path)
