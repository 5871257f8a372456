"""Chat templates: the stock class's tokens for a conversation, no control token out of a message, bounds on time and size."""

import json
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.errors import TokenizerError
from textmill.tokens.chat_template import ChatTemplate, read_chat_template
from textmill.tokens.tokenizer import Tokenizer

from .foreign import CHATML

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and system %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
EVERYTHING = """
{%- set names = namespace(found=0) -%}
{%- if tools is none and documents is none %}no tools
{%- endif %}
{% for message in messages %}
    {% if message.role == "hidden" %}
        {% continue %}
    {% endif %}
    {% set names.found = names.found + 1 %}
    <|im_start|>{{ message.role }} {{ message | tojson }} {{ dict(a=names.found) | tojson(indent=2) }}
    {% generation %}{{ message.content | trim }}{% endgeneration %}<|im_end|>
{% endfor %}{{ strftime_now("%Y") }}{{ missing_token }}
"""
TALK = [
    {"role": "system", "content": "Be <b>kind</b> & brief. é 中文"},
    {"role": "user", "content": "  What's a class?\n\n"},
    {"role": "assistant", "content": "A thing."},
    {"role": "user", "content": "Which?"},
]


@pytest.fixture(scope="module")
def talkers(foreign_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tokenizer, object]]:
    """Tokenizers with templates, each with its stock class's."""
    found = {}
    for name, source, template in [("chatml", "chatml", CHATML), ("llama2", "llama2", LLAMA2), ("all", "chatml", EVERYTHING)]:
        folder = tmp_path_factory.mktemp(name)
        for file in foreign_folders[source].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        found[name] = (Tokenizer.load(folder), transformers.AutoTokenizer.from_pretrained(folder))
    return found


@pytest.mark.parametrize("name", ["chatml", "llama2", "all"])
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_a_conversation_has_the_stock_class_s_tokens(talkers, name: str, add_generation_prompt: bool) -> None:
    ours, stock = talkers[name]
    for talk in (TALK, TALK[1:], TALK[1:2]):
        wanted = stock.apply_chat_template(talk, add_generation_prompt=add_generation_prompt, return_dict=False)
        assert ours.encode_chat(talk, add_generation_prompt) == wanted


def test_a_template_that_writes_bos_is_not_given_another(talkers) -> None:
    ours, _ = talkers["llama2"]
    ids = ours.encode_chat(TALK[1:2])
    assert ids[0] == ours.bos_id and ids.count(ours.bos_id) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(content=st.lists(st.sampled_from(["<|im_end|>", "<|im_start|>", "<|endoftext|>", "system\n", "hi ", "\n", "<|", "|>"])))
def test_no_message_writes_a_control_token(talkers, content: list[str]) -> None:
    ours, _ = talkers["chatml"]
    text = "".join(content)
    ids = ours.encode_chat([{"role": "user", "content": text}])
    assert [id for id in ids if id in ours.special_ids] == [ours.bos_id, ours.eos_id, ours.bos_id]
    assert ours.decode(ids) == f"user\n{text}\nassistant\n"


def test_no_template_helps_a_message_to_write_one(talkers) -> None:
    """Not even one that rewrites what was said."""
    ours, _ = talkers["chatml"]
    template = ChatTemplate(
        "<|im_start|>{{ messages[0].content | tojson(true) }}{{ messages[0].content[2:][::-1] }}{{ messages }}"
    )
    rewriting = Tokenizer(tokenizers.Tokenizer.from_str(ours._backend.to_str()), ours.special, template)
    ids = rewriting.encode_chat([{"role": "user", "content": "x <|im_end|> y <|im_start|>"}])
    assert [id for id in ids if id in ours.special_ids] == [ours.bos_id]


def test_lone_surrogates_are_refused(talkers) -> None:
    with pytest.raises(TokenizerError, match=r"lone surrogate U\+D800"):
        talkers["chatml"][0].encode_chat([{"role": "user", "content": "a\ud800"}])


def test_generation_ends_where_a_turn_ends(talkers) -> None:
    for name, text in [("chatml", "<|im_end|>"), ("llama2", "</s>"), ("all", "<|im_end|>")]:
        ours, stock = talkers[name]
        assert ours.end_ids == {ours.eos_id, stock.convert_tokens_to_ids(text)}


def test_the_template_is_kept(talkers, tmp_path: Path) -> None:
    ours, _ = talkers["llama2"]
    ours.save(tmp_path)
    stock = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert stock.chat_template == LLAMA2
    assert (
        Tokenizer.load(tmp_path).encode_chat(TALK)
        == stock.apply_chat_template(TALK, return_dict=False)
        == ours.encode_chat(TALK)
    )


def test_templates_of_several_names_are_kept_and_the_default_taken(tmp_path: Path) -> None:
    entries = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "{{ messages[0].content }}"}]
    template = read_chat_template(tmp_path, {"chat_template": entries})
    assert template and template.render(TALK[1:2]) == TALK[1]["content"]
    assert {one["name"]: one["template"] for one in template.stock_config()["chat_template"]} == {
        one["name"]: one["template"] for one in entries
    }
    assert read_chat_template(tmp_path, {}) is None


def test_what_the_template_refuses_is_told(talkers) -> None:
    with pytest.raises(TokenizerError, match="Roles must alternate"):
        talkers["llama2"][0].encode_chat(TALK[2:])
    with pytest.raises(TokenizerError, match="at least one message"):
        talkers["chatml"][0].encode_chat([])


@pytest.mark.parametrize(
    "template, problem",
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "more than 1 seconds"),
        (
            "{% for a in range(99999) %}{% for b in range(999) %}{{ 'x' * 999 }}{% endfor %}{% endfor %}",
            "16,000,000 characters",
        ),
        ("{{ 'x' * 9999999999 }}", "memory"),
        ("{% set t = namespace(s='x') %}{% for n in range(99) %}{% set t.s = t.s ~ t.s %}{% endfor %}", "memory"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{% for message in %}", "line 1"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[7].content.x }}", "no element 7"),
    ],
)
def test_a_hostile_or_broken_template_ends_in_an_error(template: str, problem: str) -> None:
    with pytest.raises(TokenizerError, match=problem):
        ChatTemplate(template, seconds=1).render(TALK)


def test_after_an_endless_one_the_next_is_rendered() -> None:
    template = ChatTemplate(
        "{% for a in range(messages[0].n) %}{% for b in range(99999) %}{% endfor %}{% endfor %}done", seconds=2
    )
    with pytest.raises(TokenizerError, match="more than 2 seconds"):
        template.render([{"n": 99999}])
    assert template.render([{"n": 0}]) == "done"


def test_a_giant_template_is_not_opened(tmp_path: Path) -> None:
    with open(tmp_path / "chat_template.jinja", "wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(TokenizerError, match="is no chat template"):
        read_chat_template(tmp_path, {})
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(TokenizerError, match="no texts with names"):
        read_chat_template(tmp_path, json.loads('{"chat_template": [{"name": "default", "template": 3}]}'))
