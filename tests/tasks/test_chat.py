"""Chat tuning: the loss is of answers alone, shared rows change nothing, a model of each family learns its answers and, when
it is stopped, goes on to the same bits; bad data is answered with its line."""

import json
import re
import signal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from textmill.errors import TaskError
from textmill.evaluation.answers import bits_per_byte
from textmill.files import sha256_of_file
from textmill.formats.model_folder import save_model_folder
from textmill.interruption import Stopped
from textmill.models.architectures import build
from textmill.models.settings import ModelSettings
from textmill.tasks import Answerer, Chat
from textmill.tasks.dialogues import read_dialogues
from textmill.tasks.settings import DialogueRecipe, DialogueSettings
from textmill.tokens.dialogues import dialogue_batch, encode_dialogue, with_template
from textmill.tokens.loader import IGNORED
from textmill.tokens.settings import TokenizerSettings
from textmill.tokens.tokenizer import Tokenizer
from textmill.tokens.training import train_tokenizer
from textmill.training.answers import AnswerObjective

SOUNDS = {"cat": "meow", "dog": "woof", "owl": "hoot", "cow": "moo", "duck": "quack", "pig": "oink"}


def turns(*animals: str) -> list[dict[str, str]]:
    """A conversation about what these animals say."""
    return [
        message
        for animal in animals
        for message in (
            {"role": "user", "content": f"speak as a {animal}"},
            {"role": "assistant", "content": f"{SOUNDS[animal]}!"},
        )
    ]


def conversations() -> list[list[dict[str, str]]]:
    names = sorted(SOUNDS)
    return [turns(*pair) for one in names for pair in ([one], [one, names[0]], [names[1], one])]


