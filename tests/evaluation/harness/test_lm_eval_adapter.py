"""The real lm-eval on a textmill model: the numbers of lm-eval's own model class on its folder, and of `textmill judge`."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from textmill import load
from textmill.errors import TaskError
from textmill.evaluation.harness import JudgedLanguageModel, judge, read_task

QUESTIONS = [
    {"question": f"What is a {word}?", "choices": ["a statement", "an object", "the name of a module"], "answer": n % 3}
    for n, word in enumerate(("class", "list", "function", "loop", "number", "string", "tuple"))
]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: {kind}
doc_to_text: "{text}"
doc_to_target: "{target}"
{more}
"""


def task_file(folder: Path, name: str, rows: list[dict[str, Any]], kind: str, text: str, target: str, more: str) -> Path:
    data = folder / f"{name}.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    content = TASK.format(name=name, data=data, kind=kind, text=text, target=target, more=more)
    (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return data


@pytest.fixture(scope="module")
def results(tiny_run: Path, tmp_path_factory, texts: list[str]) -> dict[str, Any]:
    """What lm-eval says of the model through the adapter, and through transformers; and the tasks' folder."""
    pytest.MonkeyPatch().setenv("HF_HUB_OFFLINE", "1")
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    import textmill.evaluation.harness.lm_eval_adapter  # noqa: F401  registers the model

    folder = tmp_path_factory.mktemp("lm_eval")
    choices = "doc_to_choice: choices\nmetric_list:\n  - metric: acc\n  - metric: acc_norm"
    task_file(folder, "tm_choice", QUESTIONS, "multiple_choice", "{{question}}", "answer", choices)
    rolling = "metric_list:\n  - metric: bits_per_byte"
    short = [{"text": text[:90]} for text in texts[5:9]]
    task_file(folder, "tm_rolling", short, "loglikelihood_rolling", "", "{{text}}", rolling)
    written = "generation_kwargs:\n  until: ['\\n']\n  max_gen_toks: 12\nmetric_list:\n  - metric: exact_match"
    task_file(folder, "tm_written", QUESTIONS, "generate_until", "{{question}}", "{{choices[0]}}", written)
    names = ["tm_choice", "tm_rolling", "tm_written"]
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    model = str(tiny_run / "model")
    ways = {
        "textmill": ("textmill", names, {"model_args": {"pretrained": model}}),
        "hf": (HFLM(pretrained=model, device="cpu", batch_size=4), ["tm_choice", "tm_written"], {}),
        # With it, lm-eval's class puts a second one before a text that is read from its beginning, and counts it.
        "hf rolling": (HFLM(pretrained=model, device="cpu", batch_size=4, add_bos_token=False), ["tm_rolling"], {}),
    }
    found: dict[str, Any] = {"folder": folder}
    for way, (asked, tasks, more) in ways.items():
        found[way] = lm_eval.simple_evaluate(
            asked, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0, **more
        )
    return found


def answers(results: dict[str, Any], way: str, task: str) -> list[Any]:
    return [sample["resps"] for sample in sorted(results[way]["samples"][task], key=lambda sample: sample["doc_id"])]


def test_lm_eval_s_own_model_gives_the_same_likelihoods_and_texts(results) -> None:
    for task, way in (("tm_choice", "hf"), ("tm_rolling", "hf rolling")):
        for mine, theirs in zip(answers(results, "textmill", task), answers(results, way, task), strict=True):
            for [own], [other] in zip(mine, theirs, strict=True):
                own, other = (value if isinstance(value, tuple | list) else (value,) for value in (own, other))
                assert float(own[0]) == pytest.approx(float(other[0]), abs=1e-3)
                assert own[1:] == other[1:]
    assert answers(results, "textmill", "tm_written") == answers(results, "hf", "tm_written")
    ours, theirs = (results[way]["results"] for way in ("textmill", "hf"))
    assert ours["tm_choice"]["acc,none"] == theirs["tm_choice"]["acc,none"]


def test_judge_gives_lm_eval_s_accuracies_and_its_bits_but_for_the_end(results, tiny_run: Path) -> None:
    model = JudgedLanguageModel(load(tiny_run))
    tasks = [read_task(results["folder"] / f"{name}.jsonl") for name in ("tm_choice", "tm_rolling")]
    choice, rolling = judge({"m": model}, tasks).results
    accuracy, per_byte = choice.scores(choice.systems[0])
    theirs = results["textmill"]["results"]
    assert accuracy.value == theirs["tm_choice"]["acc,none"]
    assert per_byte.value == theirs["tm_choice"]["acc_norm,none"]  # by characters, which are bytes here
    marks = rolling.systems[0].marks
    without = JudgedLanguageModel(load(tiny_run), count_end=False)
    nats = -sum(without.loglikelihood_rolling([question.fields["text"] for question in rolling.task.questions]))
    size = sum(mark["bytes"] - 1 for mark in marks)
    assert nats / math.log(2) / size == pytest.approx(theirs["tm_rolling"]["bits_per_byte,none"], rel=1e-5)


def test_what_is_not_greedy_is_refused(results) -> None:
    from textmill.evaluation.harness.lm_eval_adapter import _prompt

    assert _prompt("a", {"until": "x", "do_sample": False}).until == ("x",)
    with pytest.raises(TaskError, match="temperature"):
        _prompt("a", {"until": ["x"], "temperature": 0.7})
