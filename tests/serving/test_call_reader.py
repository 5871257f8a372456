"""An answer is parted into text and calls, whatever pieces it comes in."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from textmill.serving.call_reader import CallReader
from textmill.tokens.tool_calls import spelled

NAMES = st.text("abcXYZ09_-", min_size=1, max_size=8)
TEXTS = st.text('<tool_call>/{}\n" a', max_size=30).filter(lambda text: "<tool_call>" not in text)
VALUES = st.one_of(
    st.integers(), st.text(max_size=5), st.sampled_from(["</tool_call>", "}\n</tool_call>", "<tool_call>", {"a": {}}])
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=3).map(json.dumps)


def read(pieces: Sequence[str], ended: Any) -> tuple[str, list[list[str]]]:
    """The text and the calls that a client puts together."""
    reader, text, calls = CallReader(), "", list[list[str]]()
    for number, piece in enumerate(pieces, start=1):
        new = reader.push(piece, ended if number == len(pieces) else None)
        assert all(new.values()), "nothing that is told is empty"
        text += new.get("content", "")
        assert "<tool_call>" not in text
        for call in new.get("tool_calls", []):
            if call["index"] == len(calls):
                assert call["id"].startswith("call_") and call["type"] == "function"
                calls.append([call["function"]["name"], ""])
            calls[call["index"]][1] += call["function"]["arguments"]
        assert reader.calls == len(calls)
    return text, calls


def cut(text: str, data: st.DataObject) -> list[str]:
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)])]


@given(TEXTS, st.lists(st.tuples(NAMES, ARGUMENTS), max_size=3), st.data())
def test_text_and_calls_come_apart_however_they_are_cut(text: str, calls: list[tuple[str, str]], data: st.DataObject) -> None:
    answer = text + "\n".join(spelled(*call) for call in calls)
    if answer.find("<tool_call>") != len(text) and calls:
        return  # the text's end and the call's beginning made another tag
    assert read(cut(answer, data), "end") == (text, [list(call) for call in calls])


@given(st.integers(1, 10), st.data())
def test_a_tag_that_was_cut_is_no_text_and_one_that_the_model_left_is(size: int, data: st.DataObject) -> None:
    pieces = cut("a " + "<tool_call>"[:size], data)
    assert read(pieces, "length") == read(pieces, "context") == ("a ", [])
    assert read(pieces, "end") == ("a " + "<tool_call>"[:size], [])


def test_what_surely_belongs_to_it_is_told_at_once() -> None:
    reader = CallReader()
    assert reader.push("It is <b") == {"content": "It is <b"}
    assert reader.push(" <too") == {"content": " "}
    assert reader.push("l_call>\n") == {}
    [begun] = reader.push('{"name": "f", "arguments": {"a": 1')["tool_calls"]
    assert begun["function"] == {"name": "f", "arguments": '{"a": 1'}
    assert reader.push("2}}")["tool_calls"] == [{"index": 0, "function": {"arguments": "2}"}}]
    assert reader.push("\n</tool_call>", "end") == {}
