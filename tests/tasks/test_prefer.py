"""Preference tuning: its loss is the published formula, its pairs are told apart exactly, and a known preference is learnt by
every family, with all weights and with low ranks; a stopped one goes on to the same bits."""

import json
import math
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from textmill.errors import TaskError
from textmill.files import sha256_of_file
from textmill.formats.model_folder import save_model_folder
from textmill.interruption import Stopped
from textmill.models.architectures import build
from textmill.models.lora import adapt
from textmill.models.settings import ModelSettings
from textmill.tasks import Prefer
from textmill.tasks.prefer import bits_per_pair, log_probabilities, reward_margins, with_reference
from textmill.tasks.preferences import read_preferences
from textmill.tasks.settings import DialogueRecipe, DialogueSettings
from textmill.tokens.dialogues import with_template
from textmill.tokens.preferences import PairTokens, encode_pair, preference_batch
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer
from textmill.training.preference import PreferenceObjective

POLITE, RUDE = ("yes please", "of course", "gladly"), ("no way", "go away", "never")
ASKED = ("can you come", "will you help me", "may I ask", "do you sing", "is it near", "shall we go")


def pairs(count: int, seed: int) -> list[dict[str, str]]:
    """Polite answers are preferred, whatever was asked."""
    drawn = random.Random(seed)
    return [
        {
            "prompt": f"{drawn.choice(ASKED)} {drawn.choice(('now', 'then'))} {number}?",
            "chosen": drawn.choice(POLITE),
            "rejected": drawn.choice(RUDE),
        }
        for number in range(seed * 1000, seed * 1000 + count)
    ]