def lines(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [message["content"] for each in conversations() for message in each]
    learnt = train_tokenizer(TokenizerSettings(kind="bpe", vocabulary_size=280), [*texts, "user\n", "assistant\n"])
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


@pytest.fixture(scope="module", params=["qwen3", "lstm"])
def base(request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of each family that answers, which has learnt nothing, and has no chat template."""
    folder = tmp_path_factory.mktemp(request.param)
    template, tokenizer.chat_template = tokenizer.chat_template, None
    save_model_folder(folder, model_of(request.param, tokenizer), tokenizer, {}, request.param)
    tokenizer.chat_template = template
    return folder


@pytest.mark.parametrize("architecture", ["qwen3", "gpt2", "lstm"])
def test_the_loss_is_of_the_answers_alone(architecture: str, tokenizer: Tokenizer) -> None:
    model = model_of(architecture, tokenizer)
    dialogues = [encode_dialogue(tokenizer, each) for each in conversations()[:5]]
    batch = dialogue_batch(dialogues)
    kept: list[torch.Tensor] = []

    def keep(module: Any, arguments: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    model.norm.register_forward_hook(keep)
    loss, _, _ = AnswerObjective()(model, batch, None)
    loss.backward()
    (hidden,) = kept
    logits = hidden.detach().requires_grad_() @ model.head.weight.detach().T
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
    torch.testing.assert_close(loss, wanted)
    asked = batch.targets != IGNORED
    assert hidden.grad is not None
    assert (hidden.grad[~asked] == 0).all() and (hidden.grad[asked].abs().sum(-1) > 0).all()
    # What stands at the prompt's places as a target is read by nobody: it is IGNORED there, and so it is at each of them.
    for row, each in enumerate(dialogues):
        assert asked[row, : len(each.tokens) - 1].tolist() == each.asked[1:].tolist()
        assert not asked[row, len(each.tokens) - 1 :].any()


@pytest.mark.parametrize("architecture", ["qwen3", "gpt2"])
def test_conversations_that_share_a_row_learn_what_they_learn_alone(architecture: str, tokenizer: Tokenizer) -> None:
    model = model_of(architecture, tokenizer)
    dialogues = [encode_dialogue(tokenizer, each) for each in conversations()[:6]]
    gradients, losses = [], []
    for room in (0, 64):
        batch = dialogue_batch(dialogues, room)
        assert (batch.segments is None) == (room == 0)
        model.zero_grad()
        loss, _, _ = AnswerObjective()(model, batch, None)
        loss.backward()
        losses.append(loss.detach())
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(*losses)
    for alone, shared in zip(*gradients, strict=True):
        torch.testing.assert_close(alone, shared, atol=1e-4, rtol=1e-4)


def recipe(**learn: Any) -> DialogueRecipe:
    usual = {"epochs": 40, "batch_size": 6, "learning_rate": 0.01, "answer_tokens": 8}
    return DialogueRecipe(learn=DialogueSettings(**{**usual, **learn}))


def test_each_family_learns_its_answers(base: Path, tmp_path: Path) -> None:
    data = lines(tmp_path / "data.jsonl", [{"messages": each} for each in conversations()])
    test = lines(tmp_path / "test.jsonl", [{"messages": turns(*pair)} for pair in (("cow", "owl"), ("pig", "dog"))])
    validation = lines(tmp_path / "validation.jsonl", [{"messages": turns("dog", "dog")}])
    model = Chat(recipe()).train(base, data, test, validation, tmp_path / "run")
    if model.folder.model.family == "decoder":  # the other would take longer to learn them word for word
        assert model.predict(["speak as a cow", "speak as a pig"]) == ["moo!", "oink!"]
    again = Answerer.load(tmp_path / "run")  # the template is saved with the model, and its end of a turn
    assert again.folder.tokenizer.chat_template is not None
    assert again("speak as a owl") == model("speak as a owl")
    told = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    (after, change), (before,) = told["scores"], told["baselines"]["before"]
    assert after["value"] < before["value"] / 3 and change["high"] < 0
    assert [each["after"] for each in told["answers"]] == [model(turns(*pair)[:3]) for pair in (("cow", "owl"), ("pig", "dog"))]


def test_low_ranks_learn_the_answers_and_are_saved_merged(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """In a folder of plain layers, which stock transformers reads to the same logits."""
    import transformers

    base = model_of("qwen3", tokenizer)
    save_model_folder(tmp_path / "base", base, tokenizer, {}, "qwen3")
    data = lines(tmp_path / "data.jsonl", [{"messages": each} for each in conversations()])
    validation = lines(tmp_path / "validation.jsonl", [{"messages": turns("dog", "dog")}])
    low = recipe(way="lora", rank=4, adapt_embeddings=True, learning_rate=0.01, epochs=10)
    model = Chat(low).train(tmp_path / "base", data, None, validation, tmp_path / "run")
    learnt = model.folder.model.state_dict()
    assert learnt.keys() == base.state_dict().keys()
    frozen = {name for name, tensor in base.state_dict().items() if torch.equal(tensor, learnt[name])}
    assert frozen == {name for name in learnt if "norm" in name or name == "head.weight"}
    for name in learnt.keys() - frozen:
        assert torch.linalg.matrix_rank(learnt[name] - base.state_dict()[name], rtol=1e-3) <= 4
    bits = [
        json.loads(line).get("bits_per_answer_byte")
        for line in (tmp_path / "run" / "metrics.jsonl").open()
        if "validation" in line
    ]
    assert bits[-1] < bits[0]
    stock = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    ids = torch.tensor([tokenizer.encode_chat(turns("cow"))])
    with torch.no_grad():
        torch.testing.assert_close(model.folder.model(ids), stock(ids).logits, atol=1e-4, rtol=1e-4)


def test_a_stopped_training_goes_on_to_the_same_bits(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked_to_stop(*arguments: Any) -> float:
        signal.raise_signal(signal.SIGTERM)
        return bits_per_byte(*arguments)

    data = lines(tmp_path / "data.jsonl", [{"messages": each} for each in conversations()])
    validation = lines(tmp_path / "validation.jsonl", [{"messages": turns("dog", "dog")}])
    weights = []
    for name, stops in (("whole", False), ("stopped", True)):
        task = Chat(recipe(epochs=4))
        if stops:
            with monkeypatch.context() as patched, pytest.raises(Stopped):
                patched.setattr("textmill.tasks.chat.bits_per_byte", asked_to_stop)
                task.train(base, data, None, validation, tmp_path / name)
            assert not (tmp_path / name / "model").exists()
        task.train(base, data, None, validation, tmp_path / name)
        weights.append(sha256_of_file(tmp_path / name / "model" / "model.safetensors"))
    assert weights[0] == weights[1]


def test_the_command_tunes_and_names_what_it_cannot_take(textmill: Any, base: Path, tmp_path: Path) -> None:
    data = lines(tmp_path / "data.jsonl", [{"messages": each} for each in conversations()])
    held = lines(tmp_path / "held.jsonl", [{"messages": turns("dog", "dog")}])
    test = lines(tmp_path / "test.jsonl", [{"messages": turns("pig", "dog")}])
    words = ("--validation", held, "--test", test, "--base", base, "--out", tmp_path / "run", "--set", "learn.epochs=1")
    done = textmill("tune", "chat", data, *words)
    assert done.code == 0, done.err
    for said in ("18 to learn from", "plain one", "before", "wanted  woof!", f"textmill chat {tmp_path / 'run'}"):
        assert said in done.out
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<bdi>speak as a dog</bdi>" in page and "<bdi>woof!</bdi>" in page and "答案对照" in page
    data.write_text('{"messages": 3}', encoding="utf-8")
    wrong = textmill("tune", "chat", data, "--set", "learn.way=head")
    assert wrong.code == 2 and "learn.way = head" in wrong.err
    wrong = textmill("tune", "chat", data)
    assert wrong.code == 2 and "line 1" in wrong.err


def test_conversations_as_people_had_them_are_learnt_from(base: Path, tmp_path: Path) -> None:
    """chatterbot-corpus: each a list of what was said in turn; nothing of them is lost or cut in silence."""
    said = yaml.safe_load((files("chatterbot_corpus") / "data" / "english" / "ai.yml").read_text(encoding="utf-8"))
    roles = ("user", "assistant")
    values = [
        {"messages": [{"role": roles[place % 2], "content": text} for place, text in enumerate(turns)]}
        for turns in said["conversations"]
    ]
    data = lines(tmp_path / "data.jsonl", values[:40])
    task = Chat(recipe(epochs=1, longest=200, shown_answers=1))
    split = task.read(data)
    assert len(split.training) + len(split.validation) == len({example.text for example in split.training + split.validation})
    task.learn(base, split, tmp_path / "run")
    last, first = (
        [
            json.loads(line)["bits_per_answer_byte"]
            for line in (tmp_path / "run" / "metrics.jsonl").open()
            if '"validation"' in line
        ][at]
        for at in (-1, 0)
    )
    assert last <= first


@pytest.mark.parametrize(("section", "named"), [("Chat", '"sample:smollm2"'), ("Preferences", '"runs/answers"')])
def test_the_lines_of_the_docs_run(
    section: str, named: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", re.split(r"^## ", text.partition(f"## {section}")[2], flags=re.M)[0], re.S)
    assert named in code
    monkeypatch.chdir(tmp_path)
    asked = [(f"speak as a {name} {number}", sound) for number in range(8) for name, sound in SOUNDS.items()]
    pairs = [{"prompt": question, "chosen": sound, "rejected": "no"} for question, sound in asked]
    dialogues = [{"prompt": question, "answer": sound} for question, sound in asked]
    for name, values in (("dialogues", dialogues), ("pairs", pairs)):
        lines(tmp_path / f"{name}.jsonl", values[:-4])
    lines(tmp_path / "test.jsonl", (dialogues if section == "Chat" else pairs)[-4:])
    exec(code.replace(named, repr(str(base))), {})
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"model", "scores.json"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ('{"text": "a"}', "neither messages nor a prompt"),
        ('{"messages": []}', "no list of messages"),
        ('{"messages": [{"role": "bot", "content": "a"}]}', "role 'bot'"),
        ('{"messages": [{"role": "user", "content": 3}]}', "no text"),
        ('{"messages": [{"role": "user", "content": " "}]}', "empty message"),
        ('{"messages": [{"role": "user", "content": "a", "name": "b"}]}', "'name'"),
    ],
)
def test_bad_lines_are_named(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"prompt": "a", "answer": "b"}}\n{line}\n\n{line}\n', encoding="utf-8")
    with pytest.raises(TaskError, match=said) as raised:
        read_dialogues(path)
    assert "lines 2, 4" in str(raised.value)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    question = {"role": "user", "content": "and?"}
    path = lines(tmp_path / "data.jsonl", [{"messages": [question]}, {"messages": [*turns("cat"), question]}])
    found = read_dialogues(path)
    assert [list(each.messages) for each in found.examples] == [turns("cat")]
    assert "1 left out: no answer" in str(found) and "line 1" in str(found) and "line 2" in str(found)
