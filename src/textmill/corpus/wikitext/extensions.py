"""The tags of a page, before any wikitext is read: MediaWiki's preprocessor takes them out first, and so do we.

References, galleries and comments go, formulas and code are set aside untouched, and formatting tags leave their
content. Every search moves forward only, so hostile markup costs linear time.
"""

import html
import re
from collections import Counter

from . import marks

REMOVED = {
    "ref": "references",
    "references": "references",
    "gallery": "files",
    "imagemap": "files",
    "timeline": "files",
    "score": "files",
    "graph": "files",
    "mapframe": "files",
    "table": "tables",
    "templatestyles": "templates",
    "includeonly": "templates",
}
VERBATIM = frozenset({"nowiki", "pre", "math", "chem", "source", "syntaxhighlight"})
_SPECIAL = re.compile(rf"<(?P<name>{'|'.join([*REMOVED, *VERBATIM])})(?P<attributes>\s[^<>]*|/)?>|<!--", re.IGNORECASE)

_NEW_LINE = "br|blockquote|center|dd|div|dl|dt|hr|ol|p|poem|td|th|tr|ul|h[1-6]"
_INLINE = (
    "abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|mark|noinclude|onlyinclude|q|rb|rp|rt|ruby|s|samp|"
    "section|small|span|strike|strong|time|tt|u|var|wbr|nobr|ref|references|gallery|table|caption|tbody|thead|"
    "nowiki|pre|math|source|syntaxhighlight|includeonly"
)
_ATTRIBUTES = r"(?:\s[^<>]*=[^<>]*|\s*)"  # an attribute has its `=`, so `a <b and c> d` stays
_LINE_TAG = re.compile(rf"</?(?:{_NEW_LINE}){_ATTRIBUTES}/?>|<br\b[^<>\n]*>", re.IGNORECASE)
_LIST_ITEM = re.compile(rf"<li{_ATTRIBUTES}>", re.IGNORECASE)
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE}|li){_ATTRIBUTES}/?>", re.IGNORECASE)
_RAISED = {
    "<sup": marks.SUPERSCRIPT_OPEN,
    "</sup": marks.SUPERSCRIPT_CLOSE,
    "<sub": marks.SUBSCRIPT_OPEN,
    "</sub": marks.SUBSCRIPT_CLOSE,
}
_RAISED_TAG = re.compile(rf"(</?su[bp]){_ATTRIBUTES}>", re.IGNORECASE)


class Extensions:
    """Takes the tags out of one page, and puts back what was set aside."""

    def __init__(self, removed: Counter[str]):
        self.removed = removed
        self.aside: list[str] = []

    def take_out(self, text: str) -> str:
        """Return `text` without tags; what they removed is counted by kind, in characters."""
        text = self._take_out_special(text)
        text = _RAISED_TAG.sub(lambda match: _RAISED[match[1].lower()], text)
        text = _LINE_TAG.sub("\n", text)
        text = _LIST_ITEM.sub("\n* ", text)
        return _INLINE_TAG.sub("", text)

    def put_back(self, text: str) -> str:
        """Return `text` with every verbatim text in its place."""
        pattern = re.compile(f"{marks.ASIDE_OPEN}([0-9]+){marks.ASIDE_CLOSE}")
        return pattern.sub(lambda match: self.aside[int(match[1])], text)

    def _take_out_special(self, text: str) -> str:
        pieces, position = [], 0
        unclosed: set[str] = set()
        while opening := _SPECIAL.search(text, position):
            pieces.append(text[position : opening.start()])
            name = (opening["name"] or "!--").lower()
            position = opening.end()
            if (opening["attributes"] or "").endswith("/"):
                self._remove(name, opening[0])
                pieces.append(marks.HOLE)
                continue
            closing = None if name in unclosed else _closing(name).search(text, opening.end())
            if closing is None:
                unclosed.add(name)  # there is no closing tag in all the rest: don't look for it again
            elif closing[0].lower().startswith(f"<{name}"):
                pass  # a second reference opens before this one has closed: the first was never closed
            else:
                position = closing.end()
                pieces.append(self._replacement(name, opening, text[opening.end() : closing.start()]))
        return "".join([*pieces, text[position:]])

    def _replacement(self, name: str, opening: re.Match[str], content: str) -> str:
        if name not in VERBATIM:
            self._remove(name, opening[0] + content)
            return marks.HOLE
        if name in ("nowiki", "pre"):
            content = html.unescape(content)
        elif name in ("math", "chem"):
            content = f"${' '.join(content.split())}$"
        self.aside.append(content.strip("\n"))
        place = f"{marks.ASIDE_OPEN}{len(self.aside) - 1}{marks.ASIDE_CLOSE}"
        return f"\n{place}\n" if name in ("pre", "source", "syntaxhighlight") and "\n" in content else place

    def _remove(self, name: str, source: str) -> None:
        self.removed[REMOVED.get(name, "comments")] += len(source)


def _closing(name: str) -> re.Pattern[str]:
    """What ends the tag `name`; for a reference also the next opening one or a heading, since references never nest."""
    if name == "!--":
        return re.compile("-->")
    if name == "ref":
        return re.compile(r"</ref\s*>|<ref(?:\s[^<>]*[^<>/])?>", re.IGNORECASE)
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)
