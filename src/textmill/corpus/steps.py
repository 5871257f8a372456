"""Cleaning, one small step after another: each takes a document and gives it back, changed or not, or a Drop.

No step touches what a person wrote on purpose: curly quotes, full-width punctuation, ligatures, code and every script
stay as they are.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace

import ftfy

from .chinese import convert_chinese
from .document import Document, Drop
from .settings import CorpusSettings

Step = Callable[[Document], Document | Drop]

FTFY = ftfy.TextFixerConfig(
    unescape_html=False,  # an article about HTML, or code, means its &lt;
    fix_latin_ligatures=False,
    fix_character_width=False,  # the comma of Chinese text is a full-width one
    uncurl_quotes=False,
    normalization=None,  # a step of its own
    explain=False,
)
"""What ftfy may do: nothing to sound text."""
_NEVER_MEANT = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u206a-\u206f\ud800-\udfff\ufeff\ufff9-\ufffc"
_OF_OLD_ENCODINGS = "\x80-\u04ff\u2000-\u25ff\uf8ff\ufb01\ufb02\ufffd"
_DOUBTFUL = re.compile(f"[{_NEVER_MEANT}{_OF_OLD_ENCODINGS}](?:(?<=[{_NEVER_MEANT}ÂÃŒœ])|[{_OF_OLD_ENCODINGS}])")
"""What every text has that ftfy changes: a character that nobody writes; two side by side of those that the bytes of UTF-8 look
like in an older encoding; or one of the letters that it takes for half of such a pair."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BLANKS_AT_LINE_END = re.compile(r"[ \t\u3000](?<![ \t\u3000]{2})[ \t\u3000]*$", re.MULTILINE)  # from a run's first only
_EVENT_WINDOW = 4096  # a machine's tail is a line, not a page


def repair_text(document: Document) -> Document:
    """Undo wrong decodings (`schÃ¶n` for `schön`), by ftfy, with everything off that changes sound text.

    It works line by line, and takes much longer than to see which lines could concern it.
    """
    text, pieces, position = document.text, [], 0
    while doubtful := _DOUBTFUL.search(text, position):
        start = max(position, text.rfind("\n", position, doubtful.start()) + 1)
        end = text.find("\n", doubtful.end()) + 1 or len(text)
        pieces += [text[position:start], ftfy.fix_text(text[start:end], FTFY)]
        position = end
    return _with_text(document, "".join([*pieces, text[position:]]))


def normalize_unicode(document: Document) -> Document:
    """Unicode's composed form (NFC): letters and their accents are one character."""
    return _with_text(document, unicodedata.normalize("NFC", document.text))


def remove_control_characters(document: Document) -> Document:
    """Line ends become newlines; control characters go, except newline and tab."""
    text = document.text.replace("\r\n", "\n").replace("\r", "\n")
    return _with_text(document, _CONTROL.sub("", text))


def remove_machine_tail(document: Document) -> Document:
    """Remove events such as `{"msg_type":"generate_answer_finish","data":""}` that a chat service left at the end."""
    end = len(document.text.rstrip())
    while (start := _event_start(document.text[max(0, end - _EVENT_WINDOW) : end])) is not None:
        end = max(0, end - _EVENT_WINDOW) + start
        end = len(document.text[max(0, end - _EVENT_WINDOW) : end].rstrip()) + max(0, end - _EVENT_WINDOW)
    return document if end == len(document.text.rstrip()) else _with_text(document, document.text[:end].rstrip())


def _event_start(tail: str) -> int | None:
    """Where the event begins that `tail` ends with. An event has a `msg_type` such as `some_words`, and `data`."""
    if not tail.endswith("}") or '"msg_type"' not in tail:
        return None
    decoder = json.JSONDecoder()
    for brace in re.finditer(r"\{", tail):
        try:
            event, end = decoder.raw_decode(tail, brace.start())
        except (ValueError, RecursionError):
            continue
        if end == len(tail):
            kind = event.get("msg_type")
            is_event = "data" in event and isinstance(kind, str) and re.fullmatch(r"[a-z]+(_[a-z]+)+", kind)
            return brace.start() if is_event else None
    return None


def tidy_whitespace(document: Document) -> Document:
    """Blanks at line ends go, and more than one blank line becomes one."""
    text = _BLANKS_AT_LINE_END.sub("", document.text)
    return _with_text(document, re.sub(r"\n\n\n+", "\n\n", text).strip("\n"))


def drop_short(minimum_characters: int) -> Step:
    """A step that drops documents with fewer than `minimum_characters` characters."""

    def too_short(document: Document) -> Document | Drop:
        length = len(document.text.strip())
        if length >= minimum_characters:
            return document
        rule = "too short" if length else "empty"
        return Drop(document.id, document.source, "length", rule, document.title, length, minimum_characters)

    return too_short


def cleaning_steps(settings: CorpusSettings) -> dict[str, Step]:
    """Every step that looks at one document alone, by its name, in the order they are taken."""
    script = settings.chinese_script
    return {
        "text repair": repair_text,
        "unicode": normalize_unicode,
        "control characters": remove_control_characters,
        **({} if script == "keep" else {"chinese script": convert_chinese(script)}),
        "machine tail": remove_machine_tail,
        "whitespace": tidy_whitespace,
        "length": drop_short(settings.minimum_characters),
    }


def _with_text(document: Document, text: str) -> Document:
    return document if text == document.text else replace(document, text=text)
