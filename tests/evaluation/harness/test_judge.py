"""The harness on models of every family and on plain objects: likelihoods are the model's own, however they are batched; what
is learnt is scored in full; every baseline has its known worth."""

import copy
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from textmill.evaluation.harness import Continuation, JudgedLanguageModel, JudgedNgram, Prompt, judge, read_task
from textmill.evaluation.harness.language_model import encoded_pair
from textmill.evaluation.scorers import NgramScorer
from textmill.formats.model_folder import ModelFolder, load_model_folder, save_model_folder
from textmill.models.ngram import NgramModel
from textmill.tokens.chat_template import ChatTemplate

TEXTS = ["the cat sat", "a dog", "where is the class that defines it?", "x"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory, make_decoder, make_recurrent, make_encoder_decoder, tokenizer) -> Callable[..., Any]:
    """A folder's model under the three methods."""
    makers = {"decoder": make_decoder, "recurrent": make_recurrent}

    def make(family: str, **changes: Any) -> JudgedLanguageModel:
        path = tmp_path_factory.mktemp(family)
        save_model_folder(path / "model", makers[family](**changes), tokenizer, {})
        return JudgedLanguageModel(load_model_folder(path / "model"))

    return make


def one_by_one(model: JudgedLanguageModel, request: Continuation) -> tuple[float, bool]:
    """The same by the whole row at once, with no batch, no state and no fork."""
    pair = encoded_pair(model.tokenizer, request)
    row = torch.tensor([[*pair.context, *pair.text]])
    with torch.no_grad():
        logits = model.model(row[:, :-1])[0, len(pair.context) - 1 :].float()
    targets = row[0, len(pair.context) :]
    return float(logits.log_softmax(-1).gather(1, targets[:, None]).sum()), bool((logits.argmax(-1) == targets).all())


@pytest.mark.parametrize(
    "family, changes",
    [("decoder", {}), ("decoder", {"positions": "learned"}), ("decoder", {"positions": "alibi"}), ("recurrent", {})],
)
def test_batched_and_forked_likelihoods_are_the_whole_rows_own(judged, family: str, changes: dict[str, Any]) -> None:
    model = judged(family, **changes)
    contexts = ["", "In the beginning", "A statement is", "In the beginning", "Note: ", "a " * 25]
    requests = [Continuation(context, f" {text}") for context in contexts for text in TEXTS[:3]]
    requests.append(Continuation("In the", model.generate_until([Prompt("In the", (), 3)])[0]))
    found = model.loglikelihood(requests)
    for request, likelihood in zip(requests, found, strict=True):
        expected = one_by_one(model, request)
        assert likelihood.log_probability == pytest.approx(expected[0], abs=2e-4), request
        assert likelihood.greedy == expected[1], request


def test_an_encoder_decoder_reads_the_context_as_its_source(make_encoder_decoder, tokenizer, tmp_path: Path) -> None:
    body = make_encoder_decoder("marian", decoder_start="last")
    model = JudgedLanguageModel(ModelFolder(tmp_path, body, tokenizer, {}))
    requests = [Continuation(context, text) for context in ("a source", "another one, longer") for text in TEXTS]
    for request, found in zip(requests, model.loglikelihood(requests), strict=True):
        source, target = tokenizer.encode_whole(request.context), tokenizer.encode(request.text)
        inputs = torch.tensor([[tokenizer.eos_id, *target[:-1]]])
        expected = -body.token_nats(inputs, torch.tensor([target]), torch.tensor([source])).sum()
        assert found.log_probability == pytest.approx(float(expected), abs=1e-3)


def test_a_text_s_tokens_are_those_of_both_together_and_none_is_free(tokenizer) -> None:
    pair = encoded_pair(tokenizer, Continuation("The class ", "statement"))
    assert list(pair.context) == tokenizer.encode_beginning("The class")
    assert list(pair.text) == tokenizer.encode(" statement")
    swallowed = encoded_pair(tokenizer, Continuation("th", "e"))
    assert tokenizer.decode(swallowed.text) == "e" and tokenizer.decode(swallowed.context) == "th"


def test_an_n_gram_counts_as_its_scorer_and_writes_what_is_likeliest(texts: list[str]) -> None:
    model = JudgedNgram(NgramModel.train([*texts[:5], "naïve 汉字"], order=4))
    whole, split = model.loglikelihood([Continuation("", "the class"), Continuation("the c", "lass")])
    begun = model.loglikelihood([Continuation("", "the c")])[0]
    assert whole.log_probability == pytest.approx(begun.log_probability + split.log_probability)
    assert model.loglikelihood_rolling(["the 汉"])[0] == pytest.approx(-NgramScorer(model.model).model.nats("the 汉").sum())
    [written] = model.generate_until([Prompt("the ", ("\n",), 12)])
    assert 0 < len(written) <= 12
    assert model.loglikelihood([Continuation("the ", written)])[0].greedy
    assert not model.loglikelihood([Continuation("the ", "汉" + written)])[0].greedy


class Knowing:
    """A plain object that knows the answers."""

    def __init__(self, answers: Sequence[str]):
        self.answers = set(answers)

    def loglikelihood(self, requests: Sequence[Continuation]) -> list[tuple[float, bool]]:
        return [(-1.0 if request.text.strip() in self.answers else -5.0, False) for request in requests]

    def loglikelihood_rolling(self, texts: Sequence[str]) -> list[float]:
        return [-math.log(2) * (len(text.encode()) + 1) for text in texts]

    def generate_until(self, requests: Sequence[Prompt]) -> list[str]:
        return [f" {next(iter(self.answers))}\n" for _ in requests]


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


