"""One Chinese script for a corpus that has both, by OpenCC, which knows that 发 is 發 in 出發 and 髮 in 頭髮.

Japanese shares its characters with Chinese and would be harmed (図書館 is no 図书馆), so what shows itself as
Japanese, or is marked as Japanese or Korean, stays as it is.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from .document import Document

Script = Literal["simplified", "traditional"]

KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9d"  # without ・ and ー
JAPANESE_SHARE = 0.3
"""A line with at least this share of kana among its kana and ideographs is Japanese: most have over a half of them."""

_KANA = re.compile(f"[{KANA}]")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_JAPANESE_RUN = re.compile(f"([\u3005-\u3007\u30fc\u3400-\u9fff]*[{KANA}][{KANA}\u3005-\u3007\u30fc\u3400-\u9fff]*)")
_OTHER_LANGUAGES = ("ja", "ko")


def convert_chinese(script: Script) -> Callable[[Document], Document]:
    """A step that writes the Chinese of a document in one script: OpenCC's `t2s`, or its `s2tw`.

    Its plain `s2t` writes 爲, 裏 and 羣, which hardly anyone does, beside the 為, 裡 and 群 of text that is traditional
    already.
    """
    import opencc  # loads dictionaries of some megabytes: only where it is asked for

    convert = opencc.OpenCC({"simplified": "t2s", "traditional": "s2tw"}[script]).convert

    def one_script(document: Document) -> Document:
        if document.language.partition("-")[0].lower() in _OTHER_LANGUAGES or not _IDEOGRAPH.search(document.text):
            return document
        if _KANA.search(document.text):
            text = "\n".join(_convert_line(line, convert) for line in document.text.split("\n"))
        else:
            text = convert(document.text)
        return document if text == document.text else replace(document, text=text)

    return one_script


def _convert_line(line: str, convert: Callable[[str], str]) -> str:
    """A Japanese line as it is; a Chinese one converted but for the runs of kana and ideographs in it."""
    kana = len(_KANA.findall(line))
    if not kana:
        return convert(line)
    if kana >= JAPANESE_SHARE * (kana + len(_IDEOGRAPH.findall(line))):
        return line
    parts = _JAPANESE_RUN.split(line)
    return "".join(part if number % 2 else convert(part) for number, part in enumerate(parts))
