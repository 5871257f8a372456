"""The text that a user and a base model write by turns: how pieces join, what can be taken back, what is still in sight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.inference.chat import shown
from textmill.inference.conversation import Conversation, Turn, in_sight, joined


@pytest.mark.parametrize(
    "text, typed, whole",
    [
        ("The town", "was old", "The town was old"),
        ("The town", ", which", "The town, which"),
        ("The town", '"Rose"', 'The town "Rose"'),
        ("The town ", "was", "The town was"),
        ("The town", "\n\nNext", "The town\n\nNext"),
        ("", "was", "was"),
        ("The town", "", "The town"),
        ("床前明月光", "疑是地上霜", "床前明月光疑是地上霜"),
        ("明月。", "The", "明月。The"),
    ],
)
def test_words_are_parted_by_a_space_where_the_script_does_so(text: str, typed: str, whole: str) -> None:
    assert joined(text, typed) == whole


def test_turns_make_one_running_text_and_can_be_taken_back() -> None:
    talk = Conversation(turns=[Turn("The", " cat"), Turn("sat", " down.")])
    assert talk.prompt("It") == "The cat sat down. It"
    assert talk.undo() == Turn("sat", " down.")
    assert talk.prompt("It") == "The cat It"
    assert talk.undo() and talk.undo() is None
    assert talk.prompt("") == ""


def test_a_document_that_the_model_closed_is_kept_and_left_behind() -> None:
    talk = Conversation(turns=[Turn("One", " end.", closed=True), Turn("Two", " goes")])
    assert talk.prompt("on") == "Two goes on"
    assert talk.text() == "One end.\n\nTwo goes"


def test_seeds_go_on_so_that_the_same_lines_give_the_same_text() -> None:
    talk = Conversation(seed=2**64 - 1)
    assert [talk.next_seed(), talk.next_seed()] == [2**64 - 1, 0]
    talk.reseed(7)
    assert [talk.next_seed(), talk.next_seed()] == [7, 8]


@given(st.text(max_size=200), st.integers(1, 30))
def test_what_is_in_sight_is_the_end_of_the_text_and_fits(tokenizer, text: str, room: int) -> None:
    text = text.encode("utf-8", "ignore").decode()
    sight = in_sight(tokenizer, text, room)
    assert text.endswith(sight.text)
    assert sight.tokens == len(tokenizer.encode(sight.text)) <= room
    assert sight.dropped_characters == len(text) - len(sight.text)
    assert (sight.dropped_tokens > 0) == (sight.text != text)


def test_a_model_can_t_send_commands_to_the_terminal() -> None:
    assert shown("a\x1b[2Jb\tc\nd\x9b") == "a␛[2Jb\tc\nd\ufffd"