def test_a_plain_object_is_judged_and_chance_is_what_guessing_is_worth(tmp_path: Path) -> None:
    questions = [{"question": f"{n}?", "choices": ["yes", "no", "perhaps"], "answer": n % 2} for n in range(20)]
    task = read_task(write(tmp_path / "q.jsonl", *questions))
    report = judge({"yes": Knowing(["yes"]), "no": Knowing(["no"])}, [task])
    [result] = report.results
    scores = {system.name: result.scores(system)[0] for system in result.systems}
    assert scores["yes"].value == scores["no"].value == 0.5
    assert scores["chance"].value == pytest.approx(1 / 3) == scores["chance"].low
    assert 0.2 < scores["yes"].low < 0.5 < scores["yes"].high < 0.8
    [difference, _] = result.differences()
    assert difference.value == 0 and difference.signature["p_value"] == 1
    assert difference.low < 0 < difference.high
    text = report.render()
    assert "yes, without the question" in text and "p = 1.0000" in text


def test_every_kind_has_its_marks(tmp_path: Path) -> None:
    pairs = write(tmp_path / "p.jsonl", {"good": "she goes", "bad": "she go"}, {"good": "they go", "bad": "she goes"})
    written = write(
        tmp_path / "g.jsonl",
        {"kind": "generate", "match": "words", "until": ["\n"]},
        {"prompt": "Who?", "answer": ["He.", "The She!"]},
        {"prompt": "Who?", "answer": "she goes"},
    )
    rolling = write(tmp_path / "r.jsonl", {"text": "two words"}, {"text": "three more words"})
    report = judge({"m": Knowing(["she goes"])}, [read_task(path) for path in (pairs, written, rolling)])
    values = {(result.task.name, score.name): score.value for result in report.results
              for score in result.scores(result.systems[0])}  # fmt: skip
    assert values[("p", "accuracy")] == 0.5 and values[("g", "exact match")] == 0.5
    assert values[("r", "bits per byte")] == pytest.approx(1.0)
    assert values[("r", "bits per word")] == pytest.approx((10 + 17) / 7)


def test_examples_stand_before_a_question_and_never_itself(tmp_path: Path) -> None:
    head = {"kind": "generate", "prompt": "Q: {prompt}\nA:", "shots": 2, "seed": 3, "beginning": "Answer.\n\n"}
    questions = [{"prompt": f"q{n}", "answer": f"a{n}"} for n in range(4)] + [{"prompt": "q0", "answer": "a0"}]
    asked: list[Prompt] = []

    class Listening(Knowing):
        def generate_until(self, requests: Sequence[Prompt]) -> list[str]:
            asked.extend(requests)
            return ["" for _ in requests]

    task = read_task(write(tmp_path / "g.jsonl", head, *questions))
    judge({"m": Listening([])}, [task])
    judge({"m": Listening([])}, [task])
    assert asked[:5] == asked[5:]  # the seed says it
    for prompt, question in zip(asked, questions, strict=False):
        assert isinstance(prompt.context, str)
        first, *shots, last = prompt.context.split("\n\n")
        assert first == "Answer." and last == f"Q: {question['prompt']}\nA:"
        shown = [shot.partition("\nA: ")[::2] for shot in shots]
        assert len(set(shown)) == 2 and all(q.removeprefix("Q: q") == a.removeprefix("a") for q, a in shown)
        assert f"Q: {question['prompt']}" not in dict(shown)
    judge({"m": Listening([])}, [task], chat=True)
    roles = [message["role"] for message in asked[-1].context]  # type: ignore[union-attr]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]


TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_chat_is_asked_in_the_model_s_own_template(make_decoder, tokenizer, tmp_path: Path) -> None:
    chatty = copy.copy(tokenizer)
    chatty.chat_template = ChatTemplate(TEMPLATE)
    model = JudgedLanguageModel(ModelFolder(tmp_path, make_decoder(context_length=128), chatty, {}))
    head = {"kind": "multiple choice", "shots": 1, "beginning": "Be brief."}
    questions = [{"question": f"{word}?", "choices": ["yes", "no"], "answer": 0} for word in ("one", "two")]
    task = read_task(write(tmp_path / "q.jsonl", head, *questions))
    [result] = judge({"m": model}, [task], chat=True).results
    before = "<system>Be brief.\n<user>two?\n<assistant>yes\n<user>one?\n<assistant>"
    expected = [one_by_one_tokens(model, tokenizer.encode(before), tokenizer.encode(text)) for text in ("yes", "no")]
    assert result.systems[0].marks[0]["log_probabilities"] == pytest.approx(expected, abs=2e-4)
    assert result.scores(result.systems[0])[0].signature["chat"] is True


def one_by_one_tokens(model: JudgedLanguageModel, context: list[int], text: list[int]) -> float:
    """The log-probability of a text's tokens behind a context's, with no batch and no state."""
    row = torch.tensor([[*context, *text]])
    with torch.no_grad():
        logs = model.model(row[:, :-1])[0, len(context) - 1 :].float().log_softmax(-1)
    return float(logs.gather(1, row[0, len(context) :, None]).sum())