def lines(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    learnt = train_tokenizer(
        TokenizerSettings(kind="bpe", vocabulary_size=270), [*POLITE, *RUDE, *ASKED, "user\n", "assistant\n", "now then"]
    )
    with_template(learnt)
    return learnt


def model_of(architecture: str, tokenizer: Tokenizer) -> Any:
    settings = ModelSettings(architecture=architecture, preset="0.5m", layers=2, width=32, context_length=64)
    model = build(settings.config(tokenizer.vocabulary_size))
    model.initialise(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def encoded(tokenizer: Tokenizer, count: int) -> list[PairTokens]:
    found = []
    for each in pairs(count, 0):
        messages = [{"role": "user", "content": each["prompt"]}]
        pair = encode_pair(tokenizer, messages, each["chosen"], each["rejected"], 64)
        assert pair is not None and pair[1] == 0
        found.append(pair[0])
    return found


def answer_log_probability(model: Any, dialogue: Any) -> torch.Tensor:
    """Straight from the definition: one row, all logits, the answer's tokens alone."""
    tokens = torch.from_numpy(dialogue.tokens)
    log_probabilities = model(tokens[None, :-1]).log_softmax(dim=-1)[0]
    chosen = log_probabilities.gather(1, tokens[1:, None])[:, 0]
    return chosen[torch.from_numpy(dialogue.asked[1:])].sum()


@pytest.mark.parametrize("architecture", ["qwen3", "lstm"])
def test_the_loss_and_its_gradients_are_the_formula(architecture: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, beta = model_of(architecture, tokenizer), 0.3
    (known,) = with_reference(model, {"training": encoded(tokenizer, 5)}, tmp_path / "reference.json", 4)
    assert known[0].reference != (0.0, 0.0)
    start = model_of(architecture, tokenizer)
    with torch.no_grad():  # a step away from where it began
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    wanted = torch.zeros(())
    for pair in known:
        now = [answer_log_probability(model, each) for each in (pair.chosen, pair.rejected)]
        with torch.no_grad():
            before = [answer_log_probability(start, each) for each in (pair.chosen, pair.rejected)]
        wanted = wanted - torch.nn.functional.logsigmoid(beta * ((now[0] - before[0]) - (now[1] - before[1])))
    wanted.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    objective, batch = PreferenceObjective(beta), preference_batch(known)
    assert objective.count(batch) == 5 and len(batch.inputs) == 10
    loss, _, metrics = objective(model, batch, None)
    loss.backward()
    torch.testing.assert_close(loss, wanted, atol=1e-4, rtol=1e-4)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-3)
    parts = [objective(model, batch.rows(begin, begin + 2), None)[0] for begin in range(0, 10, 2)]  # micro-batches of a pair
    torch.testing.assert_close(sum(parts), loss)
    assert metrics["nats"] == loss
    assert bits_per_pair(reward_margins(model, known, 4), beta) == pytest.approx(
        float(loss.detach()) / 5 / math.log(2), abs=1e-4
    )


def test_at_the_start_nothing_is_preferred_with_low_ranks_too(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = model_of("qwen3", tokenizer)
    path = tmp_path / "reference.json"
    (known,) = with_reference(model, {"training": encoded(tokenizer, 4)}, path, 4)
    path_of_other = sha256_of_file(path)
    (again,) = with_reference(model, {"training": encoded(tokenizer, 4)}, path, 4)
    assert [pair.reference for pair in again] == [pair.reference for pair in known] and sha256_of_file(path) == path_of_other
    names = adapt(model, rank=2, alpha=2, seed=0, upper=1)
    assert names and all(name.startswith("blocks.1.") for name in names)
    assert abs(reward_margins(model, known, 4)).max() < 1e-4
    assert bits_per_pair(reward_margins(model, known, 4), 0.1) == pytest.approx(1.0, abs=1e-4)
    before = log_probabilities(model, known, 8)
    assert before == pytest.approx(log_probabilities(model, known, 3), abs=1e-3)


@pytest.mark.parametrize(("architecture", "way"), [("qwen3", "full"), ("qwen3", "lora"), ("lstm", "full")])
def test_a_known_preference_is_learnt(architecture: str, way: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model_folder(tmp_path / "base", model_of(architecture, tokenizer), tokenizer, {}, architecture)
    files = [lines(tmp_path / f"{name}.jsonl", pairs(*what)) for name, what in PARTS.items()]
    learn = DialogueSettings(way=way, epochs=3, learning_rate=0.01, beta=0.5, answer_tokens=4)
    model = Prefer(DialogueRecipe(learn=learn)).train(tmp_path / "base", files[0], files[1], files[2], tmp_path / "run")
    assert model.folder.model.family in ("decoder", "recurrent")
    told = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    score, loss = told["scores"]
    assert score["value"] >= 0.97 and score["count"] == 40 and loss["value"] < 0.5
    assert told["baselines"]["before, by definition"][0]["value"] == 0.5


PARTS = {"data": (48, 1), "test": (40, 2), "validation": (8, 3)}


def test_a_stopped_training_goes_on_to_the_same_bits(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model_folder(tmp_path / "base", model_of("qwen3", tokenizer), tokenizer, {}, "qwen3")
    data, validation = lines(tmp_path / "data.jsonl", pairs(24, 1)), lines(tmp_path / "validation.jsonl", pairs(8, 3))
    learn = DialogueSettings(way="lora", epochs=2, learning_rate=0.01, answer_tokens=4)

    def asked_to_stop(*arguments: Any) -> float:
        signal.raise_signal(signal.SIGTERM)
        return bits_per_pair(*arguments)

    weights = []
    for name in ("whole", "stopped"):
        task = Prefer(DialogueRecipe(learn=learn))
        if name == "stopped":
            with monkeypatch.context() as patched, pytest.raises(Stopped):
                patched.setattr("textmill.tasks.prefer.bits_per_pair", asked_to_stop)
                task.train(tmp_path / "base", data, None, validation, tmp_path / name)
        task.train(tmp_path / "base", data, None, validation, tmp_path / name)
        weights.append(sha256_of_file(tmp_path / name / "model" / "model.safetensors"))
    assert weights[0] == weights[1]


def test_a_pair_that_is_too_long_loses_its_oldest_messages_and_no_answer(tokenizer: Tokenizer) -> None:
    said = [
        {"role": "user", "content": "can you come now?"},
        {"role": "assistant", "content": "of course"},
        {"role": "user", "content": "is it near?"},
    ]
    whole = encode_pair(tokenizer, said, "gladly", "never", 64)
    alone = encode_pair(tokenizer, said[2:], "gladly", "never", 64)
    assert whole is not None and alone is not None and whole[1] == 0
    asked = whole[0].chosen.tokens[whole[0].chosen.asked].tolist()
    assert tokenizer.decode(asked) == "gladly" and asked[-1] == tokenizer.eos_id
    kept = encode_pair(tokenizer, said, "gladly", "never", len(whole[0].tokens) - 2)
    assert kept is not None and kept[1] == 2 and kept[0].chosen.tokens.tolist() == alone[0].chosen.tokens.tolist()
    assert encode_pair(tokenizer, said, "gladly", "never", len(alone[0].tokens) - 2) is None


def test_transcripts_are_parted_at_their_last_answers(tmp_path: Path) -> None:
    before = "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why:\n\nbecause?"
    rows = [
        {"chosen": f"{before}\n\nAssistant: Yes.", "rejected": f"{before}\n\nAssistant: No."},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"},
        {"chosen": f"{before}\n\nAssistant: Yes.", "rejected": f"{before}\n\nAssistant: Yes."},
        {"chosen": f"{before}\n\nAssistant:", "rejected": f"{before}\n\nAssistant: Yes."},
    ]
    found = read_preferences(lines(tmp_path / "pairs.jsonl", rows))
    (pair,) = found.examples
    assert [message["content"] for message in pair.messages] == ["Hi", "Hello.", "Why:\n\nbecause?"]
    assert (pair.chosen, pair.rejected, pair.line) == ("Yes.", "No.", 1)
    for reason in ("differ before their last answers (line 2)", "the same (line 3)", "an empty answer (line 4)"):
        assert reason in str(found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ('{"chosen": "a"}', "are to be texts"),
        ('{"chosen": "a", "rejected": "b"}', "neither a prompt, nor messages"),
        ('{"prompt": 3, "chosen": "a", "rejected": "b"}', "no text"),
        ('{"messages": [{"role": "assistant", "content": "a"}], "chosen": "a", "rejected": "b"}', "nothing to answer"),
        ('{"chosen": "\\n\\nHuman: a\\n\\nHuman: b", "rejected": "\\n\\nHuman: a\\n\\nHuman: b"}', "doesn't end with"),
    ],
)
def test_bad_lines_are_named(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f'{{"prompt": "a", "chosen": "b", "rejected": "c"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(TaskError, match=said) as raised:
        read_preferences(path)
    assert "line 2" in str(raised.value)


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(TaskError, match="way = head"):
        Prefer(DialogueRecipe(learn=DialogueSettings(way="head")))
    with pytest.raises(TaskError, match="label_smoothing"):
        Prefer(DialogueRecipe(learn=DialogueSettings(label_smoothing=0.1)))
    with pytest.raises(TaskError, match="--base"):
        Prefer().learn(None, None, "never")  # type: ignore[arg-type]
