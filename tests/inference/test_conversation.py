"""The text that a user and a base model write by turns: how pieces join, what can be taken back, what is still in sight."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.errors import GenerationError
from textmill.inference.chat import shown
from textmill.inference.conversation import Conversation, Messages, RunningText, Turn, in_sight, joined
from textmill.tokens.tokenizer import Tokenizer

from ..tokens.foreign import chatml


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
    assert RunningText().prompt(talk.turns, "It") == "The cat sat down. It"
    assert talk.undo() == Turn("sat", " down.")
    assert RunningText().prompt(talk.turns, "It") == "The cat It"
    assert talk.undo() and talk.undo() is None
    assert RunningText().prompt(talk.turns, "") == ""


def test_a_document_that_the_model_closed_is_kept_and_left_behind() -> None:
    talk = Conversation(turns=[Turn("One", " end.", closed=True), Turn("Two", " goes")])
    assert RunningText().prompt(talk.turns, "on") == "Two goes on"
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


@pytest.fixture(scope="module")
def answerer(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A tokenizer with a chat template."""
    folder = tmp_path_factory.mktemp("chatml") / "chatml"
    chatml(texts[:20], folder)
    return Tokenizer.load(folder)


@given(st.lists(st.builds(Turn, st.text("ab ", max_size=20), st.text("cd ", max_size=20)), max_size=6), st.integers(20, 120))
@settings(deadline=None, max_examples=30)
def test_of_messages_the_newest_that_fit_are_seen_whole(answerer: Tokenizer, turns: list[Turn], room: int) -> None:
    talk = Messages("Be kind.")
    try:
        view = talk.view(answerer, turns, "And now?", room)
    except GenerationError as error:
        assert "there is room for" in str(error)
        assert len(talk.view(answerer, [], "And now?", 10**6).prompt) > room
        return
    dropped = int(view.hidden.split()[5]) if view.hidden else 0
    every = [len(talk.view(answerer, turns[first:], "And now?", 10**6).prompt) for first in range(len(turns) + 1)]
    assert len(view.prompt) == every[dropped] <= room
    assert not dropped or every[dropped - 1] > room
    assert answerer.decode(view.prompt).startswith("system\nBe kind.\nuser\n")
    assert answerer.decode(view.prompt).endswith("user\nAnd now?\nassistant\n")


def test_messages_are_shown_by_their_roles() -> None:
    assert Messages("Be kind.").text([Turn("Hi", "Yes?")]) == "system: Be kind.\n\nuser: Hi\n\nassistant: Yes?"


def test_a_model_can_t_send_commands_to_the_terminal() -> None:
    assert shown("a\x1b[2Jb\tc\nd\x9b") == "a␛[2Jb\tc\nd\ufffd"
