"""Cleaning mends what is broken and leaves alone what a person wrote; the split never moves."""

import ftfy
import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES
from hypothesis import given
from hypothesis import strategies as st

from textmill.corpus.document import Document, Drop
from textmill.corpus.duplicates import DropDuplicates, SeenDigests
from textmill.corpus.settings import CorpusSettings
from textmill.corpus.split import split_of
from textmill.corpus.steps import FTFY, cleaning_steps, remove_machine_tail, repair_text

EVENT = '{"msg_type":"generate_answer_finish","data":""}'


def clean(text: str) -> str:
    document: Document | Drop = Document(text, "1", "a.txt")
    for step in cleaning_steps(CorpusSettings(source="a.txt", minimum_characters=1)).values():
        assert isinstance(document, Document)
        document = step(document)
    assert isinstance(document, Document)
    return document.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("schÃ¶n", "schön"),
        ("cafe\u0301", "café"),
        ("a\r\nb\rc\x00\x07\td", "a\nb\nc\td"),
        ("a  \n\n\n\nb", "a\n\nb"),
        (f"An answer.{EVENT}", "An answer."),
        (f"An answer.\n{EVENT}\n{EVENT}\n", "An answer."),
    ],
)
def test_what_is_broken_is_mended(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "他说：“你好，世界！”（笑）１２３ＡＢＣ",
        "مرحبا بالعالم، كيف حالك؟ می‌خواهم",
        "สวัสดีชาวโลก",
        "👩‍👩‍👧 ‘quotes’ ﬁne &lt;b&gt; &amp;amp; 10³",
        'if (a) { return {"data": ""} }',
        'The reply is {"msg_type": "text", "content": {"text": "hi"}}',
        'It ends in JSON: {"answer": 42}',
        f"{EVENT} comes first, and words follow",
    ],
)
def test_what_a_person_wrote_stays(text: str) -> None:
    assert clean(text) == text


LETTERS = "ÂÃŒœŠšŸž\u0402\x1b\r\u2028\u206a\ufeff\ufffc\ud83d\udca9"
DOUBTFUL = LETTERS + "".join(MOJIBAKE_CATEGORIES.values())


@given(st.text(st.sampled_from(DOUBTFUL) | st.sampled_from("aeT9 .,[m\n") | st.characters(), max_size=60))
def test_lines_that_are_passed_over_have_nothing_to_mend(text: str) -> None:
    assert repair_text(Document(text, "1", "a")) == Document(ftfy.fix_text(text, FTFY), "1", "a")


def test_every_pair_of_doubtful_characters_is_looked_at() -> None:
    for first in LETTERS + "".join(characters[:3] for characters in MOJIBAKE_CATEGORIES.values()):
        text = "\n".join(f"a{first}{second}a {second}{first} " for second in DOUBTFUL)
        assert repair_text(Document(text, "1", "a")).text == ftfy.fix_text(text, FTFY)


def test_a_long_run_of_machine_tails_ends() -> None:
    cleaned = remove_machine_tail(Document("Words." + EVENT * 2_000, "1", "a.txt"))
    assert isinstance(cleaned, Document) and cleaned.text == "Words."


def test_drops_say_what_was_measured() -> None:
    short = cleaning_steps(CorpusSettings(source="a", minimum_characters=10))["length"](Document("abc", "1", "a"))
    assert isinstance(short, Drop) and (short.rule, short.value, short.threshold) == ("too short", 3, 10)
    step = DropDuplicates()
    assert isinstance(step(Document("same", "1", "a")), Document)
    assert isinstance(step(Document("same", "2", "b")), Drop)


@given(st.lists(st.binary(min_size=16, max_size=16) | st.sampled_from([bytes(16), b"\1" * 16, b"\1" * 15 + b"\2"])))
def test_the_digests_seen_are_a_set(digests: list[bytes]) -> None:
    seen = SeenDigests()
    assert [seen.add(digest) for digest in digests] == [digest not in digests[:n] for n, digest in enumerate(digests)]


@given(st.text(), st.text(), st.floats(0.01, 0.99))
def test_the_split_depends_on_the_title_alone_or_else_the_id(title: str, id: str, fraction: float) -> None:
    side = split_of(Document("text", id, "a", title), fraction)
    assert side == split_of(Document("other", id if not title else "x", "b", title), fraction)
    if side == "validation":
        assert split_of(Document("text", id, "a", title), (1 + fraction) / 2) == "validation"


def test_the_split_keeps_its_fraction() -> None:
    sides = [split_of(Document("", f"id {number}", "a"), 0.1) for number in range(5000)]
    assert 400 < sides.count("validation") < 600
